"""Random durable functions: a list of operations, made of the run's argument, that an interpreter carries out.

The interpreter runs in simulated workers, in the production's instances, through recorded calls. The auditor makes the
same operations from the same argument and says of a value whether they may have given it (`allowed`). Every operation
gives a value, whatever happens: an error of a call is ``{"error": type}``. Pure, but for the interpreter's awaits.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from msgspec import Raw, msgpack

from wfe.errors import CallFailed
from wfe.model.calling import Call, Caller
from wfe.model.definition import Definition, DurableCall
from wfe.model.durable import (
    CALL_PUBLISH,
    CALL_SIGNAL,
    CALL_SLEEP,
    CALL_TASK,
    CALL_WORKFLOW,
    NO_TIMEOUT,
    TASK_PREFIX,
    ChildBody,
    SignalBody,
    SleepBody,
    TaskBody,
)
from wfe.model.policy import RetryPolicy
from wfe.model.registered import RegisteredTask, RegisteredWorkflow
from wfe.sim.tasks import given
from wfe.worker.durable.places import plays_author
from wfe.worker.durable.watch import Watch

NAME = "durably"
TASKS = ("echo", "echo", "flaky", "boom", "odd", "slow", "twice", "poison", "stubborn", "beating")
RETRY = RetryPolicy(max_attempts=3, initial_delay_ms=50, jitter=0.0)
"""Of every task that a function calls."""
SIGNALS = ("go", "stop")
CHILD = "program0"
"""The workflow that functions call: every world has it."""
ROUND = 1_000
"""An argument from here on is a last round's."""
LATE = "late"
Operation = list[Any]
_encode = msgpack.Encoder().encode
plays_author(__file__)
_MAY_FAIL = {"flaky": ("ValueError",), "boom": ("KeyError",), "poison": ("PoisonTask",)}


def definition() -> Definition:
    """The workflow that is the function."""
    node = DurableCall(id="function", function=NAME, with_={"n": "${n}"})
    return Definition(NAME, params={"n": {"type": "integer"}}, nodes=(node,), output="${function}")


def operations(run_id: str, n: int) -> list[Operation]:
    """What the function does in this run that is given ``n``."""
    random = Random(f"{run_id}/{n}")
    made = [_operation(random, 2) for _ in range(random.randint(1, 4))]
    if n < ROUND and random.random() < 0.3:
        made.append(["round", n + ROUND])
    return made


def _operation(random: Random, depth: int) -> Operation:
    kinds = ["task"] * 4 + ["sleep", "signal", "child", "publish", "version"]
    if depth:
        kinds += ["gather", "gather", "first", "within", "finally", "steps", "steps"]
    kind = random.choice(kinds)
    match kind:
        case "task":
            return [kind, random.choice(TASKS), random.randint(0, 99)]
        case "sleep":
            return [kind, random.choice((0, 10, 200, 2_000))]
        case "signal":
            return [kind, random.choice(SIGNALS), random.choice((20, 500, 5_000))]
        case "child":
            return [kind, CHILD, random.randint(1, 6)]
        case "publish" | "version":
            return [kind, random.randint(0, 9)]
        case "gather" | "first":
            return [kind, [_operation(random, depth - 1) for _ in range(random.randint(1, 3))]]
        case "steps":
            return [kind, [["task", random.choice(TASKS), random.randint(0, 99)] for _ in range(random.randint(2, 6))]]
        case "within":
            return [kind, random.choice((5, 100, 3_000)), _operation(random, depth - 1)]
        case _:
            return [kind, _operation(random, depth - 1), _operation(random, 0)]


# ---- the interpreter ------------------------------------------------------------------------------------------------


def registered() -> RegisteredTask:
    """What a worker offers."""

    async def durably(caller: Any, n: int) -> list[Any]:
        return [await perform(caller, operation) for operation in operations(caller.run_id, n)]

    code = durably.__code__
    workflow = RegisteredWorkflow(
        NAME, 1, durably, "durable", code.co_filename, code.co_firstlineno, face=lambda caller: caller
    )
    return RegisteredTask(
        TASK_PREFIX + NAME, 1, durably, True, __name__, NAME, code.co_filename, code.co_firstlineno, workflow=workflow
    )


async def perform(caller: Caller, operation: Operation) -> Any:
    """The value of one operation."""
    try:
        return await _perform(caller, operation)
    except CallFailed as failed:
        return {"error": type(failed).__name__}


async def _perform(caller: Caller, operation: Operation) -> Any:
    kind, *args = operation
    match kind:
        case "task":
            name, x = args
            return await caller.call(_call(CALL_TASK, name, TaskBody(_raw({"x": x}), RETRY), version=1))
        case "sleep":
            return await caller.call(_call(CALL_SLEEP, "", SleepBody(args[0])))
        case "signal":
            return await caller.call(_call(CALL_SIGNAL, args[0], SignalBody(), timeout_ms=args[1]))
        case "child":
            return await caller.call(_call(CALL_WORKFLOW, args[0], ChildBody(_raw({"n": args[1]}))))
        case "publish":
            caller.tell(Call(CALL_PUBLISH, "", lambda: _raw(args[0]), _none))
            return None
        case "version":
            return caller.version(f"change {args[0]}")
        case "gather":
            return await asyncio.gather(*(perform(caller, part) for part in args[0]))
        case "steps":
            return [await perform(caller, part) for part in args[0]]
        case "first":
            return await _first(caller, args[0])
        case "within":
            return await _within(caller, *args)
        case "round":
            caller.continue_with(lambda: _raw({"n": args[0]}))
        case _:
            return await _finally(caller, *args)


async def _finally(caller: Caller, part: Operation, last: Operation) -> Any:
    """``last`` comes after the part, whatever became of it; not when the worker lets the function go."""
    try:
        value = await perform(caller, part)
    except asyncio.CancelledError:
        await perform(caller, last)
        raise
    await perform(caller, last)
    return value


async def _first(caller: Caller, parts: Sequence[Operation]) -> Any:
    """The value of the part that ends first; the others are cancelled."""
    tasks = [asyncio.ensure_future(perform(caller, part)) for part in parts]
    done, pending = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in tasks:
        if task in pending:
            task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    won = next(number for number, task in enumerate(tasks) if task in done)
    return [won, tasks[won].result()]


async def _within(caller: Caller, limit_ms: int, part: Operation) -> Any:
    try:
        async with asyncio.timeout(limit_ms / 1_000):
            return await perform(caller, part)
    except TimeoutError:
        return LATE


def _call(kind: int, name: str, body: object, *, version: int = 0, timeout_ms: int = NO_TIMEOUT) -> Call:
    decode: Callable[[Raw], Any] = msgpack.Decoder().decode
    return Call(kind, name, lambda: _raw(body), decode, version=version, timeout_ms=timeout_ms)


def _raw(value: object) -> Raw:
    return Raw(_encode(value))


def _none(raw: Raw) -> None:
    """A call without a value."""


# ---- the auditor's side ---------------------------------------------------------------------------------------------


def allowed(operation: Operation, value: Any) -> bool:
    """Whether an operation may have given this value."""
    kind, *args = operation
    error = value.get("error") if isinstance(value, dict) and set(value) == {"error"} else None
    match kind:
        case "task":
            fits = value == given(args[0], args[1]) and args[0] != "boom"
            return fits or error in (*_MAY_FAIL.get(args[0], ()), "PoisonTask")
        case "sleep" | "publish":
            return value is None
        case "signal":
            return error in (None, "TimedOut")
        case "child":
            return True  # its own end is checked as every run's
        case "version":
            return value is True
        case "gather" | "steps":
            return isinstance(value, list) and len(value) == len(args[0]) and all(map(allowed, args[0], value))
        case "first":
            won, found = value
            return 0 <= won < len(args[0]) and allowed(args[0][won], found)
        case "within":
            return bool(value == LATE or allowed(args[1], value))
        case _:
            return allowed(args[0], value)


# ---- what Turns needs of a loop and of a watch ----------------------------------------------------------------------


class Clock:
    """Gives the time. Nobody is let go because he waits long: workers of the simulation keep few."""

    def __init__(self, now_us: Callable[[], int]) -> None:
        self._now_us = now_us

    def time(self) -> float:
        return self._now_us() / 1e6

    def call_later(self, delay_s: float, callback: Callable[[], None]) -> Clock:
        return self

    def cancel(self) -> None:
        """Nothing was begun."""


class Unwatched(Watch):
    """Nothing takes real time here."""

    def enter(self, name: str, run_id: str, now_ns: int) -> None:
        """No thread looks on."""
