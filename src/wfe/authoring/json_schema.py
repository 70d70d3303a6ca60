"""The JSON Schema of workflow files in YAML or JSON, for editors: what ``wfe schema`` prints.

Made from the table in `yaml_kinds`, so it says what the reader accepts. It knows the shape of a file only: names, the
order of nodes and expressions are judged by ``wfe validate``.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from wfe.authoring.yaml_forms import RETRY_KEYS
from wfe.authoring.yaml_keys import Key
from wfe.authoring.yaml_kinds import COMMON, GRAPH_KEYS, KINDS, OTHERWISE, TOP
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
    "loop": "Repeats its nodes: while a condition holds, until one does, or for each item in order.",
    "race": "Nodes that start together; the first to end wins, the others are withdrawn.",
    "lock": "Its nodes run while these locks are held.",
    "graph": "Nodes ordered by edges alone; a node may fire many times.",
    "sleep": "Waits: a duration, or ${expression}.",
    "sleep_until": "Waits until a time: an expression.",
    "signal": "Waits for an outside message of this name.",
    "webhook": "Waits for an HTTP call of this name.",
    "approval": "Waits for a person to approve or reject.",
    "workflow": "Runs another workflow and awaits its result.",
    "start": "Starts another workflow and does not wait; the value is its run id.",
    "http": "Makes an HTTP call: GET https://...",
    "custom": "A node type that a plugin contributes.",
    "durable": "A durable function: Python that a worker runs; the only node of its workflow.",
    "set": "Computes a value.",
    "decision": "Its value is the name of the first case whose condition holds.",
    "transform": "Filters, enriches, maps and reduces a list.",
    "state": "A value that assign changes.",
    "assign": "Changes a state: some of its fields, or all of it.",
    "emit": "Publishes an event of this type.",
    "break_if": "Ends the loop around it if the condition holds.",
    "compensate_with": "From here on this task is called if the run fails or is cancelled.",
    "compensate": "Runs the compensations registered so far, last first.",
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
        **_object({**TOP, **GRAPH_KEYS}, "A workflow as data; a file may hold several documents."),
        "dependentRequired": {name: ["edges"] for name in GRAPH_KEYS if name != "edges"},
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
