"""Events: facts in the history of a run or of a partition. They carry outcomes; evolve only books them.

Nodes are named by their position in the immutable definition (`definition.walk` order). ``act`` is the activation of
the frame that holds the node: 0 for the run's root, else a number that the map drew for its item (or the loop for its
iteration). Those of some kinds of node are in `event_kinds`, those of nets in `event_nets`, those of durable
functions in `event_durable`. Tags are never reused, fields are only appended with a default; a changed meaning is a new
event.
"""

from __future__ import annotations

from typing import TypeAlias

from msgspec import Raw, Struct

from wfe.model.event_base import Event
from wfe.model.event_durable import DurableEvent
from wfe.model.event_kinds import KindEvent
from wfe.model.event_nets import NetEvent
from wfe.model.event_rounds import RoundEvent
from wfe.model.policy import ErrorInfo

NULL = Raw(b"\xc0")

# ---- events of a run ------------------------------------------------------------------------------------------------


class RunStarted(Event, frozen=True, array_like=True, tag=1):
    """First event. ``due_ms``: when the run times out (0: never). ``parent_*``: the awaiting sub-workflow node, if
    any. ``trace``: see `model.trace`."""

    run_id: str
    workflow: str
    version: int
    definition: str
    input: Raw
    time_ms: int
    namespace: str = "default"
    key: str = ""
    priority: int = 0
    tags: dict[str, str] = {}
    principal: str = ""
    due_ms: int = 0
    parent: str = ""
    parent_node: int = 0
    parent_act: int = 0
    depth: int = 0
    trace: str = ""


class TasksOpened(Event, frozen=True, array_like=True, tag=2):
    """Tasks became ready, attempt 1; their inputs are spliced from state at dispatch."""

    act: int
    nodes: tuple[int, ...]


class TaskOpenedWith(Event, frozen=True, array_like=True, tag=3):
    """A task became ready, attempt 1, with an input that expressions made."""

    node: int
    act: int
    input: Raw


class TaskDone(Event, frozen=True, array_like=True, tag=4):
    node: int
    act: int
    attempt: int
    value: Raw


class TaskFailed(Event, frozen=True, array_like=True, tag=5):
    """An attempt failed. ``retry_ms``: when the next one opens; 0: it was the last, the fault is to be handled."""

    node: int
    act: int
    attempt: int
    error: ErrorInfo
    retry_ms: int = 0
    previous: Raw = NULL


class TaskReopened(Event, frozen=True, array_like=True, tag=6):
    """A new attempt is open: after a delay (``lost`` false) or because a worker lost the last one."""

    node: int
    act: int
    attempt: int
    lost: bool = False
    previous: Raw = NULL


class NodeDone(Event, frozen=True, array_like=True, tag=7):
    """A node that is no task has ended with a value."""

    node: int
    act: int
    value: Raw = NULL


class NodeBypassed(Event, frozen=True, array_like=True, tag=8):
    """Its ``if`` was false."""

    node: int
    act: int


class BlockOpened(Event, frozen=True, array_like=True, tag=9):
    """A block began with this arm; -1: no condition held, the block has ended."""

    node: int
    act: int
    arm: int = 0


class SleepOpened(Event, frozen=True, array_like=True, tag=10):
    node: int
    act: int
    due_ms: int


class SignalAwaited(Event, frozen=True, array_like=True, tag=11):
    """``due_ms`` 0: without a timeout."""

    node: int
    act: int
    due_ms: int = 0
    correlation: str = ""


class SignalArrived(Event, frozen=True, array_like=True, tag=12):
    """Buffered until a node takes it."""

    name: str
    payload: Raw
    event_id: str
    correlation: str = ""


class SignalTaken(Event, frozen=True, array_like=True, tag=13):
    """The node takes the oldest buffered signal of its name; its value is the payload."""

    node: int
    act: int
    correlation: str = ""


class MapOpened(Event, frozen=True, array_like=True, tag=14):
    """``base``: the activation of item 0. ``items`` is a msgpack array. ``reserved``: activations for a map that may
    grow (0: one for each item)."""

    node: int
    act: int
    base: int
    items: Raw
    reserved: int = 0


class ItemsOpened(Event, frozen=True, array_like=True, tag=15):
    """Items from the group's cursor up to (not including) ``upto`` begin."""

    node: int
    act: int
    upto: int


class ItemDone(Event, frozen=True, array_like=True, tag=16):
    """An item whose body has a frame of its own has ended."""

    node: int
    act: int
    index: int
    value: Raw


class ItemFailed(Event, frozen=True, array_like=True, tag=17):
    """A tolerated failure of an item."""

    node: int
    act: int
    index: int
    error: ErrorInfo


class MapDone(Event, frozen=True, array_like=True, tag=18):
    """All items have ended; the value is put together from the group's results."""

    node: int
    act: int


class ChildOpened(Event, frozen=True, array_like=True, tag=19):
    """A sub-workflow was asked for by mail. ``due_ms`` 0: without a timeout."""

    node: int
    act: int
    child: str
    due_ms: int = 0


class FaultRaised(Event, frozen=True, array_like=True, tag=20):
    """A node that is no task failed; the fault is to be handled."""

    node: int
    act: int
    error: ErrorInfo


class FaultCaught(Event, frozen=True, array_like=True, tag=21):
    """A catch block took the oldest open fault: what else runs inside it is withdrawn, and it ends."""

    node: int
    act: int
    error: ErrorInfo


class RunEnded(Event, frozen=True, array_like=True, tag=22):
    """``status``: completed, failed or cancelled. Everything that was open is withdrawn."""

    status: str
    time_ms: int
    output: Raw = NULL
    error: ErrorInfo | None = None


class RunPaused(Event, frozen=True, array_like=True, tag=23):
    time_ms: int


class RunResumed(Event, frozen=True, array_like=True, tag=24):
    time_ms: int


class CommandApplied(Event, frozen=True, array_like=True, tag=25):
    """A command's id, so that a repetition gets the same answer. ``code`` is empty or an error's."""

    command_id: str
    code: str = ""


class TimerExpired(Event, frozen=True, array_like=True, tag=26):
    """A timer fired while the run was paused: it takes effect at resume."""

    timer: int


class RunQuarantined(Event, frozen=True, array_like=True, tag=27):
    """A defect of wfe met the run: it is paused as an incident."""

    time_ms: int
    message: str


class CommandDeferred(Event, frozen=True, array_like=True, tag=28):
    """What the defect met: an encoded `model.command.Command`, applied again at resume."""

    command: Raw


class TaskHandedOut(Event, frozen=True, array_like=True, tag=29):
    """An attempt that must not run twice is about to be given to a worker: from now on it may have begun."""

    node: int
    act: int
    attempt: int


RunEvent: TypeAlias = (
    RunStarted
    | TasksOpened
    | TaskOpenedWith
    | TaskDone
    | TaskFailed
    | TaskReopened
    | NodeDone
    | NodeBypassed
    | BlockOpened
    | SleepOpened
    | SignalAwaited
    | SignalArrived
    | SignalTaken
    | MapOpened
    | ItemsOpened
    | ItemDone
    | ItemFailed
    | MapDone
    | ChildOpened
    | FaultRaised
    | FaultCaught
    | RunEnded
    | RunPaused
    | RunResumed
    | CommandApplied
    | TimerExpired
    | RunQuarantined
    | KindEvent
    | CommandDeferred
    | TaskHandedOut
    | NetEvent
    | RoundEvent
    | DurableEvent
)


# ---- events of a partition's own record -----------------------------------------------------------------------------


class DefinitionStored(Event, frozen=True, array_like=True, tag=100):
    """Stored no later than the first run's commit, so that replay needs nobody. ``body`` is canonical JSON."""

    hash: str
    workflow: str
    body: bytes


class KeyBound(Event, frozen=True, array_like=True, tag=101):
    """(namespace, workflow, key) names this run; ``digest`` is of the input, to notice another one."""

    namespace: str
    workflow: str
    key: str
    run_id: str
    digest: bytes


class MailSent(Event, frozen=True, array_like=True, tag=102):
    """Mail enters the outbox."""

    receiver: int
    seq: int
    body: Raw


class MailSettled(Event, frozen=True, array_like=True, tag=103):
    """The receiver holds everything up to ``seq``: it leaves the outbox."""

    receiver: int
    seq: int


class MailTaken(Event, frozen=True, array_like=True, tag=104):
    """The watermark of mail from this sender."""

    sender: int
    seq: int


class LockQueued(Event, frozen=True, array_like=True, tag=105):
    """A place of a run wants a lock that all runs share; the first in the queue holds it."""

    lock: str
    run_id: str
    node: int
    act: int


class LockLeft(Event, frozen=True, array_like=True, tag=106):
    """It neither holds nor wants it any more."""

    lock: str
    run_id: str
    node: int
    act: int


PartitionEvent: TypeAlias = DefinitionStored | KeyBound | MailSent | MailSettled | MailTaken | LockQueued | LockLeft


class EventChunk(Struct, array_like=True):
    """What one commit adds to one run: the bytes in the log and the bytes of the history are the same."""

    time_ms: int
    events: list[RunEvent]


class PartitionChunk(Struct, array_like=True):
    """What one commit adds to a partition's own record."""

    time_ms: int
    events: list[PartitionEvent]
