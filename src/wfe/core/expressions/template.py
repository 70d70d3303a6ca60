"""Templates: JSON values whose strings may hold ``${expression}``.

Pure. A string that is one ``${...}`` and nothing else keeps the type of its value; in mixed text every part becomes
text (strings as they are, all else in JSON form: ``null``, ``true``, ``1.5``, ``{"a": 1}``). ``$${`` is a literal
``${``. Keys of maps are plain text. Where an expression ends is found by its tokens, so a ``}`` in a string is fine.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from msgspec import Raw

from wfe import limits
from wfe.core.expressions.compiler import Lookup
from wfe.core.expressions.conversions import as_text
from wfe.core.expressions.expression import Expression, compile_expression
from wfe.core.expressions.parser import embedded_end
from wfe.core.expressions.values import checked_size
from wfe.errors import ExpressionError


class Template:
    """A compiled template.

    ``names``: the free root names. ``constant``: there is no expression in it. ``sole_name``: ``"order"`` for
    ``"${order}"``. ``entries``: the members of a map, each a template of its own; None for anything else.
    """

    __slots__ = ("_run", "constant", "encoded", "entries", "expressions", "names", "sole_name")

    def __init__(
        self,
        run: Callable[[Lookup], Any],
        expressions: tuple[Expression, ...],
        *,
        sole_name: str | None = None,
        entries: Mapping[str, Template] | None = None,
    ) -> None:
        self._run = run
        self.expressions = expressions
        self.names: frozenset[str] = frozenset().union(*(expression.names for expression in expressions))
        self.constant = not expressions
        self.sole_name = sole_name
        self.entries = entries
        self.encoded: Raw | None = None
        """Of a constant one: its value, once somebody wanted it (`core.values`)."""

    def evaluate(self, lookup: Lookup) -> Any:
        """The value; see `Expression.evaluate`. Constant parts are shared: never change the result."""
        return self._run(lookup)


def compile_template(value: Any) -> Template:
    """Compiles a JSON value with ``${...}`` in its strings. Raises ExpressionError for what is no expression."""
    return _compile(value, 0)


def escape(text: str) -> str:
    """The template string that means exactly this text."""
    return text.replace("${", "$${")


def _compile(value: Any, depth: int) -> Template:
    if depth > limits.EXPRESSION_DEPTH_MAX:
        raise ExpressionError(f"a template nested deeper than {limits.EXPRESSION_DEPTH_MAX}")
    if isinstance(value, str):
        return _compile_text(value)
    if isinstance(value, dict):
        return _compile_map(value, depth)
    if isinstance(value, (list, tuple)):
        parts = [_compile(item, depth + 1) for item in value]
        expressions = tuple(expression for part in parts for expression in part.expressions)
        if not expressions:
            return _constant([part.evaluate(_nothing) for part in parts])
        return Template(lambda lookup: [part.evaluate(lookup) for part in parts], expressions)
    return _constant(value)


def _compile_map(value: dict[str, Any], depth: int) -> Template:
    entries = {key: _compile(item, depth + 1) for key, item in value.items()}
    expressions = tuple(expression for part in entries.values() for expression in part.expressions)
    if not expressions:
        plain = {key: part.evaluate(_nothing) for key, part in entries.items()}
        return Template(lambda lookup: plain, (), entries=entries)
    return Template(
        lambda lookup: {key: part.evaluate(lookup) for key, part in entries.items()}, expressions, entries=entries
    )


def _compile_text(text: str) -> Template:
    if "${" not in text:
        return _constant(text)
    pieces = _pieces(text)
    expressions = tuple(piece for piece in pieces if isinstance(piece, Expression))
    if len(pieces) == 1 and expressions:
        (sole,) = expressions
        return Template(sole.evaluate, expressions, sole_name=sole.sole_name)
    if not expressions:
        return _constant("".join(piece for piece in pieces if isinstance(piece, str)))

    def concatenate(lookup: Lookup) -> str:
        try:
            texts = [piece if isinstance(piece, str) else as_text(piece.evaluate(lookup)) for piece in pieces]
        except RecursionError:
            raise ExpressionError("a value is nested too deeply to become text", text=text[:100]) from None
        checked_size(sum(map(len, texts)))
        return "".join(texts)

    return Template(concatenate, expressions)


def _pieces(text: str) -> list[str | Expression]:
    """Plain text (unescaped) and expressions, in order."""
    pieces: list[str | Expression] = []
    plain, position = "", 0
    while True:
        opener = text.find("${", position)
        if opener < 0:
            plain += text[position:]
            break
        if opener > position and text[opener - 1] == "$":
            plain += text[position : opener - 1] + "${"
            position = opener + 2
            continue
        plain += text[position:opener]
        if plain:
            pieces.append(plain)
        plain, position = "", _add_expression(pieces, text, opener + 2)
    if plain:
        pieces.append(plain)
    return pieces


def _add_expression(pieces: list[str | Expression], text: str, start: int) -> int:
    end = embedded_end(text, start)
    bare = text[start:end]
    try:
        pieces.append(compile_expression(bare.strip()))
    except ExpressionError as error:
        offset = start + len(bare) - len(bare.lstrip())
        position = None if error.position is None else error.position + offset
        raise ExpressionError(error.message, text=error.text or bare, position=position) from None
    return end + 1


def _constant(value: Any) -> Template:
    return Template(lambda lookup: value, ())


def _nothing(name: str) -> Any:
    raise AssertionError(f"a constant looked up {name!r}")
