"""Durable functions in a worker: what they ask for, what they see, and that a re-run is no different (`Engine` checks
each turn against one from scratch).
"""

from __future__ import annotations

import asyncio
import gc
import warnings
from typing import Any

import durable_functions as functions
import pytest
from durable_functions import CardDeclined, Order

import wfe
from support.durable_engine import BEGAN_MS, Engine, asked, play, using, value
from wfe.errors import TimedOut
from wfe.model.policy import ErrorInfo
from wfe.wire import durable as wire
from wfe.wire.durable import decode_turn

__all__ = ["play", "using"]
ORDER = Order("o-1", 30)


# ---- calls and their results


@pytest.mark.parametrize("live", [True, False])
def test_calls_one_after_the_other_take_a_turn_each(play, live):
    engine = play(functions.one_after_the_other, ["a", "bb", "ccc"], live=live)
    assert value(engine.run(price=len)) == 6
    assert len(engine.results) == 4
    assert engine.worker.reruns == (0 if live else 3)


def test_calls_made_at_once_travel_together_and_come_back_in_any_order(play):
    engine = play(functions.all_at_once, ["a", "bb", "ccc"])
    engine.turn()
    assert asked(engine) == [("task", "price")] * 3
    for seq in (2, 0, 1):
        engine.play(seq, {"price": len})
    assert value(engine.turn()) == [1, 2, 3]


def test_each_kind_of_call_says_what_it_needs(play):
    engine = play(functions.every_kind, ORDER, key="order-1")
    answers = {"signal": "gone", "approval": {"approved": True}, "workflow": 7, "start": "run-9"}
    while True:
        result = engine.turn()
        if result.status != wire.SUSPENDED:
            break
        (seq,) = engine.open()
        call = engine.calls[seq]
        if call.kind == wire.CALL_SIGNAL and call.name == "maybe":
            engine.end(seq, status=wire.TIMED_OUT, error=TimedOut("late"))
        elif call.kind == wire.CALL_TASK:
            engine.end(seq, {"status": 404, "headers": {}, "body": None} if call.name == "wfe.http" else "ch_1")
        elif call.kind == wire.CALL_SLEEP:
            engine.play(seq, {})
        else:
            engine.end(seq, answers[wire.CALL_NAMES[call.kind]])
    found = value(result)
    assert asked(engine) == [
        ("publish", ""),
        ("task", "charge"),
        ("workflow", "graph"),
        ("workflow", "inner"),
        ("start", "graph"),
        *[("sleep", "")] * 3,
        ("signal", "go"),
        ("signal", "maybe"),
        ("approval", "manager"),
        ("version", "second-way"),
        ("task", "wfe.http"),
    ]
    assert engine.published == [{"step": 1}]
    assert found["run"] == ["run-1", "order-1"]
    assert found["began"] == "2023-11-14T22:13:20Z"
    assert (found["charged"], found["graph"], found["inner"], found["started"]) == ("ch_1", 7, 7, "run-9")
    assert (found["signal"], found["poll"], found["approved"], found["new"]) == ("gone", None, True, True)
    assert found["http"] == 404
    assert found["ended"] > found["began"]
    assert 0 <= found["dice"] < 1
    assert len(found["id"]) == 36


def test_what_a_task_needs_comes_from_its_declaration(play):
    engine = play(functions.lets_through, ORDER)
    engine.turn()
    call = engine.calls[0]
    arguments, retry, heartbeat_ms, redeliver, *_ = engine.bodies[0]
    assert (call.name, call.version, call.timeout_ms) == ("charge", 2, 30_000)
    assert call.where.startswith("durable_functions.py:")
    assert (heartbeat_ms, redeliver, retry["max_attempts"]) == (5_000, False, 5)
    assert arguments == {"order": {"id": "o-1", "total": 30}}


def test_the_clock_moves_with_what_is_delivered(play):
    engine = play(functions.one_after_the_other, ["a"])
    engine.turn()
    engine.end(0, 1)
    assert engine.now_ms > BEGAN_MS
    assert value(engine.turn()) == 1


# ---- errors


def test_an_error_of_a_task_is_caught_by_its_class(play):
    engine = play(functions.catches, ORDER)
    engine.turn()
    engine.end(0, error=CardDeclined("no money"))
    engine.turn()
    assert asked(engine) == [("task", "charge"), ("task", "note")]
    engine.end(1)
    assert value(engine.turn()) == "declined: no money True"


def test_an_error_that_the_function_lets_through_stays_what_it_was(play):
    engine = play(functions.lets_through, ORDER)
    engine.turn()
    told = ErrorInfo("CardDeclined", "no money", "charge", attempts=5, types=("CardDeclined", "Exception"))
    engine.end(0, error=told)
    result = engine.turn()
    assert result.status == wire.FAILED
    assert result.error == told


def test_an_error_of_an_unknown_class_is_still_a_failed_call(play):
    engine = play(functions.lets_through, ORDER)
    engine.turn()
    engine.end(0, error=ErrorInfo("Elsewhere", "far", types=("Elsewhere", "no.such.module.Elsewhere", "Exception")))
    result = engine.turn()
    assert result.error is not None
    assert (result.error.type, result.error.message) == ("Elsewhere", "far")


def test_a_result_that_no_longer_decodes_names_both_types(play):
    engine = play(functions.one_after_the_other, ["a"])
    engine.turn()
    engine.end(0, {"cents": 3})
    result = engine.turn()
    assert result.status == wire.FAILED
    assert result.error is not None
    assert result.error.type == "InvalidInput"
    assert "price at durable_functions.py" in result.error.message
    assert "recorded as dict and cannot be read as int" in result.error.message


def test_input_that_does_not_fit_fails_the_run(play):
    engine = play(functions.one_after_the_other, 5)
    result = engine.turn()
    assert result.status == wire.FAILED
    assert result.error is not None
    assert result.error.type == "InvalidInput"


def test_a_call_with_wrong_arguments_is_pythons_own_error(play, using):
    async def body(wf: Any) -> Any:
        return await functions.price()  # type: ignore[call-arg]

    result = play(using(body)).turn()
    assert result.error is not None
    assert (result.error.type, result.error.message) == ("TypeError", "price() missing 1 required arguments: item")


def test_a_sync_task_called_directly_names_wf_call(play, using):
    async def body(wf: Any) -> Any:
        return functions.charge(ORDER)

    result = play(using(body)).turn()
    assert result.error is not None
    assert result.error.type == "GraphError"
    assert "await wf.call(charge, ...)" in result.error.message
    assert "test_durable_instance.py:" in result.error.message


def test_a_value_that_is_no_payload_is_refused_at_the_call_and_on_a_re_run_again(play, using):
    async def body(wf: Any) -> Any:
        try:
            await functions.price(object())  # type: ignore[arg-type]
        except wfe.InvalidInput as error:
            return [type(error).__name__, await functions.price("abc")]

    engine = play(using(body))
    assert value(engine.run(price=len)) == ["InvalidInput", 3]
    assert asked(engine) == [("task", "price")]


# ---- asyncio


def test_calls_that_are_given_up_are_cancelled(play):
    engine = play(functions.first_of)
    engine.turn()
    assert asked(engine) == [("sleep", ""), *(("signal", name) for name in "abc")]
    engine.end(2, "B")
    assert value(engine.turn()) == "B"
    assert [number for number, call in enumerate(engine.calls) if call.status == 2] == [0, 1, 3]


def test_a_time_limit_that_is_over_ends_what_waits(play):
    engine = play(functions.first_of)
    engine.turn()
    engine.play(0, {})
    result = engine.turn()
    assert result.error is not None
    assert result.error.type == "TimeoutError"
    assert engine.open() == []  # tasks that nobody cancels end with the function, and so do their calls
    assert {command.kind for command in decode_turn(result.turn).commands} <= {wire.CANCEL}


def test_what_a_function_leaves_behind_ends_with_it_and_may_clean_up(play):
    engine = play(functions.leaves_work_behind)
    engine.turn()
    engine.end(0, 1)
    result = engine.turn()
    assert result.status == wire.SUSPENDED
    assert asked(engine) == [("task", "price"), ("sleep", ""), ("task", "note")]
    engine.end(2)
    assert value(engine.turn()) == "done False"


# ---- cancelling


def test_a_cancelled_run_sees_it_and_cleans_up(play):
    engine = play(functions.cleans_up)
    engine.turn()
    engine.cancel()
    assert engine.turn().status == wire.SUSPENDED
    assert engine.calls[0].status == 2
    engine.end(1)
    assert engine.turn().status == wire.CANCELLED


def test_a_function_that_swallows_its_cancellation_just_goes_on(play):
    engine = play(functions.swallows)
    engine.turn()
    engine.cancel()
    assert engine.turn().status == wire.SUSPENDED
    engine.end(1)
    assert engine.turn().status == wire.SUSPENDED
    engine.worker.let_go()
    assert engine.worker.live == 0


def test_cancelled_out_of_the_blue_is_a_failure(play, using):
    async def body(wf: Any) -> None:
        task = asyncio.create_task(wf.sleep("1h"))
        await wf.sleep("1s")
        task.cancel()
        await task

    engine = play(using(body))
    engine.turn()
    engine.play(0, {})
    result = engine.turn()
    assert result.status == wire.FAILED
    assert result.error is not None
    assert result.error.type == "CancelledError"


@pytest.mark.parametrize("live", [True, False])
def test_what_a_function_begins_when_it_is_let_go_ends_without_a_complaint(live):
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        engine = Engine(functions.begins_more_at_its_end, live=live)
        assert engine.turn().status == wire.SUSPENDED
        engine.close()
        del engine
        gc.collect()
    assert [str(each.message) for each in said if "never awaited" in str(each.message)] == []
