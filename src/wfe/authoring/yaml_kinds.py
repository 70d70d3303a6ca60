"""The kinds of node in YAML: for each the struct it becomes and the keys it takes. Reader, writer and schema use it.

To add a kind of node, add its struct to `model.definition.Node` and one entry to `yaml_blocks` or `yaml_leaves`; a test
fails until both are there.
"""

from __future__ import annotations

from typing import Any

from wfe.authoring.yaml_blocks import BLOCKS
from wfe.authoring.yaml_forms import (
    DURATION,
    EXPRESSION,
    NODES,
    SCHEMAS,
    TEMPLATE,
    TEMPLATES,
    Context,
    names,
    optional,
    text,
)
from wfe.authoring.yaml_keys import DO, RETURNS, TIMEOUT, VERSION, Key, Kind, key, read_only
from wfe.authoring.yaml_leaves import LEAVES
from wfe.authoring.yaml_nets import BOUNDARY, JOIN, LOCKS, one_of
from wfe.authoring.yaml_tree import Scalar, Tree
from wfe.authoring.yaml_triggers import TRIGGERS_KEY
from wfe.model.definition import Node

__all__ = [
    "COMMON",
    "GRAPH_ID",
    "GRAPH_KEYS",
    "HINTS",
    "KINDS",
    "LATER_KEYS",
    "LATER_TOP",
    "OTHERWISE",
    "TOP",
    "base_id",
    "kind_of",
]

COMMON: dict[str, Key] = {
    "id": key("id", text("an id")),
    "after": key("after", optional(names("the id of a node")), None),
    "if": key("if_", optional(EXPRESSION), None),
    "join": key("join", optional(JOIN), None),
    "split": key("split", one_of("split", "and", "xor", "or", "deferred"), "and"),
    "cancels": key("cancels", names("what is cancelled"), ()),
    "enabled_while": key("enabled_while", optional(EXPRESSION), None),
    "on_missed": key("on_missed", one_of("on_missed", "wait", "skip"), "wait"),
    "boundary": key("boundary", BOUNDARY, ()),
}
"""Keys of every node; ``id`` is written by the writer where it is not what the reader would choose."""

KINDS: dict[str, Kind] = {
    name: (BLOCKS | LEAVES)[name] for name in ("task", *BLOCKS, *(name for name in LEAVES if name != "task"))
}


def _read_otherwise(context: Context, tree: Tree, where: str) -> dict[str, Any]:
    if isinstance(tree, Scalar) and (tree.value is None or tree.value is True):
        return {"cond": None}
    return {"cond": EXPRESSION.read(context, tree, where)}


OTHERWISE: dict[str, Key] = {
    "otherwise": Key(
        _read_otherwise,
        KINDS["when"].keys["when"].write,
        {"anyOf": [EXPRESSION.schema, {"type": ["boolean", "null"]}]},
        required=True,
    ),
    "do": DO,
}
"""Not a node of its own: a further branch of the ``when`` right above it."""

GRAPH_ID = "graph"
GRAPH_KEYS: dict[str, Key] = {name: BLOCKS["graph"].keys[name] for name in ("edges", "entry", "regions")}
"""At the top, beside ``nodes``: all nodes are one graph of that id."""

TOP: dict[str, Key] = {
    "workflow": key("workflow", text("the name of the workflow", minLength=1), required=True),
    "version": VERSION,
    "description": key("description", text("the description"), ""),
    "params": key("params", SCHEMAS, {}),
    "types": key("types", SCHEMAS, {}),
    "timeout": TIMEOUT,
    "tags": key("tags", TEMPLATES, {}),
    "locks": key("locks", LOCKS, {}),
    "on": TRIGGERS_KEY,
    "triggers": read_only(TRIGGERS_KEY),
    "retention": key("retention_ms", optional(DURATION), None),
    "nodes": Key(lambda c, t, w: {"nodes": c.nodes(t, w)}, lambda d: d.nodes, NODES.schema, required=True),
    "output": key("output", TEMPLATE, None),
    "returns": RETURNS,
}
"""Keys of a definition."""

HINTS: dict[str, str] = {
    "while": "write {loop: {while: condition}, do: [...]}",
    "until": "write {loop: {until: condition}, do: [...]}",
    "for_each": "write {loop: {items: list}, do: [...]}, or {map: list, do: [...]} for all at once",
    "choose": "write {decision: {name: condition, other: true}}, or {when: condition, do: [...]}",
    "switch": "write {decision: {name: condition, other: true}}, or {when: condition, do: [...]}",
    "trigger": "write on: [{webhook: name}] at the top of the workflow",
}
"""Words for which others are used here."""
LATER_KEYS = frozenset({"limits"})
LATER_TOP = frozenset({"limits", "concurrency", "priority"})


def base_id(node_kind: str, fields: dict[str, Any]) -> str:
    """What a node's id starts from when it is not given: the task's or workflow's name, else the kind."""
    match node_kind:
        case "task":
            return str(fields.get("task", node_kind))
        case "workflow":
            return str(fields.get("workflow", node_kind))
        case "durable":
            return str(fields.get("function", node_kind))
        case "sleep_until":
            return "sleep"
        case _:
            return node_kind


def kind_of(node: Node) -> tuple[str, Kind]:
    """The kind that a struct is written as."""
    for name, kind in KINDS.items():
        if type(node) is kind.struct and kind.fits(node):
            return name, kind
    raise AssertionError(f"{type(node).__name__} has no form in YAML")
