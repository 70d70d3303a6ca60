"""Reads the source of a workflow's function for what a stand-in value cannot see, before it is drawn (rule 4).

A proxy sees operators and methods; it cannot see ``is``, isinstance, match, try, a ``return`` inside a block, clocks
and dice, or a name that a block binds and a later line reads. Only syntax is looked at, nothing is executed; without
source text (a function made by exec) there is nothing to check. What no check can notice is told in docs/graphs.md.
"""

from __future__ import annotations

import ast
import builtins
import datetime
import inspect
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import BuiltinFunctionType, BuiltinMethodType, FunctionType, ModuleType
from typing import Any, NamedTuple

from wfe.errors import GraphError

BLOCKS = frozenset(("when", "otherwise", "catch", "parallel", "branch", "loop", "race", "lock"))
OPTIONAL_BLOCKS = frozenset(("when", "otherwise", "catch"))
"""Blocks that a run may leave out or leave early: what they bind may not be there below."""
_NOW = "wf.now() is the time at which the run gets here"
_DICE = "a graph is drawn once and then run many times: do it in a task (wf.run.id is unique per run)"
_CLOCK_CALLS = {
    "time": frozenset(("time", "time_ns", "monotonic", "perf_counter", "localtime", "gmtime", "strftime", "ctime")),
    "date": frozenset(("now", "utcnow", "today")),
}
_DICE_MODULES = frozenset(("random", "secrets", "_random"))
_DICE_UUID = frozenset(("uuid1", "uuid4", "uuid6", "uuid7"))
_INSPECTING = {
    "isinstance": "isinstance",
    "issubclass": "issubclass",
    "type": "type()",
    "callable": "callable()",
    "id": "id()",
}
_PLAIN = (ast.Constant, ast.Name, ast.Load, ast.List, ast.Tuple, ast.Dict, ast.UnaryOp, ast.USub)
"""What the right side of an assignment consists of that makes nothing in a block."""
_FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)


class Mistake(NamedTuple):
    """A construct at a line of the file."""

    line: int
    message: str


def check_source(function: Callable[..., Any]) -> None:
    """GraphError for the first construct that would draw something else than it says."""
    tree = _source_of(function)
    if tree is None:
        return
    names = _Names(function)
    graph = tree.args.args[0].arg if tree.args.args else tree.args.posonlyargs[0].arg
    mistakes = [*_constructs(tree, names), *_jumps(tree.body, graph, None, None), *_bound_in_blocks(tree.body, graph)]
    if mistakes:
        first = min(mistakes)
        raise GraphError(first.message, file=inspect.unwrap(function).__code__.co_filename, line=first.line)


def _source_of(function: Callable[..., Any]) -> ast.FunctionDef | ast.AsyncFunctionDef | None:
    """The function's syntax tree within its file's; None when there is no source."""
    plain = inspect.unwrap(function)
    try:
        lines, _ = inspect.findsource(plain)
        module = _parse("".join(lines))
    except (OSError, TypeError, SyntaxError, ValueError):
        return None
    for node in ast.walk(module):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)) and node.name == plain.__name__:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == plain.__code__.co_firstlineno:
                return node
    return None


@lru_cache(maxsize=8)
def _parse(text: str) -> ast.Module:
    return ast.parse(text)


# ---- constructs anywhere in the function ---------------------------------------------------------------------------


def _constructs(tree: ast.FunctionDef | ast.AsyncFunctionDef, names: _Names) -> Iterator[Mistake]:
    for node in (part for statement in tree.body for part in ast.walk(statement)):
        match node:
            case ast.Compare(ops=ops) if any(isinstance(op, (ast.Is, ast.IsNot)) for op in ops):
                yield Mistake(
                    node.lineno, "`is` compares stand-ins, not values: use wf.is_none(x), wf.not_(wf.is_none(x)) or =="
                )
            case ast.Match():
                yield Mistake(node.lineno, "`match` sees no values before the run: use wf.when and wf.otherwise(c)")
            case ast.Try() | ast.TryStar():
                yield Mistake(
                    node.lineno,
                    "`try` sees no task fail, for a drawing runs none: use `with wf.catch(SomeError) as caught:` and "
                    "`with wf.when(caught.failed):`",
                )
            case ast.Call():
                message = names.refused_call(node.func)
                if message is not None:
                    yield Mistake(node.lineno, message)
            case ast.Global(names=[name, *_]) | ast.Nonlocal(names=[name, *_]):
                yield Mistake(node.lineno, f"{name} outlives the drawing, but not a run: return values instead")


class _Names:
    """What the names of a function mean where that can be told without running anything."""

    def __init__(self, function: Callable[..., Any]) -> None:
        plain = inspect.unwrap(function)
        closure = inspect.getclosurevars(plain).nonlocals if isinstance(plain, FunctionType) else {}
        self._known: dict[str, Any] = {**vars(builtins), **getattr(plain, "__globals__", {}), **closure}

    def refused_call(self, function: ast.expr) -> str | None:
        """Why this function may not be called in a drawing, or None."""
        target = self._resolve(function)
        name = ast.unparse(function)
        if target is None:
            return None
        if any(target is getattr(builtins, known) for known in _INSPECTING):
            what = _INSPECTING[target.__name__]
            return f"{what} sees the stand-in, not the value: use the fields of its type, or decide it in a task"
        home = getattr(target, "__self__", None)
        owner = home.__name__ if isinstance(home, ModuleType) else getattr(target, "__module__", None)
        called = getattr(target, "__name__", "")
        if isinstance(home, type) and issubclass(home, datetime.date) and called in _CLOCK_CALLS["date"]:
            return f"{name}() reads the clock of the drawing: {_NOW}"
        if owner == "time" and called in _CLOCK_CALLS["time"]:
            return f"{name}() reads the clock of the drawing: {_NOW}"
        if owner == "time" and called == "sleep":
            return f"{name}() delays the drawing, not the run: use wf.sleep"
        if owner in _DICE_MODULES or type(home).__module__ == "random" or (owner == "uuid" and called in _DICE_UUID):
            return f"{name}() is thrown once, by the drawing: {_DICE}"
        if called == "urandom" and owner in ("posix", "nt", "os"):
            return f"{name}() is thrown once, by the drawing: {_DICE}"
        return None

    def _resolve(self, expression: ast.expr) -> Any:
        """The module, class or function that a name or dotted name stands for; None when it is anything else."""
        if isinstance(expression, ast.Name):
            found = self._known.get(expression.id)
        elif isinstance(expression, ast.Attribute):
            owner = self._resolve(expression.value)
            found = getattr(owner, expression.attr, None) if isinstance(owner, (ModuleType, type)) else None
        else:
            return None
        kinds = (ModuleType, type, FunctionType, BuiltinFunctionType, BuiltinMethodType)
        if isinstance(found, kinds) or inspect.ismethod(found):
            return found
        return None


# ---- blocks --------------------------------------------------------------------------------------------------------


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
            yield Mistake(
                statement.lineno,
                f"`{_word(statement)}` inside `with {graph}.{looped}(...)` acts on the drawing's loop, whatever the "
                f"run decides: use {graph}.map for items, {graph}.end to end the run",
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
    """A name that a when, otherwise or catch block binds, read below it other than by ``wf.merge``.

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
            yield Mistake(
                use,
                f"{name} was bound at line {line} inside `with {graph}.{block}(...)`, and the drawing goes through all "
                f"blocks: below it use {graph}.merge({name}, default), or another name",
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
        case ast.Call(func=ast.Attribute(value=ast.Name(id=owner), attr="merge" | "won")):
            return owner == graph
    return False
