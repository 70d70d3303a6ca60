"""The kinds of node in YAML: for each the struct it becomes and the keys it takes. Reader, writer and schema use it.

To add a kind of node, add its struct to `model.definition.Node` and one entry here; a test fails until both are there.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from msgspec import UNSET

from wfe.authoring.yaml_forms import (
    DURATION,
    EXPRESSION,
    FLAG,
    NODES,
    RETRY,
    SCHEMA,
    SCHEMAS,
    TEMPLATE,
    TEMPLATES,
    Context,
    Form,
    Misread,
    describe,
    names,
    optional,
    text,
    whole,
)
from wfe.authoring.yaml_tree import Mapping, Scalar, Tree
from wfe.core.expressions import compile_expression
from wfe.errors import ExpressionError
from wfe.model.definition import (
    Block,
    Catch,
    End,
    Fail,
    Map,
    Node,
    Parallel,
    Set,
    Sleep,
    StartWorkflow,
    SubWorkflow,
    Task,
    WaitSignal,
    When,
)
from wfe.model.durations import DurationError, format_duration, parse_duration

JsonSchema = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Key:
    """A key of a mapping. ``read`` gives fields of the struct; ``write`` gives the value, or UNSET to leave it out."""

    read: Callable[[Context, Tree, str], dict[str, Any]]
    write: Callable[[Any], Any]
    schema: JsonSchema
    required: bool = False


@dataclass(frozen=True, slots=True)
class Kind:
    """``keys`` by their name in YAML, the key that names the kind first; ``fits``: whether a struct is written so."""

    struct: type[Node]
    keys: dict[str, Key]
    fits: Callable[[Any], bool] = lambda _: True


def key(field: str, form: Form, default: Any = UNSET, *, required: bool = False) -> Key:
    """A key that is one field of the struct; its default is not written."""

    def read(context: Context, tree: Tree, where: str) -> dict[str, Any]:
        return {field: form.read(context, tree, where)}

    def write(struct: Any) -> Any:
        value = getattr(struct, field)
        if not required and (value is UNSET or (value == default and type(value) is type(default))):
            return UNSET
        return form.write(value)

    return Key(read, write, form.schema, required)


# ---- keys that are more than one field -----------------------------------------------------------------------------


def _named_version(name_field: str, version_field: str, default: int | None, what: str) -> Key:
    """``charge`` or ``charge@2``."""

    def read(_: Context, tree: Tree, __: str) -> dict[str, Any]:
        if not isinstance(tree, Scalar) or not isinstance(tree.value, str) or not tree.value:
            raise Misread(f"the name of a {what} is wanted, not {describe(tree)}", tree.mark)
        name, at, version = tree.value.partition("@")
        if not at:
            return {name_field: name}
        if not re.fullmatch(r"[1-9][0-9]{0,9}", version):
            raise Misread(f"{tree.value!r}: the version after @ is a whole number, as in {name}@2", tree.mark)
        return {name_field: name, version_field: int(version)}

    def write(struct: Any) -> str:
        name: str = getattr(struct, name_field)
        version = getattr(struct, version_field)
        return name if version == default else f"{name}@{version}"

    return Key(read, write, {"type": "string", "minLength": 1}, required=True)


def _read_sleep(_: Context, tree: Tree, __: str) -> dict[str, Any]:
    inner = _sole_expression(tree.value) if isinstance(tree, Scalar) else None
    if inner is not None:
        return {"duration": inner}
    try:
        return {"duration_ms": parse_duration(tree.value if isinstance(tree, Scalar) else None)}
    except DurationError as error:
        hint = "" if isinstance(tree, Scalar) else describe(tree)
        raise Misread(f'{error}; "${{expression}}" gives a computed one {hint}'.rstrip(), tree.mark) from None


def _sole_expression(value: Any) -> str | None:
    """The text between ``${`` and ``}`` when that is all there is."""
    if not isinstance(value, str) or not (value.startswith("${") and value.endswith("}")):
        return None
    inner = value[2:-1]
    try:
        compile_expression(inner)
    except ExpressionError:
        return None if "}" in inner else inner  # validation says what is wrong with it
    return inner


def _write_sleep(node: Sleep) -> Any:
    if node.duration is not None:
        return "${" + node.duration + "}"
    return UNSET if node.duration_ms is None else format_duration(node.duration_ms)


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


def _read_do(context: Context, tree: Tree, where: str) -> dict[str, Any]:
    """``parallel: [...]`` or ``parallel: {do: [...]}``."""
    if isinstance(tree, Mapping):
        if list(tree.entries) != ["do"]:
            raise Misread("a list of nodes is wanted (or {do: [...]})", tree.mark)
        tree = tree.entries["do"]
    return {"do": context.nodes(tree, where.rpartition(".")[0] + ".do")}


def _read_block(context: Context, tree: Tree, where: str) -> dict[str, Any]:
    return {"do": context.nodes(tree, where)}


_IN_KEY = Key(
    _read_do,
    lambda node: node.do,
    {
        "anyOf": [
            NODES.schema,
            {"type": "object", "properties": {"do": NODES.schema}, "required": ["do"], "additionalProperties": False},
        ]
    },
    required=True,
)
_DO = Key(_read_block, lambda node: node.do, NODES.schema, required=True)
_WITH = key("with_", TEMPLATES, {})
_VERSION = key("version", optional(whole("version", 1)), None)
_AS_SUFFIX = Key(_VERSION.read, lambda _: UNSET, _VERSION.schema)
"""A version that is read on its own too, but written as ``name@2``."""
_TIMEOUT = key("timeout_ms", optional(DURATION), None)


def _read_cond(context: Context, tree: Tree, where: str) -> dict[str, Any]:
    return {"cond": EXPRESSION.read(context, tree, where)}


def _read_otherwise(context: Context, tree: Tree, where: str) -> dict[str, Any]:
    if isinstance(tree, Scalar) and (tree.value is None or tree.value is True):
        return {"cond": None}
    return {"cond": EXPRESSION.read(context, tree, where)}


COMMON: dict[str, Key] = {
    "id": key("id", text("an id")),
    "after": key("after", optional(names("the id of a node")), None),
    "if": key("if_", optional(EXPRESSION), None),
}
"""Keys of every node; ``id`` is written by the writer where it is not what the reader would choose."""

KINDS: dict[str, Kind] = {
    "task": Kind(
        Task,
        {
            "task": _named_version("task", "task_version", 1, "task"),
            "with": _WITH,
            "retry": key("retry", optional(RETRY), None),
            "timeout": _TIMEOUT,
            "heartbeat": key("heartbeat_ms", optional(DURATION), None),
            "redeliver": key("redeliver", FLAG, True),
            "priority": key("priority", whole("priority"), 0),
            "returns": key("returns", optional(SCHEMA), None),
        },
    ),
    "when": Kind(When, {"when": Key(_read_cond, lambda _: UNSET, EXPRESSION.schema, required=True), "do": _DO}),
    "parallel": Kind(Parallel, {"parallel": _IN_KEY}),
    "branch": Kind(Block, {"branch": _IN_KEY}),
    "catch": Kind(
        Catch,
        {"catch": key("errors", names("the name of an error"), required=True), "do": _DO},
    ),
    "map": Kind(
        Map,
        {
            "map": key("items", EXPRESSION, required=True),
            "as": key("as_", text("the name of the item"), "item"),
            "max_parallel": key("max_parallel", whole("max_parallel", 1), 100),
            "tolerate": Key(_read_tolerate, _write_tolerate, {"type": ["integer", "string"]}),
            "do": _DO,
            "output": key("output", TEMPLATE),
        },
    ),
    "sleep": Kind(
        Sleep,
        {"sleep": Key(_read_sleep, _write_sleep, {"type": "string"}, required=True)},
        fits=lambda node: node.until is None,
    ),
    "sleep_until": Kind(
        Sleep,
        {"sleep_until": key("until", EXPRESSION, required=True)},
        fits=lambda node: node.until is not None,
    ),
    "signal": Kind(
        WaitSignal,
        {
            "signal": key("signal", text("the name of a signal"), required=True),
            "schema": key("schema", optional(SCHEMA), None),
            "timeout": _TIMEOUT,
            "default": key("default", TEMPLATE),
        },
    ),
    "workflow": Kind(
        SubWorkflow,
        {
            "workflow": _named_version("workflow", "version", None, "workflow"),
            "version": _AS_SUFFIX,
            "with": _WITH,
            "timeout": _TIMEOUT,
            "returns": key("returns", optional(SCHEMA), None),
        },
    ),
    "start": Kind(
        StartWorkflow,
        {
            "start": _named_version("workflow", "version", None, "workflow"),
            "version": _AS_SUFFIX,
            "with": _WITH,
            "key": key("key", TEMPLATE, None),
        },
    ),
    "set": Kind(Set, {"set": key("value", TEMPLATE, required=True)}),
    "end": Kind(End, {"end": key("value", TEMPLATE, required=True)}),
    "fail": Kind(
        Fail,
        {
            "fail": key("error", text("the type of an error"), required=True),
            "message": key("message", TEMPLATE, ""),
        },
    ),
}

OTHERWISE: dict[str, Key] = {
    "otherwise": Key(
        _read_otherwise, lambda _: UNSET, {"anyOf": [EXPRESSION.schema, {"type": ["boolean", "null"]}]}, required=True
    ),
    "do": _DO,
}
"""Not a node of its own: a further branch of the ``when`` right above it."""

TOP: dict[str, Key] = {
    "workflow": key("workflow", text("the name of the workflow", minLength=1), required=True),
    "version": key("version", optional(whole("version", 1)), None),
    "description": key("description", text("the description"), ""),
    "params": key("params", SCHEMAS, {}),
    "types": key("types", SCHEMAS, {}),
    "timeout": _TIMEOUT,
    "tags": key("tags", TEMPLATES, {}),
    "nodes": Key(lambda c, t, w: {"nodes": c.nodes(t, w)}, lambda d: d.nodes, NODES.schema, required=True),
    "output": key("output", TEMPLATE, None),
    "returns": key("returns", optional(SCHEMA), None),
}
"""Keys of a definition."""

LATER_KINDS = frozenset(
    (
        *("approval", "compensate_with", "compensate", "loop", "while", "until", "for_each", "break_if", "race"),
        *("http", "emit", "lock", "state", "choose", "trigger", "custom"),
    )
)
LATER_KEYS = frozenset(
    (
        *("join", "split", "cancels", "lock", "locks", "limits", "enabled_while", "on_missed", "boundary"),
        *("compensate", "on_error", "mi", "loop"),
    )
)
LATER_TOP = frozenset(
    (
        *("on", "triggers", "limits", "locks", "concurrency", "retention", "regions", "priority", "edges"),
        *("scopes", "durable"),
    )
)


def base_id(node_kind: str, fields: dict[str, Any]) -> str:
    """What a node's id starts from when it is not given: the task's or workflow's name, else the kind."""
    match node_kind:
        case "task":
            return str(fields.get("task", node_kind))
        case "workflow":
            return str(fields.get("workflow", node_kind))
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
