"""The async client: what `wfe.aconnect()` gives. The sync client is a thin face over it.

One client is one connection and belongs to one loop; it may be shared by any number of tasks. Every call is retried
idempotently until the client's ``request_timeout_s``, which counts from the call (in `start_many` from the last run
that was taken); Busy and Unavailable are waited out within it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from typing import Any, ParamSpec, TypeVar, overload

from wfe.client.alerts import Alerted
from wfe.client.approvals import Approving
from wfe.client.arguments import Args
from wfe.client.awaiters import Awaited
from wfe.client.calls import call_of, target_of
from wfe.client.catalogue import Cataloguing
from wfe.client.checks import Checking
from wfe.client.connection import CONNECT_TIMEOUT_S, REQUEST_TIMEOUT_S, Connection, LinkFactory
from wfe.client.feed import Feeding
from wfe.client.labels import checked_text, given_key, key_of, priority_of, tags_of
from wfe.client.listing import RunList, list_runs
from wfe.client.operating import Operating
from wfe.client.replies import decoder_of
from wfe.client.runs import AsyncRun, check_run_id, fetch_view
from wfe.client.starter import Starter
from wfe.client.studies import Studying
from wfe.client.traces import Traced
from wfe.client.typed import TypedWorkflow
from wfe.client.views import run_info
from wfe.client.why import Explaining
from wfe.config import DEFAULT_ADDRESS, find_token
from wfe.errors import Disconnected, UnknownRun
from wfe.limits import LIST_LIMIT_DEFAULT
from wfe.model.ids import partition_of_key
from wfe.otel import current_traceparent
from wfe.wire.frames import Kind
from wfe.wire.messages import (
    FindRun,
    ListRuns,
    RunView,
    StartRun,
)

P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
Many = list
"""``list`` where the method of that name hides it."""

NAMESPACE = "default"
ADDRESS_CHARS_MAX = 10_000
"""Of an address or a token."""

_decode_view = decoder_of(RunView)


class AsyncClient(Operating, Approving, Cataloguing, Checking, Studying, Explaining, Feeding, Traced, Awaited, Alerted):
    """A connection to a server. Made by `aconnect`; use it as ``async with``."""

    def __init__(
        self,
        open_link: LinkFactory,
        address: str,
        token: Callable[[], str],
        *,
        fixed_token: bool = True,
        connect_timeout_s: float = CONNECT_TIMEOUT_S,
        request_timeout_s: float = REQUEST_TIMEOUT_S,
        peer: str = "",
    ) -> None:
        self.address, self._peer = address, peer
        self._open_link, self._token, self._fixed_token = open_link, token, fixed_token
        self._connect_timeout_s, self._request_timeout_s = connect_timeout_s, request_timeout_s
        self._connection: Connection | None = None
        self._starter = Starter(self._open)

    # ---- connecting ----

    async def open(self) -> AsyncClient:
        """Connects. Disconnected when no server answers within the connect timeout; Unauthorized."""
        if self._connection is None:
            self._connection = Connection(
                self._open_link,
                self.address,
                self._token,
                fixed_token=self._fixed_token,
                software=f"wfe-python pid {os.getpid()}",
                peer=self._peer,
                request_timeout_s=self._request_timeout_s,
            )
            try:
                await self._connection.opened(self._connect_timeout_s)
            except BaseException:
                self._connection.close()
                self._connection = None
                raise
        return self

    async def close(self) -> None:
        """Disconnects; runs go on. Idempotent."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    async def __aenter__(self) -> AsyncClient:
        return await self.open()

    def __await__(self) -> Any:
        return self.open().__await__()

    async def __aexit__(self, *_: object) -> None:
        await self.close()

    def _open(self) -> Connection:
        if self._connection is None:
            raise Disconnected("this client is not connected: use `async with wfe.aconnect() as client`")
        return self._connection

    # ---- starting ----

    @overload
    async def start(self, workflow: TypedWorkflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> AsyncRun[R]: ...
    @overload
    async def start(
        self,
        workflow: TypedWorkflow[[], R],
        /,
        *,
        key: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
    ) -> AsyncRun[R]: ...
    @overload
    async def start(
        self,
        workflow: TypedWorkflow[[A], R],
        a: A,
        /,
        *,
        key: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
    ) -> AsyncRun[R]: ...
    @overload
    async def start(
        self,
        workflow: TypedWorkflow[[A, B], R],
        a: A,
        b: B,
        /,
        *,
        key: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
    ) -> AsyncRun[R]: ...
    @overload
    async def start(
        self,
        workflow: TypedWorkflow[[A, B, C], R],
        a: A,
        b: B,
        c: C,
        /,
        *,
        key: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
    ) -> AsyncRun[R]: ...
    @overload
    async def start(
        self,
        workflow: TypedWorkflow[..., R],
        args: Args,
        /,
        *,
        key: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
    ) -> AsyncRun[R]: ...
    @overload
    async def start(
        self,
        workflow: str,
        /,
        *args: Any,
        key: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> AsyncRun[Any]: ...
    async def start(  # type: ignore[misc]  # P may hold a parameter called key, priority or tags: see below
        self,
        workflow: Any,
        /,
        *args: Any,
        key: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> AsyncRun[Any]:
        """Starts a run; returns once the start is durable. Starts of one loop turn share frames.

        ``key``: (workflow, key) names one run while it is kept; a start with the same input gives that run, with
        another one KeyConflict. A workflow's own parameter called key, priority or tags goes by position, or in `Args`.
        Busy, Unavailable: it was not started within the client's ``request_timeout_s`` from the call, or, like
        Disconnected, nobody knows whether it was: then the message says so, and a start with a key may be repeated.
        """
        tagged = isinstance(workflow, str) and "@" in workflow
        target = await self.target(workflow) if tagged else target_of(workflow)
        args, kwargs = call_of(args, kwargs)
        named = target.goes_by_name(kwargs)
        labels = key_of(key), priority_of(priority), tags_of(tags)
        run = StartRun("", target.input_of(args, kwargs), *labels, True, named=named, trace=current_traceparent())
        watch = await self._starter.start(target.name, target.version, run)
        return AsyncRun(self._open(), run.run_id, target.returns, watch=watch)

    @overload
    async def start_many(
        self,
        workflow: TypedWorkflow[[A], R],
        items: Iterable[A | Args],
        /,
        *,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
    ) -> Many[AsyncRun[R]]: ...
    @overload
    async def start_many(
        self,
        workflow: TypedWorkflow[..., R],
        items: Iterable[Args],
        /,
        *,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
    ) -> Many[AsyncRun[R]]: ...
    @overload
    async def start_many(
        self, workflow: str, items: Iterable[Any], /, *, priority: int = 0, tags: Mapping[str, str] | None = None
    ) -> Many[AsyncRun[Any]]: ...
    async def start_many(
        self,
        workflow: Any,
        items: Iterable[Any],
        *,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
    ) -> Many[AsyncRun[Any]]:
        """Starts one run per item (its single input, or ``wfe.args(a, b, c=1)``); returns when all are durable.

        The order of the runs is that of the items. If the server refuses any, the first refusal is raised; the others
        have been started all the same. It takes as long as it must: those that are left are given up when for
        ``request_timeout_s`` none of them was taken.
        """
        connection, target = self._open(), await self.target(workflow)
        encode, named = target.input_of_item, target.item_goes_by_name
        order, shared = priority_of(priority), tags_of(tags)
        trace = current_traceparent()
        runs = [StartRun("", encode(item), "", order, shared, True, named=named(item), trace=trace) for item in items]
        if not runs:
            return []
        batch = await connection.start(target.name, target.version, runs)
        if batch.errors:
            raise batch.errors[min(batch.errors)]
        returns = target.returns
        return [
            AsyncRun(connection, run.run_id, returns, watch=watch)
            for run, watch in zip(runs, batch.watches, strict=True)
        ]

    # ---- finding ----

    @overload
    def handle(self, run_id: str, workflow: TypedWorkflow[..., R]) -> AsyncRun[R]: ...
    @overload
    def handle(self, run_id: str, workflow: str | None = None) -> AsyncRun[Any]: ...
    def handle(self, run_id: str, workflow: Any = None) -> AsyncRun[Any]:
        """The handle of a run without asking the server. ``workflow`` types its result."""
        returns = Any if workflow is None else target_of(workflow).returns
        return AsyncRun(self._open(), check_run_id(run_id), returns)

    @overload
    async def get(self, run_id: str, workflow: TypedWorkflow[..., R]) -> AsyncRun[R]: ...
    @overload
    async def get(self, run_id: str, workflow: str | None = None) -> AsyncRun[Any]: ...
    async def get(self, run_id: str, workflow: Any = None) -> AsyncRun[Any]:
        """A run by id. UnknownRun when it is not kept. ``workflow`` types its result."""
        run = self.handle(run_id, workflow)
        run.info = await run.describe()
        return run

    @overload
    async def find(self, workflow: TypedWorkflow[..., R], key: str) -> AsyncRun[R]: ...
    @overload
    async def find(self, workflow: str, key: str) -> AsyncRun[Any]: ...
    async def find(self, workflow: Any, key: str) -> AsyncRun[Any]:
        """The run that (workflow, key) names. UnknownRun when there is none."""
        connection, target, key = self._open(), target_of(workflow), given_key(key)
        partition = partition_of_key(NAMESPACE, target.name, key, connection.welcome.partitions)
        reply = await connection.ask(Kind.FIND, FindRun(target.name, key, NAMESPACE), partition=partition)
        info = run_info(_decode_view(reply))
        return AsyncRun(connection, info.id, target.returns, info=info)

    async def list(
        self,
        *,
        status: str | None = None,
        workflow: Any = None,
        key: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = LIST_LIMIT_DEFAULT,
        after: str | None = None,
    ) -> RunList:
        """Runs, newest first, each with its ``info`` (no payloads). Partitions that don't answer: ``incomplete``.

        ``after``: the ``cursor`` of the list before, to go on behind it.
        """
        name = "" if workflow is None else target_of(workflow).name
        query = ListRuns(status or "", name, key_of(key), tags_of(tags), limit, after or "")
        return await list_runs(self._open(), query, NAMESPACE)

    # ---- signals ----

    async def signal(
        self,
        workflow: Any,
        key: str,
        name: str,
        payload: Any = None,
        *,
        event_id: str | None = None,
        correlation: str = "",
        start: Args | None = None,
    ) -> AsyncRun[Any]:
        """Signals the run that (workflow, key) names; ``start=wfe.args(...)``: starts it first if there is none."""
        try:
            run = await self.find(workflow, key)
        except UnknownRun:
            if start is None:
                raise
            target = target_of(workflow)
            named = target.goes_by_name(start.kwargs)
            encoded, trace = target.input_of(start.args, start.kwargs), current_traceparent()
            fresh = StartRun("", encoded, key, 0, {}, True, named=named, trace=trace)
            watch = await self._starter.start(target.name, target.version, fresh)
            run = AsyncRun(self._open(), fresh.run_id, target.returns, watch=watch)
        await run.signal(name, payload, event_id=event_id, correlation=correlation)
        return run

    async def view(self, run_id: str) -> RunView:
        """A run as it travels, payloads still encoded."""
        return await fetch_view(self._open(), run_id)


def aconnect_with(
    open_link: LinkFactory,
    address: str | None = None,
    token: str | None = None,
    *,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    request_timeout_s: float = REQUEST_TIMEOUT_S,
) -> AsyncClient:
    """An async client over this transport. The address: the argument, WFE_ADDRESS, or the default.

    The token: the argument, WFE_TOKEN, or what a server of this user left, which is looked up at every hello.
    """
    for name, text in (("address", address), ("token", token)):
        if text is not None:
            checked_text(text, f"the {name} of a server", name, ADDRESS_CHARS_MAX)
    where = address or os.environ.get("WFE_ADDRESS", "").strip() or DEFAULT_ADDRESS
    fixed = token if token is not None else os.environ.get("WFE_TOKEN", "").strip() or None
    return AsyncClient(
        open_link,
        where,
        lambda: find_token(where) if fixed is None else fixed,
        fixed_token=fixed is not None,
        connect_timeout_s=connect_timeout_s,
        request_timeout_s=request_timeout_s,
    )
