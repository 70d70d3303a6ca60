"""Functions that go ahead on the result of a task that ran in their worker: when, and what leaves with the result."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any

import durable_functions as functions
import msgspec
import pytest
from msgspec import Raw

import wfe
from support.durable_engine import using
from wfe.wire import durable as wire
from wfe.wire import payload
from wfe.wire.durable import DurableCompletion, DurableRecord, TurnAhead, encode_record
from wfe.wire.messages import NULL, TaskRef, TaskResult, TaskSpec
from wfe.worker.durable import turns
from wfe.worker.durable.turns import Turns

__all__ = ["using"]
_decode = msgspec.msgpack.Decoder(TurnAhead).decode
BEGAN_MS = 1_000


class Bench:
    """A worker's part; the shard's is played by the test."""

    def __init__(self) -> None:
        self.now_s = 100.0
        self.loop = asyncio.new_event_loop()
        self.loop.time = lambda: self.now_s  # type: ignore[method-assign]
        self.functions: dict[tuple[str, int], Any] = {}
        self.ends: list[TaskResult] = []
        self.turns = Turns(self.loop, self.functions, self.ends.append)

    def spec(self, function: Any, *arguments: Any, attempt: int = 1, had: int = 0, **record: Any) -> TaskSpec:
        self.functions[function.offered.name, 1] = function.offered
        named = dict(zip((p.name for p in function.signature.params), arguments, strict=True))
        given = DurableRecord(0, [], 0, [], payload.encode_value(named), 0, BEGAN_MS, now_ms=BEGAN_MS)
        for name, value in record.items():
            setattr(given, name, value)
        recorded = Raw(encode_record(given))
        return TaskSpec(
            "run-1", 0, 0, attempt, function.offered.name, 1, "main", NULL, durable=1 + had, recorded=recorded
        )

    def begin(self, function: Any, *arguments: Any) -> None:
        assert self.turns.turn(self.spec(function, *arguments)).status == wire.SUSPENDED

    def took(self, *numbers: int) -> None:
        for seq in numbers:
            self.turns.took(TaskSpec("run-1", 0, seq + 1, 1, "price", 1, "price", NULL))

    def done(self, seq: int, value: Any = 1, **fields: Any) -> TaskResult:
        given = {"status": 0, "value": payload.encode_value(value), **fields}
        return TaskResult("run-1", 0, seq + 1, 1, **given)

    def end(self, *results: TaskResult) -> list[TurnAhead | None]:
        """What leaves with these results."""
        self.turns.go_ahead(results)
        return [None if result.turn == NULL else _decode(result.turn) for result in results]


@pytest.fixture
def bench() -> Iterator[Bench]:
    made = Bench()
    yield made
    made.turns.close()
    made.loop.close()


def calls(told: TurnAhead | None) -> list[tuple[int, str]]:
    assert told is not None
    return [(command.seq, command.name) for command in told.turn.commands]


def test_a_function_goes_ahead_on_the_result_that_it_waits_for_step_by_step(bench):
    bench.begin(functions.one_after_the_other, ["a", "bb", "ccc"])
    bench.took(0)
    bench.now_s += 0.25
    (first,) = bench.end(bench.done(0, 1))
    assert (first.attempt, first.made, first.turn.taken, first.at_ms) == (1, 1, 1, BEGAN_MS + 250)
    assert (first.status, calls(first)) == (wire.SUSPENDED, [(1, "price")])
    (second,) = bench.end(bench.done(1, 2))
    assert (second.attempt, second.made, second.turn.taken, calls(second)) == (2, 2, 2, [(2, "price")])
    (third,) = bench.end(bench.done(2, 3))
    assert (third.status, payload.decode_any(third.value)) == (wire.DONE, 6)
    assert (bench.turns.live, bench.turns.ahead) == (0, 3)


def test_a_turn_that_is_recorded_is_gone_on_from(bench):
    bench.begin(functions.one_after_the_other, ["a", "bb", "ccc"])
    bench.end(bench.done(0, 1))
    new = [DurableCompletion(1, 0, payload.encode_value(2), at_ms=BEGAN_MS + 9)]
    spec = bench.spec(
        functions.one_after_the_other, [], attempt=3, had=1, partial=True,
        since_call=2, since_completion=1, completions=new,
    )  # fmt: skip
    result = bench.turns.turn(spec)
    assert [command.seq for command in wire.decode_turn(result.turn).commands] == [2]
    assert bench.turns.reruns == 0
    (after,) = bench.end(bench.done(2, 3))
    assert (after.attempt, after.turn.taken) == (3, 3)


def test_after_a_turn_that_was_dropped_the_function_is_run_again(bench):
    bench.begin(functions.one_after_the_other, ["a", "bb", "ccc"])
    bench.end(bench.done(0, 1))  # the shard recorded something else first
    partial = bench.spec(functions.one_after_the_other, [], attempt=2, partial=True, since_call=1, since_completion=0)
    assert bench.turns.turn(partial).status == wire.NEED_ALL
    assert bench.turns.live == 0


def test_a_whole_record_is_never_gone_on_from(bench):
    """The shard does not count on this worker's coroutine: its numbers may be the same by chance."""
    bench.begin(functions.one_after_the_other, ["a", "bb", "ccc"])
    bench.end(bench.done(0, 1))
    called = [wire.Called(wire.CALL_TASK, "price", 1, "x.py:1") for _ in range(2)]
    ends = [DurableCompletion(0, 0, payload.encode_value(10)), DurableCompletion(1, 0, payload.encode_value(20))]
    whole = bench.spec(functions.one_after_the_other, ["a", "bb", "ccc"], attempt=3, had=1, calls=called)
    record = wire.decode_record(whole.recorded)
    record.completions = ends
    whole.recorded = Raw(encode_record(record))
    assert bench.turns.turn(whole).status == wire.SUSPENDED
    assert bench.turns.reruns == 1
    (last,) = bench.end(bench.done(2, 3))
    assert payload.decode_any(last.value) == 33


def test_it_waits_while_another_worker_has_a_task_that_it_awaits_too(bench):
    bench.begin(functions.all_at_once, ["a", "bb"])
    bench.took(0)
    assert bench.end(bench.done(0)) == [None]


def test_of_two_tasks_here_the_second_ends_the_function(bench):
    bench.begin(functions.all_at_once, ["a", "bb"])
    bench.took(0, 1)
    (first,) = bench.end(bench.done(0, 1))
    assert first is not None
    assert calls(first) == []
    (second,) = bench.end(bench.done(1, 2))
    assert (second.status, payload.decode_any(second.value)) == (wire.DONE, [1, 2])


def test_results_that_come_together_leave_without_a_turn_and_so_do_those_before_the_next_turn(bench):
    bench.begin(functions.all_at_once, ["a", "bb", "ccc"])
    bench.took(0, 1, 2)
    assert bench.end(bench.done(0, 1), bench.done(1, 2)) == [None, None]
    assert bench.end(bench.done(2, 3)) == [None]


def test_a_failed_attempt_is_the_shards_to_judge_and_its_retry_goes_ahead(bench):
    bench.begin(functions.one_after_the_other, ["a", "bb"])
    bench.took(0)
    assert bench.end(bench.done(0, status=1)) == [None]
    bench.took(0)
    (told,) = bench.end(bench.done(0))
    assert calls(told) == [(1, "price")]


def test_it_waits_for_a_turn_that_is_queued(bench):
    bench.begin(functions.one_after_the_other, ["a", "bb"])
    bench.turns.start(bench.spec(functions.one_after_the_other, [], attempt=2, partial=True))
    assert bench.end(bench.done(0)) == [None]


def test_a_time_limit_beside_the_task_does_not_hold_it_back_but_a_sub_workflow_does(bench, using):
    async def limited(wf: Any) -> int:
        async with asyncio.timeout(60):
            return await functions.price("a")

    async def beside(wf: Any) -> Any:
        return await asyncio.gather(functions.price("a"), functions.inner(1))

    bench.begin(using(limited))
    (told,) = bench.end(bench.done(1))
    assert told.status == wire.DONE
    bench.begin(using(beside))
    assert bench.end(bench.done(0)) == [None]


def test_a_result_that_nobody_awaits_changes_nothing(bench):
    bench.begin(functions.one_after_the_other, ["a", "bb"])
    assert bench.end(bench.done(5)) == [None]
    (told,) = bench.end(bench.done(0))
    assert told is not None


def test_what_is_too_large_for_a_frame_of_others_is_left_to_the_shard(bench, monkeypatch):
    monkeypatch.setattr(turns, "AHEAD_BYTES_MAX", 10)
    bench.begin(functions.one_after_the_other, ["a", "bb"])
    assert bench.end(bench.done(0)) == [None]
    assert bench.turns.live == 0


def test_a_mistake_of_the_worker_costs_the_coroutine_not_the_result(bench, monkeypatch):
    def broken(*_: Any) -> None:
        raise RuntimeError("a bug")

    bench.begin(functions.one_after_the_other, ["a", "bb"])
    monkeypatch.setattr("wfe.worker.durable.instance.Instance.go_ahead", broken)
    assert bench.end(bench.done(0)) == [None]
    assert bench.turns.live == 0


def test_a_function_that_nobody_needs_any_more_is_let_go(bench):
    bench.begin(functions.one_after_the_other, ["a", "bb"])
    bench.turns.cancel(TaskRef("run-1", 0, 0, 0))
    assert bench.turns.live == 0
    assert bench.ends == []


def test_a_function_that_fails_ahead_says_so(bench, using):
    async def fails(wf: wfe.Durable) -> None:
        await functions.price("a")
        raise ValueError("no")

    bench.begin(using(fails))
    (told,) = bench.end(bench.done(0))
    assert (told.status, told.error.type) == (wire.FAILED, "ValueError")
