"""Asynchronous tasks: one asyncio.Task per attempt on the worker's loop.

All of it runs on the loop. Invariants: every job yields exactly one result; neither SystemExit nor KeyboardInterrupt of
user code reaches the loop; a coroutine that swallows its CancelledError is given up after a grace, and as long as it
goes on running the runner is tainted.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from heapq import heapify, heappop, heappush

from wfe.errors import TaskCancelled
from wfe.limits import CANCEL_GRACE_MS
from wfe.wire.messages import TaskResult
from wfe.worker import capture
from wfe.worker.deadlines import DeadlineBoard
from wfe.worker.failure import error_info
from wfe.worker.functions import encode_result
from wfe.worker.job import CURRENT, Job

UNWIND_S = 2.0
"""After its time limit a coroutine may clean up for this long before the time-out is reported without it."""
_GRACE_S = CANCEL_GRACE_MS / 1_000
_SETTLED_MAX = 1_000


class AsyncRunner:
    """Runs coroutine functions. ``deliver(result)`` is called on the loop at the end of each attempt.

    ``board_slot``: where the earliest deadline of all attempts stands on the board, for the parent to see.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        deliver: Callable[[TaskResult], None],
        board: DeadlineBoard | None = None,
        board_slot: int = 0,
    ) -> None:
        self._loop, self._deliver, self._board, self._board_slot = loop, deliver, board, board_slot
        self._tasks: dict[Job, asyncio.Task[None]] = {}
        self._given_up: set[asyncio.Task[None]] = set()
        self._deadlines: list[tuple[int, int, Job]] = []
        self._pushed = 0
        self._check: asyncio.TimerHandle | None = None
        self._check_at_ns = 0

    def start(self, job: Job) -> None:
        self._tasks[job] = self._loop.create_task(self._attempt(job), name=f"wfe-{job.spec.task}")

    def cancel(self, job: Job) -> None:
        """Cancels the coroutine; one that goes on regardless is given up after the grace."""
        job.cancelled = True
        job.cancelled_ns = time.monotonic_ns()
        task = self._tasks.get(job)
        if task is None:
            return
        task.cancel()
        if job.started_ns:
            self._loop.call_later(_GRACE_S, self._give_up, job)
        else:  # a task that is cancelled before its first step never runs a line, so it cannot settle itself
            self._settle(job, job.withdrawn(job.cancelled_ns))

    def running(self) -> int:
        return len(self._tasks)

    @property
    def tainted(self) -> bool:
        """Whether a coroutine that was given up still runs."""
        return bool(self._given_up)

    def close(self) -> None:
        """Cancels whatever still runs."""
        if self._check is not None:
            self._check.cancel()
        for task in (*self._tasks.values(), *self._given_up):
            task.cancel()

    async def _attempt(self, job: Job) -> None:
        job.start(time.monotonic_ns())
        if job.deadline_ns:
            self._watch(job)
        CURRENT.set(job)
        if job.tracing is not None:
            job.tracing.enter(job)
        try:
            value = encode_result(await job.function.invoke(job.spec))
            result = job.done(value, time.monotonic_ns())
        except BaseException as error:  # noqa: BLE001  the failure travels to the run; the loop outlives its tasks
            result = self._failed(job, error)
        if job.printed:
            capture.flush(job)
        self._settle(job, result)

    def _failed(self, job: Job, error: BaseException) -> TaskResult:
        now_ns = time.monotonic_ns()
        if job.cancelled and isinstance(error, (asyncio.CancelledError, TaskCancelled)):
            return job.withdrawn(now_ns) if job.cancelled_ns else job.overran(now_ns)
        return job.failed(error_info(error, job.spec.node_id), now_ns)

    def _settle(self, job: Job, result: TaskResult) -> None:
        self._tasks.pop(job, None)
        if not job.settled:
            job.settled = True
            self._deliver(result)
            if job.deadline_ns:
                self._forget_settled(job)

    # ---- time limits ----

    def _watch(self, job: Job) -> None:
        self._pushed += 1
        heappush(self._deadlines, (job.deadline_ns, self._pushed, job))
        self._schedule()

    def _forget_settled(self, job: Job) -> None:
        """Keeps the board true, and the heap in proportion to what runs: most attempts end long before their limit."""
        if self._deadlines and self._deadlines[0][2] is job:
            self._schedule()
        if len(self._deadlines) > 2 * len(self._tasks) + _SETTLED_MAX:
            self._deadlines = [entry for entry in self._deadlines if not entry[2].settled]
            heapify(self._deadlines)

    def _schedule(self) -> None:
        while self._deadlines and self._deadlines[0][2].settled:
            heappop(self._deadlines)
        due_ns = self._deadlines[0][0] if self._deadlines else 0
        if self._board is not None:
            self._board.set(self._board_slot, due_ns)
        if self._check is not None:
            if due_ns == self._check_at_ns:
                return
            self._check.cancel()
            self._check = None
        if due_ns:
            self._check_at_ns = due_ns
            delay_s = max(0.0, (due_ns - time.monotonic_ns()) / 1e9) + 0.001
            self._check = self._loop.call_later(delay_s, self._check_limits)

    def _check_limits(self) -> None:
        self._check = None
        now_ns = time.monotonic_ns()
        while self._deadlines and self._deadlines[0][0] <= now_ns:
            job = heappop(self._deadlines)[2]
            if job.settled or job.cancelled:
                continue
            if job.deadline_ns > now_ns:  # heartbeats moved it
                self._pushed += 1
                heappush(self._deadlines, (job.deadline_ns, self._pushed, job))
                continue
            job.cancelled = True
            self._tasks[job].cancel()
            self._loop.call_later(UNWIND_S, self._give_up, job)
        self._schedule()

    def _give_up(self, job: Job) -> None:
        task = self._tasks.pop(job, None)
        if task is None:
            return
        self._given_up.add(task)
        task.add_done_callback(self._given_up.discard)
        now_ns = time.monotonic_ns()
        self._settle(job, job.withdrawn(now_ns) if job.cancelled_ns else job.overran(now_ns))
