"""What is different between two versions of a definition: nodes, their fields, edges, inputs, policies. Pure.

Both are compared in the form that `core.canonical` gives them, so that what means the same is not told. A node is known
by its id; what a node holds inside is told at the nodes inside, never twice.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal

import msgspec
from msgspec import Struct

from wfe.core.canonical import canonical, decode
from wfe.core.visibility import kind_name
from wfe.model.definition import Decision, Definition, Node, When, children

Change = Literal["added", "removed", "changed", "moved"]
_POLICIES = ("timeout_ms", "tags", "locks", "triggers", "retention_ms", "description")
_NOTHING: Any = object()


class Difference(Struct, frozen=True, omit_defaults=True):
    """``what``: node, param, type, output, returns, policy. ``where``: a node's id, a name, and the path inside it, as
    in ``charge.retry.max_attempts``. ``old`` and ``new``: the values, absent where there is none."""

    what: str
    change: Change
    where: str
    old: Any = msgspec.UNSET
    new: Any = msgspec.UNSET

    def __str__(self) -> str:
        if self.change != "changed":
            return f"{self.what} {self.where}: {self.change}{_between(self.old, self.new)}"
        return f"{self.what} {self.where}:{_between(self.old, self.new)}"


class Differences(Struct, frozen=True):
    """All of them, in this order: nodes, inputs, types, outputs, policies. ``same``: there is none."""

    workflow: str
    same: bool
    differences: list[Difference]


def differences(old: Definition, new: Definition) -> Differences:
    """What changed from ``old`` to ``new``; version numbers do not count."""
    one, two = canonical(old), canonical(new)
    # Read back, both have their defaults unwritten, also those that one side's author wrote out.
    return _differences(decode(one), decode(two), msgspec.json.decode(one), msgspec.json.decode(two))


def _differences(old: Definition, new: Definition, one: dict[str, Any], two: dict[str, Any]) -> Differences:
    """``one`` and ``two``: ``old`` and ``new`` as plain data."""
    found: list[Difference] = []
    if old.workflow != new.workflow:
        found.append(Difference("workflow", "changed", "workflow", old.workflow, new.workflow))
    found += _nodes(old, new)
    for what, key in (("param", "params"), ("type", "types")):
        found += _named(what, one.get(key, {}), two.get(key, {}))
    if list(old.params) != list(new.params) and set(old.params) == set(new.params):
        found.append(Difference("param", "moved", "params", list(old.params), list(new.params)))
    for what in ("output", "returns"):
        found += _values(what, what, one.get(what, _NOTHING), two.get(what, _NOTHING))
    for key in _POLICIES:
        found += _values("policy", key, one.get(key, _NOTHING), two.get(key, _NOTHING))
    return Differences(new.workflow, not found, found)


# ---- nodes ----------------------------------------------------------------------------------------------------------


class _Place(Struct):
    """A node without what is inside it, and where it stands: the block around it and the sibling before it."""

    node: Node
    fields: dict[str, Any]
    block: str
    above: str


def _nodes(old: Definition, new: Definition) -> Iterator[Difference]:
    before = dict(_places(old.nodes, ""))
    after = dict(_places(new.nodes, ""))
    for id_, place in before.items():
        if id_ not in after:
            yield Difference("node", "removed", id_, kind_name(place.node))
    for id_, place in after.items():
        known = before.get(id_)
        if known is None:
            yield Difference("node", "added", id_, new=kind_name(place.node))
            continue
        if known.block != place.block:
            yield Difference("node", "moved", id_, known.block or "workflow", place.block or "workflow")
        elif _surviving(known.above, before, after) != _surviving(place.above, after, before):
            yield Difference("node", "moved", id_, f"after {known.above}" if known.above else "first",
                             f"after {place.above}" if place.above else "first")  # fmt: skip
        if type(known.node) is not type(place.node):
            yield Difference("node", "changed", f"{id_}.kind", kind_name(known.node), kind_name(place.node))
        yield from _values("node", id_, known.fields, place.fields)


def _surviving(above: str, own: Mapping[str, _Place], others: Mapping[str, _Place]) -> str:
    """The next sibling above that both versions have in the same block: what was put in between moves nothing."""
    while above and (above not in others or others[above].block != own[above].block):
        above = own[above].above
    return above


def _places(nodes: tuple[Node, ...], block: str) -> Iterator[tuple[str, _Place]]:
    above = ""
    for node in nodes:
        yield node.id, _Place(node, _fields(node), block, above)
        above = node.id
        for index, inner in enumerate(children(node)):
            yield from _places(inner, f"{node.id}.branches[{index}]" if isinstance(node, When) else node.id)


def _fields(node: Node) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(node))
    fields.pop("id")
    fields.pop("type")
    fields.pop("do", None)
    for branch in fields.get("branches", ()):
        branch.pop("do")
    if isinstance(node, Decision):  # of its cases the first that holds counts
        fields["cases"] = [{"case": name, "cond": cond} for name, cond in node.cases.items()]
    if "edges" in fields:
        fields["edges"] = {_edge_name(edge): edge for edge in fields["edges"]}
    return fields


def _edge_name(edge: dict[str, Any]) -> str:
    port = edge.get("port", "ok")
    return f"{edge['src']} -> {edge['dst']}" if port == "ok" else f"{edge['src']}:{port} -> {edge['dst']}"


# ---- values ---------------------------------------------------------------------------------------------------------


def _named(what: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[Difference]:
    for name in old:
        if name not in new:
            yield Difference(what, "removed", name, old[name])
    for name, value in new.items():
        if name not in old:
            yield Difference(what, "added", name, new=value)
        else:
            yield from _values(what, name, old[name], value)


def _values(what: str, where: str, old: Any, new: Any) -> Iterator[Difference]:
    """Where two JSON values differ: objects by their keys, all else as a whole."""
    if isinstance(old, dict) and isinstance(new, dict):
        for key in [*old, *(key for key in new if key not in old)]:
            yield from _values(what, _inner(where, key), old.get(key, _NOTHING), new.get(key, _NOTHING))
    elif isinstance(old, list) and isinstance(new, list) and len(old) == len(new) and _objects(old) and _objects(new):
        for index, (one, two) in enumerate(zip(old, new, strict=True)):
            yield from _values(what, f"{where}[{index}]", one, two)
    elif old is _NOTHING and new is not _NOTHING:
        yield Difference(what, "added", where, new=new)
    elif new is _NOTHING and old is not _NOTHING:
        yield Difference(what, "removed", where, old)
    elif old != new or type(old) is not type(new):
        yield Difference(what, "changed", where, old, new)


def _objects(values: list[Any]) -> bool:
    return all(isinstance(value, dict) for value in values)


def _inner(where: str, key: str) -> str:
    key = key.removesuffix("_")  # as in YAML: `with_` and its like only avoid Python's own words
    return f"{where}.{key}" if key.replace("_", "a").isalnum() else f"{where}[{key}]"


def _between(old: Any, new: Any) -> str:
    texts = ["" if value is msgspec.UNSET else _short(value) for value in (old, new)]
    if all(texts):
        return f" {texts[0]} -> {texts[1]}"
    return f" {texts[0] or texts[1]}".rstrip()


def _short(value: Any, limit: int = 60) -> str:
    text = value if isinstance(value, str) else msgspec.json.encode(value).decode()
    return text if len(text) <= limit else text[: limit - 1] + "…"
