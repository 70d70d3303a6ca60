"""Events of durable functions. `event` says the rules and is the index. Tags 90 to 99.

``node`` is the function's node (a definition has one), ``act`` the activation of a call.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Raw, Struct

from wfe.model.durable import NO_TIMEOUT
from wfe.model.event_base import NULL, Event
from wfe.model.policy import ErrorInfo


class CallMade(Struct, frozen=True, array_like=True, gc=False):
    """A call with its outcomes. ``body``: the Struct of its kind (`model.durable`), encoded. ``due_ms``: of its timer
    (0: none); ``child``: the run that was asked for; ``asks``: the body says what a task's worker must have."""

    kind: int
    name: str
    version: int = 0
    where: str = ""
    body: Raw = NULL
    timeout_ms: int = NO_TIMEOUT
    due_ms: int = 0
    child: str = ""
    asks: bool = False


class TurnTaken(Event, frozen=True, array_like=True, tag=90):
    """A turn ended: the function made these calls (their numbers follow on), gave up others (``cancels``, by number),
    and has had the first ``taken`` completions of its round."""

    node: int
    act: int
    attempt: int
    taken: int
    calls: tuple[CallMade, ...] = ()
    cancels: tuple[int, ...] = ()


class CallEnded(Event, frozen=True, array_like=True, tag=91):
    """A call ended; ``status`` as in `DurableCompletion`. ``attempt``: of a task. ``signalled``: the value is (or was
    made of) the oldest buffered signal of its name, which leaves the buffer; only an approval's stands here."""

    node: int
    act: int
    status: int
    time_ms: int
    value: Raw = NULL
    error: ErrorInfo | None = None
    attempt: int = 0
    signalled: bool = False
    name: str = ""


class Published(Event, frozen=True, array_like=True, tag=92):
    """The function told the world (``wf.publish``); call ``act``."""

    node: int
    act: int
    value: Raw


class RoundContinued(Event, frozen=True, array_like=True, tag=93):
    """``wf.continue_with``: a next round begins with these arguments by name and no calls.

    What was open is withdrawn."""

    node: int
    act: int
    attempt: int
    input: Raw
    time_ms: int


class CancelAsked(Event, frozen=True, array_like=True, tag=94):
    """The function is told that its run is to be cancelled; it ends at ``due_ms`` at the latest."""

    node: int
    act: int
    time_ms: int
    due_ms: int


class TurnRefused(Event, frozen=True, array_like=True, tag=95):
    """What the function did does not fit what is recorded: the run is paused as an incident, a turn is open again."""

    node: int
    act: int
    attempt: int
    message: str
    time_ms: int


DurableEvent: TypeAlias = TurnTaken | CallEnded | Published | RoundContinued | CancelAsked | TurnRefused
