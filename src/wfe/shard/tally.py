"""Counts per workflow and task since the shard's start, for metrics: never per run, and of a bounded number of names.

On the hot path: a task costs two look-ups and four additions. Durations go into buckets by powers of two (the number of
their bits), of microseconds for tasks and milliseconds for runs: an addition finds its bucket without comparing.
Memory only, and no part of what is decided.
"""

from __future__ import annotations

from wfe.core.durable.records import kind_of
from wfe.core.plan import Plan
from wfe.limits import TALLIES_MAX
from wfe.model.state import CANCELLED, COMPLETED, FAILED, RunState
from wfe.partition.entry import Entry
from wfe.wire.messages import TaskResult
from wfe.wire.stats import BUCKETS, RunTally, TaskTally

OTHERS = "(others)"
"""What names beyond the bound are counted under."""
_DONE, _FAILED, _SUM, _BUCKET = 0, 1, 2, 3
"""The first two are the statuses of results, too."""


class Tallies:
    """One shard's."""

    def __init__(self) -> None:
        self._plans: dict[str, list[list[int]]] = {}
        """By a plan's hash and a node's position, the row of its task; nodes of one task share theirs."""
        self._last: tuple[Plan | None, list[list[int]]] = (None, [])
        """The plan that was asked for last, for the next task is likely to be of the same, and its rows."""
        self._tasks: dict[tuple[str, str], list[int]] = {}
        self._runs: dict[str, RunTally] = {}

    def task(self, entry: Entry, key: int, result: TaskResult) -> None:
        """The open attempt of a place has a result. Turns of durable functions count when they are the last."""
        status = result.status
        if status > _FAILED:
            return
        plan, execution_us = entry.plan, result.started_us
        last, rows = self._last
        if plan is last:
            row = rows[key % plan.stride]
        elif plan.durable:
            row = self._row(entry.run.workflow, kind_of(entry.run, plan, key)[0])
        else:
            row = self._rows(entry.run.workflow, plan)[key % plan.stride]
        row[status] += 1
        row[_SUM] += execution_us
        bits = execution_us.bit_length()
        row[bits + _BUCKET if bits < BUCKETS else -1] += 1

    def run_started(self, run: RunState) -> None:
        self._run(run.workflow).started += 1

    def run_ended(self, run: RunState) -> None:
        tally = self._run(run.workflow)
        if run.status == COMPLETED:
            tally.completed += 1
        elif run.status == FAILED:
            tally.failed += 1
        elif run.status == CANCELLED:
            tally.cancelled += 1
        took_ms = max(run.ended_ms - run.started_ms, 0)
        tally.sum_ms += took_ms
        tally.buckets[min(took_ms.bit_length(), BUCKETS - 1)] += 1

    def tasks(self) -> list[TaskTally]:
        """What is reported of tasks."""
        return [
            TaskTally(workflow, task, row[_DONE], row[_FAILED], row[_SUM], row[_BUCKET:])
            for (workflow, task), row in self._tasks.items()
        ]

    def runs(self) -> list[RunTally]:
        """What is reported of runs."""
        return list(self._runs.values())

    def _rows(self, workflow: str, plan: Plan) -> list[list[int]]:
        rows = self._plans.get(plan.hash)
        if rows is None:
            if len(self._plans) > TALLIES_MAX:
                self._plans.clear()
            rows = [self._row(workflow, node.task) if node.task else [] for node in plan.nodes]
            self._plans[plan.hash] = rows
        self._last = (plan, rows)
        return rows

    def _row(self, workflow: str, task: str) -> list[int]:
        row = self._tasks.get((workflow, task))
        if row is None:
            if len(self._tasks) >= TALLIES_MAX:
                workflow = task = OTHERS
            row = self._tasks.setdefault((workflow, task), [0] * (_BUCKET + BUCKETS))
        return row

    def _run(self, workflow: str) -> RunTally:
        tally = self._runs.get(workflow)
        if tally is None:
            name = workflow if len(self._runs) < TALLIES_MAX else OTHERS
            tally = self._runs.setdefault(name, RunTally(name, buckets=[0] * BUCKETS))
        return tally
