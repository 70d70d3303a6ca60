"""What nodes give and get, checked against their schemas: a result of a task or a sub-workflow, arguments by name.

Pure. A node without a schema has no `ValueCheck` and pays nothing. Most schemas say no more than a type, which the
first byte of an encoded value tells; only other values are decoded, and a validator is compiled when one first is.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec
from msgspec import Raw

from wfe.core.schemas import SchemaValidator, compile_schema, value_path
from wfe.limits import ERROR_MESSAGE_CHARS_MAX
from wfe.model.blob import Blobs, expand, whole
from wfe.model.definition import Custom, Http, Node, Schema, SubWorkflow, Task
from wfe.model.malformed import MALFORMED
from wfe.model.policy import ErrorInfo, RetryPolicy

INVALID_OUTPUT = "InvalidOutput"
INVALID_INPUT = "InvalidInput"
_decode = msgspec.msgpack.Decoder().decode
_decode_members = msgspec.msgpack.Decoder(dict[str, Raw]).decode
_INTEGERS = frozenset([*range(0x80), *range(0xCC, 0xD4), *range(0xE0, 0x100)])
_FIRST_BYTES: Mapping[str, frozenset[int]] = {
    "null": frozenset([0xC0]),
    "boolean": frozenset([0xC2, 0xC3]),
    "integer": _INTEGERS,
    "number": _INTEGERS | {0xCA, 0xCB},
    "string": frozenset([*range(0xA0, 0xC0), 0xD9, 0xDA, 0xDB]),
    "array": frozenset([*range(0x90, 0xA0), 0xDC, 0xDD]),
    "object": frozenset([*range(0x80, 0x90), 0xDE, 0xDF]),
}
"""How msgpack begins a value of each JSON type."""
_SAYS_NOTHING = frozenset({"title", "description", "default", "examples", "$comment", "deprecated"})


class ValueCheck:
    """A schema that encoded values are checked against. Immutable but for the validator, which is made when needed."""

    __slots__ = ("_schema", "_sure", "_types", "_validator")

    def __init__(self, schema: Schema, types: Mapping[str, Schema]) -> None:
        self._schema, self._types = schema, types
        self._sure = _sure_bytes(schema)
        self._validator: SchemaValidator | None = None

    def misfit(self, value: Raw) -> tuple[str, str] | None:
        """None when the value fits, else (path, message)."""
        if memoryview(value)[0] in self._sure:
            return None
        if self._validator is None:
            self._validator = compile_schema(self._schema, self._types)
        try:
            return self._validator.check(_decode(value))
        except MALFORMED as error:
            return "$", f"is malformed: {error}"


def check_of(schema: Schema | None, types: Mapping[str, Schema]) -> ValueCheck | None:
    """The check for a schema; None when it allows anything."""
    return None if schema is None or _SAYS_NOTHING.issuperset(schema) else ValueCheck(schema, types)


def output_check(node: Node, types: Mapping[str, Schema]) -> ValueCheck | None:
    """What the value of a node is checked against; of an HTTP call its body alone is described."""
    match node:
        case Task() | SubWorkflow() | Custom():
            return check_of(node.returns, types)
        case Http() if node.returns is not None and not _SAYS_NOTHING.issuperset(node.returns):
            return ValueCheck({"type": "object", "properties": {"body": node.returns}}, types)
        case _:
            return None


def input_checks(node: Node, types: Mapping[str, Schema]) -> dict[str, ValueCheck]:
    """What the arguments of a node are checked against, by name."""
    if not isinstance(node, (Task, Custom)):
        return {}
    checks = {name: check_of(schema, types) for name, schema in node.params.items()}
    return {name: check for name, check in checks.items() if check is not None}


def invalid_input(checks: Mapping[str, ValueCheck], given: Raw, blobs: Blobs, what: str) -> str | None:
    """Why the arguments of a task, an encoded object, do not fit; None when they do."""
    arguments = _decode_members(whole(given, blobs))
    for name, check in checks.items():
        if name not in arguments:
            return f"{what} gets no argument {name!r}"
        found = check.misfit(expand(arguments[name], blobs))
        if found is not None:
            path, message = found
            return f"an argument of {what} does not fit its schema at {value_path([name])}{path[1:]}: {message}"
    return None


def invalid_output(check: ValueCheck, value: Raw, retry: RetryPolicy | None, what: str) -> ErrorInfo | None:
    """The fault of a result that does not fit; tried again only if the policy names it."""
    found = check.misfit(value)
    if found is None:
        return None
    path, message = found
    named = retry is not None and INVALID_OUTPUT in retry.on
    return ErrorInfo(
        INVALID_OUTPUT,
        f"the result of {what} does not fit its schema at {path}: {message}"[:ERROR_MESSAGE_CHARS_MAX],
        types=(INVALID_OUTPUT,),
        fatal=not named,
    )


def invalid_result(check: ValueCheck, value: Raw, blobs: Blobs, workflow: str) -> str | None:
    """Why the result of a run does not fit what its workflow declares; None when it does."""
    found = check.misfit(expand(value, blobs))
    if found is None:
        return None
    path, message = found
    return f"the result of workflow {workflow} does not fit its schema at {path}: {message}"[:ERROR_MESSAGE_CHARS_MAX]


def _sure_bytes(schema: Schema) -> frozenset[int]:
    """First bytes of encoded values that surely fit: those of the types of a schema that says nothing else."""
    alternatives = schema.get("anyOf")
    if isinstance(alternatives, list) and _SAYS_NOTHING.issuperset(key for key in schema if key != "anyOf"):
        return frozenset().union(*(_sure_bytes(part) for part in alternatives if isinstance(part, dict)))
    if not _SAYS_NOTHING.issuperset(key for key in schema if key != "type"):
        return frozenset()
    stated = schema.get("type")
    names = [stated] if isinstance(stated, str) else stated if isinstance(stated, list) else []
    return frozenset().union(*(_FIRST_BYTES.get(name, frozenset()) for name in names))
