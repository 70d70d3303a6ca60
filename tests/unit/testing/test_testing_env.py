"""`wfe.testing`: an engine in the process on a virtual clock, as its users see it."""

import time
from datetime import timedelta

import pytest
from shop_for_env import (
    CardDeclined,
    charge,
    curious,
    double,
    late,
    nap,
    obedient,
    parent,
    patient,
    paying,
    slow_increment,
)

import wfe
from wfe.model.definition import Definition, Http, WaitSignal
from wfe.testing import Env, Mock


def test_days_pass_in_no_time(wfe_env: Env) -> None:
    begin, real = wfe_env.now, time.monotonic()
    assert wfe_env.run(patient, 4) == 9
    assert timedelta(days=2) <= wfe_env.now - begin < timedelta(days=2, minutes=5)
    assert time.monotonic() - real < 60


def test_a_run_that_only_a_signal_can_help_is_stuck_with_the_reason(wfe_env: Env) -> None:
    run = wfe_env.start(obedient, 3)
    assert run.status() == "waiting"
    with pytest.raises(wfe.Stuck, match=r"signal.*go"):
        run.result()
    run.signal("go", 7)
    assert run.result() == 42


def test_a_task_without_a_worker_is_stuck_too(wfe_env: Env) -> None:
    from wfe.model.definition import Definition, Task

    wfe_env.deploy(Definition("lonely", nodes=(Task(id="a", task="nobody_has_it"),)))
    with pytest.raises(wfe.Stuck, match="nobody_has_it"):
        wfe_env.run("lonely")


def test_skip_lets_exactly_that_much_time_pass(wfe_env: Env) -> None:
    run = wfe_env.start(nap)
    begin = wfe_env.now
    wfe_env.skip("59m")
    assert timedelta(minutes=59) <= wfe_env.now - begin < timedelta(minutes=59, seconds=1)
    assert run.status() == "waiting"
    assert not [item for item in run.history() if item.type == "TaskDone"]
    wfe_env.skip(timedelta(minutes=2))
    assert [item.node for item in run.history() if item.type == "TaskDone"] == ["who"]
    wfe_env.skip("1h")
    assert run.status() == "completed"


def test_a_mock_returns_raises_and_remembers_its_calls(wfe_env: Env) -> None:
    mock = wfe_env.mock(charge)
    assert isinstance(mock, Mock)
    mock.raises(CardDeclined("no"), times=1).returns("ch_1")
    with pytest.raises(wfe.RunFailed) as caught:
        wfe_env.run(paying, "ann")
    assert caught.value.caused_by(CardDeclined)
    assert wfe_env.run(paying, "bob") == "ch_1"
    assert mock.calls == [("ann", 5), ("bob", 5)]
    assert mock.calls[1].customer == "bob"
    with pytest.raises(AttributeError, match="customer, amount"):
        _ = mock.calls[1].costumer


def test_a_mock_whose_times_are_spent_is_the_task_again(wfe_env: Env) -> None:
    mock = wfe_env.mock(double).returns(100, times=1)
    run = wfe_env.start(obedient, 1)
    run.signal("go", 1)
    assert run.result() == 100
    other = wfe_env.start(obedient, 1)
    other.signal("go", 1)
    assert other.result() == 2
    assert len(mock.calls) == 2


def test_a_mock_may_be_a_function_sync_or_async(wfe_env: Env) -> None:
    async def twice(x: int) -> int:
        return 2 * x

    wfe_env.mock(slow_increment).does(twice)
    assert wfe_env.run(patient, 5) == 20
    wfe_env.mock(slow_increment).does(lambda x: x - 1)
    assert wfe_env.run(patient, 5) == 9


def test_retries_wait_in_virtual_time(wfe_env: Env) -> None:
    mock = wfe_env.mock(slow_increment).raises(OSError("down"), times=4).returns(1)
    begin = wfe_env.now
    assert wfe_env.run(patient, 0) == 1
    assert len(mock.calls) == 5
    assert wfe_env.now - begin >= timedelta(days=2, seconds=10 + 20 + 40 + 60)


def test_a_task_failure_has_its_own_type_and_message(wfe_env: Env) -> None:
    with pytest.raises(wfe.RunFailed, match="eve has no money for 5") as caught:
        wfe_env.run(paying, "eve")
    assert caught.value.caused_by("CardDeclined")


def test_an_async_task_overruns_its_time_limit_in_virtual_time(wfe_env: Env) -> None:
    with pytest.raises(wfe.RunFailed) as caught:
        wfe_env.run(late)
    assert caught.value.caused_by(wfe.TimedOut)


def test_tasks_see_their_context(wfe_env: Env) -> None:
    assert wfe_env.run(curious) == ["who", 1]


def test_sub_workflows_of_the_module_are_deployed_along(wfe_env: Env) -> None:
    assert wfe_env.run(parent, [1, 2, 3]) == [3, 5, 7]


def test_keys_lists_and_signals_by_key(wfe_env: Env) -> None:
    run = wfe_env.start(obedient, 2, key="k")
    assert wfe_env.start(obedient, 2, key="k").id == run.id
    with pytest.raises(wfe.KeyConflict):
        wfe_env.start(obedient, 3, key="k")
    assert [found.id for found in wfe_env.list(status="waiting")] == [run.id]
    wfe_env.signal(obedient, "k", "go", 21)
    assert wfe_env.find(obedient, "k").result() == 84
    assert wfe_env.get(run.id).describe().output == 84


def test_a_signal_by_key_may_carry_a_correlation(wfe_env: Env) -> None:
    wfe_env.deploy(Definition("paid", nodes=(WaitSignal(id="s", signal="paid", correlate="o-1"),), output="${s}"))
    run = wfe_env.start("paid", key="k")
    wfe_env.signal("paid", "k", "paid", 1, correlation="o-2")
    assert run.status() == "waiting"
    wfe_env.signal("paid", "k", "paid", 2, correlation="o-1")
    assert run.result() == 2


def test_http_calls_are_mocked_by_the_name_of_their_task(wfe_env: Env) -> None:
    node = Http(id="h", method="GET", url="https://rates.example.com/${n}")
    wfe_env.deploy(Definition("rates", params={"n": {}}, nodes=(node,), output="${h.body}"))
    calls = wfe_env.mock("wfe.http").returns({"status": 200, "headers": {}, "body": {"eur": 2}}).calls
    assert wfe_env.run("rates", 7) == {"eur": 2}
    assert calls[0].request.url == "https://rates.example.com/7"
    with pytest.raises(wfe.InvalidInput, match=r"wfe\.http"):
        wfe_env.mock("wfe.htpp")


def test_pause_resume_and_cancel(wfe_env: Env) -> None:
    run = wfe_env.start(patient, 1)
    run.pause()
    assert run.status() == "paused"
    wfe_env.skip("3d")
    assert run.status() == "paused"
    run.resume()
    assert run.result() == 3
    other = wfe_env.start(patient, 1)
    other.cancel()
    with pytest.raises(wfe.RunCancelled):
        other.result()


def test_result_with_a_timeout_moves_the_clock_no_further(wfe_env: Env) -> None:
    run = wfe_env.start(patient, 1)
    begin = wfe_env.now
    with pytest.raises(TimeoutError):
        run.result(timeout_s=3600)
    assert timedelta(seconds=3590) < wfe_env.now - begin < timedelta(seconds=3610)
    assert run.result() == 3


def test_a_crash_loses_nothing(wfe_env: Env) -> None:
    run = wfe_env.start(obedient, 3)
    wfe_env.crash()
    assert run.status() == "waiting"
    run.signal("go", 1)
    wfe_env.crash()
    assert run.result() == 6


def test_crash_everywhere_gives_the_value_and_meets_every_commit() -> None:
    crashes = []

    def scenario(env: Env) -> int:
        crashes.append(env)
        run = env.start(obedient, 2)
        run.signal("go", 5)
        return run.result() + env.run(patient, 1)

    assert Env.crash_everywhere(scenario) == 23
    assert len(crashes) > 10


def test_crash_everywhere_finds_what_a_crash_changes() -> None:
    def scenario(env: Env) -> int:
        mock = env.mock(double).returns(1)
        run = env.start(obedient, 2)
        run.signal("go", 5)
        run.result()
        return len(mock.calls)  # a task runs at least once: a crash may call it again

    with pytest.raises(AssertionError, match=r"with a crash (before|after) commit"):
        Env.crash_everywhere(scenario)


def test_yaml_is_loaded_like_an_app(tmp_path, wfe_env: Env) -> None:
    path = tmp_path / "hello.yaml"
    path.write_text('workflow: hello\nparams: {name: string}\nnodes: [{set: "hello ${name}", id: s}]\noutput: "${s}"\n')
    wfe_env.load(str(path))
    assert wfe_env.run("hello", "ann") == "hello ann"


def test_what_is_no_task_cannot_be_mocked(wfe_env: Env) -> None:
    with pytest.raises(wfe.InvalidInput, match="no task"):
        wfe_env.mock(len)


async def test_an_async_test_is_told_what_to_do() -> None:
    with pytest.raises(wfe.WfeError, match="not async"):
        Env()


def test_a_closed_env_says_so() -> None:
    env = Env()
    env.close()
    env.close()
    with pytest.raises(wfe.WfeError, match="closed"):
        env.start(patient, 1)


def test_the_plugin_loads_no_engine() -> None:
    import subprocess
    import sys

    code = "import sys, wfe.testing.plugin; print([m for m in sys.modules if m in ('zmq', 'wfe.sim', 'wfe.core')])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
