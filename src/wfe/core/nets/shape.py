"""A net compiled: integer-indexed, immutable, part of the plan. Nodes are named by their position in the definition,
edges by their number in the net."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from wfe.core.expressions import Expression
from wfe.model.net import Boundary, Join


@dataclass(frozen=True, slots=True)
class NetEdge:
    """``ports``: the ways of leaving ``src`` that it takes tokens from."""

    src: int
    dst: int
    ports: tuple[str, ...]
    weight: int = 1
    errors: tuple[str, ...] = ()
    when: Expression | None = None
    default: bool = False


@dataclass(slots=True)
class NetNode:
    """A node of a net. ``scope``: of its firings. ``incoming``, ``outgoing``: numbers of edges, in order."""

    index: int
    scope: int
    join: Join
    incoming: tuple[int, ...] = ()
    outgoing: tuple[int, ...] = ()
    ports: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Edges by the port that they leave by."""
    split: str = "and"
    cancels: tuple[int, ...] = ()
    region: tuple[int, ...] = ()
    """What its join withdraws when it fires (rest: cancel)."""
    ends_run: bool = False
    enabled: Expression | None = None
    skips: bool = False
    """A token that comes while it is not enabled passes by."""
    boundary: tuple[Boundary, ...] = ()
    timers: tuple[int, ...] = ()
    """Numbers of boundaries that are timers, soonest first."""
    kept: tuple[int, ...] = ()
    """Itself and nodes inside it whose values expressions name."""
    plain: bool = False
    """A task that opens without a look at it: booking the firing opens it."""
    lingers: bool = False
    """A map that may let its tokens go while items go on."""
    sweeps: bool = False
    """Booking its end may withdraw something."""
    watch: int = 0
    """Bits of the joins (`Net.joins`) that a change of its activity may let fire."""
    heard: tuple[int, ...] = ()
    """Nodes whose ``enabled_while`` asks about it."""


@dataclass(slots=True)
class Net:
    """``block``: the node that it is the inside of, or the frame's own number. ``scope``: the scope around it.

    ``joins``: nodes with an or-join or an n-join, in order of declaration. ``reach``: for each of these, node -> bits
    of its incoming edges (by their position in ``incoming``) that a token at the node can reach without passing it.
    """

    index: int
    block: int
    scope: int
    nodes: dict[int, NetNode]
    edges: tuple[NetEdge, ...]
    entry: tuple[int, ...]
    joins: tuple[int, ...] = ()
    reach: tuple[Mapping[int, int], ...] = ()
    listeners: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    """Signal -> nodes with a boundary event for it."""
