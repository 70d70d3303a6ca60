"""The sync client: what `wfe.connect()` gives. A thin face over the async one, with its loop in a background thread.

No logic here: every method hands its coroutine to the loop and waits. Invariant: the loop's thread is a daemon and ends
with `close`, so a client that is never closed does not keep a program alive.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar, overload

from wfe.client.aclient import AsyncClient, Many, aconnect_with
from wfe.client.approvals import ApprovalInfo
from wfe.client.arguments import Args
from wfe.client.checks import DeployCheck
from wfe.client.connection import CONNECT_TIMEOUT_S, REQUEST_TIMEOUT_S, LinkFactory
from wfe.client.sync_runs import ClientLoop, Run
from wfe.client.typed import TypedWorkflow
from wfe.client.why import Explanation
from wfe.errors import Disconnected
from wfe.limits import LIST_LIMIT_DEFAULT
from wfe.model.definition import Definition
from wfe.wire.alerts import AlertsState
from wfe.wire.backups import BackupReport
from wfe.wire.messages import DefinitionFound, Deployed, RunView, ServerStatus
from wfe.wire.rebalance import RebalanceReport

if TYPE_CHECKING:
    from wfe.core.study import Differences, ProcessedGraph

T = TypeVar("T")
P = ParamSpec("P")
R = TypeVar("R")
A = TypeVar("A")
B = TypeVar("B")
C = TypeVar("C")
R_co = TypeVar("R_co", covariant=True)


class RunList(list[Run[Any]]):
    """Runs, newest first. ``incomplete``: partitions that could not be asked; ``more``: there are further runs.

    ``cursor``: what `Client.list` takes as ``after`` to go on behind the last one.
    """

    def __init__(self, runs: Iterable[Run[Any]], incomplete: list[int], more: bool, cursor: str = "") -> None:
        super().__init__(runs)
        self.incomplete, self.more, self.cursor = incomplete, more, cursor


class Client:
    """A connection to a server. Made by `connect`; use it as a context manager. Threads may share it."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        self._loop = ClientLoop()
        try:
            self._loop.call(client.open())
        except BaseException:
            self._loop.close()
            raise

    @property
    def address(self) -> str:
        return self._client.address

    def __enter__(self) -> Client:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnects; runs go on. Idempotent."""
        try:
            self._loop.call(self._client.close())
        except Disconnected:
            return
        self._loop.close()

    @overload
    def start(self, workflow: TypedWorkflow[P, R], /, *args: P.args, **kwargs: P.kwargs) -> Run[R]: ...
    @overload
    def start(
        self,
        workflow: TypedWorkflow[[], R],
        /,
        *,
        key: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
    ) -> Run[R]: ...
    @overload
    def start(
        self,
        workflow: TypedWorkflow[[A], R],
        a: A,
        /,
        *,
        key: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
    ) -> Run[R]: ...
    @overload
    def start(
        self,
        workflow: TypedWorkflow[[A, B], R],
        a: A,
        b: B,
        /,
        *,
        key: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
    ) -> Run[R]: ...
    @overload
    def start(
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
    ) -> Run[R]: ...
    @overload
    def start(
        self,
        workflow: TypedWorkflow[..., R],
        args: Args,
        /,
        *,
        key: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
    ) -> Run[R]: ...
    @overload
    def start(
        self,
        workflow: str,
        /,
        *args: Any,
        key: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> Run[Any]: ...
    def start(  # type: ignore[misc]  # P may hold a parameter called key, priority or tags: see below
        self,
        workflow: Any,
        /,
        *args: Any,
        key: str | None = None,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
        **kwargs: Any,
    ) -> Run[Any]:
        """See `AsyncClient.start`."""
        started = self._client.start(workflow, *args, key=key, priority=priority, tags=tags, **kwargs)
        return Run(self._loop, self._loop.call(started))

    @overload
    def start_many(
        self,
        workflow: TypedWorkflow[[A], R],
        items: Iterable[A | Args],
        /,
        *,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
    ) -> Many[Run[R]]: ...
    @overload
    def start_many(
        self,
        workflow: TypedWorkflow[..., R],
        items: Iterable[Args],
        /,
        *,
        priority: int = 0,
        tags: Mapping[str, str] | None = None,
    ) -> Many[Run[R]]: ...
    @overload
    def start_many(
        self, workflow: str, items: Iterable[Any], /, *, priority: int = 0, tags: Mapping[str, str] | None = None
    ) -> Many[Run[Any]]: ...
    def start_many(
        self, workflow: Any, items: Iterable[Any], *, priority: int = 0, tags: Mapping[str, str] | None = None
    ) -> Many[Run[Any]]:
        """See `AsyncClient.start_many`."""
        runs = self._loop.call(self._client.start_many(workflow, items, priority=priority, tags=tags))
        return [Run(self._loop, run) for run in runs]

    @overload
    def handle(self, run_id: str, workflow: TypedWorkflow[..., R]) -> Run[R]: ...
    @overload
    def handle(self, run_id: str, workflow: str | None = None) -> Run[Any]: ...
    def handle(self, run_id: str, workflow: Any = None) -> Run[Any]:
        """See `AsyncClient.handle`."""
        return Run(self._loop, self._client.handle(run_id, workflow))

    @overload
    def get(self, run_id: str, workflow: TypedWorkflow[..., R]) -> Run[R]: ...
    @overload
    def get(self, run_id: str, workflow: str | None = None) -> Run[Any]: ...
    def get(self, run_id: str, workflow: Any = None) -> Run[Any]:
        """See `AsyncClient.get`."""
        return Run(self._loop, self._loop.call(self._client.get(run_id, workflow)))

    @overload
    def find(self, workflow: TypedWorkflow[..., R], key: str) -> Run[R]: ...
    @overload
    def find(self, workflow: str, key: str) -> Run[Any]: ...
    def find(self, workflow: Any, key: str) -> Run[Any]:
        """See `AsyncClient.find`."""
        return Run(self._loop, self._loop.call(self._client.find(workflow, key)))

    def list(
        self,
        *,
        status: str | None = None,
        workflow: Any = None,
        key: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = LIST_LIMIT_DEFAULT,
        after: str | None = None,
    ) -> RunList:
        """See `AsyncClient.list`."""
        asked = self._client.list(status=status, workflow=workflow, key=key, tags=tags, limit=limit, after=after)
        runs = self._loop.call(asked)
        return RunList((Run(self._loop, run) for run in runs), runs.incomplete, runs.more, runs.cursor)

    def signal(
        self,
        workflow: Any,
        key: str,
        name: str,
        payload: Any = None,
        *,
        event_id: str | None = None,
        correlation: str = "",
        start: Args | None = None,
    ) -> Run[Any]:
        """See `AsyncClient.signal`."""
        sent = self._client.signal(
            workflow, key, name, payload, event_id=event_id, correlation=correlation, start=start
        )
        return Run(self._loop, self._loop.call(sent))

    def deploy(self, *workflows: Any, check: bool = False, replace: bool = False) -> Many[Deployed]:
        """See `AsyncClient.deploy`."""
        return self._loop.call(self._client.deploy(*workflows, check=check, replace=replace))

    def approvals(
        self, *, to: str | None = None, workflow: str | None = None, limit: int = LIST_LIMIT_DEFAULT
    ) -> Many[ApprovalInfo]:
        """See `AsyncClient.approvals`."""
        return self._loop.call(self._client.approvals(to=to, workflow=workflow, limit=limit))

    def definitions(self) -> Many[DefinitionFound]:
        """See `AsyncClient.definitions`."""
        return self._loop.call(self._client.definitions())

    def definition(self, workflow: Any = "", *, version: int = 0, hash: str = "") -> Definition:
        """See `AsyncClient.definition`."""
        return self._loop.call(self._client.definition(workflow, version=version, hash=hash))

    def deprecate(self, workflow: Any, *, version: int = 0, note: str = "") -> Many[int]:
        """See `AsyncClient.deprecate`."""
        return self._loop.call(self._client.deprecate(workflow, version=version, note=note))

    def undeprecate(self, workflow: Any, *, version: int = 0) -> Many[int]:
        """See `AsyncClient.undeprecate`."""
        return self._loop.call(self._client.undeprecate(workflow, version=version))

    def tag(self, workflow: Any, tag: str, *, version: int = 0) -> int:
        """See `AsyncClient.tag`."""
        return self._loop.call(self._client.tag(workflow, tag, version=version))

    def untag(self, workflow: Any, tag: str) -> bool:
        """See `AsyncClient.untag`."""
        return self._loop.call(self._client.untag(workflow, tag))

    def make_current(self, workflow: Any, *, version: int = 0) -> bool:
        """See `AsyncClient.make_current`."""
        return self._loop.call(self._client.make_current(workflow, version=version))

    def delete_definition(self, workflow: Any, *, version: int = 0) -> Many[int]:
        """See `AsyncClient.delete_definition`."""
        return self._loop.call(self._client.delete_definition(workflow, version=version))

    def graph(self, what: Any, *, runs: int = 20, paths: int = 10) -> ProcessedGraph:
        """See `AsyncClient.graph`."""
        return self._loop.call(self._client.graph(what, runs=runs, paths=paths))

    def check(self, *workflows: Any, limit: int = LIST_LIMIT_DEFAULT) -> Many[DeployCheck]:
        """See `AsyncClient.check`."""
        return self._loop.call(self._client.check(*workflows, limit=limit))

    def diff(self, old: Any, new: Any) -> Differences:
        """See `AsyncClient.diff`."""
        return self._loop.call(self._client.diff(old, new))

    def version_of(self, workflow: Any) -> int:
        """See `AsyncClient.version_of`."""
        return self._loop.call(self._client.version_of(workflow))

    def status(self) -> ServerStatus:
        """See `AsyncClient.status`."""
        return self._loop.call(self._client.status())

    def alerts(self) -> AlertsState:
        """See `AsyncClient.alerts`."""
        return self._loop.call(self._client.alerts())

    def wait_until_serving(self, timeout_s: float) -> ServerStatus:
        """See `AsyncClient.wait_until_serving`."""
        return self._loop.call(self._client.wait_until_serving(timeout_s))

    def backup(self, directory: str, timeout_s: float | None = None) -> BackupReport:
        """See `AsyncClient.backup`."""
        return self._loop.call(self._client.backup(directory, timeout_s))

    def rebalance(
        self, moves: Iterable[tuple[int, int]] = (), *, dry_run: bool = False, timeout_s: float | None = None
    ) -> RebalanceReport:
        """See `AsyncClient.rebalance`."""
        return self._loop.call(self._client.rebalance(moves, dry_run=dry_run, timeout_s=timeout_s))

    def why(self, run_id: str) -> Explanation:
        """See `AsyncClient.why`."""
        return self._loop.call(self._client.why(run_id))

    def view(self, run_id: str) -> RunView:
        """See `AsyncClient.view`."""
        return self._loop.call(self._client.view(run_id))


def connect_with(
    open_link: LinkFactory,
    address: str | None = None,
    token: str | None = None,
    *,
    connect_timeout_s: float = CONNECT_TIMEOUT_S,
    request_timeout_s: float = REQUEST_TIMEOUT_S,
) -> Client:
    """A sync client over this transport, connected. See `aconnect_with` for the address and the token."""
    return Client(
        aconnect_with(
            open_link, address, token, connect_timeout_s=connect_timeout_s, request_timeout_s=request_timeout_s
        )
    )
