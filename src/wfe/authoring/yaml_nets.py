"""How the wiring of nets is written in YAML: joins, edges, regions, boundary events; and lists of small structs.

As in `yaml_forms`: reading, writing and the JSON Schema of each form stand side by side.
"""

from __future__ import annotations

import re
from itertools import pairwise
from typing import Any

from msgspec import Struct

from wfe.authoring.yaml_forms import (
    DURATION,
    EXPRESSION,
    FLAG,
    TEMPLATE,
    Context,
    Form,
    JsonSchema,
    Misread,
    describe,
    mapping_of,
    names,
    optional,
    text,
    whole,
)
from wfe.authoring.yaml_tree import Mapping, Scalar, Sequence, Tree
from wfe.core.findings import did_you_mean
from wfe.model.net import Boundary, Edge, Escalation, Join

Part = tuple[str, Form, bool]
"""Field of the struct, form, whether it is required."""


def one_of(wanted: str, *words: str) -> Form:
    """One of a few words."""

    def read(_: Context, tree: Tree, __: str) -> str:
        if isinstance(tree, Scalar) and isinstance(tree.value, str):
            if tree.value in words:
                return tree.value
            hint = did_you_mean(tree.value, words)
            raise Misread(
                f"{wanted} is {_listed(words)}, not {tree.value!r}" + (f"; {hint}" if hint else ""), tree.mark
            )
        raise Misread(f"{wanted} is {_listed(words)}, not {describe(tree)}", tree.mark)

    return Form(read, lambda word: word, {"enum": list(words)})


def _listed(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"


# ---- small structs -------------------------------------------------------------------------------------------------


def struct_form(what: str, struct: type[Struct], parts: dict[str, Part]) -> Form:
    """A struct as a mapping; parts that equal their default are not written."""

    def read(context: Context, tree: Tree, where: str) -> Any:
        mapping = mapping_of(context, tree, what, where)
        fields = read_parts(context, mapping, what, where, parts)
        missing = [name for name, (_, _, required) in parts.items() if required and name not in mapping.entries]
        if missing:
            raise Misread(f"{what} needs the key {missing[0]!r}", tree.mark)
        return struct(**fields)

    def write(value: Any) -> dict[str, Any]:
        return write_parts(value, struct, parts)

    return Form(read, write, parts_schema(parts))


def read_parts(context: Context, mapping: Mapping, what: str, where: str, parts: dict[str, Part]) -> dict[str, Any]:
    """The fields that a mapping of these parts gives; the first mistake in it is raised."""
    fields: dict[str, Any] = {}
    for name, entry in mapping.entries.items():
        if name not in parts:
            hint = did_you_mean(name, parts) or f"it takes: {', '.join(parts)}"
            raise Misread(f"unknown key {name!r} of {what}; {hint}", mapping.keys[name])
        field, form, _ = parts[name]
        fields[field] = form.read(context, entry, f"{where}.{name}")
    return fields


def write_parts(value: Any, struct: type[Struct], parts: dict[str, Part]) -> dict[str, Any]:
    """The parts of a struct that are required or differ from their default."""
    defaults = dict(zip(reversed(struct.__struct_fields__), reversed(struct.__struct_defaults__), strict=False))
    return {
        name: form.write(getattr(value, field))
        for name, (field, form, required) in parts.items()
        if required or getattr(value, field) != defaults.get(field)
    }


def parts_schema(parts: dict[str, Part]) -> JsonSchema:
    """The JSON Schema of a mapping of these parts."""
    return {
        "type": "object",
        "properties": {name: form.schema for name, (_, form, _) in parts.items()},
        "required": [name for name, (_, _, required) in parts.items() if required],
        "additionalProperties": False,
    }


def several(form: Form, what: str) -> Form:
    """A list of such values; a mistake in one does not hide those in others."""

    def read(context: Context, tree: Tree, where: str) -> tuple[Any, ...]:
        if not isinstance(tree, Sequence):
            raise Misread(f"a list of {what} is wanted, not {describe(tree)}", tree.mark)
        found: list[Any] = []
        for item in tree.items:
            place = f"{where}[{len(found)}]"
            context.place(place, item.mark)
            try:
                found.append(form.read(context, item, place))
            except Misread as error:
                context.problem(error.mark, error.message)
        return tuple(found)

    return Form(read, lambda values: [form.write(value) for value in values], {"type": "array", "items": form.schema})


def by_name(form: Form, what: str) -> Form:
    """A mapping from names to such values."""

    def read(context: Context, tree: Tree, where: str) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for name, entry in mapping_of(context, tree, what, where).entries.items():
            try:
                found[name] = form.read(context, entry, f"{where}.{name}")
            except Misread as error:
                context.problem(error.mark, error.message)
        return found

    def write(values: dict[str, Any]) -> dict[str, Any]:
        return {name: form.write(value) for name, value in values.items()}

    return Form(read, write, {"type": "object", "additionalProperties": form.schema})


def one_or_list(form: Form) -> Form:
    """As `names`, but a single name is written on its own."""

    def write(values: tuple[str, ...]) -> Any:
        return values[0] if len(values) == 1 else list(values)

    return Form(form.read, write, form.schema)


# ---- joins ---------------------------------------------------------------------------------------------------------

_JOIN_WORDS: dict[str, Join | None] = {
    "all": None,
    "any": Join(mode="n"),
    "each": Join(mode="xor"),
    "or": Join(mode="or"),
    "and": Join(),
    "xor": Join(mode="xor"),
}
"""The first word for a join is the one that is written. ``all`` is every node's default, ``and`` the same by name."""
_JOIN_WANTED = "a join is all, any, each, or, a number, {n: 2} or {thread: 2}"
_COUNT = whole("a join", 1)
_REST = one_of("rest", "drain", "block", "cancel")
_NODE_NAMES = names("the id of a node")
_N_PARTS: dict[str, Part] = {
    "n": ("n", whole("n"), True),
    "rest": ("rest", _REST, False),
    "region": ("region", _NODE_NAMES, False),
}
_THREAD_PARTS: dict[str, Part] = {"thread": ("n", whole("thread"), True)}


def _read_join(context: Context, tree: Tree, where: str) -> Join | None:
    if isinstance(tree, Scalar) and isinstance(tree.value, str):
        if tree.value in _JOIN_WORDS:
            return _JOIN_WORDS[tree.value]
        hint = did_you_mean(tree.value, _JOIN_WORDS)
        raise Misread(f"{_JOIN_WANTED}, not {tree.value!r}" + (f"; {hint}" if hint else ""), tree.mark)
    if isinstance(tree, Scalar) and isinstance(tree.value, int) and not isinstance(tree.value, bool):
        return Join(mode="n", n=_COUNT.read(context, tree, where))
    if not isinstance(tree, Mapping):
        raise Misread(f"{_JOIN_WANTED}, not {describe(tree)}", tree.mark)
    if "thread" in tree.entries:
        return Join(mode="thread", **read_parts(context, tree, "a thread join", where, _THREAD_PARTS))
    if "n" not in tree.entries:
        raise Misread(f"{_JOIN_WANTED}: n or thread is missing", tree.mark)
    return Join(mode="n", **read_parts(context, tree, "a join", where, _N_PARTS))


def _write_join(join: Join) -> Any:
    if join.mode == "thread":
        return {"thread": join.n}
    if join.mode == "n" and join != _JOIN_WORDS["any"]:
        return write_parts(join, Join, _N_PARTS)
    return next(word for word, meant in _JOIN_WORDS.items() if meant is not None and meant.mode == join.mode)


JOIN = Form(
    _read_join,
    _write_join,
    {"anyOf": [{"enum": list(_JOIN_WORDS)}, _COUNT.schema, parts_schema(_N_PARTS), parts_schema(_THREAD_PARTS)]},
)


# ---- edges ---------------------------------------------------------------------------------------------------------

_EDGE_PARTS: dict[str, Part] = {
    "from": ("src", text("the id of a node"), True),
    "to": ("dst", text("the id of a node"), True),
    "port": ("port", text("a port"), False),
    "errors": ("errors", names("the name of an error"), False),
    "when": ("when", optional(EXPRESSION), False),
    "default": ("default", FLAG, False),
    "weight": ("weight", whole("weight", 1), False),
}
_EDGE = struct_form("an edge", Edge, _EDGE_PARTS)
_EDGE_WANTED = 'an edge is text such as "a -> b", or {from: a, to: b}'
_ARROW = re.compile(r"\s*->\s*")
_CHAIN_PATTERN = r"^\s*[^\s>-]+(\s*->\s*[^\s>-]+)+\s*$"


def _read_edges(context: Context, tree: Tree, where: str) -> tuple[Edge, ...]:
    if not isinstance(tree, Sequence):
        raise Misread(f"a list of edges is wanted, not {describe(tree)}", tree.mark)
    found: list[Edge] = []
    for item in tree.items:
        place = f"{where}[{len(found)}]"
        context.place(place, item.mark)
        try:
            edges = (_EDGE.read(context, item, place),) if isinstance(item, Mapping) else _chain(item)
        except Misread as error:
            context.problem(error.mark, error.message)
            continue
        for index in range(len(edges)):
            context.place(f"{where}[{len(found) + index}]", item.mark)
        found += edges
    return tuple(found)


def _chain(tree: Tree) -> tuple[Edge, ...]:
    """``a -> b -> c``: two edges."""
    if not isinstance(tree, Scalar) or not isinstance(tree.value, str):
        raise Misread(f"{_EDGE_WANTED}, not {describe(tree)}", tree.mark)
    if not re.match(_CHAIN_PATTERN, tree.value):
        raise Misread(f"{_EDGE_WANTED}, not {tree.value!r}", tree.mark)
    ids = _ARROW.split(tree.value.strip())
    return tuple(Edge(src, dst) for src, dst in pairwise(ids))


def _write_edge(edge: Edge) -> Any:
    plain = f"{edge.src} -> {edge.dst}"
    if edge == Edge(edge.src, edge.dst) and re.match(_CHAIN_PATTERN, plain):
        return plain
    return _EDGE.write(edge)


EDGES = Form(
    _read_edges,
    lambda edges: [_write_edge(edge) for edge in edges],
    {"type": "array", "items": {"anyOf": [{"type": "string", "pattern": _CHAIN_PATTERN}, _EDGE.schema]}},
)
REGIONS = by_name(_NODE_NAMES, "regions")


# ---- boundary events, escalations, locks ---------------------------------------------------------------------------


_EVENT = struct_form(
    "a boundary event",
    Boundary,
    {
        "timer": ("after_ms", DURATION, False),
        "signal": ("signal", text("the name of a signal"), False),
        "port": ("port", text("a port"), True),
        "interrupting": ("interrupting", FLAG, False),
    },
)


def _read_event(context: Context, tree: Tree, where: str) -> Boundary:
    event: Boundary = _EVENT.read(context, tree, where)
    if (event.after_ms is None) == (event.signal is None):
        raise Misread("a boundary event has a timer or a signal, exactly one of them", tree.mark)
    return event


_EVENT_SCHEMA = {**_EVENT.schema, "oneOf": [{"required": ["timer"]}, {"required": ["signal"]}]}
BOUNDARY = several(Form(_read_event, _EVENT.write, _EVENT_SCHEMA), "boundary events")
ESCALATIONS = several(
    struct_form("an escalation", Escalation, {"after": ("after_ms", DURATION, True), "to": ("to", TEMPLATE, True)}),
    "escalations",
)
LOCKS = by_name(whole("the capacity of a lock", 1), "locks")
