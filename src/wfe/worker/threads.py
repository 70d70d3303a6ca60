"""Slot threads: synchronous tasks, run from one queue by up to K threads, with as few hand-overs as possible.

The loop appends a turn's jobs to the queue and wakes as many threads as the work is worth (by each task's measured
duration): one for a frame of no-ops, sixteen for sixteen slow tasks. A thread runs jobs until the queue is empty and
gives results back in batches. Estimates err, so while jobs wait a *watch* looks every few milliseconds: if nothing was
finished since the last look, more threads are woken. A thread waits on a lock of its own, which whoever wakes it
releases (0.1 us; a condition costs ten times that). HOTPATH.md, rule 17.

Invariants: a slow job in one slot never delays a job or a result of another. Every job yields exactly one result: the
loop alone settles jobs. A thread cannot be stopped: a job that overran is reported, its thread abandoned and replaced;
while an abandoned thread lives, the pool is tainted.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable

from wfe import otel
from wfe.errors import TaskCancelled
from wfe.limits import CANCEL_GRACE_MS
from wfe.wire.messages import TaskResult
from wfe.worker import capture
from wfe.worker.deadlines import DeadlineBoard
from wfe.worker.failure import error_info
from wfe.worker.functions import encode_result
from wfe.worker.job import CURRENT, Job

WATCH_S = 0.002
_HANDOVER_WORTH_US = 500.0
"""Less work than this is not worth waking another thread for."""
_SLOW_US = 200.0
"""Before a job that is expected to take this long, finished results are announced."""
_RESULTS_MAX = 128
_RESULTS_AGE_NS = 1_000_000
"""So many results, or some that are that old, are announced though jobs wait: else a frame's results leave as one."""
_GRACE_NS = CANCEL_GRACE_MS * 1_000_000

Finished = tuple[Job, TaskResult]


class Slot:
    """One thread's place. ``job`` is what it runs; ``abandoned``: the thread must leave when its job ends."""

    __slots__ = ("abandoned", "index", "job", "thread", "wake")

    def __init__(self, index: int) -> None:
        self.index = index
        self.job: Job | None = None
        self.abandoned = False
        self.wake = threading.Lock()
        self.wake.acquire()
        self.thread: threading.Thread | None = None


class SlotPool:
    """Runs synchronous jobs in up to ``slots`` threads. All methods belong to the loop.

    ``deliver(results)`` is called on the loop with batches of results.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        slots: int,
        deliver: Callable[[list[TaskResult]], None],
        board: DeadlineBoard | None = None,
    ) -> None:
        self._loop, self._deliver, self._board = loop, deliver, board
        self._slots: list[Slot | None] = [None] * slots
        self._idle: deque[Slot] = deque()
        self._pending: deque[Job] = deque()
        self._finished: list[Finished] = []
        self._abandoned: list[Slot] = []
        self._announced = False
        self._closed = False
        self._completed = 0
        self._seen_completed = 0
        self._more = 1
        """Threads to wake when nothing was finished since the last look."""
        self._new_work_us = 0.0
        self._handover_due = False
        self._watching = False
        self._limit_min_ns = 0
        self._check_at_ns = 0
        self._check: asyncio.TimerHandle | None = None

    # ---- the loop's side ----

    def start(self, job: Job) -> None:
        """Queues a job; threads are woken once per loop turn."""
        self._pending.append(job)
        self._new_work_us += job.function.estimate_us
        spec = job.spec
        if spec.timeout_ms or spec.heartbeat_ms:
            self._note_limit(spec.timeout_ms or spec.heartbeat_ms, spec.heartbeat_ms or spec.timeout_ms)
        if not self._handover_due:
            self._handover_due = True
            self._loop.call_soon(self._hand_over)

    def cancel(self, job: Job) -> None:
        """A waiting job is withdrawn at once; a running one is asked to stop, and abandoned after the grace."""
        job.cancelled = True
        job.cancelled_ns = time.monotonic_ns()
        if job.started_ns:
            self._schedule_check(job.cancelled_ns + _GRACE_NS)
        else:
            self._settle(job, job.withdrawn(job.cancelled_ns))

    def extended(self, job: Job) -> None:
        """A heartbeat moved the job's deadline. May be called from the job's thread."""
        if self._board is not None:
            for slot in self._slots:
                if slot is not None and slot.job is job:
                    self._board.set(slot.index, job.deadline_ns)

    @property
    def tainted(self) -> bool:
        """Whether a thread that nobody waits for any more still runs."""
        self._abandoned = [slot for slot in self._abandoned if slot.thread is not None and slot.thread.is_alive()]
        return bool(self._abandoned)

    def running(self) -> int:
        return sum(1 for slot in self._slots if slot is not None and slot.job is not None)

    def close(self) -> None:
        """Lets idle threads go. Threads are daemons: one that is stuck does not keep the process."""
        self._closed = True
        self._pending.clear()
        if self._check is not None:
            self._check.cancel()
        while self._idle:
            self._idle.pop().wake.release()

    def _hand_over(self) -> None:
        self._handover_due = False
        worth, self._new_work_us = self._new_work_us, 0.0
        wanted = min(len(self._pending), max(1, int(worth / _HANDOVER_WORTH_US)))
        self._wake(wanted - self._draining())
        if self._pending:
            self._watch()

    def _draining(self) -> int:
        """Threads that are awake and will soon look at the queue again."""
        count = 0
        for slot in self._slots:
            job = slot.job if slot is not None else None
            if job is not None and job.function.estimate_us < _SLOW_US:
                count += 1
        return count

    def _wake(self, count: int) -> None:
        while count > 0 and self._idle:
            self._idle.pop().wake.release()  # the one that parked last is warm
            count -= 1
        if count > 0:
            for index, slot in enumerate(self._slots):
                if slot is None and count > 0:
                    self._open(index)
                    count -= 1

    def _open(self, index: int) -> None:
        slot = self._slots[index] = Slot(index)
        slot.thread = threading.Thread(target=self._serve, args=(slot,), name=f"wfe-slot-{index}", daemon=True)
        slot.thread.start()

    def _watch(self) -> None:
        if not self._watching and not self._closed:
            self._watching = True
            self._loop.call_later(WATCH_S, self._look)

    def _look(self) -> None:
        self._watching = False
        self._collect()
        if not self._pending:
            self._more = 1
            return
        if self._completed == self._seen_completed:
            # One more at first: perhaps the thread that runs has only been held up by other processes.
            self._wake(min(self._more, len(self._pending)))
            self._more *= 2
        else:
            self._more = 1
        self._seen_completed = self._completed
        self._watch()

    def _collect(self) -> None:
        """Takes what the threads have finished; what the loop has settled before is dropped."""
        self._announced = False
        finished = self._finished[:]  # threads append meanwhile: the list is never replaced, only shortened
        if not finished:
            return
        del self._finished[: len(finished)]
        self._completed += len(finished)
        results = []
        function, count, total_us = finished[0][0].function, 0, 0
        for job, result in finished:
            if not job.settled:
                job.settled = True
                results.append(result)
            if job.function is not function:
                function.took(total_us, count)
                function, count, total_us = job.function, 0, 0
            count += 1
            total_us += result.started_us
        function.took(total_us, count)
        if results:
            self._deliver(results)

    def _settle(self, job: Job, result: TaskResult) -> None:
        if not job.settled:
            job.settled = True
            self._deliver([result])

    # ---- time limits ----

    def _note_limit(self, timeout_ms: int, heartbeat_ms: int) -> None:
        limit_ns = min(timeout_ms, heartbeat_ms) * 1_000_000
        if not self._limit_min_ns or limit_ns < self._limit_min_ns:
            self._limit_min_ns = limit_ns
        self._schedule_check(time.monotonic_ns() + limit_ns)

    def _schedule_check(self, at_ns: int) -> None:
        """One timer for all jobs, at the earliest time at which one of them can have overrun."""
        if self._check is not None:
            if self._check_at_ns <= at_ns:
                return
            self._check.cancel()
        self._check_at_ns = at_ns
        delay_s = max(0.0, (at_ns - time.monotonic_ns()) / 1e9) + 0.001
        self._check = self._loop.call_later(delay_s, self._check_limits)

    def _check_limits(self) -> None:
        self._check = None
        self._collect()
        now_ns = time.monotonic_ns()
        next_ns = now_ns + self._limit_min_ns if self._pending and self._limit_min_ns else 0
        for slot in [slot for slot in self._slots if slot is not None] + self._abandoned:
            job = slot.job
            if job is None or job.settled:
                continue
            due_ns = job.cancelled_ns + _GRACE_NS if job.cancelled_ns else job.deadline_ns
            if not due_ns:
                continue
            if due_ns <= now_ns:
                self._abandon(slot, job, now_ns)
            else:
                next_ns = min(next_ns, due_ns) if next_ns else due_ns
        if next_ns and not self._closed:
            self._schedule_check(next_ns)

    def _abandon(self, slot: Slot, job: Job, now_ns: int) -> None:
        withdrawn = bool(job.cancelled_ns)
        job.cancelled = True
        if not slot.abandoned:  # an abandoned thread may have taken one more job before it saw that it is
            slot.abandoned = True
            self._abandoned.append(slot)
            if self._board is not None:
                self._board.clear(slot.index)
            self._open(slot.index)
        self._settle(job, job.withdrawn(now_ns) if withdrawn else job.overran(now_ns))

    def _replace(self, slot: Slot, error: BaseException) -> None:
        """A thread has died. Its job fails with what killed it; the place is free again."""
        if self._slots[slot.index] is slot:
            self._slots[slot.index] = None
        if slot.job is not None:
            now_ns = time.monotonic_ns()
            self._settle(slot.job, slot.job.failed(error_info(error, slot.job.spec.node_id), now_ns))
        self._wake(len(self._pending))

    # ---- the threads' side ----

    def _serve(self, slot: Slot) -> None:
        try:
            self._run(slot)
        except BaseException as error:  # noqa: BLE001  an exception set on this thread from outside, between two jobs
            self._loop.call_soon_threadsafe(self._replace, slot, error)

    def _run(self, slot: Slot) -> None:
        pending = self._pending
        oldest_ns = 0
        while not slot.abandoned:
            try:
                job = pending.popleft()
            except IndexError:
                CURRENT.set(None)
                if self._finished and not self._announced:
                    self._announce()
                if not self._park(slot):
                    return
                oldest_ns = 0
                continue
            if job.settled:
                continue
            if self._finished and not self._announced and job.function.estimate_us > _SLOW_US:
                self._announce()
            slot.job = job
            result = self._execute(slot, job)
            slot.job = None
            self._finished.append((job, result))
            if self._announced:
                oldest_ns = 0
                continue
            oldest_ns = oldest_ns or job.started_ns
            old = job.started_ns - oldest_ns > _RESULTS_AGE_NS
            if old or not pending or len(self._finished) >= _RESULTS_MAX or slot.abandoned:
                self._announce()

    def _park(self, slot: Slot) -> bool:
        """Waits until there is work; False when the pool has closed."""
        self._idle.append(slot)
        if self._pending or self._closed:
            # Work may have come between the last look and the line above. Whoever takes a slot out of `idle` releases
            # its lock, so if somebody was faster the acquire below returns at once.
            try:
                self._idle.remove(slot)
            except ValueError:
                slot.wake.acquire()
            return not self._closed
        slot.wake.acquire()
        return not self._closed

    def _announce(self) -> None:
        self._announced = True
        try:
            self._loop.call_soon_threadsafe(self._collect)
        except RuntimeError:  # the loop has closed: nobody waits for results any more
            self._closed = True

    def _execute(self, slot: Slot, job: Job) -> TaskResult:
        """Runs the job; whatever user code does (sys.exit included), a result comes out."""
        job.start(time.monotonic_ns())
        board = self._board if job.deadline_ns else None
        if board is not None:
            board.set(slot.index, job.deadline_ns)
        CURRENT.set(job)
        traced = job.tracing.enter(job) if job.tracing is not None else None
        try:
            value = encode_result(job.function.invoke(job.spec))
            result = job.done(value, time.monotonic_ns())
        except BaseException as error:  # noqa: BLE001  the failure travels to the run; a slot outlives its tasks
            now_ns = time.monotonic_ns()
            if job.cancelled and isinstance(error, TaskCancelled):
                result = job.withdrawn(now_ns)
            else:
                result = job.failed(error_info(error, job.spec.node_id), now_ns)
        finally:
            if traced is not None:
                otel.leave(traced)
            if board is not None and not slot.abandoned:
                board.clear(slot.index)
        if job.printed:
            capture.flush(job)
        return result
