"""Which tokens of a net wait where, in words: for runs that are stuck, and for whoever asks what a run waits for."""

from __future__ import annotations

from wfe.core.nets.shape import Net, NetNode
from wfe.core.plan import Plan
from wfe.model.marking import Marking

_NODES_MAX = 20


def waiting_joins(plan: Plan, marking: Marking) -> list[tuple[str, str]]:
    """(node id, what has come and what is missing) of every node before which tokens wait."""
    net = plan.nets[marking.net]
    found: list[tuple[str, str]] = []
    for index, node in net.nodes.items():
        waits = _before(plan, net, marking, node)
        if waits:
            found.append((plan.nodes[index].id, waits))
    held: dict[int, int] = {}
    for index, _ in marking.held:
        held[index] = held.get(index, 0) + 1
    for index, count in held.items():
        enabled = net.nodes[index].enabled
        found.append((plan.nodes[index].id, f"{_tokens(count)} until {enabled.text if enabled else 'it is enabled'}"))
    return found


def describe_stranded(plan: Plan, marking: Marking) -> list[str]:
    """The same as sentences; empty: no token is left."""
    if not (marking.tokens or marking.held or any(not round_.fired for round_ in marking.rounds.values())):
        return []
    found = [f"{id_} waits: {what}" for id_, what in waiting_joins(plan, marking)]
    return found[:_NODES_MAX] + [f"and {len(found) - _NODES_MAX} more"] * (len(found) > _NODES_MAX)


def _before(plan: Plan, net: Net, marking: Marking, node: NetNode) -> str:
    """What the edges into a node hold."""
    round_ = marking.rounds.get(node.index)
    seen = round_.seen if round_ is not None and not round_.fired else {}
    holds = {number: marking.tokens.get(number, 0) + seen.get(number, 0) for number in node.incoming}
    if not any(holds.values()):
        return ""
    join = node.join
    kind = f"{join.mode} {join.n}" if join.mode in ("n", "thread") else join.mode
    come = ", ".join(f"{_tokens(count)} from {_source(plan, net, number)}" for number, count in holds.items() if count)
    missing = ", ".join(dict.fromkeys(_source(plan, net, number) for number, count in holds.items() if not count))
    return f"join {kind}, {come}" + (f", none from {missing}" if missing else "")


def _source(plan: Plan, net: Net, number: int) -> str:
    edge = net.edges[number]
    port = edge.ports[0]
    return plan.nodes[edge.src].id + ("" if port == "ok" else f" ({port})")


def _tokens(count: int) -> str:
    return "1 token" if count == 1 else f"{count} tokens"
