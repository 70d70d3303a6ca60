"""The JSON Schema of workflow files in YAML or JSON, for editors: what ``wfe schema`` prints.

Made from the table in `yaml_kinds`, so it says what the reader accepts. It knows the shape of a file only: names, the
order of nodes and expressions are judged by ``wfe validate``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wfe.authoring.yaml_forms import RETRY_KEYS
from wfe.authoring.yaml_kinds import COMMON, KINDS, OTHERWISE, TOP, Key
from wfe.core.schemas import DIALECT, TYPE_NAMES

JsonSchema = dict[str, Any]

_DURATION_PATTERN = r"^\s*([0-9]+(\.[0-9]+)?(ms|[dhms]))+\s*$"
_DESCRIPTIONS = {
    "task": "Calls a Python task by its name, or name@version.",
    "when": "Runs the first branch whose condition holds; otherwise right below it adds a branch.",
    "otherwise": "A further branch of the when right above: true, or a condition.",
    "parallel": "Nodes that are ordered by the values they use only.",
    "branch": "Several nodes as one, in order.",
    "catch": "Nodes whose failure of these types ends the block instead of the run.",
    "map": "Runs its nodes once for each item of a list.",
    "sleep": "Waits: a duration, or ${expression}.",
    "sleep_until": "Waits until a time: an expression.",
    "signal": "Waits for an outside message of this name.",
    "workflow": "Runs another workflow and awaits its result.",
    "start": "Starts another workflow and does not wait; the value is its run id.",
    "set": "Computes a value.",
    "end": "Ends the run with this value.",
    "fail": "Fails with an error of this type.",
}


def definition_schema() -> JsonSchema:
    """A JSON Schema (2020-12) of one document."""
    definitions = {
        "nodes": {"type": "array", "items": {"$ref": "#/$defs/node"}},
        "node": {"type": "object", "oneOf": [{"$ref": f"#/$defs/{name}"} for name in (*KINDS, "otherwise")]},
        "duration": {
            "type": "string",
            "pattern": _DURATION_PATTERN,
            "description": 'Such as "100ms", "30s", "5m", "2h", "7d" or "1h30m".',
        },
        "expression": {"type": ["string", "boolean"], "description": "A bare expression, without ${ }."},
        "template": {"description": 'Any value; its strings may hold "${expression}".'},
        "type": {
            "description": "A JSON Schema, the name of a JSON type, or a name in types.",
            "anyOf": [{"enum": list(TYPE_NAMES)}, {"type": "string"}, {"type": "object"}],
        },
        "retry": {
            "type": "object",
            "properties": {name: form.schema for name, (_, form) in RETRY_KEYS.items()},
            "additionalProperties": False,
        },
    }
    for name, kind in KINDS.items():
        definitions[name] = _object({**kind.keys, **COMMON}, _DESCRIPTIONS[name])
    definitions["otherwise"] = _object(OTHERWISE, _DESCRIPTIONS["otherwise"])
    return {
        "$schema": DIALECT,
        "title": "A wfe workflow",
        **_object(TOP, "A workflow as data; a file may hold several documents."),
        "$defs": definitions,
    }


def _object(keys: Mapping[str, Key], description: str) -> JsonSchema:
    return {
        "type": "object",
        "description": description,
        "properties": {name: key.schema for name, key in keys.items()},
        "required": [name for name, key in keys.items() if key.required],
        "additionalProperties": False,
    }
