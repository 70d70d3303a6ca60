"""Approvals as people meet them: listed across runs, decided, escalated, refused, late."""

from datetime import timedelta

import pytest

import wfe
from support.env_client import connect_to
from support.env_client import wfe as command
from wfe.testing import Env


@wfe.task
def pay(amount: int) -> str:
    return f"paid {amount}"


@wfe.workflow
def spending(wf: wfe.Graph, amount: wfe.Ref[int], boss: wfe.Ref[str]) -> wfe.Ref[str]:
    wf.approval("manager", to=boss, timeout="2d")
    return pay(amount)


def test_open_approvals_are_listed_by_who_is_asked(wfe_env: Env) -> None:
    first, second = wfe_env.start(spending, 1, "ann"), wfe_env.start(spending, 2, "bob", key="k")
    found = wfe_env.approvals()
    assert sorted((each.run_id, each.to) for each in found) == sorted([(first.id, "ann"), (second.id, "bob")])
    (mine,) = wfe_env.approvals(to="bob")
    assert (mine.run_id, mine.name, mine.workflow, mine.key) == (second.id, "manager", "spending", "k")
    assert mine.due is not None
    assert timedelta(days=1, hours=23) < mine.due - wfe_env.now <= timedelta(days=2)


def test_they_are_listed_after_a_crash_and_from_the_store(wfe_env: Env) -> None:
    run = wfe_env.start(spending, 1, "ann")
    wfe_env.skip("1m")
    wfe_env.crash()
    assert [each.run_id for each in wfe_env.approvals()] == [run.id]
    run.approve("manager", by="ann")
    assert run.result() == "paid 1"
    assert wfe_env.approvals() == []


def test_a_refusal_fails_the_run_with_its_comment(wfe_env: Env) -> None:
    run = wfe_env.start(spending, 1, "ann")
    run.approve("manager", False, comment="too much")
    with pytest.raises(wfe.RunFailed, match="too much") as caught:
        run.result()
    assert caught.value.caused_by(wfe.Rejected)


def test_nobody_decides_in_time(wfe_env: Env) -> None:
    with pytest.raises(wfe.RunFailed) as caught:
        wfe_env.run(spending, 1, "ann")
    assert caught.value.caused_by(wfe.TimedOut)


def test_what_is_no_decision_is_refused(wfe_env: Env) -> None:
    run = wfe_env.start(spending, 1, "ann")
    for payload in (None, True, {"approved": "yes"}, {"by": "ann"}, {"approved": True, "b": 1}):
        with pytest.raises(wfe.InvalidInput):
            run.signal("manager", payload)
    assert len(wfe_env.approvals()) == 1


def test_a_run_says_once_what_it_waits_for(wfe_env: Env) -> None:
    run = wfe_env.start(spending, 1, "ann")
    (wait,) = run.describe().waiting_for
    assert (wait.kind, wait.node, wait.detail) == ("approval", "approval", "manager by ann")
    assert wait.due_ms > 0


@wfe.workflow
async def asking(wf: wfe.Durable) -> bool:
    await wf.approval("boss")
    return True


def test_a_decision_under_a_name_that_the_workflow_never_asks_for_is_refused(
    wfe_env: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect_to(wfe_env, monkeypatch)
    run, function = wfe_env.start(spending, 1, "ann"), wfe_env.start(asking)
    mistyped = command("approve", run.id, "managr")
    assert mistyped.exit_code == 2
    assert "the workflow 'spending' has no approval 'managr'; it has: manager" in mistyped.stderr
    assert command("approve", function.id, "later").exit_code == 0, "a function may ask for anything yet"
    assert command("approve", run.id, "manager").exit_code == 0
    assert run.result() == "paid 1"
