"""How a node is wired beyond the order of the lines: ``after``, ``join`` and ``cancels`` of ``with_options``."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from wfe.authoring.canvas import Canvas
from wfe.authoring.refs import state_of
from wfe.authoring.retry import mistake
from wfe.model.net import Join

JoinWords: TypeAlias = Literal["all", "any", "each", "or"] | int | dict[str, Any]
_WORDS: dict[str, Join | None] = {
    "all": None,
    "any": Join(mode="n", n=1),
    "each": Join(mode="xor"),
    "or": Join(mode="or"),
}
_WANTED = (
    '"all" (the default), "any" (the first), "each" (once for each), "or" (all that can still come), a number (that '
    'many of them), {"n": 2, "rest": "drain" | "block" | "cancel"} or {"thread": 3}'
)


def join_option(join: object) -> Join | None:
    """``join=`` in words as data; None: all."""
    if join is None or (isinstance(join, str) and join in _WORDS):
        return None if join is None else _WORDS[join]
    if isinstance(join, int) and not isinstance(join, bool) and join >= 1:
        return Join(mode="n", n=join)
    if isinstance(join, dict):
        found = _from_fields(join)
        if found is not None:
            return found
    raise mistake(f"with_options(join={join!r}): {_WANTED}")


def _from_fields(words: dict[Any, Any]) -> Join | None:
    mode: Literal["n", "thread"] = "n" if "n" in words else "thread"
    count, rest, region = words.get(mode), words.get("rest", "drain"), words.get("region", ())
    known = {"n", "rest", "region"} if mode == "n" else {"thread"}
    if not words.keys() <= known or isinstance(count, bool) or not isinstance(count, int) or count < 1:
        return None
    if rest not in ("drain", "block", "cancel") or not isinstance(region, (list, tuple)):
        return None
    if not all(isinstance(entry, str) for entry in region):
        return None
    return Join(mode=mode, n=count, rest=rest, region=tuple(region))


def several(value: object) -> tuple[Any, ...] | None:
    """One value or several in one form; None stays None."""
    if value is None:
        return None
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def ids_of_nodes(canvas: Canvas, entries: tuple[Any, ...] | None, what: str) -> tuple[str, ...] | None:
    """Node ids from ids and Refs."""
    if entries is None:
        return None
    ids: list[str] = []
    for entry in entries:
        state = state_of(entry)
        if state is not None:
            canvas.check_same(state)
            if not state.node_ids:
                raise canvas.fail(f"{what} takes nodes, and {state.text} is a parameter")
            ids += sorted(state.node_ids)
        elif isinstance(entry, str):
            if entry not in canvas.places and (what, entry) != ("cancels=", "run"):
                raise canvas.fail(
                    f"{what} names no node above: {entry!r} (known: {', '.join(canvas.places) or 'none'})"
                )
            ids.append(entry)
        else:
            raise canvas.fail(f"{what} takes values of nodes or node ids, not {entry!r}")
    return tuple(dict.fromkeys(ids))
