"""Text to tokens. Positions are kept; a token is ``(kind, value, start, end)``.

Pure. In a template the expression ends at the ``}`` that nothing inside it opened, which only a lexer can tell from one
in a string or a map: `tokenize` stops there when asked to.
"""

from __future__ import annotations

import re
from typing import Any, NamedTuple, NoReturn

from wfe.errors import ExpressionError

KEYWORDS = {"true": True, "false": False, "null": None}
RESERVED = frozenset({*KEYWORDS, "in"})
"""What cannot be a root name. All other words can, as Python's parameters may be called anything."""

INT_MIN, INT_MAX = -(2**63), 2**63 - 1

_TOKEN = re.compile(
    r"""
    (?P<space>(?:[ \t\r\n\f]+|//[^\n]*)+)
  | (?P<string>[rRbB]{0,2}(?:\"{3}|'{3}|\"|'))
  | (?P<float>\d*\.\d+(?:[eE][+-]?\d+)?|\d+[eE][+-]?\d+)
  | (?P<int>0[xX][0-9a-fA-F]+[uU]?|\d+[uU]?)
  | (?P<name>[A-Za-z_][A-Za-z0-9_]*)
  | (?P<op>&&|\|\||==|!=|<=|>=|[-+*/%<>!?:.,()\[\]{}])
    """,
    re.VERBOSE | re.ASCII,
)
_ESCAPE = re.compile(
    r"\\(?:(?P<plain>[abfnrtv\\?\"'`])|[xX](?P<hex>[0-9a-fA-F]{2})|(?P<octal>[0-3][0-7]{2})"
    r"|u(?P<u4>[0-9a-fA-F]{4})|U(?P<u8>[0-9a-fA-F]{8}))"
)
_PLAIN = {"a": "\a", "b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "v": "\v"}
_CLOSERS = {"'''": re.compile(r"(?:[^\\]|\\.)*?(''')", re.S), '"""': re.compile(r'(?:[^\\]|\\.)*?(""")', re.S)}
_CLOSERS |= {"'": re.compile(r"(?:[^\\'\r\n]|\\.)*(')"), '"': re.compile(r'(?:[^\\"\r\n]|\\.)*(")')}
_RAW_CLOSERS = {quote: re.compile(rf"[\s\S]*?({quote})") for quote in ("'''", '"""')}
_RAW_CLOSERS |= {quote: re.compile(rf"[^{quote}\r\n]*({quote})") for quote in ("'", '"')}


class Token(NamedTuple):
    """``kind``: "int" "float" "string" "bytes" "name" "end", or the operator itself."""

    kind: str
    value: Any
    start: int
    end: int


def tokenize(text: str, start: int = 0, *, embedded: bool = False) -> list[Token]:
    """The tokens of ``text`` from ``start``, closed by one of kind "end".

    ``embedded``: the "end" token lies at the first unmatched ``}``, and it is an error if there is none.
    """
    tokens: list[Token] = []
    position, braces = start, 0
    while position < len(text):
        match = _TOKEN.match(text, position)
        if match is None:
            refuse(f"unexpected character {text[position]!r}", text, position)
        kind, end = str(match.lastgroup), match.end()
        if kind == "string":
            token = _string(text, position, match[0])
            end = token.end
            tokens.append(token)
        elif kind == "op":
            operator = match[0]
            braces += (operator == "{") - (operator == "}")
            if embedded and braces < 0:
                tokens.append(Token("end", None, position, position))
                return tokens
            tokens.append(Token(operator, None, position, end))
        elif kind == "int":
            tokens.append(Token("int", _integer(match[0], text, position), position, end))
        elif kind == "float":
            tokens.append(Token("float", _float(match[0], text, position), position, end))
        elif kind == "name":
            tokens.append(Token("name", match[0], position, end))
        position = end
        if kind in ("int", "float") and text[end : end + 1].isidentifier():
            refuse("a number runs into a name", text, position)
    if embedded:
        refuse("'${' without its '}'", text, max(start - 2, 0))
    tokens.append(Token("end", None, len(text), len(text)))
    return tokens


def refuse(message: str, text: str, position: int) -> NoReturn:
    """Raises the error of an expression that is wrong at a position."""
    raise ExpressionError(f"{message} (at {position + 1})", text=text, position=position)


def _integer(digits: str, text: str, position: int) -> int:
    bare = digits.rstrip("uU")
    value = int(bare, 16) if bare[:2] in ("0x", "0X") else int(bare) if len(bare) < 40 else INT_MAX + 2
    if value > INT_MAX + 1:
        refuse("an integer beyond 64 bits", text, position)
    return value  # INT_MAX + 1 is left to the parser: it is fine behind a minus


def _float(digits: str, text: str, position: int) -> float:
    value = float(digits)
    if value == float("inf"):
        refuse("a number beyond the range of a double", text, position)
    return value


def _string(text: str, start: int, opener: str) -> Token:
    prefix = opener.rstrip("'\"").lower()
    quote = opener[len(prefix) :]
    if prefix not in ("", "r", "b", "rb", "br"):
        refuse("a string has the prefix r, b or rb", text, start)
    closer = (_RAW_CLOSERS if "r" in prefix else _CLOSERS)[quote].match(text, start + len(opener))
    if closer is None:
        refuse("a string without its closing quote", text, start)
    content, is_bytes = text[start + len(opener) : closer.start(1)], "b" in prefix
    if "r" in prefix:
        value: str | bytes = content.encode("utf-8", "surrogatepass") if is_bytes else content
    else:
        value = _unescape(content, is_bytes, text, start + len(opener))
    return Token("bytes" if is_bytes else "string", value, start, closer.end())


def _unescape(content: str, is_bytes: bool, text: str, start: int) -> str | bytes:
    """In bytes ``\\xff`` and ``\\377`` are single bytes, in strings code points; ``\\u`` exists in strings only."""
    chunks: list[str] = []
    packed: list[bytes] = []
    position = 0
    while position < len(content):
        slash = content.find("\\", position)
        plain = content[position:] if slash < 0 else content[position:slash]
        chunks.append(plain)
        packed.append(plain.encode("utf-8", "surrogatepass"))
        if slash < 0:
            break
        match = _ESCAPE.match(content, slash)
        if match is None or (is_bytes and match.lastgroup in ("u4", "u8")):
            refuse(f"unknown escape {content[slash : slash + 2]!r}", text, start + slash)
        code = _code_point(match)
        if not is_bytes and (code > 0x10FFFF or 0xD800 <= code <= 0xDFFF):
            refuse("an escape that is no Unicode character", text, start + slash)
        if is_bytes:
            packed.append(bytes([code]))
        else:
            chunks.append(chr(code))
        position = match.end()
    return b"".join(packed) if is_bytes else "".join(chunks)


def _code_point(match: re.Match[str]) -> int:
    kind, digits = str(match.lastgroup), str(match[str(match.lastgroup)])
    if kind == "plain":
        return ord(_PLAIN.get(digits, digits))
    return int(digits, 8 if kind == "octal" else 16)
