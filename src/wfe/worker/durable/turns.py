"""Turns of durable functions in a worker: each is run at once on the worker's loop, and gives exactly one result.

Functions stay live between their turns, so that a normal step costs no re-run: at most `DURABLE_LIVE_MAX` of them, and
none that waits longer than `DURABLE_IDLE_MS`. One that is not here (let go, another worker's, another code's) is re-run
from its record; a turn that came with a part of the record only is answered with "need all". A function may go ahead on
the result of a task that ran here, see `ahead`. Belongs to the loop's thread. Invariant: an instance goes on only from
where its record stands, or, ahead, where it will stand if its turn counts.
"""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from msgspec import Raw

from wfe import observe
from wfe.errors import PayloadTooLarge, UnknownTask
from wfe.limits import DURABLE_IDLE_MS, DURABLE_LIVE_MAX, DURABLE_TURN_MAX_MS, MIB, TASK_INPUT_BYTES_MAX
from wfe.model.registered import RegisteredTask
from wfe.wire.durable import (
    CANCELLED,
    DONE,
    FAILED,
    NEED_ALL,
    NONDETERMINISTIC,
    SUSPENDED,
    DurableTurn,
    decode_record,
    encode_ahead,
    encode_turn,
)
from wfe.wire.messages import TaskRef, TaskResult, TaskSpec
from wfe.worker.deadlines import DeadlineBoard
from wfe.worker.durable.ahead import Live
from wfe.worker.durable.functions import DurableFunction
from wfe.worker.durable.instance import Instance
from wfe.worker.durable.loop import OuterLoopAside
from wfe.worker.durable.outcomes import Answer
from wfe.worker.durable.watch import Watch
from wfe.worker.failure import error_info, failure

_logger = observe.get_logger("wfe.durable")
BATCH_NS = 5_000_000
"""Turns that are run before the loop may do something else."""
AHEAD_BYTES_MAX = MIB
"""A turn ahead travels only with what leaves room in a frame for others."""


class Turns:
    """``deliver(result)`` is called on the loop. ``keep`` 0: nothing stays live, every turn is a re-run.

    ``board_slot``: where the deadline of the turn that is being run stands on the board, for the parent to see.
    """

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        tasks: Mapping[tuple[str, int], RegisteredTask],
        deliver: Callable[[TaskResult], None],
        *,
        keep: int = DURABLE_LIVE_MAX,
        idle_ms: int = DURABLE_IDLE_MS,
        watch: Watch | None = None,
        board: DeadlineBoard | None = None,
        board_slot: int = 0,
    ) -> None:
        self._loop, self._tasks, self._deliver = loop, tasks, deliver
        self._board, self._board_slot = board, board_slot
        self._keep, self._idle_s = keep, idle_ms / 1_000
        self._functions: dict[tuple[str, int], DurableFunction] = {}
        self._live: OrderedDict[str, Live] = OrderedDict()
        """By run, the one that waits longest first."""
        self._queue: deque[TaskSpec] = deque()
        self._queued: set[str] = set()
        """Runs of the turns in the queue."""
        self._due = False
        self._sweep: asyncio.TimerHandle | None = None
        self._watch = watch or Watch()
        self.reruns = 0
        """Functions that were run from the beginning of their round with a record."""
        self.ahead = 0
        """Turns that were run ahead."""

    def start(self, spec: TaskSpec) -> None:
        """Queues a turn: it is run from a callback of the loop, where no task is current."""
        self._queue.append(spec)
        self._queued.add(spec.run_id)
        if not self._due:
            self._due = True
            self._loop.call_soon(self._work)

    def cancel(self, ref: TaskRef) -> None:
        """A turn that has not begun ends as cancelled; the function goes, for its run has no use for it here.

        Attempt 0 is none: only the function goes.
        """
        if not ref.attempt:
            self._forget(ref.run_id)
        for spec in self._queue:
            if (spec.run_id, spec.activation, spec.attempt) == (ref.run_id, ref.activation, ref.attempt):
                self._queue.remove(spec)
                self._queued.discard(spec.run_id)
                self._forget(spec.run_id)
                self._deliver(TaskResult(spec.run_id, spec.node, spec.activation, spec.attempt, CANCELLED))
                return

    def turn(self, spec: TaskSpec) -> TaskResult:
        """Runs one turn here and now."""
        started_ns = time.monotonic_ns()
        self._watch.enter(spec.task, spec.run_id, started_ns)
        try:
            with self._limited():
                answer = self._answer(spec)
        except Exception as error:  # no mistake of ours may cost a run, or leave an attempt without an end
            _logger.error("a turn cannot be run", function=spec.task, run=spec.run_id, exc_info=error)
            self._forget(spec.run_id)
            answer = Answer(NONDETERMINISTIC, [], spec.durable - 1, error=error_info(error, spec.node_id))
        finally:
            self._watch.leave()
        turn = encode_turn(DurableTurn(answer.commands, answer.taken))
        if len(turn) > TASK_INPUT_BYTES_MAX:
            message = f"the arguments of {len(answer.commands)} calls made at once are too large: {len(turn)} bytes"
            answer.status, answer.error = FAILED, failure(PayloadTooLarge, message, spec.node_id, fatal=True)
            turn = encode_turn(DurableTurn([], answer.taken))
            self._forget(spec.run_id)
        return TaskResult(
            spec.run_id,
            spec.node,
            spec.activation,
            spec.attempt,
            answer.status,
            answer.value,
            answer.error,
            (time.monotonic_ns() - started_ns) // 1_000,
            Raw(turn),
        )

    def took(self, spec: TaskSpec) -> None:
        """This worker has a task, which may be one that a live function called."""
        live = self._live.get(spec.run_id)
        if live is not None:
            live.took(spec.activation)

    def go_ahead(self, results: Sequence[TaskResult]) -> None:
        """Results of tasks that are about to leave: functions that wait for them go ahead, and what they do leaves
        with the results. One result of a run at a time: of several the shard makes one turn."""
        if not self._live:
            return
        found: dict[Live, list[tuple[int, TaskResult]]] = {}
        for result in results:
            live = self._live.get(result.run_id)
            if live is not None and result.activation and (seq := live.ended(result.activation)) >= 0:
                found.setdefault(live, []).append((seq, result))
        if not found:
            return
        with OuterLoopAside(), self._limited():
            for live, ends in found.items():
                seq, result = ends[0]
                alone = len(ends) == 1 and result.status == DONE and result.run_id not in self._queued
                if alone and live.may_go(seq):
                    self._go_ahead(live, seq, result)
                else:
                    live.left.update(seq for seq, _ in ends)

    def _go_ahead(self, live: Live, seq: int, result: TaskResult) -> None:
        run_id = result.run_id
        self._watch.enter(live.instance.name, run_id, time.monotonic_ns())
        try:
            went = live.go(seq, result.value, self._loop.time())
        except Exception as error:  # no mistake of ours may cost a result: the shard opens a turn for it
            _logger.error("a function cannot go ahead", function=live.instance.name, run=run_id, exc_info=error)
            went = None
        finally:
            self._watch.leave()
        turn = b"" if went is None else encode_ahead(went[0])
        if went is None or len(turn) + len(result.value) > AHEAD_BYTES_MAX:
            self._forget(run_id)
            return
        result.turn = Raw(turn)
        self.ahead += 1
        self._keep_or_close(run_id, live, went[1])

    @property
    def live(self) -> int:
        """Functions that are kept."""
        return len(self._live)

    def queued(self) -> int:
        """Turns that have not begun."""
        return len(self._queue)

    def let_go(self) -> None:
        """Keeps none: each next turn is a re-run."""
        while self._live:
            self._live.popitem()[1].instance.close()

    def close(self) -> None:
        """Lets all functions go."""
        self._queue.clear()
        self._queued.clear()
        self.let_go()
        self._watch.close()
        if self._sweep is not None:
            self._sweep.cancel()

    # ---- the parts ---------------------------------------------------------------------------------------------------

    def _work(self) -> None:
        until_ns = time.monotonic_ns() + BATCH_NS
        while self._queue:
            spec = self._queue.popleft()
            self._queued.discard(spec.run_id)
            self._deliver(self.turn(spec))
            if time.monotonic_ns() > until_ns:
                break
        self._due = bool(self._queue)
        if self._due:
            self._loop.call_soon(self._work)

    def _answer(self, spec: TaskSpec) -> Answer:
        record, had = decode_record(spec.recorded), spec.durable - 1
        live = self._live.get(spec.run_id)
        if live is not None and live.instance.fits(record, had):
            answer = live.instance.go_on(record)
        else:
            self._forget(spec.run_id)
            if record.partial:
                return Answer(NEED_ALL, [], had)
            function = self._function(spec)
            if function is None:
                message = f"this worker has no {spec.task!r} in version {spec.task_version}"
                return Answer(FAILED, [], had, error=failure(UnknownTask, message, spec.node_id, fatal=True))
            self.reruns += bool(record.calls)
            live = Live(Instance(function, spec.run_id, spec.node_id, record))
            answer = live.instance.begin(record, had)
        live.turn(spec.attempt, record, self._loop.time())
        self._keep_or_close(spec.run_id, live, answer)
        return answer

    @contextmanager
    def _limited(self) -> Iterator[None]:
        """The parent sees how long this may take: one turn, or those that are run ahead together."""
        if self._board is not None:
            self._board.set(self._board_slot, time.monotonic_ns() + DURABLE_TURN_MAX_MS * 1_000_000)
        try:
            yield
        finally:
            if self._board is not None:
                self._board.clear(self._board_slot)

    def _function(self, spec: TaskSpec) -> DurableFunction | None:
        key = (spec.task, spec.task_version)
        known = self._functions.get(key)
        if known is None:
            registered = self._tasks.get(key)
            if registered is None or registered.workflow is None:
                return None
            known = self._functions[key] = DurableFunction(registered.workflow)
        return known

    # ---- those that are live -----------------------------------------------------------------------------------------

    def _keep_or_close(self, run_id: str, live: Live, answer: Answer) -> None:
        """After a turn: a function that waits is kept."""
        if answer.over or answer.status != SUSPENDED or not self._keep:
            self._live.pop(run_id, None)
            live.instance.close()
            return
        live.since_s = self._loop.time()
        self._live[run_id] = live
        self._live.move_to_end(run_id)
        if len(self._live) > self._keep:
            self._live.popitem(last=False)[1].instance.close()
        if self._sweep is None:
            self._sweep = self._loop.call_later(self._idle_s, self._let_idle_go)

    def _forget(self, run_id: str) -> None:
        kept = self._live.pop(run_id, None)
        if kept is not None:
            kept.instance.close()

    def _let_idle_go(self) -> None:
        self._sweep = None
        before_s = self._loop.time() - self._idle_s
        while self._live:
            run_id, live = next(iter(self._live.items()))
            if live.since_s > before_s:
                self._sweep = self._loop.call_later(live.since_s - before_s, self._let_idle_go)
                return
            del self._live[run_id]
            live.instance.close()
