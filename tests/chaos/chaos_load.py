"""Runs in flight while processes die, and what was acknowledged about them.

The load knows what each run must give (chaos_tasks.py) and what a client may hear while nobody serves; anything else is
a finding. What became of the runs is for chaos_audit.py to say.
"""

from __future__ import annotations

import asyncio
import random
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from chaos_tasks import INPUTS, PATIENT_ADDS

import wfe
from wfe.errors import Busy, Disconnected, RunClosed, Unavailable

SHARES = {"chain": 6, "squares": 4, "payment": 6, "patient": 3, "parent": 3, "crunched": 1, "billed": 4, "withdrawn": 1}
"""How often each workflow is started; ``withdrawn`` is a ``patient`` that is cancelled instead of signalled."""
BATCH = 1_000
RESULT_TIMEOUT_S = 120.0
REPEATED = 0.1
"""The share of starts with a key that are sent a second time."""
AWAY = (Disconnected, Unavailable, Busy)
"""What a client may hear while nobody serves; anything else is a defect."""


@dataclass
class Started:
    """A run whose start was acknowledged. ``output`` or ``error``: what its client heard of its end."""

    workflow: str
    number: int
    id: str
    batch: str
    output: Any = None
    error: Any = None
    cancelled: bool = False


@dataclass
class Load:
    """One round's runs: starts them, signals those that wait, and waits for their results, whatever dies meanwhile.

    ``unsure``: starts without a key that were not acknowledged; such a run may exist or not.
    """

    client: Any
    dice: random.Random
    round: int
    runs: list[Started] = field(default_factory=list)
    unsure: Counter[str] = field(default_factory=Counter)
    findings: list[str] = field(default_factory=list)
    running: int = 0
    _numbers: int = 0

    async def keep(self, stop: asyncio.Event, in_flight: int) -> None:
        """Keeps so many runs in flight until ``stop``; then waits for what was begun."""
        async with asyncio.TaskGroup() as group:
            for _ in range(in_flight):
                group.create_task(self._one_after_another(stop))

    async def _one_after_another(self, stop: asyncio.Event) -> None:
        while not stop.is_set():
            self._numbers += 1
            workflow = self.dice.choices([*SHARES], [*SHARES.values()])[0]
            number = self._numbers
            try:
                await self._one(workflow, number)
            except Exception as error:  # noqa: BLE001 - whatever a client may not hear is a finding, not the load's end
                self.findings.append(f"{workflow} {self.round}/{number}: {type(error).__name__}: {error}")

    def batch_of(self, number: int) -> str:
        """The tag by which runs are listed: no list holds more than LIST_LIMIT_MAX."""
        return f"{self.round}-{number // BATCH}"

    async def _one(self, workflow: str, number: int) -> None:
        key = f"{workflow}-{self.round}-{number}" if number % 2 else None
        run = await self._start(workflow, number, key)
        if run is None:
            return
        started = Started(workflow, number, run.id, self.batch_of(number))
        self.runs.append(started)
        self.running += 1
        try:
            if key is not None and self.dice.random() < REPEATED:
                again = await self._start(workflow, number, key)
                if again.id != run.id:
                    self.findings.append(f"key {key} names two runs: {run.id} and {again.id}")
            if workflow in ("patient", "withdrawn"):
                await asyncio.sleep(self.dice.uniform(0, 2))
                await self._tell(run, workflow)
            await self._result(run, started)
        finally:
            self.running -= 1

    async def _start(self, workflow: str, number: int, key: str | None) -> Any:
        value = INPUTS.get(workflow, int)(number)
        name = "patient" if workflow == "withdrawn" else workflow
        while True:
            try:
                return await self.client.start(name, value, key=key, tags={"batch": self.batch_of(number)})
            except AWAY:
                if key is None:
                    self.unsure[self.batch_of(number)] += 1
                    return None

    async def _tell(self, run: Any, workflow: str) -> None:
        async with asyncio.timeout(RESULT_TIMEOUT_S):
            while True:
                try:
                    if workflow == "withdrawn":
                        await run.cancel()
                    else:
                        await run.signal("go", PATIENT_ADDS, event_id="the only one")
                    return
                except AWAY:
                    continue
                except RunClosed:
                    return  # a task of it counted as poison: `_result` says so

    async def _result(self, run: Any, started: Started) -> None:
        async with asyncio.timeout(RESULT_TIMEOUT_S):
            while True:
                try:
                    started.output = await run.result()
                    return
                except AWAY:
                    continue
                except wfe.RunFailed as failed:
                    started.error = failed.error
                    return
                except wfe.RunCancelled:
                    started.cancelled = True
                    return
