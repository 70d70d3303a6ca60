"""Syntax trees and plain values as text. ``parse(unparse(tree)) == tree`` for every tree that `parse` can give.

Pure. Brackets appear only where precedence needs them; strings are written in double quotes.
"""

from __future__ import annotations

import math
import re
from typing import Any

from wfe.core.expressions import nodes as ast
from wfe.core.expressions.lexer import INT_MAX, INT_MIN
from wfe.core.expressions.parser import PRECEDENCE
from wfe.errors import ExpressionError

_CONDITIONAL, _UNARY, _POSTFIX, _PRIMARY = 0, 6, 7, 8
_OR, _RELATION = PRECEDENCE["||"], PRECEDENCE["=="]
_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_SPECIAL = re.compile(r'["\\\x00-\x1f\x7f]')
_ESCAPES = {'"': '\\"', "\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}


def quote_string(value: str) -> str:
    """The text as a string literal."""
    return '"' + _SPECIAL.sub(lambda found: _ESCAPES.get(found[0], f"\\u{ord(found[0]):04x}"), value) + '"'


def constant(value: Any) -> ast.Node:
    """The tree of a JSON value. ExpressionError for what has no literal: other types, NaN, integers beyond 64 bits."""
    if isinstance(value, dict):
        return ast.MapExpr(tuple((constant(key), constant(item)) for key, item in value.items()))
    if isinstance(value, (list, tuple)):
        return ast.ListExpr(tuple(map(constant, value)))
    if type(value) not in (bool, int, float, str, bytes, type(None)):
        raise ExpressionError(f"a {type(value).__name__} has no literal")
    if (type(value) is float and not math.isfinite(value)) or (type(value) is int and not INT_MIN <= value <= INT_MAX):
        raise ExpressionError(f"{value} has no literal: it is beyond 64 bits or not a finite number")
    return ast.Literal(value)


def literal(value: Any) -> str:
    """A JSON value as text of the expression language."""
    return unparse(constant(value))


def unparse(node: ast.Node) -> str:
    """The shortest ordinary text of a tree."""
    return _text(node, _CONDITIONAL)


def _text(node: ast.Node, lowest: int) -> str:
    """The text of a part that stands where nothing of a lower precedence than ``lowest`` may."""
    text, precedence = _bare(node)
    return f"({text})" if precedence < lowest else text


def _bare(node: ast.Node) -> tuple[str, int]:  # noqa: PLR0911 - one line per class
    match node:
        case ast.Literal(value):
            return _scalar(value), _UNARY if type(value) in (int, float) else _PRIMARY
        case ast.Name(name):
            return name, _PRIMARY
        case ast.Field(target, name) if _NAME.fullmatch(name):
            return f"{_text(target, _POSTFIX)}.{name}", _POSTFIX
        case ast.Field(target, name):
            return f"{_text(target, _POSTFIX)}[{quote_string(name)}]", _POSTFIX
        case ast.Index(target, key):
            return f"{_text(target, _POSTFIX)}[{unparse(key)}]", _POSTFIX
        case ast.Call(function, arguments, target):
            prefix = "" if target is None else _text(target, _POSTFIX) + "."
            return f"{prefix}{function}({', '.join(map(unparse, arguments))})", _POSTFIX
        case ast.Has(operand):
            return f"has({unparse(operand)})", _POSTFIX
        case ast.Unary(operator, operand):
            return operator + _prefixed(operator, operand), _UNARY
        case ast.Binary(operator, left, right):
            level = PRECEDENCE[operator]
            # a < b == c is legal, and nobody reads it right.
            return f"{_text(left, level + (level == _RELATION))} {operator} {_text(right, level + 1)}", level
        case ast.Logic(operator, operands):
            level = PRECEDENCE[operator]
            return f" {operator} ".join(_text(operand, level + 1) for operand in operands), level
        case ast.Conditional(condition, then, otherwise):
            return f"{_text(condition, _OR)} ? {_text(then, _OR)} : {unparse(otherwise)}", _CONDITIONAL
        case ast.ListExpr(items):
            return f"[{', '.join(map(unparse, items))}]", _PRIMARY
        case ast.MapExpr(entries):
            return "{" + ", ".join(f"{unparse(key)}: {unparse(value)}" for key, value in entries) + "}", _PRIMARY
        case ast.Comprehension(macro, target, variable, body, condition):
            parts = [variable, *([] if condition is None else [unparse(condition)]), unparse(body)]
            return f"{_text(target, _POSTFIX)}.{macro}({', '.join(parts)})", _POSTFIX


def _prefixed(operator: str, operand: ast.Node) -> str:
    text = _text(operand, _UNARY)
    # A minus directly before a number would become its sign.
    return f"({text})" if operator == "-" and isinstance(operand, ast.Literal) and text[0] in "0123456789" else text


def _scalar(value: ast.Scalar) -> str:
    if value is None or isinstance(value, bool):
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, str):
        return quote_string(value)
    if isinstance(value, bytes):
        plain = (chr(byte) if 32 <= byte < 127 and byte not in b'"\\' else f"\\x{byte:02x}" for byte in value)
        return 'b"' + "".join(plain) + '"'
    return repr(value)
