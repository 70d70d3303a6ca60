"""Plays the worker of a durable function by hand: turns are what the test says that the function did."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping, Sequence
from typing import Any

import msgspec
from msgspec import Raw, Struct

from support.runs import RunDriver, error_of
from wfe.core import decide
from wfe.core.durable.places import MAIN, key_of, state_of
from wfe.core.durable.records import record_of
from wfe.model.definition import Definition, DurableCall
from wfe.model.durable import (
    CALL_APPROVAL,
    CALL_PUBLISH,
    CALL_SIGNAL,
    CALL_SLEEP,
    CALL_START,
    CALL_TASK,
    CALL_VERSION,
    CALL_WORKFLOW,
    CANCEL,
    CONTINUE_WITH,
    NEED_ALL,
    NO_TIMEOUT,
    SUSPENDED,
    TASK_PREFIX,
    ApprovalBody,
    ChildBody,
    DurableCommand,
    DurableCompletion,
    DurableRecord,
    DurableTurn,
    SignalBody,
    SleepBody,
    TaskBody,
)
from wfe.model.needs import Needs
from wfe.model.policy import ErrorInfo, RetryPolicy
from wfe.wire.messages import TaskResult, TaskSpec

encode = msgspec.msgpack.encode
decode = msgspec.msgpack.decode
NULL = Raw(b"\xc0")


def durable(*params: str, timeout_ms: int | None = None, name: str = "agent") -> Definition:
    """The definition of a durable function with these parameters."""
    node = DurableCall(id=name, function=name, with_={param: f"${{{param}}}" for param in params})
    output = f"${{{name}}}"
    return Definition(
        workflow=name, params={param: {} for param in params}, nodes=(node,), output=output, timeout_ms=timeout_ms
    )


def _command(kind: int, seq: int, name: str, body: Struct | Raw, timeout_ms: int = NO_TIMEOUT, version: int = 0) -> Any:
    encoded = body if isinstance(body, Raw) else Raw(encode(body))
    return DurableCommand(kind, seq, name, version, encoded, timeout_ms, f"agent.py:{seq + 1}")


def raw(value: Any) -> Raw:
    return Raw(encode(value))


def task(
    seq: int,
    name: str = "work",
    *,
    retry: RetryPolicy | None = None,
    redeliver: bool = True,
    needs: Needs | None = None,
    **args: Any,
) -> Any:
    return _command(CALL_TASK, seq, name, TaskBody(raw(args), retry, redeliver=redeliver, needs=needs), version=1)


def sleep(seq: int, delay_ms: int) -> Any:
    return _command(CALL_SLEEP, seq, "", SleepBody(delay_ms))


def signal(seq: int, name: str, timeout_ms: int = NO_TIMEOUT, correlation: str = "") -> Any:
    return _command(CALL_SIGNAL, seq, name, SignalBody(correlation), timeout_ms)


def approval(seq: int, name: str, timeout_ms: int = NO_TIMEOUT, **options: Any) -> Any:
    return _command(CALL_APPROVAL, seq, name, ApprovalBody(**options), timeout_ms)


def child(seq: int, name: str, timeout_ms: int = NO_TIMEOUT, **args: Any) -> Any:
    return _command(CALL_WORKFLOW, seq, name, ChildBody(raw(args)), timeout_ms)


def start(seq: int, name: str, key: str = "", **args: Any) -> Any:
    return _command(CALL_START, seq, name, ChildBody(raw(args), key))


def publish(seq: int, value: Any) -> Any:
    return _command(CALL_PUBLISH, seq, "", raw(value))


def version(seq: int, change: str) -> Any:
    return _command(CALL_VERSION, seq, change, NULL)


def cancel(seq: int) -> Any:
    return _command(CANCEL, seq, "", NULL)


def continue_with(**args: Any) -> Any:
    return _command(CONTINUE_WITH, 0, "", raw(args))


class DurableDriver(RunDriver):
    """`turn` plays a turn, `end` ends a called task; what the function was given is in `record`."""

    def record(self, *, partial: bool = False) -> DurableRecord:
        assert MAIN in self.run.open, "no turn is open"
        return decode(record_of(self.run, self.plan, self.now_ms, partial=partial), type=DurableRecord)

    def turn(
        self,
        *commands: DurableCommand,
        status: int = SUSPENDED,
        value: Any = None,
        error: ErrorInfo | None = None,
        taken: int | None = None,
    ) -> bool:
        """The function has had all completions (or so many), did this, and waits (or ended)."""
        had = len(state_of(self.run).completions) if taken is None else taken
        did = Raw(encode(DurableTurn(list(commands), had)))
        attempt = self.run.open.get(MAIN, 0)
        self.ready = [key for key in self.ready if key != MAIN]
        return self.command(
            lambda t: decide.task_result(t, MAIN, attempt, status, Raw(encode(value)), error, NULL, did)
        )

    def key(self, seq: int) -> int:
        return key_of(self.run, self.plan, seq)

    def end(self, seq: int, value: Any = None) -> bool:
        return self.complete(self.key(seq), value)

    def break_(self, seq: int, kind: str = "ValueError", message: str = "no") -> bool:
        return self.fail(self.key(seq), ErrorInfo(kind, message, types=(kind,)))

    @property
    def given(self) -> Sequence[tuple[int, int, Any]]:
        """What the function has not had yet: (number, status, value)."""
        record = self.record(partial=True)
        return [(c.seq, c.status, decode(c.value)) for c in record.completions]

    def names(self) -> list[str]:
        """The events so far."""
        return [type(event).__name__ for event in self.events]


Function = Generator[Sequence[DurableCommand], DurableCompletion, Any]


class ScriptedWorker:
    """A worker's part in turns of durable functions. A function is a generator that yields what it calls and is sent
    one end of a call at a time; its return value is the run's. Live ones are kept until `forget`."""

    def __init__(self, functions: Mapping[str, Callable[..., Function]]) -> None:
        self.functions = functions
        self.live: dict[str, tuple[Function, int, int]] = {}
        self.turns: list[tuple[str, bool]] = []
        """Run ids of turns, and whether only what was new was given."""

    def forget(self) -> None:
        self.live.clear()

    def run(self, spec: TaskSpec) -> TaskResult:
        record = decode(spec.recorded, type=DurableRecord)
        self.turns.append((spec.run_id, record.partial))
        place = (spec.run_id, spec.node, spec.activation, spec.attempt)
        commands: list[DurableCommand] = []
        if record.partial:
            if self.live.get(spec.run_id, (None, 0, 0))[1:] != (record.since_call, record.since_completion):
                self.live.pop(spec.run_id, None)
                return TaskResult(*place, NEED_ALL)
            function, made, had = self.live.pop(spec.run_id)
        else:
            function = self.functions[spec.task.removeprefix(TASK_PREFIX)](**decode(record.input))
            made, had = 0, 0
            commands += next(function)
        try:
            for completion in record.completions:
                had += 1
                commands += function.send(completion)
        except StopIteration as ended:
            return TaskResult(*place, 0, raw(ended.value), turn=self._told(commands, made, record, had))
        except Exception as error:  # noqa: BLE001  a function may raise anything
            return TaskResult(*place, 1, NULL, error_of(error), turn=self._told(commands, made, record, had))
        told = self._told(commands, made, record, had)
        made += sum(command.kind not in (CANCEL, CONTINUE_WITH) for command in commands)
        if not any(command.kind == CONTINUE_WITH for command in commands):
            self.live[spec.run_id] = (function, made, had)
        return TaskResult(*place, SUSPENDED, turn=told)

    @staticmethod
    def _told(commands: list[DurableCommand], made: int, record: DurableRecord, had: int) -> Raw:
        known = max(made, len(record.calls))
        new = [c for c in commands if c.kind in (CANCEL, CONTINUE_WITH) or c.seq >= known]
        return Raw(encode(DurableTurn(new, had)))
