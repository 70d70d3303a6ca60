"""Re-runs of durable functions: rounds, changes of the code, what differs and how that is told, what a worker keeps."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import durable_functions as functions

from support.durable_engine import Engine, asked, play, using, value
from wfe.errors import TimedOut
from wfe.limits import DURABLE_TURN_MAX_MS
from wfe.wire import durable as wire
from wfe.worker.deadlines import DeadlineBoard
from wfe.worker.durable.functions import DurableFunction
from wfe.worker.durable.instance import Instance
from wfe.worker.durable.replay import Recorded, check
from wfe.worker.durable.turns import Turns
from wfe.worker.failure import error_info

__all__ = ["play", "using"]


# ---- rounds, versions


def test_a_next_round_begins_with_fresh_numbers(play):
    engine = play(functions.rounds, 2)
    assert value(engine.run(price=len)) == 9
    assert engine.round == 2
    assert len(engine.calls) == 1


def test_only_the_function_itself_can_continue(play, using):
    async def body(wf: Any) -> None:
        async def inner() -> None:
            wf.continue_with()

        await asyncio.create_task(inner())

    result = play(using(body)).turn()
    assert result.error is not None
    assert "call it in the function itself" in result.error.message


def test_a_change_branches_where_runs_come_by_for_the_first_time(play, using):
    async def before(wf: Any) -> str:
        await functions.price("a")
        await functions.note("old")
        await wf.wait_signal("go")
        return "old"

    async def after(wf: Any) -> str:
        await functions.price("a")
        if wf.version("new-note"):
            await wf.call(functions.graph, 1)
        else:
            await functions.note("old")
        await wf.wait_signal("go")
        return f"{wf.version('new-note')} {wf.version('later')}"

    old = play(using(before))
    old.turn()
    old.end(0, 1)
    old.turn()
    old.use(using(after))
    old.worker.close()
    old.worker = type(old.worker)(old.loop, old.functions, lambda result: None)
    old.end(1)
    old.turn()
    old.end(2)
    assert value(old.turn()) == "False True"

    new = play(using(after))
    new.turn()
    new.end(0, 1)
    new.turn()
    assert asked(new) == [("task", "price"), ("version", "new-note"), ("workflow", "graph")]
    new.end(2, 1)
    new.turn()
    new.end(3)
    assert value(new.turn()) == "True True"


# ---- nondeterminism


def diverge(play: Any, using: Any, before: Any, after: Any, ends: int) -> str:
    """What a worker says that has ``after``, about a run that began with ``before``."""
    engine = play(using(before))
    for number in range(ends):
        engine.turn()
        engine.end(number)
    engine.turn()
    engine.worker.close()
    engine.use(using(after))
    engine.worker = type(engine.worker)(engine.loop, engine.functions, lambda result: None)
    engine.end(engine.open()[0])
    result = engine.turn()
    assert result.status == wire.NONDETERMINISTIC
    assert result.error is not None
    assert result.error.type == "Nondeterminism"
    return result.error.message


def test_another_call_than_recorded_is_told_with_both_sequences(play, using):
    async def before(wf: Any) -> None:
        await functions.note("a")
        await functions.note("b")
        await functions.note("c")

    async def after(wf: Any) -> None:
        await functions.note("a")
        try:
            await wf.sleep("1s")
        except BaseException:  # noqa: BLE001  even then it goes no further
            await functions.note("b")
        await functions.note("c")

    said = diverge(play, using, before, after, 1)
    assert "'made' does not do on its re-run what is recorded: call 1 is sleep (test_durable_reruns.py:" in said
    assert "recorded is task note (test_durable_reruns.py:" in said
    assert "\n  0  task note (" in said
    assert "\n> 1  task note (" in said
    assert 'wf.version("change-id")' in said


def test_fewer_calls_than_recorded_are_told(play, using):
    async def before(wf: Any) -> None:
        await functions.note("a")
        wf.publish("x")
        await functions.note("b")

    async def after(wf: Any) -> None:
        await functions.note("a")
        await asyncio.Event().wait()

    assert "it does not make call 1, publish (" in diverge(play, using, before, after, 1)


def test_more_calls_than_recorded_are_told(play, using):
    async def before(wf: Any) -> None:
        await functions.note("a")
        await functions.note("b")

    async def after(wf: Any) -> None:
        await asyncio.gather(functions.note("a"), functions.note("more"))
        await functions.note("b")

    assert "call 1 is task note" in diverge(play, using, before, after, 0).replace("price", "note")


def test_an_early_end_is_told(play, using):
    async def before(wf: Any) -> None:
        await functions.note("a")
        await functions.note("b")

    async def after(wf: Any) -> None:
        await functions.note("a")

    assert "it does not make call 1, task note" in diverge(play, using, before, after, 1)


def test_giving_up_another_call_than_recorded_is_told(play, using):
    async def before(wf: Any) -> None:
        waits = [asyncio.create_task(wf.wait_signal(name)) for name in "ab"]
        await functions.note("x")
        waits[0].cancel()
        await functions.note("y")
        await asyncio.gather(*waits, return_exceptions=True)

    async def after(wf: Any) -> None:
        waits = [asyncio.create_task(wf.wait_signal(name)) for name in "ab"]
        await functions.note("x")
        waits[1].cancel()
        await functions.note("y")
        await asyncio.gather(*waits, return_exceptions=True)

    engine = play(using(before))
    engine.turn()
    note = next(number for number in engine.open() if engine.calls[number].name == "note")
    engine.end(note)
    engine.turn()
    engine.worker.close()
    engine.use(using(after))
    engine.worker = type(engine.worker)(engine.loop, engine.functions, lambda result: None)
    engine.end(engine.open()[-1])
    result = engine.turn()
    assert result.status == wire.NONDETERMINISTIC
    assert result.error is not None
    assert "which was given up" in result.error.message


# ---- what is kept


def test_a_function_is_found_by_the_record_that_fits_it(play):
    engine = play(functions.one_after_the_other, ["a", "b", "c"])
    engine.turn()
    engine.end(0, 1)
    lost = engine.worker.turn(engine.spec(partial=True))  # its result never arrives
    assert lost.status == wire.SUSPENDED
    assert engine.worker.turn(engine.spec(partial=True)).status == wire.NEED_ALL
    assert value(engine.run(price=len)) == 3
    assert engine.worker.reruns == 1


def test_only_so_many_functions_are_kept(play):
    first, second = play(functions.cleans_up), play(functions.cleans_up)
    worker = type(first.worker)(first.loop, first.functions, lambda result: None, keep=1)
    first.worker, second.worker = worker, worker
    first.turn()
    spec = second.spec()
    spec.run_id = "run-2"
    assert worker.turn(spec).status == wire.SUSPENDED
    assert worker.live == 1
    first.end(0)
    assert value_after_cleaning(first) == "over"
    assert worker.reruns == 1
    worker.close()


def value_after_cleaning(engine: Engine) -> Any:
    engine.turn()
    engine.end(1)
    return value(engine.turn())


def test_a_function_that_waits_long_is_let_go(play):
    engine = play(functions.cleans_up)
    worker = engine.worker = type(engine.worker)(engine.loop, engine.functions, lambda result: None, idle_ms=1)
    engine.turn()
    assert worker.live == 1

    async def until_gone() -> None:
        while worker.live:
            await asyncio.sleep(0.001)

    engine.loop.run_until_complete(until_gone())
    engine.end(0)
    assert value_after_cleaning(engine) == "over"


def test_a_function_that_is_let_go_can_call_nothing(play, using):
    seen = []

    async def body(wf: Any) -> None:
        try:
            await wf.sleep("1h")
        finally:
            seen.append("finally")
            await functions.note("effect")
            seen.append("never")

    engine = play(using(body))
    engine.worker.turn(engine.spec())
    engine.worker.let_go()
    assert seen == ["finally"]
    assert engine.worker.live == 0


def test_a_turn_for_an_unknown_function_fails_for_good(play):
    engine = play(functions.cleans_up)
    spec = engine.spec()
    spec.task = "durable:other"
    result = engine.worker.turn(spec)
    assert result.status == wire.FAILED
    assert result.error is not None
    assert (result.error.type, result.error.fatal) == ("UnknownTask", True)


def test_the_error_of_a_task_keeps_its_place_in_the_tree_of_classes():
    from wfe.worker.durable.failures import exception_of

    made = exception_of(error_info(KeyError("x")))
    assert isinstance(made, KeyError)
    assert str(made) == "'x'"
    assert isinstance(exception_of(error_info(TimedOut("late"))), TimedOut)
    assert isinstance(exception_of(error_info(UnicodeDecodeError("ascii", b"", 0, 1, "bad"))), ValueError)


# ---- recorded runs against other code


def replayed(engine: Engine, function: Any, status: str) -> str:
    found = Recorded(engine.record(), engine.taken, status)
    return check(DurableFunction(function.__wfe_workflow__), "run-1", found)


def test_a_recorded_run_is_replayed(play, using):
    engine = play(functions.one_after_the_other, ["a", "bb"])
    engine.run(price=len)
    assert replayed(engine, functions.one_after_the_other, "completed") == ""
    assert "it ends where the recorded run went on" in replayed(engine, functions.one_after_the_other, "")

    async def changed(wf: Any, items: Any) -> None:
        await functions.price(items[0])
        await functions.note(items[1])

    said = replayed(engine, using(changed), "completed")
    assert "call 1 is task note (test_durable_reruns.py:" in said
    assert "recorded is task price (durable_functions.py:" in said


def test_a_run_that_waits_is_replayed_as_far_as_it_came(play, using):
    engine = play(functions.one_after_the_other, ["a", "bb"])
    assert replayed(engine, functions.one_after_the_other, "") == ""  # it has had no turn yet
    engine.turn()
    engine.play(0, {"price": len})
    engine.turn()
    assert replayed(engine, functions.one_after_the_other, "") == ""

    async def shorter(wf: Any, items: Any) -> int:
        return await functions.price(items[0])

    assert "it does not make call 1, task price" in replayed(engine, using(shorter), "")


def test_code_that_ends_when_a_function_is_let_go_sees_the_functions_loop(play, using):
    seen = []

    async def body(wf: Any) -> None:
        try:
            await wf.sleep("1h")
        finally:
            seen.append(asyncio.get_running_loop())
            asyncio.get_running_loop().call_soon(seen.append, "never")

    engine = play(using(body))
    engine.worker.turn(engine.spec())
    engine.worker.let_go()
    assert [type(loop).__name__ for loop in seen] == ["DurableLoop"]


def test_the_parent_sees_how_long_a_turn_may_take(play, using, tmp_path):
    board = DeadlineBoard.create(tmp_path / "board", 2)
    later_ns = time.monotonic_ns() + (DURABLE_TURN_MAX_MS + 10_000) * 1_000_000
    seen = []

    async def body(wf: Any) -> None:
        seen.append(board.overrun(later_ns))

    engine = play(using(body))
    worker = Turns(engine.loop, engine.functions, print, board=board, board_slot=3)
    worker.turn(engine.spec())
    assert seen == [[3]]
    assert board.overrun(later_ns) == []
    worker.close()
    board.close()


def test_a_mistake_of_the_worker_pauses_the_run_and_costs_nothing(play, monkeypatch):
    engine = play(functions.one_after_the_other, ["a"])
    engine.turn()
    engine.end(0, 1)
    with monkeypatch.context() as patch:
        patch.setattr(Instance, "go_on", lambda self, record: 1 / 0)
        result = engine.worker.turn(engine.spec(partial=True))
    assert result.status == wire.NONDETERMINISTIC
    assert result.error is not None
    assert result.error.type == "ZeroDivisionError"
    assert value(engine.turn()) == 1
