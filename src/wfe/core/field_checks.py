"""Checks of the sorts of fields that nodes have: names, numbers, durations, retries, schemas. Pure."""

from __future__ import annotations

import math
from collections.abc import Mapping

from wfe.core.checks import check_schema, identifier_problem, name_problem
from wfe.core.findings import Findings
from wfe.limits import DURATION_MAX_MS
from wfe.model.definition import Node, Schema
from wfe.model.policy import RetryPolicy

VERSION_MAX = 2**31 - 1


class FieldChecker:
    """Checks one field at a time: (node, where, value); findings go to ``findings``."""

    def __init__(self, findings: Findings, types: Mapping[str, Schema]) -> None:
        self._findings = findings
        self._types = types

    def _retry(self, node: str, where: str, retry: RetryPolicy) -> None:
        if retry.max_attempts is not None:
            self._range(node, f"{where}.max_attempts", retry.max_attempts, 1, VERSION_MAX)
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

    def _not_empty(self, node: str, where: str, nodes: tuple[Node, ...]) -> None:
        if not nodes:
            self._findings.error(node, f"{where}.do", "the block is empty", "give it at least one node, or remove it")

    def _name(self, node: str, where: str, name: str) -> None:
        problem = name_problem(name)
        if problem is not None:
            self._findings.error(node, where, problem)

    def _identifier(self, node: str, where: str, name: str) -> None:
        problem = identifier_problem(name)
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
