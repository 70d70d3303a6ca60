"""A run as of one of its events, as people see it: what was open, what had which value. Pure."""

from __future__ import annotations

from msgspec import Raw

from wfe.core.durable.records import record_of
from wfe.core.groups import done_of, total_of
from wfe.core.plan import Plan
from wfe.model.blob import expand
from wfe.model.state import RUN_DEADLINE, RunState, channel_name
from wfe.partition.durable import ended_calls
from wfe.partition.views import waiting_for
from wfe.wire.rounds import NULL, NodeState, RunPast


def run_past(plan: Plan, run: RunState, event: int, time_ms: int, *, recorded: bool = False) -> RunPast:
    """The whole state of a run; or, ``recorded``, what its function would be re-run with."""
    if recorded:
        return _record(plan, run, event, time_ms)
    nodes = [
        NodeState(plan.nodes[index].id, act, "done", value=expand(value, run.blobs))
        for act, frame in sorted(run.frames.items())
        for index, value in sorted(frame.values.items())
    ]
    nodes += [
        NodeState(wait.node, 0, wait.kind, wait.detail, wait.attempt, wait.due_ms)
        for wait in waiting_for(run, plan, {})
        if wait.node
    ]
    nodes += _blocks(plan, run)
    if run.durable is not None:
        nodes += ended_calls(run)
    deadline = run.timers.get(RUN_DEADLINE)
    if deadline is not None:
        nodes.append(NodeState("", 0, "deadline", due_ms=deadline))
    signals: dict[str, int] = {}
    for channel, waiting in run.signals.items():
        signals[channel_name(channel)] = signals.get(channel_name(channel), 0) + len(waiting)
    output = expand(run.output, run.blobs) if run.output != NULL else Raw(bytes(NULL))
    given = expand(run.input, run.blobs)
    return RunPast(run.id, event, time_ms, run.status, run.round, given, nodes, signals, output, run.incident)


def _record(plan: Plan, run: RunState, event: int, time_ms: int) -> RunPast:
    past = RunPast(run.id, event, time_ms, run.status, run.round, NULL)
    if run.durable is not None:
        past.record = bytes(record_of(run, plan, time_ms, partial=False))
        past.had = run.durable.taken
    return past


def _blocks(plan: Plan, run: RunState) -> list[NodeState]:
    """Blocks, maps and loops that are open, with how far they are."""
    found = []
    for key, group in sorted(run.groups.items()):
        act, index = divmod(key, plan.stride)
        ended = done_of(group) + len(group.errors)
        detail = f"{ended} of {total_of(group)} items ended, {group.next - ended} open"
        found.append(NodeState(plan.nodes[index].id, act, "open", detail))
    for act, frame in sorted(run.frames.items()):
        for index in sorted(frame.pending):
            if index != plan.stride - 1:
                found.append(NodeState(plan.nodes[index].id, act, "open"))
    for key, loop in sorted(run.loops.items()):
        act, index = divmod(key, plan.stride)
        found.append(NodeState(plan.nodes[index].id, act, "open", f"iteration {loop.iteration}"))
    return found
