"""Runs in flight while processes die, what was acknowledged about them, and the checks of what became of them."""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from chaos_tasks import EXPECTED, INPUTS, PATIENT_ADDS

from wfe.errors import Busy, Disconnected, Unavailable
from wfe.limits import LIST_LIMIT_MAX, LOSSES_MAX

SHARES = {"chain": 6, "squares": 4, "payment": 6, "patient": 3, "parent": 3, "crunched": 1, "billed": 4}
BATCH = 1_000
IN_FLIGHT = 500
RESULT_TIMEOUT_S = 60.0
AWAY = (Disconnected, Unavailable, Busy)
"""What a client may hear while nobody serves; anything else is a defect."""


def batch_of(number: int) -> str:
    """The tag by which runs are listed: no list holds more than LIST_LIMIT_MAX."""
    return str(number // BATCH)


@dataclass
class Started:
    """A run whose start was acknowledged."""

    workflow: str
    number: int
    id: str
    key: str | None
    output: Any = None

    @property
    def batch(self) -> str:
        return batch_of(self.number)


@dataclass
class Load:
    """Starts runs, signals those that wait, and waits for their results, whatever dies meanwhile.

    ``unsure``: starts without a key that were not acknowledged; such a run may exist or not.
    """

    client: Any
    dice: random.Random
    runs: list[Started] = field(default_factory=list)
    unsure: Counter[str] = field(default_factory=Counter)
    in_flight_seen: int = 0
    _running: int = 0
    _numbers: int = 0

    async def keep(self, stop: asyncio.Event, in_flight: int = IN_FLIGHT) -> None:
        """Until ``stop``; then waits for what was begun."""
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(self._one_after_another(stop))

    async def _one_after_another(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._numbers += 1
            workflow = self.dice.choices([*SHARES], [*SHARES.values()])[0]
            await self._one(workflow, self._numbers)

    async def _one(self, workflow: str, number: int) -> None:
        key = f"{workflow}-{number}" if number % 2 else None
        value = INPUTS.get(workflow, int)(number)
        while True:
            try:
                run = await self.client.start(workflow, value, key=key, tags={"batch": batch_of(number)})
                break
            except AWAY:
                if key is None:
                    self.unsure[batch_of(number)] += 1
                    return
        started = Started(workflow, number, run.id, key)
        self.runs.append(started)
        self._running += 1
        self.in_flight_seen = max(self.in_flight_seen, self._running)
        if workflow == "patient":
            await asyncio.sleep(self.dice.uniform(0, 2))
            await self._signal(run)
        started.output = await self._result(run)
        self._running -= 1

    async def _signal(self, run: Any) -> None:
        while True:
            try:
                await run.signal("go", PATIENT_ADDS, event_id="the only one")
                return
            except AWAY:
                continue

    async def _result(self, run: Any) -> Any:
        async with asyncio.timeout(RESULT_TIMEOUT_S):
            while True:
                try:
                    return await run.result()
                except AWAY:
                    continue


# ---- checks ---------------------------------------------------------------------------------------------------------


def wrong_results(runs: Iterable[Started]) -> list[str]:
    """Runs whose result differs from a direct computation."""
    wrong = []
    for run in runs:
        output = run.output
        if run.workflow == "parent":
            output = {name: value for name, value in output.items() if name != "child"}
        expected = EXPECTED[run.workflow](run.number)
        if output != expected:
            wrong.append(f"{run.workflow} {run.number} {run.id}: {output!r}, not {expected!r}")
    return wrong


async def wrong_lists(client: Any, load: Load) -> list[str]:
    """Acknowledged runs that are not listed exactly once, and runs that nobody can have started."""
    wrong = []
    acknowledged: dict[str, set[str]] = {}
    for run in load.runs:
        acknowledged.setdefault(run.batch, set()).add(run.id)
    for batch, known in acknowledged.items():
        runs = await client.list(tags={"batch": batch}, limit=LIST_LIMIT_MAX)
        if runs.incomplete or runs.more:
            wrong.append(f"batch {batch}: the list is not whole: {runs.incomplete}")
        listed = Counter([run.id for run in runs])
        wrong += [f"{run_id} is listed {n} times" for run_id, n in listed.items() if n > 1]
        wrong += [f"{run_id} was acknowledged and is gone" for run_id in known - set(listed)]
        if (spare := len(set(listed) - known)) > load.unsure[batch]:
            wrong.append(f"batch {batch}: {spare} runs too many, {load.unsure[batch]} starts were not acknowledged")
    return wrong


def executions_of(file: Path) -> dict[str, Counter[int]]:
    """For each idempotency key how often each attempt was begun."""
    counts: dict[str, Counter[int]] = {}
    for line in file.read_text().splitlines():
        key, attempt = line.split()
        counts.setdefault(key, Counter())[int(attempt)] += 1
    return counts


@dataclass
class Task:
    """What a history says about one activation of a task."""

    attempts: int = 1
    losses: int = 0
    failures: int = 0
    ends: int = 0


def wrong_history(run_id: str, history: list[Any], executions: dict[str, Counter[int]]) -> list[str]:
    """Transitions that happened twice or never, and tasks that ran more often than their attempts allow, or never."""
    wrong = []
    tasks: dict[str, Task] = {}
    for event in history:
        key = f"{run_id}/{event.node}/{event.activation}"
        if event.type == "TaskReopened":
            task = tasks.setdefault(key, Task())
            task.attempts = max(task.attempts, event.attempt)
            task.losses += bool(event.data["lost"])
        elif event.type == "TaskFailed":
            task = tasks.setdefault(key, Task())
            task.failures += 1
            task.ends += not event.data["retry_ms"]
        elif event.type == "TaskDone":
            tasks.setdefault(key, Task()).ends += 1
    types = Counter(event.type for event in history)
    once = Counter((e.type, e.node, e.activation, e.attempt) for e in history if e.type in ONCE)
    wrong += [f"{run_id}: {place} {n} times" for place, n in once.items() if n > 1]
    if types["RunStarted"] != 1 or types["RunEnded"] != 1 or history[-1].type != "RunEnded":
        wrong.append(f"{run_id}: {types['RunStarted']} starts and {types['RunEnded']} ends")
    if [event.seq for event in history] != list(range(1, len(history) + 1)):
        wrong.append(f"{run_id}: its events are not numbered without a gap")
    for key, task in tasks.items():
        wrong += _wrong_task(key, task, executions.get(key, Counter()))
    return wrong


ONCE = {"TaskDone", "TaskFailed", "TaskReopened", "NodeDone", "SignalTaken", "MapOpened", "MapDone", "ChildOpened"}


def _wrong_task(key: str, task: Task, executions: Counter[int]) -> list[str]:
    wrong = []
    if task.ends != 1:
        wrong.append(f"{key}: {task.ends} ends")
    if not executions:
        wrong.append(f"{key}: never executed")
    if task.losses > LOSSES_MAX:
        wrong.append(f"{key}: lost {task.losses} times")
    for attempt, times in executions.items():
        if times > 1 or not 1 <= attempt <= task.attempts:
            wrong.append(f"{key}: attempt {attempt} of {task.attempts} was begun {times} times")
    return wrong


async def wrong_histories(client: Any, load: Load, executions: dict[str, Counter[int]]) -> list[str]:
    """`wrong_history` of every run and of their children."""
    children: list[str] = [run.output["child"] for run in load.runs if run.workflow == "parent"]
    waiting = asyncio.Semaphore(100)

    async def look(run_id: str) -> list[str]:
        async with waiting:
            history = await client.handle(run_id).history()
        children.extend(event.data["child"] for event in history if event.type == "ChildOpened")
        return wrong_history(run_id, history, executions)

    async def look_at_all(run_ids: Iterable[str]) -> list[str]:
        return [line for lines in await asyncio.gather(*map(look, run_ids)) for line in lines]

    return await look_at_all([run.id for run in load.runs]) + await look_at_all(children)


async def wrong_children(client: Any, load: Load) -> list[str]:
    """Detached children whose result is not what their parent's number asks for."""
    wrong = []
    for run in load.runs:
        if run.workflow == "parent":
            child = client.handle(run.output["child"])
            result = await child.result(timeout_s=RESULT_TIMEOUT_S)
            if result != 2 * run.number**2:
                wrong.append(f"the child {child.id} of {run.number} gives {result!r}")
    return wrong
