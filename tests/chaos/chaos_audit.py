"""What became of a round's runs, against what their clients were told: results, lists, histories, executions.

Knows what each run must give (chaos_tasks.py) and what the semantics allow: an attempt is begun at most once, a task is
lost with its worker at most LOSSES_MAX times before it counts as poison, every transition happens once.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from chaos_load import RESULT_TIMEOUT_S, Load, Started
from chaos_tasks import EXPECTED

from wfe.errors import RunFailed, WfeError
from wfe.limits import LIST_LIMIT_MAX, LOSSES_MAX

POISON = "PoisonTask"
ONCE = {"TaskDone", "TaskFailed", "TaskReopened", "NodeDone", "SignalTaken", "MapOpened", "MapDone", "ChildOpened"}
READERS = 50
"""Histories that are read at a time."""

Executions = dict[str, Counter[int]]
"""For each idempotency key how often each attempt was begun."""


class Effects:
    """What tasks wrote about themselves (chaos_tasks.py), read as it grows; files of ended processes are removed."""

    def __init__(self, directory: Path) -> None:
        self._directory = directory
        self._read: dict[Path, int] = {}
        self.executions: Executions = {}
        self.total = 0

    def read(self) -> None:
        for file in self._directory.iterdir():
            ended = not psutil.pid_exists(int(file.name.partition("-")[0]))
            with file.open("rb") as stream:
                stream.seek(self._read.get(file, 0))
                text = stream.read()
            whole = text[: text.rfind(b"\n") + 1]
            self._read[file] = self._read.get(file, 0) + len(whole)
            for line in whole.decode().splitlines():
                key, attempt = line.split()
                self.executions.setdefault(key, Counter())[int(attempt)] += 1
                self.total += 1
            if ended:
                file.unlink()
                del self._read[file]

    def forget(self) -> None:
        """The next round has runs of its own."""
        self.executions = {}


async def audit(client: Any, load: Load, effects: Effects) -> list[str]:
    """Everything that was acknowledged in a round against what is there. The runs must have ended."""
    wrong = list(load.findings)
    wrong += wrong_results(load.runs)
    wrong += await wrong_lists(client, load)
    effects.read()
    histories, failed = await all_histories(client, load, wrong)
    doomed = {run.id for run in load.runs if run.cancelled or run.error is not None} | failed.keys()
    for run_id, history in histories.items():
        wrong += wrong_history(run_id, history, effects.executions, whole=run_id not in doomed)
    errors = {run.id: run.error for run in load.runs if run.error is not None} | failed
    wrong += [f"{run_id} fails: {error}" for run_id, error in errors.items() if unjust(run_id, error, histories)]
    effects.forget()
    return wrong


# ---- results and lists ----------------------------------------------------------------------------------------------


def wrong_results(runs: Iterable[Started]) -> list[str]:
    """Runs whose result differs from a direct computation."""
    wrong = []
    for run in runs:
        if run.error is not None:
            continue  # `unjust` looks at these
        if run.workflow == "withdrawn":
            if not run.cancelled:
                wrong.append(f"{run.id} was cancelled and gives {run.output!r}")
            continue
        output = run.output
        if run.workflow == "parent" and isinstance(output, dict):
            output = {name: value for name, value in output.items() if name != "child"}
        expected = EXPECTED[run.workflow](run.number)
        if output != expected or run.cancelled:
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


# ---- histories ------------------------------------------------------------------------------------------------------


async def all_histories(client: Any, load: Load, wrong: list[str]) -> tuple[dict[str, list[Any]], dict[str, Any]]:
    """The histories of all runs and their children, which must have ended; detached children are checked as well, and
    the errors of those that failed are named.
    """
    histories: dict[str, list[Any]] = {}
    failed: dict[str, Any] = {}
    reading = asyncio.Semaphore(READERS)

    async def read(run_id: str) -> None:
        try:
            async with reading:
                histories[run_id] = history = await client.handle(run_id).history()
        except WfeError as error:
            wrong.append(f"{run_id} has no history: {error}")
            return
        children = [event.data["child"] for event in history if event.type == "ChildOpened"]
        await asyncio.gather(*map(read, children))

    async def read_detached(run: Started) -> None:
        async with reading:
            child = client.handle(run.output["child"])
            try:
                if (result := await child.result(timeout_s=RESULT_TIMEOUT_S)) != 2 * run.number**2:
                    wrong.append(f"the child {child.id} of {run.number} gives {result!r}")
            except RunFailed as error:
                failed[child.id] = error.error
        if child.id not in histories:
            await read(child.id)

    await asyncio.gather(*(read(run.id) for run in load.runs))
    detached = [run for run in load.runs if run.workflow == "parent" and isinstance(run.output, dict)]
    await asyncio.gather(*map(read_detached, detached))
    return histories, failed


@dataclass
class Task:
    """What a history says about one activation of a task."""

    attempts: int = 1
    losses: int = 0
    ends: int = 0


def tasks_of(run_id: str, history: list[Any]) -> dict[str, Task]:
    """The activations of tasks that have ended or were given out again, by idempotency key."""
    tasks: dict[str, Task] = {}
    for event in history:
        key = f"{run_id}/{event.node}/{event.activation}"
        if event.type == "TaskReopened":
            task = tasks.setdefault(key, Task())
            task.attempts = max(task.attempts, event.attempt)
            task.losses += bool(event.data["lost"])
        elif event.type == "TaskFailed":
            tasks.setdefault(key, Task()).ends += not event.data["retry_ms"]
        elif event.type == "TaskDone":
            tasks.setdefault(key, Task()).ends += 1
    return tasks


def wrong_history(run_id: str, history: list[Any], executions: Executions, *, whole: bool) -> list[str]:
    """Transitions that happened twice or never, and tasks that ran more often than their attempts allow, or never.

    ``whole`` False: the run was cancelled or failed, so that some of its tasks may not have come to their end.
    """
    wrong = []
    types = Counter(event.type for event in history)
    once = Counter((e.type, e.node, e.activation, e.attempt) for e in history if e.type in ONCE)
    wrong += [f"{run_id}: {place} {n} times" for place, n in once.items() if n > 1]
    if types["RunStarted"] != 1 or types["RunEnded"] != 1 or history[-1].type != "RunEnded":
        wrong.append(f"{run_id}: {types['RunStarted']} starts and {types['RunEnded']} ends")
    if [event.seq for event in history] != list(range(1, len(history) + 1)):
        wrong.append(f"{run_id}: its events are not numbered without a gap")
    for key, task in tasks_of(run_id, history).items():
        executed = executions.get(key, Counter())
        if task.ends > 1 or (whole and task.ends != 1):
            wrong.append(f"{key}: {task.ends} ends")
        if task.losses > LOSSES_MAX:
            wrong.append(f"{key}: lost {task.losses} times")
        if whole and not executed:
            wrong.append(f"{key}: never executed")
        for attempt, times in executed.items():
            if times > 1 or not 1 <= attempt <= task.attempts:
                wrong.append(f"{key}: attempt {attempt} of {task.attempts} was begun {times} times")
    return wrong


def unjust(run_id: str, error: Any, histories: dict[str, list[Any]]) -> bool:
    """Whether a run failed although none of its tasks, or of its children's, was lost LOSSES_MAX times."""

    def poisoned(run_id: str) -> bool:
        history = histories.get(run_id, [])
        children = [event.data["child"] for event in history if event.type == "ChildOpened"]
        own = any(task.losses == LOSSES_MAX for task in tasks_of(run_id, history).values())
        return own or any(map(poisoned, children))

    return error.type != POISON or not poisoned(run_id)
