"""Routes that change the course of runs: signals, cancel, pause, resume, retry, skip, fork; and bulk operations.

Every command is durable when it is answered, and is answered the same when it is repeated within one connection.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Annotated, Any, Literal

import msgspec
from litestar import Response
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody
from litestar.status_codes import HTTP_200_OK, HTTP_201_CREATED
from msgspec import Struct

from wfe.client.arguments import Args
from wfe.client.runs import AsyncRun
from wfe.errors import Busy, Disconnected, InvalidInput, Unavailable, UnknownRun, WfeError
from wfe.gateway.documents import Accepted, BulkFailure, BulkOutcome, Run, RunStatus
from wfe.gateway.problems import BadRequest
from wfe.gateway.runs import LIST_MAX, read_run, run_of
from wfe.gateway.state import Gateway
from wfe.gateway.verbs import post
from wfe.limits import BULK_CONCURRENCY, BULK_RUNS_MAX, KEY_CHARS_MAX, NAME_CHARS_MAX
from wfe.wire.messages import RunView

Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]
Key = Annotated[str, msgspec.Meta(max_length=KEY_CHARS_MAX)]
Action = Literal["cancel", "pause", "resume", "retry", "signal"]


class CancelRequest(Struct, forbid_unknown_fields=True):
    """``compensate`` false: what was done is not undone."""

    compensate: bool = True


class SignalRequest(Struct, forbid_unknown_fields=True):
    """A message to a run. Equal ``event_id``s count once; with a ``correlation`` only waits for that one take it."""

    name: Name
    payload: Any = None
    event_id: Key = ""
    correlation: Key = ""


class SignalByKey(Struct, forbid_unknown_fields=True):
    """A message to the run that (workflow, key) names. ``start``: arguments by name of a run to start if there is
    none."""

    workflow: Name
    key: Annotated[str, msgspec.Meta(min_length=1, max_length=KEY_CHARS_MAX)]
    name: Name
    payload: Any = None
    event_id: Key = ""
    correlation: Key = ""
    start: dict[str, Any] | None = None


class SkipRequest(Struct, forbid_unknown_fields=True):
    """An open node ends with ``output`` as its value. ``activation`` is needed where several are open."""

    node: Name
    output: Any = None
    activation: Annotated[int, msgspec.Meta(ge=0, le=1 << 62)] | None = None


class ForkRequest(Struct, forbid_unknown_fields=True):
    """A new run from right before ``node`` first opened, or from after ``event``: one of the two.

    ``changes``: values by path that are set before it begins, as in ``{"input.amount": 5}``.
    """

    node: Name | None = None
    event: Annotated[int, msgspec.Meta(ge=1, le=1 << 62)] | None = None
    changes: dict[str, Any] = {}
    tags: dict[str, str] = {}


class BulkFilter(Struct, forbid_unknown_fields=True):
    """Which runs; at least one condition, and all must hold. ``ids`` stand alone: they say already which runs."""

    status: RunStatus | None = None
    workflow: Name | None = None
    tags: dict[str, str] = {}
    ids: Annotated[list[str], msgspec.Meta(max_length=BULK_RUNS_MAX)] = []
    key: Key | None = None


class BulkRequest(Struct, forbid_unknown_fields=True):
    """Does the same to all runs that match. ``dry_run`` (the default!): only says which they are."""

    action: Action
    filter: BulkFilter
    dry_run: bool = True
    limit: Annotated[int, msgspec.Meta(ge=1, le=BULK_RUNS_MAX)] = LIST_MAX
    compensate: bool = True
    signal: SignalRequest | None = None


@post("/runs/{run_id:str}/cancel", status_code=HTTP_200_OK, summary="Cancel a run")
async def cancel(
    gateway: NamedDependency[Gateway], run_id: FromPath[str], data: JSONBody[CancelRequest | None] = None
) -> Accepted:
    """What it waits for is withdrawn, running tasks are told to stop, and what was done is compensated."""
    await gateway.client.handle(run_id).cancel(compensate=data is None or data.compensate)
    return Accepted(run_id, "cancel")


@post("/runs/{run_id:str}/pause", status_code=HTTP_200_OK, summary="Pause a run")
async def pause(gateway: NamedDependency[Gateway], run_id: FromPath[str]) -> Accepted:
    """Nothing more is dispatched; results and signals are recorded and count at resume."""
    await gateway.client.handle(run_id).pause()
    return Accepted(run_id, "pause")


@post("/runs/{run_id:str}/resume", status_code=HTTP_200_OK, summary="Resume a paused run")
async def resume(gateway: NamedDependency[Gateway], run_id: FromPath[str]) -> Accepted:
    """Goes on, with what was recorded meanwhile."""
    await gateway.client.handle(run_id).resume()
    return Accepted(run_id, "resume")


@post("/runs/{run_id:str}/retry", status_code=HTTP_200_OK, summary="Retry a failed run")
async def retry(gateway: NamedDependency[Gateway], run_id: FromPath[str]) -> Accepted:
    """Goes on from what failed, in a new round."""
    await gateway.client.handle(run_id).retry()
    return Accepted(run_id, "retry")


@post("/runs/{run_id:str}/skip", status_code=HTTP_200_OK, summary="End an open node with a value")
async def skip(gateway: NamedDependency[Gateway], run_id: FromPath[str], data: JSONBody[SkipRequest]) -> Accepted:
    """The run goes on as if the node had done that."""
    await gateway.client.handle(run_id).skip(data.node, data.output, activation=data.activation)
    return Accepted(run_id, "skip")


@post("/runs/{run_id:str}/fork", status_code=HTTP_201_CREATED, summary="Start a new run from a point of this one")
async def fork(gateway: NamedDependency[Gateway], run_id: FromPath[str], data: JSONBody[ForkRequest]) -> Response[Run]:
    """This run stays as it is."""
    if (data.node is None) == (data.event is None):
        raise BadRequest(422, "fork from a node or from an event: give one of the two", pointer="#/node")
    origin = await gateway.client.view(run_id)
    made = await gateway.client.handle(run_id).fork(
        node=data.node, event=data.event, changes=data.changes, tags=data.tags
    )
    try:
        found = await read_run(gateway, made.id)
    except (Busy, Disconnected, Unavailable, UnknownRun):
        # It is durable, as a start is: to be told to come back would make a second one of it.
        found = run_of(RunView(made.id, origin.workflow, origin.version, "pending", tags={**origin.tags, **data.tags}))
    return Response(found, headers={"location": f"/api/v1/runs/{made.id}"})


@post("/runs/{run_id:str}/signal", status_code=HTTP_200_OK, summary="Send a signal to a run")
async def signal(gateway: NamedDependency[Gateway], run_id: FromPath[str], data: JSONBody[SignalRequest]) -> Accepted:
    """A signal that comes before the run waits for it is kept."""
    await _signal(gateway.client.handle(run_id), data)
    return Accepted(run_id, "signal")


@post("/signals", status_code=HTTP_200_OK, summary="Send a signal to the run that a key names")
async def signal_by_key(gateway: NamedDependency[Gateway], data: JSONBody[SignalByKey]) -> Accepted:
    """With ``start`` the run is started first if there is none."""
    with _refused_at(data):
        run = await gateway.client.signal(
            data.workflow,
            data.key,
            data.name,
            data.payload,
            event_id=data.event_id or None,
            correlation=data.correlation,
            start=None if data.start is None else Args((), data.start),
        )
    return Accepted(run.id, "signal")


@post("/runs/bulk", status_code=HTTP_200_OK, summary="Do the same to many runs")
async def bulk(gateway: NamedDependency[Gateway], data: JSONBody[BulkRequest]) -> BulkOutcome:
    """Looks for the runs, then does it to each; those that refuse are named with the reason."""
    wanted = data.filter
    conditions = wanted.status or wanted.workflow or wanted.tags or wanted.key
    if not (conditions or wanted.ids):
        raise BadRequest(422, "name at least one condition: a bulk operation never means all runs", pointer="#/filter")
    if wanted.ids and conditions:
        raise BadRequest(422, "name the runs by `ids` or by conditions: one of the two", pointer="#/filter/ids")
    if (data.action == "signal") != (data.signal is not None):
        raise BadRequest(422, "`signal` is what the action signal sends", pointer="#/signal")
    more, incomplete = False, list[int]()
    if wanted.ids:
        ids = list(dict.fromkeys(wanted.ids))[: data.limit]
        more = len(set(wanted.ids)) > data.limit
    else:
        found = await gateway.client.list(
            status=wanted.status,
            workflow=wanted.workflow,
            key=wanted.key or None,
            tags=wanted.tags,
            limit=data.limit,
        )
        ids, more, incomplete = [run.id for run in found], found.more, found.incomplete
    if data.dry_run:
        return BulkOutcome(data.action, True, len(ids), ids, [], more, incomplete)
    at_once = asyncio.Semaphore(BULK_CONCURRENCY)
    failures = await asyncio.gather(*(_one(gateway, run_id, data, at_once) for run_id in ids))
    failed = [failure for failure in failures if failure is not None]
    refused = {failure.id for failure in failed}
    done = [run_id for run_id in ids if run_id not in refused]
    return BulkOutcome(data.action, False, len(ids), done, failed, more, incomplete)


async def _one(gateway: Gateway, run_id: str, data: BulkRequest, at_once: asyncio.Semaphore) -> BulkFailure | None:
    async with at_once:
        try:
            await _do(gateway.client.handle(run_id), data)
        except WfeError as error:
            return BulkFailure(run_id, error.code, str(error))
    return None


async def _do(run: AsyncRun[Any], data: BulkRequest) -> None:
    match data.action:
        case "cancel":
            await run.cancel(compensate=data.compensate)
        case "pause":
            await run.pause()
        case "resume":
            await run.resume()
        case "retry":
            await run.retry()
        case "signal":
            assert data.signal is not None
            await _signal(run, data.signal)


@contextmanager
def _refused_at(data: SignalRequest | SignalByKey) -> Iterator[None]:
    """A value that is refused is the signal's payload, or what a run would be started with."""
    try:
        yield
    except InvalidInput as error:
        if not error.path.startswith("$"):
            raise
        of_start = (
            isinstance(data, SignalByKey) and data.start is not None and f"signal {data.name!r}" not in str(error)
        )
        path = ("start" if of_start else "payload") + error.path[1:]
        raise InvalidInput(str(error).replace(error.path, path), path) from error


async def _signal(run: AsyncRun[Any], data: SignalRequest) -> None:
    with _refused_at(data):
        await run.signal(data.name, data.payload, event_id=data.event_id or None, correlation=data.correlation)


ROUTES = [cancel, pause, resume, retry, skip, fork, signal, signal_by_key, bulk]
