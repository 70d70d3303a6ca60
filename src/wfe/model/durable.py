"""Durable functions as data: what a function asks for (calls), what becomes of it (completions), what a worker gets.

A durable function is a run whose definition has one node (`model.nodes.DurableCall`). A worker runs it in *turns*; each
call that it makes is recorded, numbered from 0 in each round (`seq`), and draws an activation of the node. These
Structs travel between worker and shard (`wire.durable`) and lie in events and snapshots: fields are only appended with
a default, numbers of kinds and statuses are never reused. Times are ms since 1970, durations ms.
"""

from __future__ import annotations

from msgspec import Raw, Struct

from wfe.model.needs import Needs
from wfe.model.policy import ErrorInfo, RetryPolicy

NULL = Raw(b"\xc0")
TASK_PREFIX = "durable:"
"""Workers offer a durable function as a task of this name: the prefix and the function's name."""

CALL_TASK = 1
CALL_WORKFLOW = 2
CALL_SLEEP = 3
CALL_SIGNAL = 4
CALL_APPROVAL = 5
CALL_PUBLISH = 6
CALL_VERSION = 7
CALL_START = 8
CANCEL = 9
CONTINUE_WITH = 10
CALL_NAMES = {
    CALL_TASK: "task",
    CALL_WORKFLOW: "workflow",
    CALL_SLEEP: "sleep",
    CALL_SIGNAL: "signal",
    CALL_APPROVAL: "approval",
    CALL_PUBLISH: "publish",
    CALL_VERSION: "version",
    CALL_START: "start",
}

DONE, FAILED, CANCELLED, TIMED_OUT = 0, 1, 2, 3
"""Statuses of a completion."""
SUSPENDED, NONDETERMINISTIC, NEED_ALL = 3, 4, 5
"""Statuses of a turn's `TaskResult` beside done (0), failed (1) and cancelled (2)."""
OPEN, ENDED, WITHDRAWN = 0, 1, 2
"""Statuses of a recorded call."""
RUN_CANCELLED = -1
"""The ``seq`` of the completion that says: the run is to be cancelled; the function gets CancelledError."""
NO_TIMEOUT = -1


class TaskBody(Struct, array_like=True, frozen=True):
    """Of CALL_TASK: the arguments by name, and how the task is run (as the graph form puts it into its node)."""

    input: Raw
    retry: RetryPolicy | None = None
    heartbeat_ms: int = 0
    redeliver: bool = True
    priority: int = 0
    needs: Needs | None = None


class ChildBody(Struct, array_like=True, frozen=True):
    """Of CALL_WORKFLOW and CALL_START: the arguments by name; ``key`` for CALL_START. ``version`` of the command 0: the
    current one."""

    input: Raw
    key: str = ""


class SleepBody(Struct, array_like=True, frozen=True):
    """Of CALL_SLEEP: a delay, counted from when the call is recorded, or a moment (``until_ms`` not 0)."""

    delay_ms: int = 0
    until_ms: int = 0


class SignalBody(Struct, array_like=True, frozen=True):
    """Of CALL_SIGNAL."""

    correlation: str = ""


class ApprovalBody(Struct, array_like=True, frozen=True):
    """Of CALL_APPROVAL. ``to``: whom to ask; ``form``: a JSON Schema of the decision's data, or null.

    ``on_timeout``: fail, approve or reject; ``on_reject``: fail or continue.
    """

    to: Raw = NULL
    form: Raw = NULL
    on_timeout: str = "fail"
    on_reject: str = "fail"


class DurableCommand(Struct, array_like=True, gc=False):
    """What a turn asks for, in the order of the function. ``where``: "file.py:12" of the call.

    ``seq``: the call's number; of CANCEL: the number of the call to cancel; of CONTINUE_WITH: nothing. ``body``: the
    Struct of the kind (above), encoded; CALL_PUBLISH: the value; CONTINUE_WITH: the arguments by name.
    """

    kind: int
    seq: int
    name: str = ""
    version: int = 0
    body: Raw = NULL
    timeout_ms: int = NO_TIMEOUT
    where: str = ""


class DurableTurn(Struct, array_like=True):
    """What a turn did, in `TaskResult.turn`. ``taken``: all completions that the function has had in this round."""

    commands: list[DurableCommand] = []
    taken: int = 0


class TurnAhead(Struct, array_like=True):
    """A turn that a worker ran ahead, in `TaskResult.turn` of a task that the function called: on the task's result,
    before that was recorded. It counts only if the task's end is the next thing recorded (`core.durable.ahead`).

    ``attempt``: of the turn before it; ``made``: calls made before it; ``at_ms``: when the task ended, as the function
    saw it. ``status``, ``value``, ``error``: as of a turn's `TaskResult`.
    """

    attempt: int
    made: int
    at_ms: int
    status: int
    turn: DurableTurn
    value: Raw = NULL
    error: ErrorInfo | None = None
    round: int = 0


class DurableCompletion(Struct, array_like=True, gc=False):
    """The end of a call (or `RUN_CANCELLED`). ``at_ms`` is what ``wf.now()`` says from then on."""

    seq: int
    status: int
    value: Raw = NULL
    error: ErrorInfo | None = None
    at_ms: int = 0


class Called(Struct, array_like=True, gc=False):
    """A recorded call; its number is its position. ``options``: the body's Struct, encoded, while the call is open
    (workers do not see it); its input may be a blob. ``weight``: bytes that the state holds for that."""

    kind: int
    name: str
    version: int = 0
    where: str = ""
    status: int = OPEN
    timeout_ms: int = NO_TIMEOUT
    options: Raw = NULL
    weight: int = 0
    asks: bool = False
    """Its worker must have something: the body says what."""


class DurableRecord(Struct, array_like=True):
    """What a worker gets for a turn, in `TaskSpec.recorded`: everything, or only what is new (``partial``).

    ``calls``: from number ``since_call`` on; ``completions``: from position ``since_completion`` on, in the order in
    which they are to be delivered. ``input``: the arguments of this round by name (null when partial). ``round`` counts
    from 0 (`CONTINUE_WITH`). ``started_ms``: when the round began, which is what ``wf.now()`` says at first. ``key``:
    the run's. ``seed``: what ``wf.random()`` is made of, empty for the run's id (a fork has that of the run it comes
    from).
    """

    since_call: int
    calls: list[Called]
    since_completion: int
    completions: list[DurableCompletion]
    input: Raw = NULL
    round: int = 0
    started_ms: int = 0
    now_ms: int = 0
    partial: bool = False
    key: str = ""
    seed: str = ""
    base: int = 1
    """The activation of call 0 of this round."""


class DurableState(Struct, array_like=True):
    """Of one run (`RunState.durable`). ``base``: the activation of call 0 of this round.

    ``attempt``: the last turn that was booked; ``taken``: completions that the function has had by then;
    ``size_bytes``: of the recorded values of this round; ``cancelled``: its `RUN_CANCELLED` was recorded.
    """

    base: int = 1
    attempt: int = 0
    taken: int = 0
    round: int = 0
    began_ms: int = 0
    input: Raw = NULL
    """The arguments of a later round by name; those of round 0 are the run's own."""
    calls: list[Called] = []
    completions: list[DurableCompletion] = []
    size_bytes: int = 0
    cancelled: bool = False
    seed: str = ""
    """Of a fork: the run that it comes from."""
    open_bytes: int = 0
    """Of the bodies of open calls, large ones that they share once."""
