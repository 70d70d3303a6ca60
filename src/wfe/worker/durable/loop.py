"""A deterministic asyncio loop, pumped by hand: what is ready runs in the order in which it became ready.

One loop per instance of a durable function. It has no selector and no clock: `time` is the record's, a timer is a
recorded call (`Timers`), and whatever would touch the world raises a GraphError that names the way out, a task.
Futures and tasks hash by the order in which they were made, so that even sets of them are walked in the same order on
a re-run; above that by ``salt``, for asyncio has one set of all tasks of a process.
Invariants: `pump` runs until nothing is ready; nothing runs but inside `pump`; only one thread ever does.
"""

from __future__ import annotations

import asyncio
import asyncio.tasks
import math
import sys
import threading
from collections import deque
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextvars import Context
from types import FrameType
from typing import Any, NoReturn, Protocol, TypeVar, TypeVarTuple, Unpack

from wfe import observe
from wfe.limits import DURABLE_STEPS_MAX
from wfe.worker.durable.places import mistake

T = TypeVar("T")
Ts = TypeVarTuple("Ts")
_TASKS_FILE = asyncio.tasks.__file__
_UNORDERED = ("<setcomp>", "as_completed", "__init__")
"""Functions of asyncio.tasks, in any version, in which `as_completed` walks a set of what it was given."""
_MAKING = ("ensure_future", "_ensure_future")
_TASKS_PRUNED = 64
_NUMBER_BITS = 16
_NUMBER_MASK = (1 << _NUMBER_BITS) - 1
"""Where sets of a hundred look first; what is above makes hashes of several functions differ."""
_logger = observe.get_logger("wfe.durable")


class OuterLoopAside:
    """While functions run: the loop that runs here, and its hooks, come back afterwards. Once for many functions."""

    __slots__ = ("_hooks", "_loop")

    def __enter__(self) -> None:
        self._loop, self._hooks = asyncio._get_running_loop(), sys.get_asyncgen_hooks()

    def __exit__(self, *error: object) -> None:
        sys.set_asyncgen_hooks(*self._hooks)
        asyncio._set_running_loop(self._loop)


class Restless(Exception):
    """The function goes round and round without ever waiting."""


class Timers(Protocol):
    """Who keeps the timers of a loop: they are recorded calls."""

    def start_timer(self, timer: Timer, delay_ms: int) -> None:
        """Sets ``timer.seq``, and calls `DurableLoop.fire` when it is due."""

    def stop_timer(self, timer: Timer) -> None:
        """It is not wanted any more."""


class _Nobody:
    """Of a loop that was let go."""

    def start_timer(self, timer: Timer, delay_ms: int) -> None:
        """It is never due."""

    def stop_timer(self, timer: Timer) -> None:
        """It was never started."""


_NOBODY = _Nobody()


class Timer(asyncio.TimerHandle):
    """What call_later and call_at give. ``seq`` is the number of its recorded call, -1 when it has none (any more)."""

    __slots__ = ("seq",)
    seq: int


class DurableFuture(asyncio.Future[T]):
    """A future whose hash is its number."""

    def __init__(self, number: int, loop: DurableLoop) -> None:
        self.number = number
        asyncio.Future.__init__(self, loop=loop)

    def __hash__(self) -> int:
        return self.number


class DurableTask(asyncio.Task[T]):
    """A task whose hash is its number, from before asyncio puts it into its own sets."""

    def __init__(self, number: int, coro: Any, loop: DurableLoop, **options: Any) -> None:
        self.number = number
        super().__init__(coro, loop=loop, **options)

    def __hash__(self) -> int:
        return self.number


class DurableLoop(asyncio.AbstractEventLoop):
    """``time_ms`` is set by who pumps. ``quiet``: what went wrong unseen is not logged (again)."""

    def __init__(self, timers: Timers, salt: int = 0) -> None:
        self._timers = timers
        self._ready: deque[asyncio.Handle] = deque()
        self._numbers = salt << _NUMBER_BITS
        self._tasks: list[DurableTask[Any]] = []
        self._prune_at = _TASKS_PRUNED
        self._thread = 0
        self.time_ms = 0
        self.quiet = False
        self.shut = False

    # ---- what the instance does --------------------------------------------------------------------------------------

    def pump(self) -> None:
        """Runs what is ready until nothing is. `Restless` when that does not end."""
        if self._ready:
            self.inside(self.run_ready)

    def inside(self, work: Callable[..., None], *args: Any) -> None:
        """Does something with this loop as the running one."""
        with OuterLoopAside():
            self.enter(work, *args)

    def enter(self, work: Callable[..., None], *args: Any) -> None:
        """As `inside`, for who has put the outer loop aside already."""
        asyncio._set_running_loop(self)
        sys.set_asyncgen_hooks(None, self._end_generator)
        self._thread = threading.get_ident()
        try:
            work(*args)
        finally:
            self._thread = 0

    @property
    def entered(self) -> bool:
        """Whether the code that asks runs inside. Asking asyncio costs a call of the system."""
        return self._thread == threading.get_ident()

    def run_ready(self) -> None:
        """As `pump`, for what happens inside already."""
        ready, steps = self._ready, 0
        while ready:
            handle = ready.popleft()
            if not handle.cancelled():
                steps += 1
                if steps > DURABLE_STEPS_MAX:
                    raise Restless(f"it took {DURABLE_STEPS_MAX} steps without waiting for anything")
                try:
                    handle._run()
                except (SystemExit, KeyboardInterrupt):
                    continue  # the task that raised it holds it as its outcome

    def fire(self, timer: Timer) -> None:
        """A timer is due."""
        timer.seq = -1
        if not timer.cancelled():
            self._ready.append(timer)

    def clear(self) -> None:
        """Nothing that is ready runs any more."""
        self._ready.clear()

    def let_go(self) -> None:
        """Nothing runs here any more, and nothing is remembered."""
        self._ready.clear()
        self._tasks.clear()
        self._timers = _NOBODY

    def tasks(self) -> list[DurableTask[Any]]:
        """Those that are not done, oldest first."""
        self._tasks = [task for task in self._tasks if not task.done()]
        return list(self._tasks)

    # ---- what asyncio and the function use ---------------------------------------------------------------------------

    def call_soon(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    def call_soon_threadsafe(
        self, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> asyncio.Handle:
        if not self.entered:
            raise mistake("a durable function cannot be woken by a thread: put what the thread does into a task")
        return self.call_soon(callback, *args, context=context)

    def call_later(
        self, delay: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> Timer:
        timer = Timer(self.time() + delay, callback, args, self, context)
        timer.seq = -1
        delay_ms = math.ceil(round(delay * 1_000, 3))
        if delay_ms <= 0:
            self._ready.append(timer)
        else:
            self._timers.start_timer(timer, delay_ms)
        return timer

    def call_at(
        self, when: float, callback: Callable[[Unpack[Ts]], object], *args: *Ts, context: Context | None = None
    ) -> Timer:
        return self.call_later(when - self.time(), callback, *args, context=context)

    def _timer_handle_cancelled(self, handle: asyncio.TimerHandle) -> None:
        assert isinstance(handle, Timer)
        if handle.seq >= 0:
            self._timers.stop_timer(handle)
            handle.seq = -1

    def time(self) -> float:
        return self.time_ms / 1_000

    def create_future(self) -> asyncio.Future[Any]:
        self._numbers += 1
        return DurableFuture(self._numbers, self)

    def create_task(  # type: ignore[override]  # later versions of Python take more options
        self, coro: Coroutine[Any, Any, T], **options: Any
    ) -> asyncio.Task[T]:
        if _unordered(sys._getframe(1)):
            coro.close()
            raise mistake(
                "asyncio.as_completed begins coroutines in no particular order: give it tasks, "
                "[asyncio.create_task(c) for c in ...]"
            )
        self._numbers += 1
        options.setdefault("name", f"task-{self._numbers & _NUMBER_MASK}")
        task: DurableTask[T] = DurableTask(self._numbers, coro, self, **options)
        self._tasks.append(task)
        if len(self._tasks) > self._prune_at:
            self._prune_at = 2 * len(self.tasks()) + _TASKS_PRUNED
        return task

    def get_task_factory(self) -> None:
        return None

    def call_exception_handler(self, context: dict[str, Any]) -> None:
        """Asyncio tells of errors here that nobody looked at."""
        if not self.quiet and not self.shut:
            error = context.get("exception")
            reason = "" if error is None else f"{type(error).__name__}: {error}"
            _logger.warning("unseen in a durable function", what=context.get("message", ""), error=reason)

    def default_exception_handler(self, context: dict[str, Any]) -> None:
        self.call_exception_handler(context)

    def get_exception_handler(self) -> None:
        return None

    def get_debug(self) -> bool:
        return False

    def is_running(self) -> bool:
        return asyncio._get_running_loop() is self

    def is_closed(self) -> bool:
        return self.shut

    async def shutdown_asyncgens(self) -> None:
        """They end with the function."""

    def _end_generator(self, generator: AsyncGenerator[Any, Any]) -> None:
        """An asynchronous generator was let go before its end: its cleanup runs as a task."""
        if not self.shut and self.is_running():
            self.create_task(generator.aclose())


def _unordered(frame: FrameType | None) -> bool:
    """Whether a task is made by `asyncio.as_completed`, which walks a set of coroutines."""
    while frame is not None and frame.f_code.co_name in _MAKING and frame.f_code.co_filename == _TASKS_FILE:
        frame = frame.f_back
    return frame is not None and frame.f_code.co_name in _UNORDERED and frame.f_code.co_filename == _TASKS_FILE


def _refusal(name: str) -> Callable[..., NoReturn]:
    what = "run_in_executor and asyncio.to_thread are" if name == "run_in_executor" else f"{name} is"

    def refuse(self: DurableLoop, *args: object, **kwargs: object) -> NoReturn:
        raise mistake(
            f"{what} not for durable functions, which are re-run from their record: do it in a task (@wfe.task) and "
            "await that, or wf.call(task, ...)"
        )

    refuse.__name__ = name
    return refuse


REFUSED = (
    *("run_forever", "run_until_complete", "stop", "close", "set_debug", "set_task_factory", "set_exception_handler"),
    *("run_in_executor", "set_default_executor", "shutdown_default_executor", "getaddrinfo", "getnameinfo"),
    *("create_connection", "create_server", "start_tls", "sendfile", "create_unix_connection", "create_unix_server"),
    *("connect_accepted_socket", "create_datagram_endpoint", "connect_read_pipe", "connect_write_pipe"),
    *("subprocess_shell", "subprocess_exec", "add_reader", "remove_reader", "add_writer", "remove_writer"),
    *("sock_recv", "sock_recv_into", "sock_recvfrom", "sock_recvfrom_into", "sock_sendto", "sock_sendall"),
    *("sock_connect", "sock_accept", "sock_sendfile", "add_signal_handler", "remove_signal_handler"),
)
"""All else that a loop offers; a test of completeness compares it with asyncio's own list."""
for _name in REFUSED:
    setattr(DurableLoop, _name, _refusal(_name))
