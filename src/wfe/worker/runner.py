"""Execution of attempts: gives each to the loop, to a slot thread or to a child process, and collects the ends.

Turns of durable functions are run on the loop (`durable`).

Belongs to the loop's thread (heartbeats alone come from any). Invariants: every started attempt yields exactly one
result; results that end in one loop turn are delivered together; nothing that user code does leaves as an exception.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping
from typing import Protocol

from msgspec import Raw

from wfe.errors import UnknownTask
from wfe.model.registered import RegisteredTask
from wfe.wire.messages import TaskBeat, TaskRef, TaskResult, TaskSpec
from wfe.worker.aio import AsyncRunner
from wfe.worker.deadlines import DeadlineBoard
from wfe.worker.durable.turns import Turns
from wfe.worker.failure import failure
from wfe.worker.functions import TaskFunction
from wfe.worker.job import FAILED, Job, JobKey
from wfe.worker.processes import ProcessPool
from wfe.worker.task_logs import LineBuffer
from wfe.worker.threads import SlotPool
from wfe.worker.tracing import AttemptTracing


class Executor(Protocol):
    """One of the three ways to run an attempt."""

    def start(self, job: Job) -> None: ...

    def cancel(self, job: Job) -> None: ...


OnResults = Callable[[list[TaskResult], list[TaskBeat]], None]


class Runner:
    """Implements `ports.TaskRunner`. ``on_results(results, beats)``: ends, and heartbeats that came before them."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tasks: Mapping[tuple[str, int], RegisteredTask],
        slots: int,
        on_results: OnResults,
        *,
        board: DeadlineBoard | None = None,
        processes: int | None = None,
        tracing: AttemptTracing | None = None,
        log: tuple[str, str] = ("info", "auto"),
        lines: LineBuffer | None = None,
    ) -> None:
        self._loop, self._on_results = loop, on_results
        self._tasks = tasks
        self._known: dict[tuple[str, int], tuple[TaskFunction, Executor]] = {}
        self._jobs: dict[JobKey, Job] = {}
        self._tracing = tracing or AttemptTracing()
        self._done: list[TaskResult] = []
        self._flush_due = False
        self._beats: dict[JobKey, TaskBeat] = {}
        self._async = AsyncRunner(loop, self._ended, board, slots)
        self._threads = SlotPool(loop, slots, self._ended_many, board)
        self._processes = ProcessPool(loop, processes, self._ended, log, lines)
        self._processes.otel = self._tracing.endpoint
        self._turns = Turns(loop, tasks, self._ended, board=board, board_slot=slots + 1)

    def start(self, spec: object) -> None:
        """Starts an attempt (a `TaskSpec`). One that names an unknown task fails."""
        assert isinstance(spec, TaskSpec)
        if spec.durable:
            self._turns.start(spec)
            return
        known = self._known.get((spec.task, spec.task_version)) or self._prepare(spec)
        if known is None:
            self._ended(_unknown_task(spec))
            return
        function, executor = known
        if self._turns.live:
            self._turns.took(spec)
        job = Job(spec, function)
        if spec.trace is not None:
            job.tracing, job.received_ns = self._tracing, time.monotonic_ns()
        self._jobs[(spec.run_id, spec.node, spec.activation, spec.attempt)] = job
        executor.start(job)

    def cancel(self, ref: object) -> None:
        """Asks an attempt (a `TaskRef`) to stop; its end comes as a result all the same. Unknown ones are ignored."""
        assert isinstance(ref, TaskRef)
        job = self._jobs.get((ref.run_id, ref.node, ref.activation, ref.attempt))
        if job is None:
            self._turns.cancel(ref)
        if job is None or job.cancelled:
            return
        self._known[(job.spec.task, job.spec.task_version)][1].cancel(job)

    @property
    def tainted(self) -> bool:
        """Whether something that was given up still runs in here, so that the process should be replaced."""
        return self._threads.tainted or self._async.tainted

    def running(self) -> int:
        """Attempts that are being executed now."""
        return self._threads.running() + self._async.running() + self._processes.running()

    def take_beats(self) -> list[TaskBeat]:
        """The latest heartbeat of each attempt since the last call."""
        beats = []
        while self._beats:
            beats.append(self._beats.popitem()[1])
        return beats

    def close(self) -> None:
        """Cancels coroutines, ends child processes, lets threads go."""
        self._turns.close()
        self._async.close()
        self._threads.close()
        self._processes.close()

    def _prepare(self, spec: TaskSpec) -> tuple[TaskFunction, Executor] | None:
        """Compiles a task at its first attempt; None when there is no such task."""
        registered = self._tasks.get((spec.task, spec.task_version))
        if registered is None:
            return None
        executor: Executor
        if registered.run_in == "process":
            executor = self._processes
        elif registered.is_async:
            executor = self._async
        else:
            executor = self._threads
        known = self._known[(spec.task, spec.task_version)] = (TaskFunction(registered, self._beat), executor)
        return known

    def _beat(self, job: Job, details: Raw, progress: float) -> None:
        job.extend(time.monotonic_ns())
        if job.deadline_ns:
            self._threads.extended(job)
        self._beats[job.key] = TaskBeat(job.ref(), details, progress)

    def _ended(self, result: TaskResult) -> None:
        self._done.append(result)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)

    def _ended_many(self, results: list[TaskResult]) -> None:
        if self._done:
            self._done.extend(results)
        else:
            self._hand_on(results)

    def _flush(self) -> None:
        self._flush_due = False
        done, self._done = self._done, []
        if done:
            self._hand_on(done)

    def _hand_on(self, results: list[TaskResult]) -> None:
        jobs = self._jobs
        for result in results:
            job = jobs.pop((result.run_id, result.node, result.activation, result.attempt), None)
            if job is not None and job.tracing is not None:
                job.tracing.ended(job, result)
        self._turns.go_ahead(results)
        self._on_results(results, self.take_beats() if self._beats else [])


def _unknown_task(spec: TaskSpec) -> TaskResult:
    message = f"this worker has no task {spec.task!r} in version {spec.task_version}"
    error = failure(UnknownTask, message, spec.node_id, fatal=True)
    return TaskResult(spec.run_id, spec.node, spec.activation, spec.attempt, FAILED, error=error)
