"""Checks of names and schemas that need no context. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from wfe.core.expressions import RESERVED
from wfe.core.findings import Findings
from wfe.core.schemas import compile_schema, reference_cycle, schema_problems, subschemas
from wfe.limits import NAME_CHARS_MAX
from wfe.model.definition import Definition, Schema

RESERVED_NAMES = frozenset({"run", "now"})
"""Names that expressions give a meaning of their own."""
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_NAME = re.compile(r"[^\W\d][\w.-]*")


def identifier_problem(name: str) -> str | None:
    """Why this cannot be a name in expressions, or None."""
    if not _IDENTIFIER.fullmatch(name):
        return f"{name!r} is not a name: letters, digits and _, not starting with a digit"
    if len(name) > NAME_CHARS_MAX:
        return f"{name[:20]!r}... has {len(name)} characters, the limit is {NAME_CHARS_MAX}"
    if name in RESERVED:
        return f"{name!r} is a word of the expression language"
    if name in RESERVED_NAMES:
        return f"{name!r} is reserved: expressions give it a meaning of their own"
    return None


def name_problem(name: str) -> str | None:
    """Why this cannot be the name of a workflow, task or signal, or None."""
    if not name:
        return "the name is empty"
    if len(name) > NAME_CHARS_MAX:
        return f"{name[:20]!r}... has {len(name)} characters, the limit is {NAME_CHARS_MAX}"
    if not _NAME.fullmatch(name):
        return f"{name!r} is not a name: letters, digits, _ . and -, starting with a letter or _"
    return None


def check_schema(findings: Findings, node: str | None, where: str, schema: Any, types: Mapping[str, Schema]) -> bool:
    """Whether this is a schema that wfe takes; its problems become findings."""
    problems = schema_problems(schema, types)
    for path, message in problems:
        findings.error(node, f"{where}.{path}" if path else where, message)
    return not problems


def check_schemas(definition: Definition, findings: Findings) -> bool:
    """Types, parameters and the result: valid schemas, references that end, names and defaults that fit."""
    types = definition.types
    known = findings.count
    cycle = reference_cycle(types)
    if cycle is not None:
        chain = " -> ".join([*cycle, cycle[0]])
        findings.error(None, f"types.{cycle[0]}", f"the type refers to itself with nothing in between: {chain}")
        return False
    for name, schema in types.items():
        problem = name_problem(name)
        if problem is not None:
            findings.error(None, f"types.{name}", problem)
        check_schema(findings, None, f"types.{name}", schema, types)
    sound = findings.count == known
    for name, schema in definition.params.items():
        problem = identifier_problem(name)
        if problem is not None:
            findings.error(None, f"params.{name}", problem)
        if check_schema(findings, None, f"params.{name}", schema, types) and sound and "default" in schema:
            misfit = compile_schema(schema, types).check(schema["default"])
            if misfit is not None:
                path, message = misfit
                place = "" if path == "$" else f" (at {path})"
                findings.error(None, f"params.{name}.default", f"the default does not fit: {message}{place}")
    if definition.returns is not None:
        check_schema(findings, None, "returns", definition.returns, types)
    return findings.count == known


def check_defaults(definition: Definition, findings: Findings) -> None:
    """A default anywhere inside a schema must fit it: a value that nobody may give would be taken. Types are sound."""
    returns: dict[str, Schema] = {} if definition.returns is None else {"returns": definition.returns}
    named = [("types", definition.types), ("params", definition.params), ("", returns)]
    for prefix, schemas in named:
        for name, schema in schemas.items():
            for path, inner in subschemas(schema):
                if "default" not in inner or (not path and prefix == "params"):
                    continue
                misfit = compile_schema(inner, definition.types).check(inner["default"])
                if misfit is not None:
                    where = ".".join(filter(None, (prefix, name, path, "default")))
                    findings.error(None, where, f"the default does not fit its own schema: {misfit[1]}")
