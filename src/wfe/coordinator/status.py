"""The engine's health as one struct, for `wfe status` and for whoever watches it. Pure."""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING

from wfe.coordinator.balance import busiest_percent
from wfe.coordinator.supervision import ChildState
from wfe.wire.messages import ServerStatus, WorkerStatus

if TYPE_CHECKING:
    from wfe.coordinator.actor import Coordinator

try:
    VERSION = version("wfe")
except PackageNotFoundError:
    VERSION = "unknown"


def server_status(coordinator: Coordinator, server: str, now_ms: int) -> ServerStatus:
    """The engine as it is now. degraded: it has started, and some shard is not serving."""
    children = coordinator.supervisor.children
    topology = coordinator.topology
    shards = [topology.status(s, children[f"shard-{s.index}"].restarts, now_ms) for s in topology.shards]
    if coordinator.draining:
        state = "draining"
    elif all(shard.state == "serving" for shard in shards):
        state = "serving"
    elif any(shard.state != "starting" for shard in shards) and not _still_starting(coordinator):
        state = "degraded"
    else:
        state = "starting"
    options = coordinator.options
    owners = dict(enumerate(topology.owners))
    return ServerStatus(
        server,
        state,
        VERSION,
        options.data,
        options.durability,
        topology.partitions,
        coordinator.site.started_at_ms,
        shards,
        _workers(coordinator),
        coordinator.deploys.count(),
        coordinator.site.address,
        coordinator.gateway.http,
        sorted(topology.held),
        busiest_percent(owners, len(topology.shards), coordinator.rebalancing.weights(damped=True)),
    )


def _still_starting(coordinator: Coordinator) -> bool:
    """Whether no shard has failed yet and some have not served for the first time."""
    states = {shard.state for shard in coordinator.topology.shards}
    return states <= {"starting", "serving"} and "starting" in states


def _workers(coordinator: Coordinator) -> list[WorkerStatus]:
    connected = coordinator.peers.workers()
    local = []
    for child in coordinator.supervisor.of("worker"):
        if child.state is ChildState.RUNNING:
            state = "connected" if child.worker in connected else "starting"
        else:
            state = "restarting" if child.state is ChildState.BACKOFF else str(child.state)
        local.append(WorkerStatus(child.worker or child.name, True, child.pid, state, child.restarts))
    own = {child.worker for child in coordinator.supervisor.of("worker")}
    return local + [WorkerStatus(worker, False) for worker in sorted(connected) if worker not in own]
