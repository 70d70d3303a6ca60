"""Durable functions in the test kit: on the production's shard and instances, re-run at every step."""

from __future__ import annotations

import durable_for_env as app
import pytest

import wfe
from wfe.testing import Env


@pytest.fixture(params=[True, False], ids=["rerun", "live"])
def env(request):
    with Env(rerun=request.param) as made:
        yield made


def test_a_function_runs_waits_and_returns(env):
    run = env.start(app.buy, ["a", "bb"])
    assert run.status() == "waiting"
    assert run.result() == "paid 300"
    assert [event.data["value"] for event in run.history() if event.type == "Published"] == [{"total": 300}]


def test_a_person_decides_and_a_refusal_is_a_value(env):
    run = env.start(app.buy, ["a" * 11])
    run.signal("boss", {"approved": False, "by": "eve"})
    assert run.result() == "refused"


def test_an_error_of_a_mocked_task_is_caught_by_its_class(env):
    env.mock(app.charge).raises(app.Declined("no money"))
    assert env.run(app.buy, ["a"]) == "declined: no money"


def test_an_error_that_nobody_catches_is_the_runs(env):
    env.mock(app.charge).raises(ValueError("bad"))
    with pytest.raises(wfe.RunFailed) as failed:
        env.run(app.buy, ["a"])
    assert failed.value.caused_by(ValueError)


def test_a_result_that_does_not_fit_what_the_function_declares_is_a_fault(env):
    assert env.run(app.promises_a_number, 7) == 7
    with pytest.raises(wfe.RunFailed) as failed:
        env.run(app.promises_a_number, "seven")
    error = failed.value.error
    assert (error.type, error.node) == ("InvalidOutput", "promises_a_number")
    assert "promises_a_number does not fit its schema at" in error.message


def test_graphs_and_functions_call_each_other(env):
    assert env.run(app.both_ways, ["a"]) == ["paid 100", "paid 100"]
    assert env.find(app.buy, "kept").result() == "paid 100"


def test_rounds_go_on_in_one_run_with_dice_of_their_own(env):
    run = env.start(app.in_rounds, 3, [])
    said = run.result()
    assert len(set(said)) == 4


def test_a_cancelled_function_cleans_up(env):
    charged = env.mock(app.charge).returns("")
    run = env.start(app.cleans_up)
    run.cancel()
    with pytest.raises(wfe.RunCancelled):
        run.result()
    assert charged.calls == [(-1,)]


@pytest.mark.parametrize("name", ["mail", "phone"])
def test_the_first_of_several_waits_withdraws_the_others(env, name):
    run = env.start(app.first_answer)
    assert len(run.describe().waiting_for) == 3
    run.signal(name, "yes")
    assert run.result() == "yes"


def test_a_time_limit_around_waits_is_a_timer(env):
    run = env.start(app.first_answer)
    with pytest.raises(wfe.RunFailed) as failed:
        run.result()
    assert failed.value.caused_by(TimeoutError)


def test_a_careless_function_shows_in_its_test():
    with Env() as env:
        run = env.start(app.careless)
        assert run.status() == "paused"
        with pytest.raises(wfe.Stuck, match="does not do on its re-run what is recorded"):
            run.result()


def test_a_crash_at_any_commit_changes_nothing():
    def scenario(env: Env) -> tuple[str, object]:
        run = env.start(app.buy, ["a", "b" * 11], key="k")
        env.skip("3h")
        env.signal(app.buy, "k", "boss", {"approved": True}, event_id="e")
        return run.result(), [event.data["value"] for event in run.history() if event.type == "Published"]

    assert Env.crash_everywhere(scenario) == ("paid 1200", [{"total": 1200}])


def test_a_crash_at_any_commit_of_rounds_and_children_changes_nothing():
    def scenario(env: Env) -> list[int]:
        said = env.run(app.in_rounds, 2, [])
        return [len(set(said)), len(env.run(app.both_ways, ["a"]))]

    assert Env.crash_everywhere(scenario) == [3, 2]


def test_a_function_that_swallows_its_cancellation_is_ended_after_a_grace(env):
    run = env.start(app.swallows)
    run.cancel()
    assert run.status() != "cancelled"
    with pytest.raises(wfe.RunCancelled):
        run.result()


def test_too_many_calls_name_the_way_out():
    with Env() as env:
        assert env.run(app.much, 10_000) == 10_000
        with pytest.raises(wfe.RunFailed, match=r"TooManyCalls: .*wf\.continue_with"):
            env.run(app.much, 10**9)


def test_waiting_for_nothing_is_found(env):
    with pytest.raises(wfe.RunFailed, match="nothing"):
        env.run(app.blocks_on_nothing)


def test_a_function_inside_a_test_runs_as_a_graph_there_does(env):
    @wfe.workflow
    async def inner(wf: wfe.Durable, cents: int) -> str:
        await wf.sleep("1h")
        return await wf.call(app.charge, cents)

    @wfe.workflow
    def outer(wf: wfe.Graph, cents: int) -> str:
        return inner(cents)

    assert env.run(inner, 3) == env.run(outer, 3) == app.charge(3)
