"""The child process of a ``run_in="process"`` task: ``python -m wfe.worker.child FD``.

The main thread runs attempts; a second thread reads the stream, so that a cancel arrives in the middle of one and the
end of the stream ends the process at once. Invariants: a child never outlives its worker; an attempt always answers,
unless the process dies.
"""

from __future__ import annotations

import asyncio
import ctypes
import importlib
import importlib.util
import inspect
import os
import signal
import socket
import sys
import threading
import time
from contextlib import suppress
from contextvars import Token
from queue import SimpleQueue
from typing import Any

import psutil
from msgspec import Raw

from wfe import observe, otel
from wfe.errors import AppError, TaskCancelled
from wfe.model.registered import RegisteredTask
from wfe.secrets import mask_secrets
from wfe.wire.messages import TaskResult
from wfe.worker import capture
from wfe.worker.failure import error_info
from wfe.worker.functions import TaskFunction, encode_result
from wfe.worker.ipc import Beat, Cancel, Ended, Pipe, Prepare, Run, Said, Stop, decode_to_child
from wfe.worker.job import CURRENT, Job, current_fields
from wfe.worker.resources import close_resources
from wfe.worker.task_logs import LineBuffer, LinePipe
from wfe.worker.tracing import traceparent_of

_PR_SET_PDEATHSIG = 1
_logger = observe.get_logger("wfe.worker")


class ChildProcess:
    """Reads messages, runs attempts one after the other."""

    def __init__(self, pipe: Pipe) -> None:
        self._pipe = pipe
        self.lines = LinePipe(LineBuffer(mask_secrets), lambda batches: pipe.send(Said(batches)))
        self._tracing: otel.Tracing | None = None
        self._work: SimpleQueue[Run | None] = SimpleQueue()
        self._functions: dict[tuple[str, str], TaskFunction] = {}
        self._job: Job | None = None
        self._cancelled = False

    def serve(self) -> None:
        """Until a Stop arrives."""
        threading.Thread(target=self._read, name="wfe-stream", daemon=True).start()
        while (run := self._work.get()) is not None:
            self._pipe.send(Ended(self._attempt(run)))
        close_resources()

    def _read(self) -> None:
        while (data := self._pipe.receive()) is not None:
            message = decode_to_child(data)
            if isinstance(message, Run):
                self._cancelled = False
                self._work.put(message)
            elif isinstance(message, Cancel):
                self._cancelled = True  # it may come before the attempt has begun
                if self._job is not None:
                    self._job.cancelled = True
            elif isinstance(message, Stop):
                self._work.put(None)
                return
        for descendant in psutil.Process().children(recursive=True):  # the worker is gone: so is all that this started
            with suppress(psutil.Error):
                descendant.kill()
        os._exit(0)

    def _attempt(self, run: Run) -> TaskResult:
        try:
            function = self._function(run)
        except BaseException as error:  # noqa: BLE001  importing a module runs user code
            return _failed(run, error)
        job = self._job = Job(run.spec, function)
        job.cancelled = self._cancelled
        job.start(time.monotonic_ns())
        CURRENT.set(job)
        traced = self._enter(run)
        try:
            value = function.invoke(run.spec)
            if inspect.iscoroutine(value):
                value = asyncio.run(value)
            result = job.done(encode_result(value), time.monotonic_ns())
        except BaseException as error:  # noqa: BLE001  the failure travels to the run; the process is reused
            now_ns = time.monotonic_ns()
            withdrawn = job.cancelled and isinstance(error, TaskCancelled)
            result = job.withdrawn(now_ns) if withdrawn else job.failed(error_info(error, run.spec.node_id), now_ns)
        finally:
            CURRENT.set(None)
            self._job = None
            self._leave(traced)
        capture.flush(job)
        self.lines.flush()
        return result

    def _enter(self, run: Run) -> Token[Any] | None:
        """The attempt's span, which the worker records, is current here, too."""
        if run.spec.trace is None:
            return None
        try:
            if run.otel and self._tracing is None:
                self._tracing = otel.open_tracing(run.otel, "task", shared=True)
            return otel.enter(traceparent_of(run.spec))
        except Exception as error:  # being watched must not cost an attempt
            _logger.warning("an attempt cannot be traced", exc_info=error)
            return None

    def _leave(self, traced: Token[Any] | None) -> None:
        if traced is not None:
            otel.leave(traced)
            if self._tracing is not None:
                self._tracing.flush()  # this process may be killed before the next one

    def _beat(self, job: Job, details: Raw, progress: float) -> None:
        job.extend(time.monotonic_ns())
        self._pipe.send(Beat(details, progress))

    def _function(self, run: Run) -> TaskFunction:
        place = (run.module, run.qualname)
        found = self._functions.get(place)
        if found is None:
            found = self._functions[place] = TaskFunction(find_task(run.module, run.qualname, run.file), self._beat)
        return found


def find_task(module: str, qualname: str, file: str) -> RegisteredTask:
    """The task that a module defines under this name. AppError when there is none."""
    try:
        target: object = importlib.import_module(module)
    except ModuleNotFoundError as error:
        if error.name != module.partition(".")[0]:
            raise
        target = _import_file(module, file)
    for name in qualname.split("."):
        target = getattr(target, name, None)
    registered = getattr(target, "__wfe_task__", None)
    if not isinstance(registered, RegisteredTask):
        raise AppError(f"{module}:{qualname} is no task that a process can import: define it at module level ({file})")
    return registered


def _import_file(module: str, file: str) -> object:
    spec = importlib.util.spec_from_file_location(module, file)
    if spec is None or spec.loader is None:
        raise AppError(f"module {module} cannot be imported from {file}")
    loaded = importlib.util.module_from_spec(spec)
    sys.modules[module] = loaded
    spec.loader.exec_module(loaded)
    return loaded


def _failed(run: Run, error: BaseException) -> TaskResult:
    spec = run.spec
    info = error_info(error, spec.node_id)
    return TaskResult(spec.run_id, spec.node, spec.activation, spec.attempt, status=1, error=info)


def _die_with_the_worker() -> None:
    """Linux: a task stuck in C code never lets the stream's thread run, so the kernel has to end it."""
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)


def main(descriptor: int) -> int:
    """Serves the stream on an inherited descriptor."""
    _die_with_the_worker()
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    connection = socket.socket(fileno=descriptor)
    connection.set_inheritable(False)
    pipe = Pipe(connection)
    first = pipe.receive()
    if first is None:
        return 0
    prepare = decode_to_child(first)
    assert isinstance(prepare, Prepare)
    sys.path[:] = prepare.sys_path
    observe.configure(
        prepare.log_level,
        _log_format(prepare.log_format),
        stream=sys.stderr,
        mask=mask_secrets,
        context=current_fields,
        process="task",
    )
    child = ChildProcess(pipe)
    observe.tap(child.lines.tap)
    capture.install()
    child.serve()
    return 0


def _log_format(name: str) -> observe.LogFormat:
    return "json" if name == "json" else "console" if name == "console" else "auto"


if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
