"""Routes for those who keep an engine going: server, shards, workers, health; and the inbox of approvals."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Response
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, JSONBody, QueryParameter
from msgspec import Struct

from wfe.client.alerts import alerts_document
from wfe.client.approvals import approval_document, check_approval_name
from wfe.client.views import rebalance_document, status_document
from wfe.errors import WfeError
from wfe.gateway.documents import (
    Accepted,
    AlertList,
    ApprovalList,
    Health,
    RebalanceState,
    ServerState,
    ShardList,
    WorkerList,
)
from wfe.gateway.runs import LIST_MAX
from wfe.gateway.state import Gateway
from wfe.gateway.verbs import get, post
from wfe.limits import KEY_CHARS_MAX, NAME_CHARS_MAX, PARTITIONS_MAX

REBALANCE_TIMEOUT_S = 600.0


class Decision(Struct, forbid_unknown_fields=True):
    """A person's decision. ``by``: who decides; ``data``: what the approval's form asks for."""

    approved: bool
    by: Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)] = ""
    comment: str = ""
    data: Any = None
    event_id: Annotated[str, msgspec.Meta(max_length=KEY_CHARS_MAX)] = ""


class MoveWanted(Struct, forbid_unknown_fields=True):
    """A partition, and the shard that is to have it."""

    partition: Annotated[int, msgspec.Meta(ge=0, lt=PARTITIONS_MAX)]
    to: Annotated[int, msgspec.Meta(ge=0, lt=PARTITIONS_MAX)]


class RebalanceWanted(Struct, forbid_unknown_fields=True):
    """Without ``moves``: whatever evens out the load. ``dry_run``: only say what would be moved."""

    moves: Annotated[list[MoveWanted], msgspec.Meta(max_length=PARTITIONS_MAX)] = []
    dry_run: bool = False


async def server_state(gateway: Gateway) -> ServerState:
    return msgspec.convert(status_document(await gateway.client.status()), ServerState)


@get("/server", summary="Get the server's state")
async def get_server(gateway: NamedDependency[Gateway]) -> ServerState:
    """With its shards, their counters and latencies, and its workers."""
    return await server_state(gateway)


@get("/shards", summary="List shards")
async def list_shards(gateway: NamedDependency[Gateway]) -> ShardList:
    """With their counters, gauges and latencies."""
    return ShardList((await server_state(gateway)).shards)


@get("/workers", summary="List workers")
async def list_workers(gateway: NamedDependency[Gateway]) -> WorkerList:
    """Local ones and remote ones."""
    return WorkerList((await server_state(gateway)).workers)


@get("/alerts", summary="Get what the alert rules say")
async def get_alerts(gateway: NamedDependency[Gateway]) -> AlertList:
    """Rules come from the server's configuration; who judges them is a process beside the server."""
    return msgspec.convert(alerts_document(await gateway.client.alerts()), AlertList)


@get("/approvals", summary="List the decisions that runs wait for")
async def list_approvals(
    gateway: NamedDependency[Gateway],
    to: FromQuery[str | None] = None,
    workflow: FromQuery[str | None] = None,
    limit: Annotated[int, QueryParameter(ge=1, le=LIST_MAX)] = 100,
) -> ApprovalList:
    """Oldest run first. ``to``: only those that this person is asked for."""
    found = await gateway.client.approvals(to=to, workflow=workflow, limit=limit)
    return msgspec.convert({"approvals": [approval_document(each) for each in found]}, ApprovalList)


@post("/approvals/{run_id:str}/{name:str}", status_code=200, summary="Approve or reject")
async def decide(
    gateway: NamedDependency[Gateway], run_id: FromPath[str], name: FromPath[str], data: JSONBody[Decision]
) -> Accepted:
    """Decides what a run asks for under this name. A decision that comes early is kept."""
    decision: dict[str, Any] = {"approved": data.approved, "by": data.by}
    if data.comment:
        decision["comment"] = data.comment
    if data.data is not None:
        decision["data"] = data.data
    view = await gateway.client.view(run_id)
    check_approval_name(await gateway.client.definition(hash=view.definition), name)
    await gateway.client.handle(run_id).signal(name, decision, event_id=data.event_id or None)
    return Accepted(run_id, "approve" if data.approved else "reject")


@get("/healthz", tags=["health"], summary="Whether this process answers", security=[])
async def healthz() -> Health:
    """Says nothing about the engine."""
    return Health("ok")


@get(
    "/readyz",
    tags=["health"],
    summary="Whether the engine serves",
    security=[],
    responses={503: ResponseSpec(Health, description="Not now.", generate_examples=False)},
)
async def readyz(gateway: NamedDependency[Gateway]) -> Response[Health]:
    """503 while some shard does not serve, or the server cannot be reached."""
    try:
        state = (await gateway.client.status()).state
    except (WfeError, TimeoutError):
        state = "unreachable"
    ready = state == "serving"
    return Response(Health("ok" if ready else state), status_code=200 if ready else 503)


@post("/rebalance", status_code=200, summary="Move partitions between shards")
async def rebalance(gateway: NamedDependency[Gateway], data: JSONBody[RebalanceWanted]) -> RebalanceState:
    """Answers once all have moved, or could not; 409 when a backup or another rebalance is under way."""
    moves = [(move.partition, move.to) for move in data.moves]
    report = await gateway.client.rebalance(moves, dry_run=data.dry_run, timeout_s=REBALANCE_TIMEOUT_S)
    return msgspec.convert(rebalance_document(report), RebalanceState)


ROUTES = [rebalance, get_server, list_shards, list_workers, get_alerts, list_approvals, decide]
OPEN_ROUTES = [healthz, readyz]
