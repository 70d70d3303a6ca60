"""Runs attempts through a real runner on a real loop and waits for their results."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import msgspec
from msgspec import Raw
from worker_tasks import registered

from wfe.model.registered import RegisteredTask
from wfe.wire.messages import NULL, TaskBeat, TaskRef, TaskResult, TaskSpec
from wfe.worker.deadlines import DeadlineBoard
from wfe.worker.runner import Runner
from wfe.worker.task_logs import LineBuffer

WAIT_S = 30.0


class Runs:
    """``await runs(function, a=1)`` gives the `TaskResult`; `start` and `ended` do it in two steps."""

    def __init__(
        self, slots: int = 4, board: DeadlineBoard | None = None, processes: int = 2, lines: LineBuffer | None = None
    ) -> None:
        self.tasks: dict[tuple[str, int], RegisteredTask] = {}
        self.runner = Runner(
            asyncio.get_running_loop(),
            self.tasks,
            slots,
            self._on_results,
            board=board,
            processes=processes,
            lines=lines,
        )
        self.results: dict[str, TaskResult] = {}
        self.batches: list[list[str]] = []
        self.beats: list[TaskBeat] = []
        self._waiting: dict[str, asyncio.Future[TaskResult]] = {}
        self._count = 0

    def start(self, function: Callable[..., Any], options: dict[str, Any] | None = None, /, **arguments: Any) -> str:
        """Starts an attempt; ``options`` are fields of the spec. Gives its run id."""
        known = getattr(function, "__wfe_task__", None) or registered(function)
        self.tasks[(known.name, 1)] = known
        self._count += 1
        run = f"run-{self._count}"
        self._waiting[run] = asyncio.get_running_loop().create_future()
        raw = Raw(msgspec.msgpack.encode(arguments))
        self.runner.start(TaskSpec(run, 0, 0, 1, known.name, 1, "node", raw, **(options or {})))
        return run

    async def ended(self, run: str) -> TaskResult:
        return await asyncio.wait_for(self._waiting[run], WAIT_S)

    async def __call__(
        self, function: Callable[..., Any], options: dict[str, Any] | None = None, /, **arguments: Any
    ) -> TaskResult:
        return await self.ended(self.start(function, options, **arguments))

    def cancel(self, run: str) -> None:
        self.runner.cancel(TaskRef(run, 0, 0, 1))

    def _on_results(self, results: list[TaskResult], beats: list[TaskBeat]) -> None:
        self.beats += beats
        self.batches.append([result.run_id for result in results])
        for result in results:
            assert result.run_id not in self.results, "one result per attempt"
            self.results[result.run_id] = result
            self._waiting[result.run_id].set_result(result)


def value(result: TaskResult) -> Any:
    """What the task returned; the test fails when it failed."""
    assert result.status == 0, result.error
    return msgspec.msgpack.decode(result.value)


def failed(result: TaskResult) -> Any:
    """The error of a task that failed."""
    assert result.status == 1
    assert result.value == NULL
    return result.error
