"""What a token can still reach: for rule R3 (or-joins) and for rounds of n-joins.

The BPMN 2.0 inclusive join: a token elsewhere keeps the join waiting if it can reach an empty incoming edge and can't
reach one that holds a token already, on paths that do not pass the join itself. Which edges a token at a node can reach
does not change, so it is computed once, as bits.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from wfe.core.nets.shape import NetEdge, NetNode


def reachable_edges(join: NetNode, nodes: Mapping[int, NetNode], edges: Sequence[NetEdge]) -> dict[int, int]:
    """Node -> bits of the join's incoming edges that a token at the node can reach; nodes that reach none are left out.

    The join's own entry says what a token that has passed it can reach on its way round.
    """
    bits: dict[int, int] = {}
    for position, number in enumerate(join.incoming):
        source = edges[number].src
        bits[source] = bits.get(source, 0) | 1 << position
    todo = dict.fromkeys(index for index in bits if index != join.index)
    while todo:  # first in, first out: what many edges leave from is looked at once they all have been
        index = next(iter(todo))
        del todo[index]
        found = bits[index]
        for number in nodes[index].incoming:
            source = edges[number].src
            before = bits.get(source, 0)
            if before | found != before:
                bits[source] = before | found
                if source != join.index:
                    todo[source] = None
    return bits
