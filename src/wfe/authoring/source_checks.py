"""Reads the source of a workflow's function for what a stand-in value cannot see, before it is drawn (rule 4).

A proxy sees operators and methods; it cannot see ``is``, isinstance, match, try, clocks and dice, nor what blocks do to
jumps and names (`source_blocks`). Only syntax is looked at, nothing is executed; without source text (a function made
by exec) there is nothing to check. What no check can notice is told in docs/graphs.md.
"""

from __future__ import annotations

import ast
import builtins
import datetime
import inspect
from collections.abc import Callable, Iterator
from functools import lru_cache
from types import BuiltinFunctionType, BuiltinMethodType, FunctionType, ModuleType
from typing import Any

from wfe.authoring.source_blocks import Mistake, block_mistakes
from wfe.errors import GraphError

_NOW = "wf.now() is the time at which the run gets here"
_DICE = "a graph is drawn once and then run many times: do it in a task (wf.run.id is unique per run)"
_CLOCK_CALLS = {
    "time": frozenset(("time", "time_ns", "monotonic", "perf_counter", "localtime", "gmtime", "strftime", "ctime")),
    "date": frozenset(("now", "utcnow", "today")),
}
_DICE_MODULES = frozenset(("random", "secrets", "_random"))
_DICE_UUID = frozenset(("uuid1", "uuid4", "uuid6", "uuid7"))
_ASYNCIO = {
    "sleep": "wf.sleep",
    "wait_for": "timeout= of with_options or of the wait",
    "timeout": "timeout= of with_options or of the wait",
    "wait": "wf.race",
}
_ASYNCIO_OTHER = "`with wf.parallel():`, wf.map or wf.race"
_INSPECTING = {
    "isinstance": "isinstance",
    "issubclass": "issubclass",
    "type": "type()",
    "callable": "callable()",
    "id": "id()",
}


def check_source(function: Callable[..., Any]) -> None:
    """GraphError for the first construct that would draw something else than it says, with all others."""
    tree = _source_of(function)
    if tree is None:
        return
    names = _Names(function)
    graph = tree.args.args[0].arg if tree.args.args else tree.args.posonlyargs[0].arg
    mistakes = [*_constructs(tree, names), *block_mistakes(tree, graph)]
    if mistakes:
        file = inspect.unwrap(function).__code__.co_filename
        first, *more = sorted(set(mistakes))
        others = tuple(GraphError(each.message, file=file, line=each.line) for each in more)
        raise GraphError(first.message, file=file, line=first.line, more=others)


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
            case ast.While(test=ast.Constant(value=value)) if value and not _breaks(node):
                yield Mistake(
                    node.lineno,
                    f"`while {value!r}` draws for ever: repeat in the run, use `with wf.loop():` and wf.break_if",
                )
            case ast.Global(names=[name, *_]) | ast.Nonlocal(names=[name, *_]):
                yield Mistake(node.lineno, f"{name} outlives the drawing, but not a run: return values instead")


def _breaks(loop: ast.While) -> bool:
    """Whether something may leave a Python loop: a break of its own, a return or a raise."""
    waiting: list[tuple[ast.AST, bool]] = [(statement, True) for statement in loop.body]
    while waiting:
        node, own = waiting.pop()
        if isinstance(node, (ast.Return, ast.Raise)) or (own and isinstance(node, ast.Break)):
            return True
        if not isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)):
            inner = own and not isinstance(node, (ast.For, ast.AsyncFor, ast.While))
            waiting += [(child, inner) for child in ast.iter_child_nodes(node)]
    return False


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
        if target is input:
            return "input() asks whoever draws: wait for people with wf.wait_signal or wf.approval"
        home = getattr(target, "__self__", None)
        owner = home.__name__ if isinstance(home, ModuleType) else getattr(target, "__module__", None)
        called = getattr(target, "__name__", "")
        if isinstance(home, type) and issubclass(home, datetime.date) and called in _CLOCK_CALLS["date"]:
            return f"{name}() reads the clock of the drawing: {_NOW}"
        if owner == "time" and called in _CLOCK_CALLS["time"]:
            return f"{name}() reads the clock of the drawing: {_NOW}"
        if owner == "time" and called == "sleep":
            return f"{name}() delays the drawing, not the run: use wf.sleep"
        if str(owner).partition(".")[0] == "asyncio":
            return (
                f"{name}() acts on the drawing, not on the run: use {_ASYNCIO.get(called, _ASYNCIO_OTHER)} "
                "(a drawing awaits nothing but its own nodes)"
            )
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
