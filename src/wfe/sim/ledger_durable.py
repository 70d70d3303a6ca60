"""The books of durable functions: part of `ledger`, see its rules. Operations and their values are in `durable`.

A function is place (0, 0), whose open attempt is a turn; a call is (0, its activation). A method named as an event
takes it when it is durable.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec.msgpack import Decoder, decode

from wfe.model import event as ev
from wfe.model import event_durable as durable
from wfe.model.command import Command, TaskEnded
from wfe.model.durable import (
    CALL_PUBLISH,
    CALL_SIGNAL,
    CALL_SLEEP,
    CALL_TASK,
    CALL_VERSION,
    CANCEL,
    CONTINUE_WITH,
    DONE,
    NEED_ALL,
    NULL,
    TIMED_OUT,
    DurableTurn,
    SleepBody,
    TurnAhead,
)
from wfe.sim.durable import RETRY, allowed, operations
from wfe.sim.ledger_kinds import LOST
from wfe.sim.ledger_nets import NetBook

if TYPE_CHECKING:
    from msgspec import Raw

    from wfe.sim.ledger_kinds import Place
    from wfe.wire.messages import TaskResult

FUNCTION: Place = (0, 0)
_decode_turn = Decoder(DurableTurn).decode
_decode_ahead = Decoder(TurnAhead).decode
_decode_command = Decoder(Command).decode
_decode_sleep = Decoder(SleepBody).decode


def _tells(did: DurableTurn, event: durable.TurnTaken) -> bool:
    told = [(c.kind, c.name) for c in did.commands if c.kind not in (CANCEL, CONTINUE_WITH)]
    return told == [(made.kind, made.name) for made in event.calls] and did.taken == event.taken


class DurableBook(NetBook):
    """What a durable function has called, and got."""

    open: dict[Place, int]
    failures: dict[Place, int]
    losses: dict[Place, int]
    retrying: dict[Place, tuple[int, int]]
    sleeping: dict[Place, int]
    commands: set[str]
    output: Raw | None
    error: Any
    executed: dict[tuple[int, int, int], bytes]
    seq: int

    def __init__(self) -> None:
        super().__init__()
        self._base = 1
        self.made: list[durable.CallMade] = []
        self._over: list[bool] = []
        self._ends = 0
        """Ends of calls of this round; that of the run counts as one."""
        self._taken = 0
        self._turn = 0
        self.asked_to_stop = False
        self.argument: int | None = None
        """Of a later round."""
        self._ahead: TurnAhead | None = None
        self._ahead_seq = -1
        """What came with the task's result whose end is the event of this number, if no turn was open then."""
        self.kept: set[int] = set()
        """Attempts whose turn waits for the run to be resumed."""

    def _opens_turn(self) -> None:
        if FUNCTION not in self.open and self._ends > self._taken:
            self._open(FUNCTION, self._turn + 1)

    def never_began(self, result: TaskResult) -> None:
        """A worker has no coroutine for a turn that it got: the same attempt may run elsewhere."""
        del self.executed[result.node, result.activation, result.attempt]

    def _TurnTaken(self, event: durable.TurnTaken, time_ms: int) -> None:
        self._closes(0, 0, event.attempt)
        self.losses.pop(FUNCTION, None)
        self._turn = event.attempt
        self._was_told(event)
        if not self._taken <= event.taken <= self._ends:
            raise self.fail(f"{event}: the function had {self._taken} ends of {self._ends}")
        self._taken = event.taken
        for made in event.calls:
            self._begin(made, time_ms)
        for seq in event.cancels:
            self._ends_call(seq, event)
        self._opens_turn()

    def _was_told(self, event: durable.TurnTaken) -> None:
        """By a worker that had this turn; or by one that went ahead, if its task's end is all that happened since."""
        result = self.results.get((0, 0, event.attempt))
        if result is not None and result.status < NEED_ALL and _tells(_decode_turn(result.turn), event):
            return
        ahead = self._ahead if self._ahead_seq == self.seq - 1 else None
        if ahead is None or ahead.attempt != event.attempt - 1 or not _tells(ahead.turn, event):
            raise self.fail(f"{event} is recorded, the worker said {result}, ahead {ahead}")
        if event.taken != self._ends or self._ends != self._taken + 1:
            raise self.fail(f"{event}: ahead of a record with {self._ends} ends, the function had {self._taken}")

    def _begin(self, made: durable.CallMade, time_ms: int) -> None:
        place = (0, self._base + len(self.made))
        self.made.append(made)
        self._over.append(made.kind in (CALL_PUBLISH, CALL_VERSION))
        due_ms = time_ms + made.timeout_ms if made.timeout_ms > 0 and made.kind != CALL_TASK else 0
        if made.kind == CALL_TASK:
            self._open(place, 1)
        elif made.kind == CALL_SLEEP:
            due_ms = self.sleeping[place] = time_ms + _decode_sleep(made.body).delay_ms
        elif made.kind == CALL_SIGNAL:
            self.awaited[place] = (made.name, "")
        if made.due_ms != due_ms:
            raise self.fail(f"{made} at {time_ms}, due is {due_ms}")
        if due_ms and made.kind != CALL_SLEEP:
            self.deadlines[place] = due_ms

    def _ends_call(self, seq: int, what: object) -> Place:
        if not 0 <= seq < len(self.made) or self._over[seq]:
            raise self.fail(f"{what}: call {seq} is not open")
        self._over[seq] = True
        place = (0, self._base + seq)
        for table in (self.open, self.sleeping, self.retrying, self.failures, self.losses):
            table.pop(place, None)
        self._place_ends(place)
        return place

    def _CallEnded(self, event: durable.CallEnded, time_ms: int) -> None:
        seq, place = event.act - self._base, (0, event.act)
        if not 0 <= seq < len(self.made):
            raise self.fail(f"{event} of a call that was never made")
        kind = self.made[seq].kind
        if kind == CALL_TASK:
            self._task_ends(event, place)
        elif kind == CALL_SLEEP:
            self._not_early(self.sleeping.get(place), time_ms, event)
        elif event.signalled:
            self._takes(place, self.awaited[place], event)
        elif kind == CALL_SIGNAL or event.status == TIMED_OUT:
            self._not_early(self.deadlines.get(place), time_ms, event)
        self._ends_call(seq, event)
        self._ends += 1
        self._opens_turn()

    def _task_ends(self, event: durable.CallEnded, place: Place) -> None:
        self._closes(0, event.act, event.attempt)
        result = self.results.get((0, event.act, event.attempt))
        if event.status == DONE:
            if result is None or result.status != 0 or bytes(result.value) != bytes(event.value):
                raise self.fail(f"{event} is recorded, the worker said {result}")
            if FUNCTION not in self.open and result.turn != NULL:
                self._ahead, self._ahead_seq = _decode_ahead(result.turn), self.seq
            return
        assert event.error is not None
        if event.error.type in LOST:
            return
        failures = self.failures.get(place, 0) + 1
        if result is None or result.status == 0 or failures != RETRY.max_attempts:
            raise self.fail(f"{event} after {failures} failures, the worker said {result}")

    def _RoundContinued(self, event: durable.RoundContinued, time_ms: int) -> None:
        for seq, over in enumerate(self._over):
            if not over:
                self._ends_call(seq, event)
        self.argument = decode(event.input)["n"]
        self._base += len(self.made)
        self.made, self._over = [], []
        self._ends, self._taken = int(self.asked_to_stop), 0
        self._open(FUNCTION, event.attempt + 1)

    def _CancelAsked(self, event: durable.CancelAsked, time_ms: int) -> None:
        if self.asked_to_stop:
            raise self.fail(f"{event} for the second time")
        self.asked_to_stop = True
        self._ends += 1
        self.deadlines[FUNCTION] = event.due_ms
        self._opens_turn()

    def _TurnRefused(self, event: durable.TurnRefused, time_ms: int) -> None:
        raise self.fail(f"{event}, but the interpreter does the same each time")

    def _CommandDeferred(self, event: ev.CommandDeferred, time_ms: int) -> None:
        command = _decode_command(event.command)
        if isinstance(command, TaskEnded) and command.key == 0 and self.status == "paused":
            self.kept.add(command.attempt)

    def check_function(self) -> None:
        """The run has ended: as its last round's operations may have it. Nothing but its workers' deaths fails it."""
        if self.status == "failed" and self.error.type != "PoisonTask":
            raise self.fail(f"fails with {self.error}")
        if self.status == "cancelled" and not (self.asked_to_stop or self.commands):
            raise self.fail("is cancelled, but nobody asked for it")
        if self.status != "completed":
            return
        n = decode(self.started.input) if self.argument is None else self.argument
        made = operations(self.id, n)
        values = decode(self.output or b"\xc0")
        if made and made[-1][0] == "round":
            raise self.fail(f"ends with {values!r}, its round was to be continued")
        if len(values) != len(made) or not all(map(allowed, made, values)):
            raise self.fail(f"ends with {values!r}, its operations are {made!r}")
