"""Checks of single nodes and values that need no context: names, numbers, durations, policies, schemas. Pure."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from msgspec import UNSET

from wfe.core.expressions import RESERVED
from wfe.core.findings import Findings
from wfe.core.schemas import compile_schema, reference_cycle, schema_problems
from wfe.limits import DURATION_MAX_MS, MAP_ITEMS_MAX, NAME_CHARS_MAX
from wfe.model.definition import (
    Block,
    Catch,
    Definition,
    End,
    Fail,
    Map,
    Node,
    Parallel,
    Schema,
    Set,
    Sleep,
    StartWorkflow,
    SubWorkflow,
    Task,
    WaitSignal,
    When,
)
from wfe.model.policy import RetryPolicy

RESERVED_NAMES = frozenset({"run", "now"})
"""Names that expressions give a meaning of their own."""
_IDENTIFIER = re.compile(r"[A-Za-z_][A-Za-z0-9_]*", re.ASCII)
_NAME = re.compile(r"[^\W\d][\w.-]*")
_VERSION_MAX = 2**31 - 1
_PRIORITY_MAX = 1_000_000


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


class NodeChecker:
    """Checks one node at a time; findings go to ``findings``."""

    def __init__(self, findings: Findings, types: Mapping[str, Schema]) -> None:
        self._findings = findings
        self._types = types

    def check(self, node: Node, where: str) -> None:
        """Everything about the node itself that its fields alone can tell."""
        match node:
            case Task():
                self._name(node.id, f"{where}.task", node.task)
                self._range(node.id, f"{where}.task_version", node.task_version, 1, _VERSION_MAX)
                self._duration(node.id, f"{where}.timeout", node.timeout_ms, positive=True)
                self._duration(node.id, f"{where}.heartbeat", node.heartbeat_ms, positive=True)
                self._range(node.id, f"{where}.priority", node.priority, -_PRIORITY_MAX, _PRIORITY_MAX)
                self._schema(node.id, f"{where}.returns", node.returns)
                if node.retry is not None:
                    self._retry(node.id, f"{where}.retry", node.retry)
            case When():
                self._branches(node, where)
            case Parallel() | Block():
                self._block(node.id, where, node.do)
            case Catch():
                self._block(node.id, where, node.do)
                if not node.errors or not all(node.errors):
                    self._findings.error(node.id, f"{where}.errors", "catch needs the names of the errors it takes")
            case Map():
                self._map(node, where)
            case Sleep():
                given = [value for value in (node.duration_ms, node.duration, node.until) if value is not None]
                if len(given) != 1:
                    message = "a sleep needs exactly one of a duration, an expression for it, or a time to sleep until"
                    self._findings.error(node.id, where, message)
                self._duration(node.id, f"{where}.duration_ms", node.duration_ms)
            case WaitSignal():
                self._signal(node, where)
            case SubWorkflow():
                self._name(node.id, f"{where}.workflow", node.workflow)
                self._range(node.id, f"{where}.version", node.version, 1, _VERSION_MAX)
                self._duration(node.id, f"{where}.timeout", node.timeout_ms, positive=True)
                self._schema(node.id, f"{where}.returns", node.returns)
            case StartWorkflow():
                self._name(node.id, f"{where}.workflow", node.workflow)
                self._range(node.id, f"{where}.version", node.version, 1, _VERSION_MAX)
            case Fail():
                if not node.error:
                    self._findings.error(node.id, f"{where}.error", "fail needs the type of the error")
            case Set() | End():
                pass

    # ---- kinds ------------------------------------------------------------------------------------------------------

    def _branches(self, node: When, where: str) -> None:
        if not node.branches:
            self._findings.error(node.id, where, "a when needs at least one branch")
        for index, branch in enumerate(node.branches):
            place = f"{where}.branches[{index}]"
            self._block(node.id, place, branch.do)
            if branch.cond is None and index == 0:
                self._findings.error(node.id, place, "otherwise must follow a when: the first branch has no condition")
            elif branch.cond is None and index < len(node.branches) - 1:
                message = "nothing can follow an otherwise without a condition: it takes every remaining case"
                self._findings.error(node.id, place, message, "make it the last branch")

    def _map(self, node: Map, where: str) -> None:
        self._block(node.id, where, node.do)
        problem = identifier_problem(node.as_)
        if problem is not None:
            self._findings.error(node.id, f"{where}.as", problem)
        self._range(node.id, f"{where}.max_parallel", node.max_parallel, 1, MAP_ITEMS_MAX)
        count, percent = node.tolerate_count, node.tolerate_percent
        if count is not None and percent is not None:
            self._findings.error(node.id, f"{where}.tolerate", "tolerate is a number of failures or a share, not both")
        self._range(node.id, f"{where}.tolerate", count, 0, MAP_ITEMS_MAX)
        self._range(node.id, f"{where}.tolerate", percent, 0.0, 100.0)

    def _signal(self, node: WaitSignal, where: str) -> None:
        self._name(node.id, f"{where}.signal", node.signal)
        self._duration(node.id, f"{where}.timeout", node.timeout_ms)
        self._schema(node.id, f"{where}.schema", node.schema)
        if node.default is not UNSET and node.timeout_ms is None:
            message = "the default is never used: without a timeout the wait does not end by itself"
            self._findings.warning(node.id, f"{where}.default", message, "add a timeout")

    def _retry(self, node: str, where: str, retry: RetryPolicy) -> None:
        if retry.max_attempts is not None:
            self._range(node, f"{where}.max_attempts", retry.max_attempts, 1, _VERSION_MAX)
        self._duration(node, f"{where}.initial_delay", retry.initial_delay_ms)
        self._duration(node, f"{where}.max_delay", retry.max_delay_ms)
        self._range(node, f"{where}.backoff", retry.backoff, 1.0, 1_000.0)
        self._range(node, f"{where}.jitter", retry.jitter, 0.0, 1.0)
        if not retry.on or not all(retry.on):
            message = "no error is ever retried: name the errors to retry"
            self._findings.error(node, f"{where}.on", message, '"Exception" means any')
        if not all(retry.never):
            self._findings.error(node, f"{where}.never", "the name of an error is empty")
        if retry.initial_delay_ms > retry.max_delay_ms:
            message = "the initial delay is above max_delay, which cuts it"
            self._findings.warning(node, f"{where}.initial_delay", message)

    # ---- values -----------------------------------------------------------------------------------------------------

    def _block(self, node: str, where: str, nodes: tuple[Node, ...]) -> None:
        if not nodes:
            self._findings.error(node, f"{where}.do", "the block is empty", "give it at least one node, or remove it")

    def _name(self, node: str, where: str, name: str) -> None:
        problem = name_problem(name)
        if problem is not None:
            self._findings.error(node, where, problem)

    def _range(self, node: str, where: str, value: float | None, least: float, most: float) -> None:
        if value is not None and not (math.isfinite(value) and least <= value <= most):
            self._findings.error(node, where, f"{value:g} is out of range: {least:g} to {most:g}")

    def _duration(self, node: str, where: str, value_ms: int | None, *, positive: bool = False) -> None:
        if value_ms is None:
            return
        if positive and value_ms == 0:
            self._findings.error(node, where, "the duration must be longer than zero")
        elif not 0 <= value_ms <= DURATION_MAX_MS:
            days = DURATION_MAX_MS // 86_400_000
            self._findings.error(node, where, f"{value_ms} ms is out of range: zero to {days} days")

    def _schema(self, node: str, where: str, schema: Schema | None) -> None:
        if schema is not None:
            check_schema(self._findings, node, where, schema, self._types)


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
