"""Events of loops, races, states, approvals, locks, compensation, emitted events and maps that grow or are left early.

`event` says the rules and is the index. Tags 60 to 89.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Raw

from wfe.model.event_base import NULL, Event
from wfe.model.policy import ErrorInfo


class LoopOpened(Event, frozen=True, array_like=True, tag=60):
    """A loop began. ``items`` is a msgpack array, or null when it does not go over any."""

    node: int
    act: int
    items: Raw = NULL


class IterationOpened(Event, frozen=True, array_like=True, tag=61):
    """The next iteration began, in a frame of its own: activation ``inner``."""

    node: int
    act: int
    inner: int


class IterationDone(Event, frozen=True, array_like=True, tag=62):
    """All nodes of the open iteration have ended, and ``until`` did not hold."""

    node: int
    act: int


class LoopDone(Event, frozen=True, array_like=True, tag=63):
    """The loop has ended, by its conditions or by a `BreakIf`: what is open inside it is withdrawn."""

    node: int
    act: int


class LoopRested(Event, frozen=True, array_like=True, tag=64):
    """The loop took enough of a turn: it goes on when its timer fires, so that other runs are served."""

    node: int
    act: int
    due_ms: int


class RaceOpened(Event, frozen=True, array_like=True, tag=65):
    """These nodes of a race start together; those whose ``if`` was false take no part."""

    node: int
    act: int
    contenders: tuple[int, ...]


class RaceWon(Event, frozen=True, array_like=True, tag=66):
    """The node ``winner`` ended first: the others are withdrawn, and what they made is forgotten."""

    node: int
    act: int
    winner: int


class StateAssigned(Event, frozen=True, array_like=True, tag=67):
    """An `Assign` has ended: the state ``target`` in the frame ``target_act`` has this value now."""

    node: int
    act: int
    target: int
    target_act: int
    value: Raw


class EventEmitted(Event, frozen=True, array_like=True, tag=68):
    """The run publishes an event. The node has ended."""

    node: int
    act: int
    name: str
    data: Raw = NULL


class ApprovalAsked(Event, frozen=True, array_like=True, tag=69):
    """Somebody (``to``) is asked to decide. ``due_ms``, ``escalate_ms`` 0: never."""

    node: int
    act: int
    to: Raw = NULL
    due_ms: int = 0
    escalate_ms: int = 0


class ApprovalEscalated(Event, frozen=True, array_like=True, tag=70):
    """It took too long: somebody else is asked. ``level``: which escalation of the node this was, from 1."""

    node: int
    act: int
    to: Raw
    level: int
    escalate_ms: int = 0


class ApprovalDecided(Event, frozen=True, array_like=True, tag=71):
    """Approved or refused. ``taken``: by the oldest buffered signal of its name, else by its timeout.

    ``error``: the refusal is a fault.
    """

    node: int
    act: int
    value: Raw
    taken: bool = True
    error: ErrorInfo | None = None


class LockAsked(Event, frozen=True, array_like=True, tag=72):
    """A block asks for its locks and waits in the queue. ``shared``: the one lock of all runs that it wants by mail."""

    node: int
    act: int
    shared: str = ""


class LockGranted(Event, frozen=True, array_like=True, tag=73):
    """The block holds its locks, and its nodes begin."""

    node: int
    act: int


class CompensationRegistered(Event, frozen=True, array_like=True, tag=74):
    """From here on the node's task is to be called if the run fails. The node has ended."""

    node: int
    act: int
    input: Raw


class CompensationBegan(Event, frozen=True, array_like=True, tag=75):
    """The run is about to end like this: everything open is withdrawn, then handlers run, last first."""

    status: str
    time_ms: int
    error: ErrorInfo | None = None


class CompensateOpened(Event, frozen=True, array_like=True, tag=76):
    """A `Compensate` waits until what was registered so far has been called."""

    node: int
    act: int


class CompensationOpened(Event, frozen=True, array_like=True, tag=77):
    """The handler that was registered last became ready, attempt 1: the task of the node that registered it."""

    node: int
    act: int


class CompensationDone(Event, frozen=True, array_like=True, tag=78):
    """A handler has ended. ``error``: it failed for good; the next one goes on."""

    node: int
    act: int
    attempt: int
    error: ErrorInfo | None = None


class CompensationEnded(Event, frozen=True, array_like=True, tag=79):
    """All handlers that a `Compensate` waited for have ended: so has it."""


class MapGrown(Event, frozen=True, array_like=True, tag=80):
    """The map takes the oldest signal that its ``grow`` names: further items; or, closed, there will be none."""

    node: int
    act: int
    closed: bool = False


class MapLeft(Event, frozen=True, array_like=True, tag=81):
    """The map ends early with the results that there are. Its rest is withdrawn, or goes on unheard."""

    node: int
    act: int


class MapEmptied(Event, frozen=True, array_like=True, tag=82):
    """The last item of a map that was left before has ended."""

    node: int
    act: int


class SignalLost(Event, frozen=True, array_like=True, tag=83):
    """Nobody waited for a transient signal."""

    name: str
    event_id: str
    correlation: str = ""


class SignalsDropped(Event, frozen=True, array_like=True, tag=84):
    """Transient signals that came while the run was paused, and that nobody waited for."""

    channel: str


KindEvent: TypeAlias = (
    LoopOpened
    | IterationOpened
    | IterationDone
    | LoopDone
    | LoopRested
    | RaceOpened
    | RaceWon
    | StateAssigned
    | EventEmitted
    | ApprovalAsked
    | ApprovalEscalated
    | ApprovalDecided
    | LockAsked
    | LockGranted
    | CompensationRegistered
    | CompensationBegan
    | CompensateOpened
    | CompensationOpened
    | CompensationDone
    | CompensationEnded
    | MapGrown
    | MapLeft
    | MapEmptied
    | SignalLost
    | SignalsDropped
)
