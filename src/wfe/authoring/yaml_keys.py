"""What a key of a mapping in YAML is, and the keys that several kinds of node share.

A `Key` reads one entry of a mapping into fields of a struct and writes it back; a `Kind` is a kind of node with all of
its keys. The tables made of them are in `yaml_kinds`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from msgspec import UNSET

from wfe.authoring.yaml_forms import (
    DURATION,
    EXPRESSION,
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
    optional,
    whole,
)
from wfe.authoring.yaml_needs import AMOUNTS, LABEL_LIST
from wfe.authoring.yaml_tree import Mapping, Scalar, Tree
from wfe.model.definition import Node

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


def read_only(given: Key) -> Key:
    """A second way to say what another key says: it is read, never written."""
    return Key(given.read, lambda _: UNSET, given.schema)


def named_version(name_field: str, version_field: str, default: int | None, what: str) -> Key:
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


def _read_in_key(context: Context, tree: Tree, where: str) -> dict[str, Any]:
    """``parallel: [...]`` or ``parallel: {do: [...]}``."""
    if isinstance(tree, Mapping):
        if list(tree.entries) != ["do"]:
            raise Misread("a list of nodes is wanted (or {do: [...]})", tree.mark)
        tree = tree.entries["do"]
    return {"do": context.nodes(tree, where.rpartition(".")[0] + ".do")}


def _read_block(context: Context, tree: Tree, where: str) -> dict[str, Any]:
    return {"do": context.nodes(tree, where)}


IN_KEY = Key(
    _read_in_key,
    lambda node: node.do,
    {
        "anyOf": [
            NODES.schema,
            {"type": "object", "properties": {"do": NODES.schema}, "required": ["do"], "additionalProperties": False},
        ]
    },
    required=True,
)
"""The nodes of a block as the value of the key that names its kind."""
DO = Key(_read_block, lambda node: node.do, NODES.schema, required=True)
WITH = key("with_", TEMPLATES, {})
VERSION = key("version", optional(whole("version", 1)), None)
TIMEOUT = key("timeout_ms", optional(DURATION), None)
RETRIES = key("retry", optional(RETRY), None)
LABELS = key("labels", LABEL_LIST, ())
RESOURCES = key("resources", AMOUNTS, {})
PARAMS = key("params", SCHEMAS, {})
RETURNS = key("returns", optional(SCHEMA), None)
KEY = key("key", TEMPLATE, None)
COND = Key(
    lambda context, tree, where: {"cond": EXPRESSION.read(context, tree, where)},
    lambda _: UNSET,
    EXPRESSION.schema,
    required=True,
)
"""The condition of a branch, which the writer writes."""
