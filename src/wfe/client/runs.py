"""A run's handle: its id, its end, and what can be done to it."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator, Generator, Mapping
from typing import Any, Generic, NamedTuple, TypeVar

from wfe.client.connection import Connection
from wfe.client.replies import decoder_of
from wfe.client.task_logs import LogsPage, RunLogs, log_page
from wfe.client.views import HistoryItem, RunInfo, history_item, run_info
from wfe.client.watches import ENDED, Watch
from wfe.errors import InvalidInput, RunCancelled, RunFailed, UnknownRun, WfeError
from wfe.model.ids import RANDOM_BITS, is_run_id, mint_run_id, partition_of
from wfe.wire.frames import Kind
from wfe.wire.messages import ControlRun, GetRun, HistoryPage, HistoryQuery, RunOutcome, RunView, SignalRun
from wfe.wire.payload import decode_as, encode_value
from wfe.wire.rounds import Change, ForkRun, RetryRun, RunPast, SkipNode, StateQuery
from wfe.wire.task_logs import LogQuery

R_co = TypeVar("R_co", covariant=True)

HISTORY_PAGE = 1_000
PUBLISHED = frozenset({"Published", "EventEmitted"})
"""Types of events that a run tells the world."""

_decode_view = decoder_of(RunView)
_decode_page = decoder_of(HistoryPage)
_decode_past = decoder_of(RunPast)


class AsyncRun(Generic[R_co]):
    """One run on the server. ``info``: the run as of the request that found it, if one did (`describe` asks anew)."""

    __slots__ = ("_connection", "_returns", "_watch", "id", "info")

    def __init__(
        self,
        connection: Connection,
        run_id: str,
        returns: Any = Any,
        *,
        watch: Watch | None = None,
        info: RunInfo | None = None,
    ) -> None:
        self._connection, self.id, self._returns, self._watch, self.info = connection, run_id, returns, watch, info

    def __repr__(self) -> str:
        return f"<wfe run {self.id}>"

    async def describe(self) -> RunInfo:
        """The run as it is now. UnknownRun when it is not kept."""
        return run_info(await fetch_view(self._connection, self.id))

    async def status(self) -> str:
        """pending running waiting paused completed failed cancelled."""
        return (await fetch_view(self._connection, self.id)).status

    async def result(self, timeout_s: float | None = None) -> R_co:
        """The run's output in the workflow's return type. RunFailed, RunCancelled; TimeoutError: the run goes on."""
        outcome = await self.outcome(timeout_s)
        if outcome.status == "completed":
            value: R_co = decode_as(self._returns, outcome.output)
            return value
        raise failure_of(outcome)

    async def outcome(self, timeout_s: float | None = None) -> RunOutcome:
        """How the run ended, whichever way, with its output still encoded."""
        if self._watch is None:
            self._watch = self._connection.watch(self.id)
        return await self._connection.ended(self._watch, timeout_s)

    async def signal(
        self, name: str, payload: Any = None, *, event_id: str | None = None, correlation: str = ""
    ) -> None:
        """Sends a signal; one that comes early is queued. Equal ``event_id``s count once. RunClosed once it ended.

        ``correlation``: only a wait that correlates with this text takes it.
        """
        body = SignalRun(self.id, name, encode_value(payload), event_id or fresh_id(self._connection), correlation)
        await self._connection.ask(Kind.SIGNAL, body, partition=partition_of(self.id))

    async def cancel(self, *, compensate: bool = True) -> None:
        """Asks the run to stop; running tasks are told. RunClosed when it has ended."""
        await self._control("cancel", compensate)

    async def pause(self) -> None:
        """Nothing more is dispatched until `resume`; results, signals and expiries are recorded meanwhile."""
        await self._control("pause")

    async def resume(self) -> None:
        await self._control("resume")

    async def _control(self, action: str, compensate: bool = True) -> None:
        body = ControlRun(self.id, action, fresh_id(self._connection), compensate)
        await self._connection.ask(Kind.CONTROL, body, partition=partition_of(self.id))

    async def retry(self) -> None:
        """A failed run goes on from what failed, in a new round. RunClosed when it cannot."""
        body = RetryRun(self.id, fresh_id(self._connection))
        await self._connection.ask(Kind.RETRY, body, partition=partition_of(self.id))

    async def skip(self, node: str, output: Any = None, *, activation: int | None = None) -> None:
        """Ends an open node with this value (a failed run is retried first). InvalidInput when it is not open."""
        act = -1 if activation is None else activation
        body = SkipNode(self.id, node, encode_value(output), fresh_id(self._connection), act)
        await self._connection.ask(Kind.SKIP, body, partition=partition_of(self.id))

    async def fork(
        self,
        *,
        node: str | None = None,
        event: int | None = None,
        changes: Mapping[str, Any] | None = None,
        tags: Mapping[str, str] | None = None,
    ) -> AsyncRun[R_co]:
        """A new run of the same version that begins where this one was: right before ``node`` first opened, or as of
        ``event`` (a number of its history). This run stays as it is.

        ``changes``: values by path, set before it begins: ``{"input.amount": 5, "charge.id": "ch_1"}``. InvalidInput.
        """
        if (node is None) == (event is None):
            raise InvalidInput("fork from a node or from an event: give one of the two", "from")
        partition = partition_of(self.id)
        dice = self._connection.dice
        new_id = mint_run_id(partition, time.time_ns() // 1_000_000, dice.bits(RANDOM_BITS))
        set_ = [Change(path, encode_value(value)) for path, value in (changes or {}).items()]
        body = ForkRun(self.id, new_id, node or "", event or 0, set_, dict(tags or {}))
        await self._connection.ask(Kind.FORK, body, partition=partition)
        return AsyncRun(self._connection, new_id, self._returns)

    async def past(self, event: int | None = None, *, recorded: bool = False) -> RunPast:
        """The run's whole state as of one of its events (None: now); ``recorded``: what `wfe replay` needs of it."""
        body = StateQuery(self.id, event or 0, recorded)
        return _decode_past(await self._connection.ask(Kind.STATE, body, partition=partition_of(self.id)))

    async def events(self, after: int = 0, limit: int = HISTORY_PAGE, *, wait: bool = False) -> EventsPage:
        """Events above this number, at most so many. ``wait``: answered once there are any, or the run has ended."""
        query = HistoryQuery(self.id, after, limit, wait)
        where = partition_of(check_run_id(self.id))
        page = _decode_page(await self._connection.ask(Kind.HISTORY, query, partition=where, forever=wait))
        items = [history_item(event) for event in page.events]
        return EventsPage(items, items[-1].seq if items else after, page.ended)

    def history(self, follow: bool = False) -> History:
        """The run's events: await it for a list, or ``async for`` over it; with ``follow`` until the run has ended."""
        return History(self._connection, self.id, follow)

    def logs(
        self, follow: bool = False, *, node: str = "", attempt: int | None = None, tail: int | None = None
    ) -> RunLogs:
        """What the run's tasks print and log: await it for a list, or ``async for`` over it; with ``follow`` until the
        run has ended.

        ``node``, ``attempt``: only theirs; ``tail``: only the last lines. Kept are the newest ones, best effort.
        """
        return RunLogs(self._connection, _log_query(self.id, 0, node, attempt, tail), follow=follow)

    async def logs_page(
        self, after: int = 0, *, node: str = "", attempt: int | None = None, tail: int | None = None, wait: bool = False
    ) -> LogsPage:
        """Lines behind the ``cursor`` of an earlier page. ``wait``: answered once there are any, or at its end."""
        return await log_page(self._connection, _log_query(self.id, after, node, attempt, tail, wait=wait))

    async def stream(self) -> AsyncIterator[Any]:
        """What the run tells, from its beginning until it has ended: values of ``wf.publish``, and of a graph's
        ``wf.emit`` as ``{"type": ..., "data": ...}``."""
        async for item in self.history(follow=True):
            if item.type in PUBLISHED:
                yield published(item)


class EventsPage(NamedTuple):
    """A part of a history. ``cursor``: the number to go on after; ``ended``: there will be nothing behind it."""

    items: list[HistoryItem]
    cursor: int
    ended: bool


class History:
    """A run's events, fetched page by page."""

    def __init__(self, connection: Connection, run_id: str, follow: bool) -> None:
        self._connection, self._run_id, self._follow = connection, run_id, follow

    def __await__(self) -> Generator[Any, None, list[HistoryItem]]:
        return self._list().__await__()

    async def _list(self) -> list[HistoryItem]:
        return [item async for item in self]

    async def __aiter__(self) -> AsyncIterator[HistoryItem]:
        after = 0
        while True:
            query = HistoryQuery(self._run_id, after, HISTORY_PAGE, self._follow)
            partition = partition_of(self._run_id)
            reply = await self._connection.ask(Kind.HISTORY, query, partition=partition, forever=self._follow)
            page = _decode_page(reply)
            for event in page.events:
                yield history_item(event)
                after = event.seq
            if page.ended or not (self._follow or page.more or len(page.events) >= HISTORY_PAGE):
                return


def published(item: HistoryItem) -> Any:
    """What one of the `PUBLISHED` events tells."""
    if item.type == "Published":
        return item.data["value"]
    return {"type": item.data["name"], "data": item.data["data"]}


async def fetch_view(connection: Connection, run_id: str) -> RunView:
    """A run by id, as the server sees it."""
    reply = await connection.ask(Kind.GET, GetRun(run_id), partition=partition_of(check_run_id(run_id)))
    return _decode_view(reply)


def check_run_id(run_id: str) -> str:
    """UnknownRun when the text cannot be the id of a run."""
    if not is_run_id(run_id):
        raise UnknownRun(
            f"{run_id!r} is no run id (26 characters, as `wfe start` prints it); `wfe list --key KEY` finds one by key"
        )
    return run_id


def failure_of(outcome: RunOutcome) -> WfeError:
    """The exception for a run that did not complete."""
    assert outcome.status in ENDED
    error = outcome.error
    if outcome.status == "cancelled":
        reason = f": {error.message}" if error is not None and error.message else ""
        return RunCancelled(f"run {outcome.run_id} was cancelled{reason}", outcome.run_id)
    if error is None:
        return RunFailed(f"run {outcome.run_id} failed", outcome.run_id)
    where = f" at node {error.node!r}" if error.node else ""
    return RunFailed(f"run {outcome.run_id} failed{where}: {error.type}: {error.message}", outcome.run_id, error)


def _log_query(
    run_id: str, after: int, node: str, attempt: int | None, tail: int | None, *, wait: bool = False
) -> LogQuery:
    for name, number, least in (("attempt", attempt, 1), ("tail", tail, 0)):
        if number is not None and not least <= number < 1 << 31:
            raise InvalidInput(f"{name} is a whole number from {least} on", name)
    return LogQuery(check_run_id(run_id), after, node, attempt or 0, -1 if tail is None else tail, wait)


def fresh_id(connection: Connection) -> str:
    """An id for a command or an event: 128 random bits."""
    return f"{connection.dice.bits(128):032x}"
