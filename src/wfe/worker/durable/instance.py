"""One durable function of one run, live on a loop of its own: turns in, commands out.

Completions are delivered one at a time in their recorded order, and everything that is ready runs before the next one:
live and on a re-run alike. On a re-run (`begin` with a record) each call is compared with the recorded one at its
number; nothing of what was done before is asked for again. Invariants: a call's number is the order in which it was
awaited first; commands are only made beyond what is recorded; after `close` no code of the function runs.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Callable, Collection, Coroutine, Sequence
from contextvars import Context
from typing import Any, NoReturn
from zlib import crc32

import msgspec
from msgspec import Raw

from wfe.errors import CallFailed, InvalidInput
from wfe.limits import DURABLE_CALLS_MAX
from wfe.model.calling import CALLER, MISSING, Call
from wfe.model.durable import OPEN, WITHDRAWN
from wfe.model.policy import ErrorInfo
from wfe.wire.durable import (
    CALL_SLEEP,
    CALL_VERSION,
    CANCEL,
    CANCELLED,
    CONTINUE_WITH,
    DONE,
    FAILED,
    NO_TIMEOUT,
    NONDETERMINISTIC,
    RUN_CANCELLED,
    SUSPENDED,
    TIMED_OUT,
    Called,
    DurableCommand,
    DurableCompletion,
    DurableRecord,
    SleepBody,
)
from wfe.wire.messages import NULL
from wfe.worker.durable import places
from wfe.worker.durable.differences import describe, difference
from wfe.worker.durable.failures import home_of
from wfe.worker.durable.functions import DurableFunction
from wfe.worker.durable.loop import DurableLoop, DurableTask, Restless, Timer
from wfe.worker.durable.outcomes import Answer, ContinueWith, Halted, decoded, failure_of
from wfe.worker.failure import error_info
from wfe.worker.functions import encode_result

_encode = msgspec.msgpack.Encoder().encode
_NO_CONTEXT = Context()


class Instance:
    """A `calling.Caller`. ``key``: of the run; ``seed``: what its dice are made of."""

    def __init__(self, function: DurableFunction, run_id: str, node_id: str, record: DurableRecord) -> None:
        self._function, self._node_id = function, node_id
        self.run_id, self.run_key = run_id, record.key
        self.round, self.taken = record.round, 0
        self._seed = f"{record.seed or run_id}:{record.round}:"
        self._input = record.input
        self._home = home_of(function.module, record.calls)
        self._loop = DurableLoop(self, crc32(self._seed.encode()))  # type: ignore[abstract]  # refusals come by name
        self._loop.time_ms = record.started_ms
        self._context = Context()
        self._context.run(CALLER.set, self)
        self._main: asyncio.Task[Any] | None = None
        self._made: list[Called] = []
        self._waiting: dict[int, asyncio.Future[Any] | Timer] = {}
        self.awaited: Collection[int] = self._waiting
        """Numbers of the calls that the function waits for."""
        self.name = function.name
        self._given_up: set[int] = set()
        self._commands: list[DurableCommand] = []
        self._recorded: Sequence[Called] = ()
        self._rerun = False
        self._versions: dict[str, bool] = {}
        self._draws = 0
        self._ending = self._closed = self._cancel_asked = False
        self._next: Raw | None = None
        self._difference, self._too_many = "", False

    # ---- turns -------------------------------------------------------------------------------------------------------

    def begin(self, record: DurableRecord, had: int) -> Answer:
        """The first turn here: a re-run up to the first ``had`` completions, then what is new. ``record`` is whole."""
        self._recorded, self._rerun = record.calls, bool(record.calls) or had > 0
        self._loop.quiet = self._rerun
        try:
            coroutine = self._function.start(self, self._input)
        except Exception as error:  # noqa: BLE001  input that does not fit is the run's failure
            return Answer(FAILED, [], 0, error=error_info(error, self._node_id), over=True)
        try:
            self._loop.inside(self._run_again, coroutine, record, had)
            if self._rerun and not self._difference:
                self._compare_end(over=False)
            self._recorded, self._rerun, self._loop.quiet = (), False, False
            self._loop.inside(self._deliver, record.completions[had:])
        except Restless as error:
            return Answer(FAILED, self._commands, self.taken, error=error_info(error, self._node_id), over=True)
        return self._answer()

    def replay(self, record: DurableRecord, had: int, *, over: bool | None) -> str:
        """Re-runs the whole record and no further; what differs, or "". ``over``: whether it ends so; None: it may."""
        self._recorded, self._rerun, self._loop.quiet = record.calls, True, True
        try:
            self._loop.inside(self._run_again, self._function.start(self, self._input), record, had)
        except InvalidInput as error:
            return f"{self._function.name!r} does not take the recorded input any more: {error}"
        if not self._difference:
            self._compare_end(over=over)
        return self._difference

    def _run_again(self, coroutine: Coroutine[Any, Any, Any], record: DurableRecord, had: int) -> None:
        self._main = self._context.run(self._loop.create_task, coroutine)
        self._pump()
        self._deliver(record.completions[:had])

    def fits(self, record: DurableRecord, had: int) -> bool:
        """Whether the record's last turn is where this instance stands, so that it can go on from here. Only a part of
        a record is meant for it: it may have gone ahead, and another turn with the same numbers may have been recorded.
        """
        stands = (
            record.partial
            and record.round == self.round
            and had == self.taken
            and len(self._made) == record.since_call + len(record.calls)
        )
        return stands and not self._closed and record.since_completion <= self.taken

    def go_on(self, record: DurableRecord) -> Answer:
        """A further turn: what is new in the record is delivered."""
        return self._go_on(self._loop.inside, record.completions[self.taken - record.since_completion :])

    def go_ahead(self, seq: int, value: Raw, at_ms: int) -> Answer:
        """A further turn on a call that is done, but not recorded yet. The outer loop was put aside (`loop`)."""
        return self._go_on(self._loop.enter, (DurableCompletion(seq, DONE, value, at_ms=at_ms),))

    def _go_on(self, enter: Callable[..., None], completions: Sequence[DurableCompletion]) -> Answer:
        self._commands = []
        try:
            enter(self._deliver, completions)
        except Restless as error:
            return Answer(FAILED, self._commands, self.taken, error=error_info(error, self._node_id), over=True)
        return self._answer()

    def close(self) -> None:
        """Lets the function go where it stands. Its ``finally`` blocks run, and can call nothing.

        Nothing of it leads back to itself then: it is freed at once, not when somebody looks for cycles.
        """
        if self._closed:
            return
        self._closed = self._loop.shut = True
        self._loop.inside(self._end_tasks)
        self._waiting.clear()
        self._loop.let_go()
        self._main, self._context = None, _NO_CONTEXT

    def _end_tasks(self) -> None:
        ended = set[DurableTask[Any]]()
        # What ``finally`` blocks begin never runs, and is ended, too: else Python complains of it, much later.
        while left := [task for task in reversed(self._loop.tasks()) if task not in ended]:
            ended.update(left)
            for task in left:
                coroutine = task.get_coro()
                if isinstance(coroutine, Coroutine):
                    try:
                        self._context.run(coroutine.close)
                    except BaseException as error:  # noqa: BLE001  whatever the function says to its end: it is over
                        self._last_words = repr(error)

    @property
    def made(self) -> int:
        """Calls of this round."""
        return len(self._made)

    def kind_of(self, seq: int) -> int:
        return self._made[seq].kind

    def place(self) -> str:
        """``app.py:12``: where the function waits."""
        return places.of_coroutine(self._main.get_coro() if self._main is not None else None)

    # ---- what is delivered, and what follows -------------------------------------------------------------------------

    def _deliver(self, completions: Sequence[DurableCompletion]) -> None:
        loop, waiting = self._loop, self._waiting
        for completion in completions:
            if self._difference or self._too_many or self._over():
                return
            self.taken += 1
            loop.time_ms = max(loop.time_ms, completion.at_ms)
            if completion.seq == RUN_CANCELLED:
                self._cancel()
            elif (waits := waiting.pop(completion.seq, None)) is None:
                if completion.seq >= len(self._made):
                    self._differ(len(self._made), "it does not make a call whose end is recorded")
            elif isinstance(waits, Timer):
                loop.fire(waits)
            elif not waits.done():
                waits.set_result(completion)
            self._pump()

    def _cancel(self) -> None:
        self._cancel_asked = True
        assert self._main is not None
        if not self._main.done():
            self._main.cancel()
        else:
            for task in self._loop.tasks():
                task.cancel()

    def _pump(self) -> None:
        self._loop.run_ready()
        assert self._main is not None
        if self._main.done() and not self._ending and not self._difference:
            self._ending = True  # as asyncio.run does: what the function has begun beside itself ends with it
            for task in self._loop.tasks():
                task.cancel()
            self._loop.run_ready()

    def _over(self) -> bool:
        return self._ending and not self._loop.tasks()

    def _answer(self) -> Answer:
        commands, self._commands = self._commands, []
        if self._difference:
            error = ErrorInfo(type="Nondeterminism", message=self._difference, node=self._node_id)
            return Answer(NONDETERMINISTIC, [], self.taken, error=error, over=True)
        if self._too_many:
            message = f"more than {DURABLE_CALLS_MAX} calls: begin a next round with wf.continue_with(...) before that"
            error = ErrorInfo("TooManyCalls", message, self._node_id, types=("TooManyCalls",), fatal=True)
            return Answer(FAILED, commands, self.taken, error=error, over=True)
        if not self._over():
            return Answer(SUSPENDED, commands, self.taken)
        main = self._main
        assert main is not None
        if main.cancelled():
            if self._cancel_asked:
                return Answer(CANCELLED, commands, self.taken, over=True)
            failed: BaseException | None = asyncio.CancelledError("something that it awaited was cancelled")
        else:
            failed = main.exception()
        if isinstance(failed, ContinueWith) and self._next is not None:
            commands.append(DurableCommand(CONTINUE_WITH, len(self._made), body=self._next))
            return Answer(SUSPENDED, commands, self.taken, over=True)
        if failed is None:
            try:
                return Answer(DONE, commands, self.taken, encode_result(main.result()), over=True)
            except Exception as error:  # noqa: BLE001  a result that is no payload fails the run
                failed = error
        return Answer(FAILED, commands, self.taken, error=self._error_of(failed), over=True)

    def _error_of(self, failed: BaseException) -> ErrorInfo:
        """A call's error that the function let through stays what it was."""
        if isinstance(failed, CallFailed) and isinstance(failed.error, ErrorInfo):
            return failed.error
        return error_info(failed, self._node_id)

    # ---- calls (the Caller) ------------------------------------------------------------------------------------------

    @property
    def now_ms(self) -> int:
        return self._loop.time_ms

    def call(self, call: Call) -> Coroutine[Any, Any, Any]:
        self._check()
        return self._recorded_call(call, places.here(call.origin))

    def tell(self, call: Call) -> None:
        self._check()
        self._record(call.kind, call.name, call.version, call.body(), call.timeout_ms, places.here())

    def version(self, change: str) -> bool:
        self._check()
        known = self._versions.get(change)
        if known is None:
            known = True
            if self._rerun:
                number = len(self._made)
                there = self._recorded[number] if number < len(self._recorded) else None
                known = there is not None and (there.kind, there.name) == (CALL_VERSION, change)
            if known:
                self._record(CALL_VERSION, change, 0, NULL, NO_TIMEOUT, places.here())
            self._versions[change] = known
        return known

    def random_bytes(self, count: int) -> bytes:
        self._check()
        self._draws += 1
        return hashlib.blake2b(f"{self._seed}{self._draws}".encode(), digest_size=count).digest()

    def continue_with(self, arguments: Callable[[], Raw]) -> NoReturn:
        self._check()
        if asyncio.current_task(self._loop) is not self._main:
            raise places.mistake(
                "wf.continue_with ends the function: call it in the function itself, not in a task of it"
            )
        self._next = arguments()
        raise ContinueWith

    def mistake(self, message: str) -> Exception:
        return places.mistake(message)

    async def _recorded_call(self, call: Call, where: str) -> Any:
        future = self._loop.create_future()
        try:
            seq = self._record(call.kind, call.name, call.version, call.body(), call.timeout_ms, where)
        except Halted:  # nothing is raised in the function, which might catch it and try for ever: it just stands here
            return await future
        self._waiting[seq] = future
        try:
            completion: DurableCompletion = await future
        except asyncio.CancelledError:
            self._give_up(seq)
            raise
        if completion.status == DONE:
            return decoded(call, completion.value, where)
        if completion.status == TIMED_OUT and call.default is not MISSING:
            return call.default
        raise failure_of(call, completion, where, self._home)

    # ---- timers (of the loop) ----------------------------------------------------------------------------------------

    def start_timer(self, timer: Timer, delay_ms: int) -> None:
        body = Raw(_encode(SleepBody(delay_ms)))
        try:
            timer.seq = self._record(CALL_SLEEP, "", 0, body, NO_TIMEOUT, places.here())
        except Halted:
            return  # it is never due
        self._waiting[timer.seq] = timer

    def stop_timer(self, timer: Timer) -> None:
        self._give_up(timer.seq)

    # ---- the record --------------------------------------------------------------------------------------------------

    def _check(self) -> None:
        if self._closed:
            return
        if not self._loop.entered:
            raise places.mistake("this wf belongs to a durable function, and only its own code can use it")

    def _record(self, kind: int, name: str, version: int, body: Raw, timeout_ms: int, where: str) -> int:
        if self._closed or self._difference or self._too_many:
            raise Halted
        number = len(self._made)
        if number >= DURABLE_CALLS_MAX:
            self._too_many = True
            self._loop.clear()
            raise Halted
        self._made.append(Called(kind, name, version, where))
        if not self._rerun:
            self._commands.append(DurableCommand(kind, number, name, version, body, timeout_ms, where))
            return number
        recorded = self._recorded[number] if number < len(self._recorded) else None
        if recorded is None or (recorded.kind, recorded.name) != (kind, name):
            if recorded is None:
                reason = f"call {number} is {describe(self._made[number])}, where nothing was called"
            else:
                reason = f"call {number} is {describe(self._made[number])}, recorded is {describe(recorded)}"
            self._differ(number, reason)
            raise Halted
        return number

    def _give_up(self, seq: int) -> None:
        if self._waiting.pop(seq, None) is None or self._closed:
            return
        if self._rerun:
            self._given_up.add(seq)
        else:
            self._commands.append(DurableCommand(CANCEL, seq))

    def _compare_end(self, *, over: bool | None) -> None:
        """All that was had is delivered: is the function where its record says?"""
        recorded, made = self._recorded, self._made
        if len(made) < len(recorded):
            self._differ(len(made), f"it does not make call {len(made)}, {describe(recorded[len(made)])}")
        elif over is not None and over != self._over():
            reason = "it goes on where the recorded run ended" if over else "it ends where the recorded run went on"
            self._differ(len(made), reason)
        for seq in self._waiting:
            if recorded[seq].status == WITHDRAWN:
                self._differ(seq, f"it still waits for call {seq}, {describe(recorded[seq])}, which was given up")
        for seq in self._given_up:
            if recorded[seq].status == OPEN:
                self._differ(seq, f"it gives up call {seq}, {describe(recorded[seq])}, which was not")

    def _differ(self, at: int, reason: str) -> None:
        if not self._difference:
            self._difference = difference(self._function.name, reason, self._recorded, self._made, at)
            self._loop.clear()
