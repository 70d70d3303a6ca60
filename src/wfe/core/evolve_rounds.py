"""Evolve for rounds: a state that replaces the run's, and nodes that were skipped. See `evolve`."""

from __future__ import annotations

import msgspec
from msgspec import structs

from wfe.core.places import Enabled, Evolve, complete, disarm, withdraw
from wfe.core.plan import Plan
from wfe.model.event_rounds import NodeSkipped, RunRestored
from wfe.model.state import RUNNING, RunState
from wfe.model.tables import share_empties

NAMING = frozenset(
    """id workflow version definition input started_ms namespace key priority tags principal parent parent_node
    parent_act depth seq commands round""".split()  # noqa: SIM905 - shorter to read
)
"""Fields that a restored run keeps: they say which run it is, not where it stands."""
RESTORED = tuple(field.name for field in structs.fields(RunState) if field.name not in NAMING)
_decode_state = msgspec.msgpack.Decoder(RunState).decode


def _run_restored(run: RunState, plan: Plan, event: RunRestored, enabled: Enabled) -> None:
    state = _decode_state(event.snapshot)
    share_empties(state)
    if run.blobs:
        state.blobs = {**run.blobs, **state.blobs}  # the input, which stays, may be one
    for name in RESTORED:
        setattr(run, name, getattr(state, name))
    run.round = event.round
    run.status = RUNNING
    enabled[:] = event.enabled


def _node_skipped(run: RunState, plan: Plan, event: NodeSkipped, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    withdraw(run, plan, event.act, event.node, plan.nodes[event.node].stop)
    disarm(run, key)
    frame = run.frames.get(event.act)
    if frame is not None:
        frame.pending.pop(event.node, None)
    enabled[:] = [place for place in enabled if (place if place >= 0 else ~place) != key]
    complete(run, plan, event.act, event.node, event.value, enabled)


EVOLVE: dict[type, Evolve] = {RunRestored: _run_restored, NodeSkipped: _node_skipped}
