"""What a Ref can't do, each with the construct to use instead: one table, installed on the proxies by `install`."""

from __future__ import annotations

from typing import Any, NoReturn

from wfe.authoring.assignments import set_entry, set_field
from wfe.authoring.refs import RefProxy, SecretProxy, state_of

_BLOCKS = "use `with wf.when(...)` / `with wf.otherwise()`, and `&`, `|`, wf.not_(...) to combine conditions"
_TEXT = "use wf.format(...) to make text, or pass the Ref to a task"
_TASK = "compute it in a task, or write it as an expression with wf.expr(...)"
_MAP = "use wf.map(body, items) for one activation per item"
_OTHER = f"a Ref has == != < <= > >= + - * / and, for conditions, & and |; {_TASK}"
_NEW = "values are never changed: make a new one in a task or as a dataclass, or keep what changes in wf.state(...)"
_ENTER = "only wf's blocks are entered, with a plain `with`: `with wf.when(...)`"
_BINARY = {"floordiv": "//", "mod": "%", "pow": "**", "matmul": "@", "lshift": "<<", "rshift": ">>", "xor": "^"}

REFUSED: dict[str, tuple[str, str]] = {
    "__bool__": ("a truth value (if, while, and, or, not, assert, in, a < b < c)", _BLOCKS),
    "__iter__": ("iteration or unpacking", f"{_MAP}; a longer list is x + [item]"),
    "__aiter__": ("iteration", _MAP),
    "__next__": ("next()", _TASK),
    "__reversed__": ("reversed()", _TASK),
    "__len__": ("len()", "use wf.size(value)"),
    "__contains__": ("`in`", "use wf.contains(container, item)"),
    "__str__": ("str() or an f-string", _TEXT),
    "__format__": ("an f-string or str.format", _TEXT),
    "__bytes__": ("bytes()", _TASK),
    "__call__": ("a method call", f"a Ref's attributes are fields; {_TASK}"),
    "__setattr__": ("assignment to a field", _NEW),
    "__delattr__": ("del", _NEW),
    "__setitem__": ("assignment to an item", _NEW),
    "__delitem__": ("del", _NEW),
    "__hash__": (
        "hashing (a set, a dict's key)",
        "a Ref may be a value inside lists, dicts and dataclasses, not a key",
    ),
    "__invert__": ("`~`", "use wf.not_(condition)"),
    "__neg__": ("unary minus", "write 0 - x"),
    "__pos__": ("unary plus", "leave it out"),
    "__abs__": ("abs()", _TASK),
    "__round__": ("round()", _TASK),
    "__trunc__": ("trunc()", _TASK),
    "__floor__": ("floor()", _TASK),
    "__ceil__": ("ceil()", _TASK),
    "__divmod__": ("divmod()", _TASK),
    "__rdivmod__": ("divmod()", _TASK),
    "__int__": ("int()", 'use wf.expr("int(x)", x=...) or a task'),
    "__float__": ("float()", 'use wf.expr("double(x)", x=...) or a task'),
    "__complex__": ("complex()", _TASK),
    "__index__": ("use as an integer (range(), a list's index)", f"{_MAP}, or a task"),
    "__fspath__": ("use as a path", "open files in a task"),
    "__enter__": ("`with`", _ENTER),
    "__exit__": ("`with`", _ENTER),
    "__aenter__": ("`async with`", _ENTER),
    "__aexit__": ("`async with`", _ENTER),
    "__reduce_ex__": ("pickling", "a Ref lives in its drawing only"),
    **{f"__{side}{name}__": (f"`{symbol}`", _OTHER) for name, symbol in _BINARY.items() for side in ("", "r")},
}
_SECRET_TOO = ("eq", "ne", "lt", "le", "gt", "ge", "add", "radd", "and", "or", "getitem", "await")


def _refuse_ref(construct: str, instead: str) -> Any:
    def refused(self: RefProxy, *args: object, **kwargs: object) -> NoReturn:
        state = state_of(self)
        assert state is not None
        raise state.canvas.fail(f"{construct} needs a value, and {state.text} has none before the run: {instead}")

    return refused


def _refuse_secret(construct: str) -> Any:
    def refused(self: SecretProxy, *args: object, **kwargs: object) -> NoReturn:
        canvas, name = self.__wfe_secret__
        raise canvas.fail(f"{construct} is not possible on the secret {name!r}: it can only be handed to a task")

    return refused


def install() -> None:
    """Puts the refusals on the proxies."""
    for name, (construct, instead) in REFUSED.items():
        setattr(RefProxy, name, _refuse_ref(construct, instead))
        setattr(SecretProxy, name, _refuse_secret(construct))
    RefProxy.__setattr__ = set_field  # type: ignore[method-assign, assignment]
    setattr(RefProxy, "__setitem__", set_entry)  # noqa: B010 (a checker sees no such method on the class)
    for name in _SECRET_TOO:
        setattr(SecretProxy, f"__{name}__", _refuse_secret("an operator"))
    SecretProxy.__getattr__ = _secret_attribute  # type: ignore[attr-defined]


def _secret_attribute(self: SecretProxy, name: str) -> NoReturn:
    if name.startswith("__") and name.endswith("__"):
        raise AttributeError(name)
    canvas, secret = self.__wfe_secret__
    raise canvas.fail(f".{name} is not possible on the secret {secret!r}: it can only be handed to a task")


install()
