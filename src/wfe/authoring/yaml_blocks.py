"""The kinds of node in YAML that hold others: a table from the name of a kind to its struct and keys."""

from __future__ import annotations

import re
from decimal import Decimal
from typing import Any

from msgspec import UNSET

from wfe.authoring.yaml_forms import (
    EXPRESSION,
    TEMPLATE,
    Context,
    Form,
    Misread,
    describe,
    mapping_of,
    names,
    optional,
    text,
    whole,
)
from wfe.authoring.yaml_keys import COND, DO, IN_KEY, KEY, Key, Kind, key, read_only
from wfe.authoring.yaml_nets import EDGES, REGIONS, one_of, one_or_list, parts_schema, read_parts
from wfe.authoring.yaml_tree import Mapping, Scalar, Tree
from wfe.model.definition import Block, Catch, Graph, Lock, Loop, Map, Parallel, Race, When

# ---- map -----------------------------------------------------------------------------------------------------------


def _read_tolerate(_: Context, tree: Tree, __: str) -> dict[str, Any]:
    value = tree.value if isinstance(tree, Scalar) else None
    if isinstance(value, int) and not isinstance(value, bool):
        return {"tolerate_count": value}
    share = re.fullmatch(r"([0-9]+(?:\.[0-9]+)?)\s*%", value) if isinstance(value, str) else None
    if share is None:
        message = 'tolerate is a number of failures, or a share such as "5%"'
        raise Misread(f"{message}, not {describe(tree)}", tree.mark)
    return {"tolerate_percent": float(share[1])}


def _write_tolerate(node: Map) -> Any:
    if node.tolerate_percent is not None:
        return f"{Decimal(repr(node.tolerate_percent)):f}".removesuffix(".0") + "%"
    return UNSET if node.tolerate_count is None else node.tolerate_count


def _read_items(context: Context, tree: Tree, where: str) -> str:
    """An expression; a whole number stands for itself."""
    if isinstance(tree, Scalar) and isinstance(tree.value, int) and not isinstance(tree.value, bool):
        return str(tree.value)
    text_: str = EXPRESSION.read(context, tree, where)
    return text_


def _write_items(value: str) -> Any:
    return int(value) if re.fullmatch(r"0|[1-9][0-9]{0,17}", value) else EXPRESSION.write(value)


_ITEMS = Form(_read_items, _write_items, {"anyOf": [EXPRESSION.schema, {"type": "integer"}]})


# ---- loop ----------------------------------------------------------------------------------------------------------

_LOOP_FORMS: dict[str, tuple[str, Form, Any]] = {
    "while": ("while_", optional(EXPRESSION), None),
    "until": ("until", optional(EXPRESSION), None),
    "items": ("items", optional(EXPRESSION), None),
}
"""What may stand inside ``loop: {...}``, or beside ``loop: true``."""
_LOOP_PARTS = {name: (field, form, False) for name, (field, form, _) in _LOOP_FORMS.items()}


def _read_loop(context: Context, tree: Tree, where: str) -> dict[str, Any]:
    """``loop: {until: ...}``, or ``loop: true`` with the condition beside it, or without any."""
    if isinstance(tree, Scalar) and (tree.value is None or tree.value is True):
        return {}
    if not isinstance(tree, Mapping):
        message = "a loop is {while: condition}, {until: condition}, {items: list} or true"
        raise Misread(f"{message}, not {describe(tree)}", tree.mark)
    return read_parts(context, mapping_of(context, tree, "a loop", where), "loop", where, _LOOP_PARTS)


def _write_loop(node: Loop) -> Any:
    written = {
        name: form.write(getattr(node, field))
        for name, (field, form, _) in _LOOP_FORMS.items()
        if getattr(node, field) is not None
    }
    return written or True


_LOOP = Key(
    _read_loop,
    _write_loop,
    {"anyOf": [parts_schema(_LOOP_PARTS), {"enum": [True, None]}]},
    required=True,
)

BLOCKS: dict[str, Kind] = {
    "when": Kind(When, {"when": COND, "do": DO}),
    "parallel": Kind(Parallel, {"parallel": IN_KEY}),
    "branch": Kind(Block, {"branch": IN_KEY}),
    "catch": Kind(Catch, {"catch": key("errors", names("the name of an error"), required=True), "do": DO}),
    "map": Kind(
        Map,
        {
            "map": key("items", _ITEMS, required=True),
            "as": key("as_", text("the name of the item"), "item"),
            "max_parallel": key("max_parallel", whole("max_parallel", 1), 100),
            "tolerate": Key(_read_tolerate, _write_tolerate, {"type": ["integer", "string"]}),
            "grow": key("grow", optional(text("the name of a signal")), None),
            "complete_after": key("complete_after", optional(whole("complete_after", 0)), None),
            "complete_when": key("complete_when", optional(EXPRESSION), None),
            "rest": key("rest", one_of("rest", "cancel", "continue"), "cancel"),
            "do": DO,
            "output": key("output", TEMPLATE),
        },
    ),
    "loop": Kind(
        Loop,
        {
            "loop": _LOOP,
            **{name: read_only(key(field, form, default)) for name, (field, form, default) in _LOOP_FORMS.items()},
            "as": key("as_", text("the name of the item"), "item"),
            "index": key("index", text("the name of the iteration's number"), ""),
            "max_iterations": key("max_iterations", optional(whole("max_iterations", 1)), 10_000),
            "do": DO,
        },
    ),
    "race": Kind(Race, {"race": IN_KEY}),
    "lock": Kind(
        Lock,
        {"lock": key("names", one_or_list(names("the name of a lock")), required=True), "key": KEY, "do": DO},
    ),
    "graph": Kind(
        Graph,
        {
            "graph": IN_KEY,
            "edges": key("edges", EDGES, ()),
            "entry": key("entry", names("the id of a node"), ()),
            "regions": key("regions", REGIONS, {}),
        },
    ),
}
