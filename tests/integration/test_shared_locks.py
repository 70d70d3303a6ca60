"""Locks that all runs share (`wf.lock`): one holder at a time, first come first served, whatever crashes."""

import pytest

import wfe
from wfe.testing import Env


@wfe.task
def use(name: str) -> str:
    return f"{name} was here"


@wfe.workflow
def printing(wf: wfe.Graph, name: wfe.Ref[str], printer: wfe.Ref[str]) -> wfe.Ref[str]:
    with wf.lock("printer", key=printer):
        wf.wait_signal("printed", bool)
        said = use(name)
    return said


@wfe.workflow
def failing(wf: wfe.Graph) -> None:
    with wf.lock("printer", key="one"):
        wf.sleep("1h")
        wf.fail("OutOfPaper", "there is none")


def holders(runs: list) -> list[int]:
    """Which of the runs are inside."""
    return [n for n, run in enumerate(runs) if any(w.kind == "signal" for w in run.describe().waiting_for)]


def start(env: Env, count: int, printer: str = "one") -> list:
    return [env.start(printing, f"n{n}", printer) for n in range(count)]


def test_one_run_at_a_time_in_the_order_in_which_they_asked(wfe_env: Env) -> None:
    runs = start(wfe_env, 4)
    for expected in range(4):
        assert holders(runs) == [expected]
        runs[expected].signal("printed", True)
        assert runs[expected].result() == f"n{expected} was here"


def test_another_key_is_another_lock(wfe_env: Env) -> None:
    first, second = start(wfe_env, 2, "one"), start(wfe_env, 2, "two")
    assert holders(first) == [0]
    assert holders(second) == [0]


def test_a_run_that_waits_says_for_what(wfe_env: Env) -> None:
    _, second = start(wfe_env, 2)
    waits = second.describe().waiting_for
    assert [(wait.kind, "printer" in wait.detail) for wait in waits] == [("lock", True)]
    with pytest.raises(wfe.Stuck, match="lock"):
        second.result()


def test_a_cancelled_holder_and_a_cancelled_waiter_let_go(wfe_env: Env) -> None:
    runs = start(wfe_env, 4)
    runs[1].cancel()
    runs[0].cancel()
    assert holders(runs) == [2]
    runs[2].signal("printed", True)
    assert runs[2].result() == "n2 was here"
    assert holders(runs) == [3]


def test_a_failed_holder_lets_go(wfe_env: Env) -> None:
    bad = wfe_env.start(failing)
    (run,) = start(wfe_env, 1)
    assert holders([run]) == []
    wfe_env.skip("2h")
    assert bad.status() == "failed"
    assert holders([run]) == [0]


def test_no_crash_lets_two_in_or_nobody() -> None:
    def scenario(env: Env) -> list[str]:
        runs = start(env, 3)
        said = []
        for _ in range(3):
            inside = holders(runs)
            assert len(inside) == 1
            runs[inside[0]].signal("printed", True)
            said.append(runs[inside[0]].result())
        return sorted(said)

    assert Env.crash_everywhere(scenario) == [f"n{n} was here" for n in range(3)]
