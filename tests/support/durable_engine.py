"""An engine for durable functions, played by hand: it books what turns ask for, and ends calls as a test says.

Every turn is run twice: by a worker that keeps the function live, and from scratch with the whole record. Both must
ask for the same; so whatever a test does is a test of re-runs as well.
"""

from __future__ import annotations

import asyncio
import inspect
from collections.abc import Callable, Iterator
from random import Random
from typing import Any

import msgspec
import pytest
from msgspec import Raw

import wfe
from wfe.model.durable import ENDED, OPEN, WITHDRAWN
from wfe.model.policy import ErrorInfo
from wfe.wire import durable as wire
from wfe.wire import payload
from wfe.wire.durable import (
    Called,
    DurableCommand,
    DurableCompletion,
    DurableRecord,
    TurnAhead,
    decode_turn,
    encode_record,
    encode_turn,
)
from wfe.wire.messages import NULL, TaskResult, TaskSpec
from wfe.worker.durable.turns import Turns
from wfe.worker.failure import error_info

BEGAN_MS = 1_700_000_000_000
_SILENT = (wire.CALL_PUBLISH, wire.CALL_VERSION)
_decode = msgspec.msgpack.decode


class Engine:
    """One run of ``function``. ``live`` False: nothing is kept between turns."""

    def __init__(self, function: Any, *args: Any, live: bool = True, key: str = "", **kwargs: Any) -> None:
        self.loop = asyncio.new_event_loop()
        self.functions: dict[tuple[str, int], Any] = {}
        self.use(function)
        self.worker = Turns(self.loop, self.functions, self._unused, keep=10 if live else 0)
        self.now_ms = BEGAN_MS
        self.key = key
        bound = inspect.signature(function.__wfe_workflow__.function).bind(None, *args, **kwargs)
        named = dict(list(bound.arguments.items())[1:])
        self.begin_round(payload.encode_value(named), 0)
        self.published: list[Any] = []
        self.results: list[TaskResult] = []
        self.compared = 0

    def use(self, function: Any) -> None:
        """The code that workers have from now on."""
        self.name = function.offered.name
        self.functions[self.name, 1] = function.offered

    def begin_round(self, arguments: Raw, number: int) -> None:
        self.calls: list[Called] = []
        self.bodies: list[Any] = []
        self.completions: list[DurableCompletion] = []
        self.taken, self.round, self.input = 0, number, arguments
        self.began_ms = self.now_ms

    # ---- turns -------------------------------------------------------------------------------------------------------

    def turn(self, worker: Turns | None = None) -> TaskResult:
        """One turn with all that is new, booked unless it does not fit."""
        worker = worker or self.worker
        again = self._rerun()
        result = worker.turn(self.spec(partial=True)) if self.results else worker.turn(self.spec())
        if result.status == wire.NEED_ALL:
            result = worker.turn(self.spec())
        self._compare(result, again)
        self.results.append(result)
        if result.status != wire.NONDETERMINISTIC:
            self._book(result)
        return result

    def record(self) -> DurableRecord:
        return DurableRecord(0, self.calls, 0, self.completions, self.input, self.round, self.began_ms, key=self.key)

    def spec(self, *, partial: bool = False) -> TaskSpec:
        record = self.record()
        if partial:
            record.since_call, record.calls = len(self.calls), []
            record.since_completion, record.completions = self.taken, self.completions[self.taken :]
            record.input, record.partial = NULL, True
        raw = Raw(encode_record(record))
        return TaskSpec(
            "run-1", 0, 0, len(self.results) + 1, self.name, 1, "main", NULL, durable=1 + self.taken, recorded=raw
        )

    def _rerun(self) -> TaskResult:
        fresh = Turns(self.loop, self.functions, self._unused, keep=0)
        try:
            return fresh.turn(self.spec())
        finally:
            fresh.close()

    def _compare(self, result: TaskResult, again: TaskResult) -> None:
        self.compared += 1
        for field in ("status", "value", "turn"):
            assert getattr(result, field) == getattr(again, field), f"{field} of a live turn and of a re-run"
        assert (result.error is None) == (again.error is None)
        if result.error is not None and again.error is not None:
            assert (result.error.type, result.error.message) == (again.error.type, again.error.message)

    def _book(self, result: TaskResult) -> None:
        turn = decode_turn(result.turn)
        for command in turn.commands:
            if command.kind == wire.CANCEL:
                if self.calls[command.seq].status == OPEN:
                    self.calls[command.seq].status = WITHDRAWN
            elif command.kind == wire.CONTINUE_WITH:
                self.begin_round(Raw(bytes(command.body)), self.round + 1)
                return
            else:
                self._book_call(command)
        self.taken = turn.taken

    def _book_call(self, command: DurableCommand) -> None:
        assert command.seq == len(self.calls)
        call = Called(command.kind, command.name, command.version, command.where, timeout_ms=command.timeout_ms)
        self.calls.append(call)
        self.bodies.append(command.body if command.kind == wire.CALL_PUBLISH else _decode(command.body))
        if command.kind in _SILENT:
            call.status = ENDED
        if command.kind == wire.CALL_PUBLISH:
            self.published.append(_decode(command.body))

    # ---- ends of calls -----------------------------------------------------------------------------------------------

    def open(self) -> list[int]:
        """Numbers of the calls that have not ended."""
        return [number for number, call in enumerate(self.calls) if call.status == OPEN]

    def end(
        self, seq: int, value: Any = None, error: BaseException | ErrorInfo | None = None, status: int | None = None
    ) -> None:
        """A call ends, with a value or an error."""
        if seq >= 0:
            assert self.calls[seq].status == OPEN
            self.calls[seq].status = ENDED
        info = error_info(error) if isinstance(error, BaseException) else error
        said = status if status is not None else wire.DONE if error is None else wire.FAILED
        self.now_ms += 10
        raw = NULL if value is None else payload.encode_value(value)
        self.completions.append(DurableCompletion(seq, said, raw, info, self.now_ms))

    def ahead(self, seq: int, value: Any) -> TaskResult | None:
        """A task is done in the function's own worker, which has all its open tasks. The turn that leaves with the
        result counts; None: none does."""
        for other in self.open():
            self.worker.took(TaskSpec("run-1", 0, other + 1, 1, self.calls[other].name, 1, "", NULL))
        result = TaskResult("run-1", 0, seq + 1, 1, wire.DONE, payload.encode_value(value))
        self.worker.go_ahead([result])
        self.end(seq, value)
        if result.turn == NULL:
            return None
        told = msgspec.msgpack.decode(result.turn, type=TurnAhead)
        assert (told.made, told.round, told.attempt) == (len(self.calls), self.round, len(self.results))
        self.completions[-1].at_ms = told.at_ms
        again = self._rerun()
        turn = TaskResult(
            "run-1", 0, 0, told.attempt + 1, told.status, told.value, told.error, turn=Raw(encode_turn(told.turn))
        )
        self._compare(turn, again)
        self.results.append(turn)
        self._book(turn)
        return turn

    def cancel(self) -> None:
        """The run is to be cancelled."""
        self.end(wire.RUN_CANCELLED, status=wire.CANCELLED)

    def play(self, seq: int, tasks: dict[str, Callable[..., Any]]) -> None:
        """Ends a call as a world would: tasks by these functions, sleeps by moving the clock, the others somehow."""
        call, body = self.calls[seq], self.bodies[seq]
        if call.kind == wire.CALL_SLEEP:
            self.now_ms = max(self.now_ms + body[0], body[1])
            self.end(seq)
        elif call.kind == wire.CALL_TASK and call.name in tasks:
            try:
                self.end(seq, tasks[call.name](*body[0].values()))
            except Exception as error:  # noqa: BLE001  it travels to the function
                self.end(seq, error=error)
        else:
            self.end(seq, call.name)

    def run(self, dice: Random | None = None, batch: int = 3, **tasks: Callable[..., Any]) -> TaskResult:
        """To its end. With dice, calls end in any order and several may end before the next turn."""
        while True:
            result = self.turn()
            if result.status != wire.SUSPENDED:
                return result
            waiting = self.open()
            for _ in range(1 if dice is None else dice.randint(1, batch)):
                if waiting:
                    seq = waiting[0] if dice is None else dice.choice(waiting)
                    waiting.remove(seq)
                    self.play(seq, tasks)
            assert self.completions[self.taken :] or self.taken == 0, "it waits, and nothing is open"

    def close(self) -> None:
        self.worker.close()
        self.loop.close()

    def _unused(self, result: TaskResult) -> None:
        raise AssertionError("turns are run one by one here")


def value(result: TaskResult) -> Any:
    """What the function returned."""
    assert result.status == wire.DONE, (result.status, result.error)
    return _decode(result.value)


def asked(engine: Engine) -> list[tuple[str, str]]:
    return [(wire.CALL_NAMES[call.kind], call.name) for call in engine.calls]


@pytest.fixture
def play() -> Iterator[Callable[..., Engine]]:
    """``play(function, *arguments)``: an engine with a run of it."""
    made: list[Engine] = []

    def start(function: Any, *args: Any, **kwargs: Any) -> Engine:
        made.append(Engine(function, *args, **kwargs))
        return made[-1]

    yield start
    for engine in made:
        engine.close()


@pytest.fixture
def using() -> Callable[[Any], Any]:
    """``using(body)``: a durable function whose code is that of the test."""

    def make(body: Any) -> Any:
        body.__annotations__ = {"wf": wfe.Durable}
        return wfe.workflow(name="made")(body)

    return make
