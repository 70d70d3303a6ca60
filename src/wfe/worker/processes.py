"""Tasks with ``run_in="process"``: child processes that are reused, and killed when a task overruns or is cancelled.

Each *lane* is a thread that owns one child: it hands over an attempt, and waits for beats and the end. Blocking in
`recv` is all it does, so the loop stays free. The loop owns the timers; it stops a child by killing it with all that it
has started, and the lane sees the end of the stream. Children are spawned, never forked, and stay in the worker's
process group, so that whoever kills the worker's group takes them along.
Invariants: every job yields exactly one result; no child outlives the worker: it exits at the end of its stream, and
the kernel kills it when the lane is gone (Linux).
"""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from queue import SimpleQueue

import psutil

from wfe import observe
from wfe.errors import WfeError
from wfe.wire.messages import NULL, TaskResult
from wfe.worker.failure import error_info, failure
from wfe.worker.ipc import Cancel, Ended, Pipe, Prepare, Run, Said, Stop, decode_from_child
from wfe.worker.job import Job
from wfe.worker.task_logs import LineBuffer

CANCEL_GRACE_S = 1.0
"""A cancelled attempt may clean up for this long before its process is killed."""
STOP_GRACE_S = 2.0
SPAWN_RETRY_S = 0.5
"""How often a process is tried again that the system had no descriptors, processes or memory for."""
_LATER = (errno.EMFILE, errno.ENFILE, errno.EAGAIN, errno.ENOMEM)

_logger = observe.get_logger("wfe.worker")


class ProcessDied(WfeError):
    """The process of a ``run_in="process"`` task ended in the middle: a crash in C code, out of memory, `os._exit`."""

    code = "process_died"


class Child:
    """One spawned process and the stream to it."""

    def __init__(self, log_level: str, log_format: str) -> None:
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                command = [sys.executable, "-P", "-m", "wfe.worker.child", str(theirs.fileno())]
                self.process = subprocess.Popen(command, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL)
        except OSError:
            ours.close()
            raise
        self.pipe = Pipe(ours)
        self.pipe.send(Prepare([path or os.getcwd() for path in sys.path], log_level, log_format))

    def kill(self) -> None:
        """Ends the process and everything that it has started."""
        with suppress(psutil.Error):
            for descendant in psutil.Process(self.process.pid).children(recursive=True):
                with suppress(psutil.Error):
                    descendant.kill()
        with suppress(ProcessLookupError):
            self.process.kill()

    def reap(self) -> int:
        """Waits for the end of a process that is gone or was killed; its return code."""
        self.pipe.close()
        return self.process.wait()

    def stop(self) -> None:
        """Asks it to close its resources and leave; kills it when it does not."""
        self.pipe.send(Stop())
        try:
            self.process.wait(STOP_GRACE_S)
        except subprocess.TimeoutExpired:
            self.kill()
        self.reap()


class Lane:
    """A thread with a child of its own. ``job``: what it runs now."""

    def __init__(self, name: str, serve: Callable[[Lane], None]) -> None:
        self.child: Child | None = None
        self.job: Job | None = None
        self.thread = threading.Thread(target=serve, args=(self,), name=name, daemon=True)


class ProcessPool:
    """Runs jobs in up to ``processes`` children (None: one per CPU). All methods belong to the loop."""

    otel = ""
    """Where spans of the tasks' code go (`otel.endpoint_of`)."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        processes: int | None,
        deliver: Callable[[TaskResult], None],
        log: tuple[str, str] = ("info", "auto"),
        lines: LineBuffer | None = None,
    ) -> None:
        self._loop, self._deliver, self._lines = loop, deliver, lines
        self._max = processes or os.cpu_count() or 1
        self._log = log
        self._lanes: list[Lane] = []
        self._queue: SimpleQueue[Job | None] = SimpleQueue()
        self._open_jobs = 0
        self._closing = threading.Event()

    def start(self, job: Job) -> None:
        self._open_jobs += 1
        if self._open_jobs > len(self._lanes) and len(self._lanes) < self._max:
            lane = Lane(f"wfe-process-{len(self._lanes)}", self._serve)
            self._lanes.append(lane)
            lane.thread.start()
        self._queue.put(job)

    def cancel(self, job: Job) -> None:
        """A waiting job is withdrawn; a running one is told, and its process killed after the grace."""
        job.cancelled = True
        job.cancelled_ns = time.monotonic_ns()
        lane = self._lane_of(job)
        if lane is None:
            self._settle(job, job.withdrawn(job.cancelled_ns))
            return
        if lane.child is not None:
            lane.child.pipe.send(Cancel())
        self._loop.call_later(CANCEL_GRACE_S, self._kill, lane, job)

    def running(self) -> int:
        return sum(1 for lane in self._lanes if lane.job is not None)

    def close(self) -> None:
        """Ends all children: idle ones are asked, busy ones killed. Waits for them (at most STOP_GRACE_S each)."""
        self._closing.set()
        for lane in self._lanes:
            if lane.job is not None and lane.child is not None:
                lane.child.kill()
            self._queue.put(None)
        for lane in self._lanes:
            lane.thread.join(2 * STOP_GRACE_S)

    # ---- the loop's side ----

    def _lane_of(self, job: Job) -> Lane | None:
        return next((lane for lane in self._lanes if lane.job is job), None)

    def _arm(self, lane: Lane, job: Job) -> None:
        """The attempt has begun: its deadline is known."""
        if job.deadline_ns and not job.settled:
            delay_s = max(0.0, (job.deadline_ns - time.monotonic_ns()) / 1e9) + 0.001
            self._loop.call_later(delay_s, self._check_limit, lane, job)

    def _check_limit(self, lane: Lane, job: Job) -> None:
        now_ns = time.monotonic_ns()
        if job.settled or job.cancelled:
            return
        if job.deadline_ns > now_ns:  # heartbeats moved it
            self._arm(lane, job)
            return
        job.cancelled = True
        self._kill(lane, job)

    def _kill(self, lane: Lane, job: Job) -> None:
        if lane.job is job and not job.settled and lane.child is not None:
            lane.child.kill()

    def _settle(self, job: Job, result: TaskResult) -> None:
        if not job.settled:
            job.settled = True
            self._open_jobs -= 1
            self._deliver(result)

    # ---- the lanes' side ----

    def _serve(self, lane: Lane) -> None:
        while (job := self._queue.get()) is not None and not self._closing.is_set():
            if job.settled:
                continue
            lane.job = job
            try:
                result = self._attempt(lane, job)
            except Exception as error:  # noqa: BLE001  a spawn that cannot succeed is the attempt's failure; the lane stays
                result = job.failed(error_info(error, job.spec.node_id), time.monotonic_ns())
            lane.job = None
            with suppress(RuntimeError):  # the loop has closed: nobody waits for the result
                self._loop.call_soon_threadsafe(self._settle, job, result)
        if lane.child is not None:
            lane.child.stop()

    def _spawn(self, job: Job) -> Child | None:
        """A child; None when the job was cancelled before the system had what it takes."""
        told = False
        while not (job.cancelled or self._closing.is_set()):
            try:
                return Child(*self._log)
            except OSError as error:
                if error.errno not in _LATER:
                    raise
                if not told:
                    _logger.warning("no process can be started for a task: it waits", reason=str(error))
                told = True
            self._closing.wait(SPAWN_RETRY_S)
        return None

    def _attempt(self, lane: Lane, job: Job) -> TaskResult:
        if lane.child is None:
            lane.child = self._spawn(job)
        if lane.child is None:
            return job.withdrawn(time.monotonic_ns())
        child, registered = lane.child, job.function.registered
        job.start(time.monotonic_ns())
        self._loop.call_soon_threadsafe(self._arm, lane, job)
        otel = self.otel if job.tracing is not None else ""
        child.pipe.send(Run(registered.module, registered.qualname, registered.file, job.spec, otel))
        job.spec.input, job.spec.blobs = NULL, None  # a view that would keep a whole frame alive
        if job.cancelled_ns:  # while the child was being spawned
            child.pipe.send(Cancel())
        while (data := child.pipe.receive()) is not None:
            message = decode_from_child(data)
            if isinstance(message, Ended):
                return message.result
            if isinstance(message, Said):
                if self._lines is not None:
                    for batch in message.batches:
                        self._lines.put(batch)
            elif job.function.beat is not None:
                job.function.beat(job, message.details, message.progress)
        lane.child = None
        child.kill()
        return _died(job, child.reap())


def _died(job: Job, code: int) -> TaskResult:
    now_ns = time.monotonic_ns()
    if job.cancelled:
        return job.withdrawn(now_ns) if job.cancelled_ns else job.overran(now_ns)
    if code < 0:
        how = f"was ended by signal {-code} ({signal.Signals(-code).name})"
    else:
        how = f"exited with status {code}"
    return job.failed(failure(ProcessDied, f"the process of the task {how}", job.spec.node_id), now_ns)
