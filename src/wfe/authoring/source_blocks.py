"""What blocks do to Python's jumps and names: the checks of a workflow's source that `source_checks` leaves to this.

A drawing goes through every block exactly once: a ``return`` inside one would end the drawing, and a name that is bound
inside means below it, and in a loop's next iteration, what the drawing gave it, whatever the run decides.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import NamedTuple

BLOCKS = frozenset(("when", "otherwise", "catch", "parallel", "branch", "loop", "race", "lock"))
OPTIONAL_BLOCKS = frozenset(("when", "otherwise", "catch", "loop"))
"""Blocks that a run may leave out, leave early or repeat: what they bind may not be there below. (Of a race the canvas
knows who has won.)"""
_PLAIN = (ast.Constant, ast.Name, ast.Load, ast.List, ast.Tuple, ast.Dict, ast.UnaryOp, ast.USub)
"""What the right side of an assignment consists of that makes nothing in a block."""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class Mistake(NamedTuple):
    """A construct at a line of the file."""

    line: int
    message: str


def block_mistakes(tree: ast.FunctionDef | ast.AsyncFunctionDef, graph: str) -> Iterator[Mistake]:
    """What a workflow's function does with its blocks that would mean something else; ``graph``: the name of its wf."""
    yield from _jumps(tree.body, graph, None, None)
    yield from _bound_in_blocks(tree.body, graph)
    arguments = tree.args
    params = {each.arg: tree.lineno for each in (*arguments.posonlyargs, *arguments.args, *arguments.kwonlyargs)}
    yield from _rebound_in_loops(tree.body, graph, params)
    yield from _rebound_states(tree, graph)


def _block_of(item: ast.withitem, graph: str) -> str | None:
    """``when`` of ``with wf.when(...)``; None for any other context manager."""
    call = item.context_expr
    if isinstance(call, ast.Call) and isinstance(call.func, ast.Attribute) and call.func.attr in BLOCKS:
        owner = call.func.value
        return call.func.attr if isinstance(owner, ast.Name) and owner.id == graph else None
    return None


def _blocks_of(statement: ast.stmt, graph: str) -> list[str]:
    if not isinstance(statement, (ast.With, ast.AsyncWith)):
        return []
    return [block for item in statement.items if (block := _block_of(item, graph)) is not None]


def _jumps(body: list[ast.stmt], graph: str, block: str | None, looped: str | None) -> Iterator[Mistake]:
    """``return``, ``break``, ``continue`` out of a block: they would act on the drawing, not on the run.

    ``block``: the block that a return would leave; ``looped``: the one that a break would, within the same Python loop.
    """
    for statement in body:
        if isinstance(statement, ast.Return) and block is not None:
            yield Mistake(
                statement.lineno,
                f"`return` inside `with {graph}.{block}(...)` would end the drawing, whatever the run decides: use "
                f"{graph}.end(value), or {graph}.merge(...) below the block",
            )
        elif isinstance(statement, (ast.Break, ast.Continue)) and looped is not None:
            leave = f"{graph}.break_if" if looped == "loop" else f"{graph}.map for items"
            yield Mistake(
                statement.lineno,
                f"`{_word(statement)}` inside `with {graph}.{looped}(...)` acts on the drawing's loop, whatever the "
                f"run decides: use {leave}, or {graph}.end to end the run",
            )
        elif isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _jumps(statement.body, graph, None, None)
        else:
            entered = _blocks_of(statement, graph)
            inner = entered[-1] if entered else block
            inner_loop = entered[-1] if entered else looped
            if isinstance(statement, (ast.For, ast.While, ast.AsyncFor)):
                inner_loop = None
            for nested in _bodies(statement):
                yield from _jumps(nested, graph, inner, inner_loop)


def _word(statement: ast.stmt) -> str:
    return "break" if isinstance(statement, ast.Break) else "continue"


def _bodies(statement: ast.stmt) -> list[list[ast.stmt]]:
    """The lists of statements directly inside a compound statement."""
    found = [getattr(statement, name, []) for name in ("body", "orelse", "finalbody")]
    found += [handler.body for handler in getattr(statement, "handlers", [])]
    found += [case.body for case in getattr(statement, "cases", [])]
    return [body for body in found if isinstance(body, list) and body]


def _bound_in_blocks(body: list[ast.stmt], graph: str) -> Iterator[Mistake]:
    """A name that a when, otherwise, catch or loop block binds, read below it other than by ``wf.merge``.

    A drawing goes through every block, so below it such a name always has what the block gave it, whatever the run
    decides. For Refs the canvas notices; for plain values nobody else would.
    """
    for index, statement in enumerate(body):
        rest = body[index + 1 :]
        blocks = _blocks_of(statement, graph)
        if isinstance(statement, ast.With) and any(block in OPTIONAL_BLOCKS for block in blocks):
            for name, line in sorted(_stored(statement.body).items(), key=lambda entry: entry[1]):
                yield from _read_below(name, line, blocks[-1], rest, graph)
            for name in _plain_values(statement.body):
                yield from _merged_below(name, rest, graph)
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield from _bound_in_blocks(statement.body, graph)
        else:
            for nested in _bodies(statement):
                yield from _bound_in_blocks(nested, graph)


def _read_below(name: str, line: int, block: str, rest: list[ast.stmt], graph: str) -> Iterator[Mistake]:
    in_chain = True
    for statement in rest:
        in_chain = in_chain and "otherwise" in _blocks_of(statement, graph)
        if in_chain and isinstance(statement, ast.With) and name in _stored(statement.body):
            yield Mistake(
                _stored(statement.body)[name],
                f"{name} is also bound at line {line}, in another arm of the same choice, and the drawing goes through "
                f"both: give each its own name, and take {graph}.merge(first, second) below",
            )
            return
        for use in _uses(statement, name, graph):
            if use is None:
                return
            instead = f"{graph}.merge({name}, default), or another name"
            if block == "loop":
                instead = f"{graph}.merge({name}, default) for the last one, or keep it in {graph}.state(...)"
            yield Mistake(
                use,
                f"{name} was bound at line {line} inside `with {graph}.{block}(...)`, and the drawing goes through all "
                f"blocks: below it use {instead}",
            )
            return


def _plain_values(body: list[ast.stmt]) -> set[str]:
    """Names that a block binds to what is there before it: constants, names from outside, lists and dicts of these."""
    bound, plain = set(_stored(body)), set[str]()
    for statement in body:
        match statement:
            case (
                ast.Assign(targets=[ast.Name(id=name)], value=value)
                | ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value)
            ):
                made = {part.id for part in ast.walk(value) if isinstance(part, ast.Name)} & (bound - plain)
                known = all(isinstance(part, _PLAIN) for part in ast.walk(value))
                (plain.add if known and not made else plain.discard)(name)
            case _:
                plain -= set(_stored([statement]))
    return plain


def _merged_below(name: str, rest: list[ast.stmt], graph: str) -> Iterator[Mistake]:
    """``wf.merge`` cannot tell whether such a value was made: it would always take it."""
    for statement in rest:
        for node in _walk_here(statement):
            if isinstance(node, ast.Name) and node.id == name and not isinstance(node.ctx, ast.Load):
                return
            if not (isinstance(node, ast.Call) and _is_merge(node, graph)):
                continue
            if any(isinstance(value, ast.Name) and value.id == name for value in node.args):
                yield Mistake(
                    node.lineno,
                    f"{name} is bound to what exists before the block, so {graph}.merge would take it whatever the run "
                    f'decides: make it there, for example by {graph}.expr("x", x=...) or {graph}.format(...)',
                )
                return


def _stored(body: list[ast.stmt]) -> dict[str, int]:
    """Names that statements bind, with the line of the first time; functions inside keep theirs."""
    found: dict[str, int] = {}
    for statement in body:
        for node in _walk_here(statement):
            if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                found.setdefault(node.id, node.lineno)
    return found


def _uses(statement: ast.stmt, name: str, graph: str) -> Iterator[int | None]:
    """Lines that read the name outside of ``wf.merge``, in the order of evaluation; None where it is bound anew."""
    for node in _walk_here(statement, skip_merge=graph):
        if isinstance(node, ast.AugAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            yield node.lineno
        if isinstance(node, ast.Name) and node.id == name:
            yield None if isinstance(node.ctx, (ast.Store, ast.Del)) else node.lineno


def _walk_here(node: ast.AST, *, skip_merge: str | None = None) -> Iterator[ast.AST]:
    """The nodes below, values before targets; without those in functions (and in ``wf.merge(...)``)."""
    if isinstance(node, _FUNCTIONS) or (skip_merge is not None and _is_merge(node, skip_merge)):
        return
    yield node
    children = list(ast.iter_child_nodes(node))
    if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.For)):
        children.sort(key=lambda child: isinstance(getattr(child, "ctx", None), ast.Store))
    for child in children:
        yield from _walk_here(child, skip_merge=skip_merge)


def _is_merge(node: ast.AST, graph: str) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr="merge")):
            return owner == graph
    return False


# ---- loops and states ----------------------------------------------------------------------------------------------


def _rebound_in_loops(body: list[ast.stmt], graph: str, before: dict[str, int]) -> Iterator[Mistake]:
    """A name that is bound before a loop and again in it: no iteration would see what the one before it gave.

    ``before``: names bound so far by lines that surely run, with their lines.
    """
    bound = dict(before)
    for statement in body:
        blocks = _blocks_of(statement, graph)
        if "loop" in blocks and isinstance(statement, ast.With):
            for name, line in _assigned(statement.body):
                if name in bound:
                    yield Mistake(
                        line,
                        f"{name} is bound at line {bound[name]} and again in this loop, whose lines are drawn once: no "
                        f"iteration would see what the one before it gave. Keep it in `s = {graph}.state(...)` and set "
                        "its fields, or give this one another name",
                    )
        if isinstance(statement, (ast.FunctionDef, ast.AsyncFunctionDef)):
            continue
        for nested in _bodies(statement):
            yield from _rebound_in_loops(nested, graph, bound)
        if not OPTIONAL_BLOCKS.intersection(blocks) and "race" not in blocks:
            for name, line in _stored([statement]).items():
                bound.setdefault(name, line)


def _assigned(body: list[ast.stmt]) -> Iterator[tuple[str, int]]:
    """Names that statements assign (the targets of ``with`` and ``for`` excepted), with their lines."""
    for statement in body:
        for node in _walk_here(statement):
            if isinstance(node, (ast.Assign, ast.AugAssign, ast.AnnAssign, ast.NamedExpr)):
                targets = node.targets if isinstance(node, ast.Assign) else [node.target]
                for part in (part for target in targets for part in ast.walk(target)):
                    if isinstance(part, ast.Name) and isinstance(part.ctx, ast.Store):
                        yield part.id, part.lineno


def _rebound_states(tree: ast.FunctionDef | ast.AsyncFunctionDef, graph: str) -> Iterator[Mistake]:
    """``s = wf.state(...)`` and later ``s = other`` or ``s += 1``: the state stays as it was."""
    states: dict[str, int] = {}
    for node in (part for statement in tree.body for part in _walk_here(statement)):
        if isinstance(node, ast.Assign) and _is_state(node.value, graph):
            states |= {target.id: target.lineno for target in node.targets if isinstance(target, ast.Name)}
    for name, line in _assigned(tree.body):
        if name in states and line > states[name]:
            yield Mistake(
                line,
                f"{name} is a state: this would only rename it, not change it; set its fields: {name}.field = value",
            )


def _is_state(node: ast.expr, graph: str) -> bool:
    match node:
        case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr="state")):
            return owner == graph
    return False
