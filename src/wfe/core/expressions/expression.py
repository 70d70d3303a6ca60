"""Compiled expressions: what the engine holds and evaluates.

Pure. `compile_expression` caches (least recently used), so the same text is compiled once per process. An `Expression`
is immutable and holds no state between evaluations; a result may share parts with what the lookup gave.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

from wfe import limits
from wfe.core.expressions import nodes as ast
from wfe.core.expressions.compiler import Lookup, compile_tree, name_counts
from wfe.core.expressions.parser import parse
from wfe.core.expressions.values import Absent, checked_size, leave, measure
from wfe.errors import ExpressionError


class Expression:
    """A compiled expression.

    ``names``: its free root names. ``paths``: the longest fixed path of each reference, as ``("order", "total")``.
    ``sole_name``: the name, if the expression is nothing else; ``sole_path``: likewise for ``order.total``.
    """

    __slots__ = ("_builds", "_makes_times", "_run", "ast", "names", "paths", "sole_name", "sole_path", "text")

    def __init__(self, text: str, tree: ast.Node) -> None:
        self.text, self.ast = text, tree
        self.names: frozenset[str] = frozenset(name_counts(tree))
        self.paths: tuple[tuple[str, ...], ...] = tuple(dict.fromkeys(_paths(tree, frozenset())))
        self.sole_name: str | None = tree.name if isinstance(tree, ast.Name) else None
        self.sole_path: tuple[str, ...] | None = ast.static_path(tree)
        self._run, self._makes_times, self._builds = compile_tree(tree)

    def __repr__(self) -> str:
        return f"Expression({self.text!r})"

    def evaluate(self, lookup: Lookup) -> Any:
        """The value. ``lookup(name)`` gives a decoded value or raises `Absent`; ``lookup("now()")`` the time in ms.

        Raises ExpressionError (`Absent` for what does not exist) with the text of the expression.
        """
        try:
            value = self._run(lookup)
            if self._makes_times:
                value = leave(value)
            if self._builds and type(value) in (list, dict):
                checked_size(measure(value, limits.PAYLOAD_BYTES_MAX))
        except ExpressionError as error:
            if error.text:
                raise
            kind = Absent if isinstance(error, Absent) else ExpressionError
            raise kind(error.message, text=self.text, position=error.position) from None
        except RecursionError:
            raise ExpressionError("a value is nested too deeply", text=self.text) from None
        return value


@lru_cache(maxsize=limits.EXPRESSIONS_CACHED_MAX)
def compile_expression(text: str) -> Expression:
    """Parses and compiles. Raises ExpressionError (with ``position``) for what is no expression."""
    try:
        return Expression(text, parse(text))
    except RecursionError:
        raise ExpressionError("nested too deeply", text=text[:100], position=0) from None


def _paths(node: ast.Node, bound: frozenset[str]) -> list[tuple[str, ...]]:
    path = ast.static_path(node)
    if path is not None:
        return [] if path[0] in bound else [path]
    if isinstance(node, ast.Comprehension):
        inner = bound | {node.variable}
        parts = [node.body] if node.condition is None else [node.condition, node.body]
        return _paths(node.target, bound) + [found for part in parts for found in _paths(part, inner)]
    return [path for part in ast.children(node) for path in _paths(part, bound)]
