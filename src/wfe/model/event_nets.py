"""Events of nets: firings begin, end and leave, joins fire, boundary events happen.

`event` says the rules and is the index. Tags 40 to 59. ``node`` and ``act`` name the net: the block that is one, or the
number of the frame itself (``stride - 1``) for a net that is all of a run, of an item or of an iteration. ``members``
are positions of its nodes, ``edges`` numbers of its edges (`core.nets.shape`), ``firing`` the activation of a firing.
"""

from __future__ import annotations

from typing import TypeAlias

from wfe.model.event_base import Event
from wfe.model.policy import ErrorInfo


class FiringsOpened(Event, frozen=True, array_like=True, tag=40):
    """The first tokens behind joins become firings of these nodes: activations ``base`` and up."""

    node: int
    act: int
    base: int
    members: tuple[int, ...]


class FiringEnded(Event, frozen=True, array_like=True, tag=41):
    """A firing has ended and leaves by these edges. What its node cancels, and the rivals of its choice, are
    withdrawn."""

    node: int
    act: int
    firing: int
    edges: tuple[int, ...] = ()


class FiringFailed(Event, frozen=True, array_like=True, tag=42):
    """The oldest open fault is this firing's: it is withdrawn and leaves by these edges, its value is the error."""

    node: int
    act: int
    firing: int
    error: ErrorInfo
    edges: tuple[int, ...] = ()


class FiringHeld(Event, frozen=True, array_like=True, tag=43):
    """The first token behind a join waits: its node is not enabled now."""

    node: int
    act: int
    member: int


class FiringReleased(Event, frozen=True, array_like=True, tag=44):
    """The oldest token that waits before this node may go on: the node is enabled now."""

    node: int
    act: int
    member: int


class FiringMissed(Event, frozen=True, array_like=True, tag=45):
    """The first token behind a join passes its node by, which is not enabled now: its value is null."""

    node: int
    act: int
    member: int
    edges: tuple[int, ...] = ()


class JoinFired(Event, frozen=True, array_like=True, tag=46):
    """An or-join fires. ``stalemate``: a warning, only or-joins waited for each other and this one is the first."""

    node: int
    act: int
    member: int
    stalemate: bool = False


class RoundReset(Event, frozen=True, array_like=True, tag=47):
    """The round of an n-join is over: no token can come any more on the edges that it has not seen."""

    node: int
    act: int
    member: int


class BoundaryArmed(Event, frozen=True, array_like=True, tag=48):
    """The next of a firing's boundary timers counts."""

    node: int
    act: int
    firing: int
    boundary: int
    due_ms: int


class BoundaryReached(Event, frozen=True, array_like=True, tag=49):
    """A boundary event: tokens leave by these edges. ``taken``: it took the oldest signal of its name; else its timer
    fired."""

    node: int
    act: int
    firing: int
    boundary: int
    taken: bool = False
    edges: tuple[int, ...] = ()


class FiringEmptied(Event, frozen=True, array_like=True, tag=50):
    """A firing whose tokens left early is over now: the last item of its map has ended."""

    node: int
    act: int
    firing: int


class NetEnded(Event, frozen=True, array_like=True, tag=51):
    """Nothing in the net is active or can move, and no token is left."""

    node: int
    act: int


NetEvent: TypeAlias = (
    FiringsOpened
    | FiringEnded
    | FiringFailed
    | FiringHeld
    | FiringReleased
    | FiringMissed
    | JoinFired
    | RoundReset
    | BoundaryArmed
    | BoundaryReached
    | FiringEmptied
    | NetEnded
)
