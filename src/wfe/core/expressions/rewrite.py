"""Changing syntax trees: what `wf.expr(cel, **names)` needs to put Refs into an expression. Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

from wfe.core.expressions import nodes as ast
from wfe.core.expressions.compiler import name_counts


def free_names(node: ast.Node) -> frozenset[str]:
    """The root names of a tree, without the variables of its comprehensions."""
    return frozenset(name_counts(node))


def substitute(node: ast.Node, replacements: Mapping[str, ast.Node]) -> ast.Node:
    """The tree with free names replaced. Variables of comprehensions that a replacement would hide are renamed."""
    if not replacements:
        return node
    match node:
        case ast.Name(name):
            return replacements.get(name, node)
        case ast.Comprehension(_, target, variable, body, condition):
            inner = {name: tree for name, tree in replacements.items() if name != variable}
            taken = frozenset[str]().union(*(free_names(tree) for tree in inner.values()))
            if variable in taken:
                parts = [body] if condition is None else [condition, body]
                fresh = _fresh(variable, taken.union(*(free_names(part) for part in parts)))
                inner[variable] = ast.Name(fresh)
                variable = fresh
            return replace(
                node,
                target=substitute(target, replacements),
                variable=variable,
                body=substitute(body, inner),
                condition=None if condition is None else substitute(condition, inner),
            )
        case _:
            return _rebuilt(node, lambda part: substitute(part, replacements))


def _rebuilt(node: ast.Node, change: Callable[[ast.Node], ast.Node]) -> ast.Node:
    match node:
        case ast.Field():
            return replace(node, target=change(node.target))
        case ast.Index():
            return replace(node, target=change(node.target), key=change(node.key))
        case ast.Call():
            target = None if node.target is None else change(node.target)
            return replace(node, arguments=tuple(map(change, node.arguments)), target=target)
        case ast.Has():
            operand = change(node.operand)
            if not isinstance(operand, (ast.Name, ast.Field, ast.Index)):
                # has() takes paths only; for a computed value the nearest question is whether it is null.
                return ast.Unary("!", ast.Call("is_none", (operand,)), node.position)
            return replace(node, operand=operand)
        case ast.Unary():
            return replace(node, operand=change(node.operand))
        case ast.Binary():
            return replace(node, left=change(node.left), right=change(node.right))
        case ast.Logic():
            return replace(node, operands=tuple(map(change, node.operands)))
        case ast.Conditional():
            return replace(
                node,
                condition=change(node.condition),
                then=change(node.then),
                otherwise=change(node.otherwise),
            )
        case ast.ListExpr():
            return replace(node, items=tuple(map(change, node.items)))
        case ast.MapExpr():
            return replace(node, entries=tuple((change(key), change(value)) for key, value in node.entries))
        case _:
            return node


def _fresh(name: str, taken: frozenset[str]) -> str:
    number = 2
    while f"{name}_{number}" in taken:
        number += 1
    return f"{name}_{number}"
