"""A run's handle in the sync client, and the loop in a background thread that its calls are handed to."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Coroutine, Iterator, Mapping
from typing import Any, Generic, Literal, TypeVar, overload

from wfe.client.runs import PUBLISHED, AsyncRun, published
from wfe.client.task_logs import LogItem, RunLogs
from wfe.client.views import HistoryItem, RunInfo
from wfe.errors import Disconnected
from wfe.wire.messages import RunOutcome
from wfe.wire.rounds import RunPast

T = TypeVar("T")
R_co = TypeVar("R_co", covariant=True)


class ClientLoop:
    """An event loop in a daemon thread."""

    def __init__(self) -> None:
        self._loop = _new_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="wfe-client", daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine there and waits for it here. An interrupt (Ctrl-C) cancels it."""
        if self._loop.is_closed():
            work.close()
            raise Disconnected("this client is closed")
        if threading.current_thread() is self._thread:
            work.close()
            raise RuntimeError("the sync client was called from its own loop: use wfe.aconnect() in async code")
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        if self._loop.is_closed():
            return
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


def _new_loop() -> asyncio.AbstractEventLoop:
    try:
        import uvloop
    except ImportError:  # no wheel on Windows
        return asyncio.new_event_loop()
    return uvloop.new_event_loop()


class Run(Generic[R_co]):
    """One run on the server. ``info``: the run as of the request that found it, if one did (`describe` asks anew)."""

    __slots__ = ("_loop", "_run", "id")

    def __init__(self, loop: ClientLoop, run: AsyncRun[R_co]) -> None:
        self._loop, self._run, self.id = loop, run, run.id

    def __repr__(self) -> str:
        return repr(self._run)

    @property
    def info(self) -> RunInfo | None:
        return self._run.info

    def describe(self) -> RunInfo:
        """The run as it is now. UnknownRun when it is not kept."""
        return self._loop.call(self._run.describe())

    def status(self) -> str:
        """pending running waiting paused completed failed cancelled."""
        return self._loop.call(self._run.status())

    def result(self, timeout_s: float | None = None) -> R_co:
        """The run's output in the workflow's return type. RunFailed, RunCancelled; TimeoutError: the run goes on."""
        return self._loop.call(self._run.result(timeout_s))

    def outcome(self, timeout_s: float | None = None) -> RunOutcome:
        """How the run ended, whichever way, with its output still encoded."""
        return self._loop.call(self._run.outcome(timeout_s))

    def signal(self, name: str, payload: Any = None, *, event_id: str | None = None, correlation: str = "") -> None:
        """See `AsyncRun.signal`."""
        self._loop.call(self._run.signal(name, payload, event_id=event_id, correlation=correlation))

    def cancel(self, *, compensate: bool = True) -> None:
        """Asks the run to stop; running tasks are told. RunClosed when it has ended."""
        self._loop.call(self._run.cancel(compensate=compensate))

    def pause(self) -> None:
        """Nothing more is dispatched until `resume`; results, signals and expiries are recorded meanwhile."""
        self._loop.call(self._run.pause())

    def resume(self) -> None:
        self._loop.call(self._run.resume())

    def retry(self) -> None:
        """A failed run goes on from what failed, in a new round. RunClosed when it cannot."""
        self._loop.call(self._run.retry())

    def skip(self, node: str, output: Any = None, *, activation: int | None = None) -> None:
        """Ends an open node with this value (a failed run is retried first). InvalidInput when it is not open."""
        self._loop.call(self._run.skip(node, output, activation=activation))

    def fork(
        self,
        *,
        node: str | None = None,
        event: int | None = None,
        changes: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> Run[R_co]:
        """A new run from right before ``node`` first opened, or as of ``event``; see `AsyncRun.fork`."""
        return Run(self._loop, self._loop.call(self._run.fork(node=node, event=event, changes=changes, tags=tags)))

    def past(self, event: int | None = None, *, recorded: bool = False) -> RunPast:
        """The run's whole state as of one of its events (None: now); ``recorded``: what `wfe replay` needs of it."""
        return self._loop.call(self._run.past(event, recorded=recorded))

    @overload
    def history(self, follow: Literal[False] = False) -> list[HistoryItem]: ...
    @overload
    def history(self, follow: Literal[True]) -> Iterator[HistoryItem]: ...
    @overload
    def history(self, follow: bool) -> list[HistoryItem] | Iterator[HistoryItem]: ...
    def history(self, follow: bool = False) -> list[HistoryItem] | Iterator[HistoryItem]:
        """The run's events as a list; with ``follow`` an iterator that goes on until the run has ended."""
        if follow:
            return self._follow()
        return self._loop.call(_listed(self._run))

    def _follow(self) -> Iterator[HistoryItem]:
        items = aiter(self._run.history(follow=True))
        while (item := self._loop.call(_next_of(items))) is not None:
            yield item

    @overload
    def logs(
        self, follow: Literal[False] = False, *, node: str = "", attempt: int | None = None, tail: int | None = None
    ) -> list[LogItem]: ...
    @overload
    def logs(
        self, follow: Literal[True], *, node: str = "", attempt: int | None = None, tail: int | None = None
    ) -> Iterator[LogItem]: ...
    def logs(
        self, follow: bool = False, *, node: str = "", attempt: int | None = None, tail: int | None = None
    ) -> list[LogItem] | Iterator[LogItem]:
        """What the run's tasks print and log, as a list; with ``follow`` an iterator that goes on until the run has
        ended. See `AsyncRun.logs`."""
        lines = self._run.logs(follow, node=node, attempt=attempt, tail=tail)
        return self._each(lines) if follow else self._loop.call(_all(lines))

    def _each(self, lines: RunLogs) -> Iterator[LogItem]:
        items = aiter(lines)
        while (item := self._loop.call(_next_line(items))) is not None:
            yield item

    def stream(self) -> Iterator[Any]:
        """What the run tells, until it has ended; see `AsyncRun.stream`."""
        return (published(item) for item in self._follow() if item.type in PUBLISHED)


async def _listed(run: AsyncRun[Any]) -> list[HistoryItem]:
    return await run.history()


async def _next_of(items: Any) -> HistoryItem | None:
    item: HistoryItem | None = await anext(items, None)
    return item


async def _all(lines: RunLogs) -> list[LogItem]:
    return await lines


async def _next_line(lines: AsyncIterator[LogItem]) -> LogItem | None:
    return await anext(lines, None)
