"""The worker of a test: the production's actor, and tasks that run at once: their functions, or what mocks them.

Async tasks run on the virtual loop (`asyncio.sleep` costs nothing), sync ones in a thread that is waited for. A task
takes no virtual time but what it sleeps. Durable functions are re-run from their record at each turn, unless the test
says otherwise. Invariant: every started attempt yields exactly one result.
"""

from __future__ import annotations

import asyncio
import contextvars
import inspect
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

from msgspec import Raw

from wfe.config import WorkerOptions
from wfe.errors import TimedOut
from wfe.limits import DURABLE_LIVE_MAX
from wfe.model.needs import ANY
from wfe.sim.workers import Key, WorkerNode
from wfe.wire.messages import TaskBeat, TaskResult, TaskSpec
from wfe.worker.actor import WorkerActor
from wfe.worker.durable.turns import Turns
from wfe.worker.failure import error_info, failure
from wfe.worker.functions import TaskFunction, encode_result
from wfe.worker.identity import Identity
from wfe.worker.job import CURRENT, Job

if TYPE_CHECKING:
    from wfe.testing.world import TestWorld

TASK_US = 100
_THREAD = ThreadPoolExecutor(1, thread_name_prefix="wfe-test-task")
"""Sync tasks run here, one after the other, so that they may use asyncio.run like in a worker."""


class TaskNode(WorkerNode):
    """One worker process of a test."""

    world: TestWorld

    def __init__(self, world: TestWorld, name: str, options: WorkerOptions, *, slots: int) -> None:
        super().__init__(world, name, options, slots=slots)
        identity = Identity(
            worker=options.worker,
            tasks=list(world.tasks),
            slots=slots,
            token=options.token,
            index=options.index,
            local=options.local,
            labels={ANY: ""},
            resources={ANY: 1},
        )
        self.actor = WorkerActor(identity, self, self)
        self.offers = len(identity.tasks)
        self._coroutines: dict[Key, asyncio.Task[None]] = {}
        self._turns = Turns(world.loop, world.tasks, _unused, keep=0 if world.rerun else DURABLE_LIVE_MAX)

    def cancel(self, ref: Any) -> None:
        key = (ref.run_id, ref.node, ref.activation, ref.attempt)
        coroutine = self._coroutines.get(key)
        if coroutine is None:
            super().cancel(ref)
        elif key not in self._cancelled:
            self._cancelled.add(key)
            coroutine.cancel()

    def _fill(self) -> None:
        while self._waiting and len(self._running) < self._slots:
            spec = self._waiting.popleft()
            key = (spec.run_id, spec.node, spec.activation, spec.attempt)
            self._running[key] = spec
            self._turns.took(spec)
            self.world.busy_tasks += 1
            self.world.schedule.after(TASK_US, self._execute, spec, key)

    def _execute(self, spec: TaskSpec, key: Key) -> None:
        if not self.alive or key not in self._running:
            self.world.busy_tasks -= 1
            return
        if spec.durable:
            self._over(key, self._turns.turn(spec))
            return
        registered = self.world.tasks[spec.task, spec.task_version]
        job = Job(spec, TaskFunction(registered, self._beat))
        job.start(time.monotonic_ns())
        mock = self.world.mocks.get(spec.task)
        token = CURRENT.set(job)
        try:
            if mock is not None:
                call: Callable[[], Any] = mock.called(spec)
            else:
                call = _calling(job)
            if mock is None and registered.is_async:
                made = call()
            else:
                made = _THREAD.submit(contextvars.copy_context().run, call).result()
            if inspect.isawaitable(made):
                work = self.world.loop.create_task(self._awaited(job, key, made))
                self._coroutines[key] = work
                return
            result = job.done(encode_result(made), time.monotonic_ns())
        except Exception as error:  # noqa: BLE001  the failure travels to the run, as in a worker
            result = job.failed(error_info(error, spec.node_id), time.monotonic_ns())
        finally:
            CURRENT.reset(token)
        self._over(key, result)

    async def _awaited(self, job: Job, key: Key, made: Any) -> None:
        CURRENT.set(job)
        limit_s = job.spec.timeout_ms / 1000 if job.spec.timeout_ms else None
        limit = asyncio.timeout(limit_s)
        try:
            async with limit:
                result = job.done(encode_result(await made), time.monotonic_ns())
        except asyncio.CancelledError:
            result = job.withdrawn(time.monotonic_ns())
        except TimeoutError as error:
            reason = f"the task ran longer than its time limit of {job.spec.timeout_ms} ms"
            info = failure(TimedOut, reason, job.spec.node_id) if limit.expired() else error_info(error)
            result = job.failed(info, time.monotonic_ns())
        except Exception as error:  # noqa: BLE001  as above
            result = job.failed(error_info(error, job.spec.node_id), time.monotonic_ns())
        del self._coroutines[key]
        self._over(key, result)

    def _over(self, key: Key, result: TaskResult) -> None:
        self.world.busy_tasks -= 1
        if self.alive:
            self._ended(key, result)

    def _beat(self, job: Any, details: Raw, progress: float) -> None:
        self._beats.append(TaskBeat(job.ref(), details, progress))

    def let_go(self) -> None:
        """The test is over: durable functions end where they stand, before anybody else collects them."""
        self._turns.close()

    def die(self, code: int) -> None:
        for coroutine in self._coroutines.values():
            coroutine.cancel()
        self._turns.close()
        super().die(code)


def _unused(result: TaskResult) -> None:
    raise AssertionError("turns are run at once, and their results returned")


def _calling(job: Job) -> Callable[[], Any]:
    return lambda: job.function.invoke(job.spec)
