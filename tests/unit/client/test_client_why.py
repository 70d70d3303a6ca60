"""Why a run does not go on: each kind of wait, in words that name what is missing."""

from __future__ import annotations

from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

import wfe
from wfe.client.why import Explanation, sentence, why_document
from wfe.errors import RunClosed, UnknownRun
from wfe.model.definition import (
    Approval,
    CompensateWith,
    Definition,
    Fail,
    Lock,
    Parallel,
    Sleep,
    SubWorkflow,
    Task,
    WaitSignal,
)
from wfe.shard import turns
from wfe.testing import Env
from wfe.wire.why import Cause


@pytest.fixture
def env() -> Iterator[Env]:
    with Env() as env:
        yield env


def why(env: Env, *nodes: Any, name: str = "flow", **fields: Any) -> Explanation:
    """Starts a run of these nodes and explains it."""
    env.deploy(Definition(name, nodes=nodes, **fields))
    return explain(env, env.start(name).id)


def explain(env: Env, run_id: str) -> Explanation:
    found: Explanation = env._drive(env.client.why(run_id))
    return found


def test_a_task_that_no_worker_offers_is_named_with_its_version(env: Env) -> None:
    (blocker,) = why(env, Task(id="pay", task="charge", task_version=2)).blockers
    assert (blocker.kind, blocker.reason, blocker.node) == ("worker", "nobody", "pay")
    assert "task charge (version 2)" in blocker.text


def test_a_signal_a_timer_and_an_approval_say_what_would_help(env: Env) -> None:
    found = why(
        env,
        Parallel(
            id="all",
            do=(
                WaitSignal(id="wait", signal="go", timeout_ms=60_000),
                Sleep(id="nap", duration_ms=60_000),
                Approval(id="ask", approval="boss", to="ada"),
            ),
        ),
    )
    by_kind = {blocker.kind: blocker for blocker in found.blockers}
    assert by_kind.keys() == {"signal", "timer", "approval"}
    assert "wfe signal RUN go" in by_kind["signal"].text
    assert "due 20" in by_kind["signal"].text
    assert by_kind["timer"].due_ms > 0
    assert "ada to decide boss" in by_kind["approval"].text
    assert found.summary.endswith("(and 2 more)")


def test_a_lock_is_named_with_the_run_that_holds_it(env: Env) -> None:
    nodes = (Lock(id="door", names=("key",), key="'front'", do=(WaitSignal(id="wait", signal="go"),)),)
    first = why(env, *nodes)
    second = explain(env, env.start("flow").id)
    (blocker,) = second.blockers
    assert (blocker.kind, blocker.reason) == ("lock", "held")
    assert first.view.id in blocker.text
    assert [place.split("/")[0] for place in blocker.by] == [first.view.id]


def test_a_lock_of_the_run_itself_is_held_by_another_of_its_blocks(env: Env) -> None:
    found = why(
        env,
        Parallel(
            id="all",
            do=(
                Lock(id="one", names=("key",), do=(WaitSignal(id="wait", signal="go"),)),
                Lock(id="two", names=("key",), do=(WaitSignal(id="wait_2", signal="go"),)),
            ),
        ),
        locks={"key": 1},
    )
    lock = next(blocker for blocker in found.blockers if blocker.kind == "lock")
    assert lock.by[0].split("/")[0] == found.view.id


def test_a_child_is_followed_to_what_it_waits_for(env: Env) -> None:
    env.deploy(Definition("inner", nodes=(WaitSignal(id="wait", signal="go"),)))
    (blocker,) = why(env, SubWorkflow(id="sub", workflow="inner"), name="outer").blockers
    assert blocker.kind == "run"
    assert blocker.child is not None
    assert blocker.child.blockers[0].kind == "signal"
    assert "the signal go" in blocker.text
    nested = why_document(explain(env, env.start("outer").id))
    assert nested["waiting_for"][0]["child"]["waiting_for"][0]["reason"] == "signal"


def test_a_paused_run_says_how_it_goes_on(env: Env) -> None:
    run = why(env, WaitSignal(id="wait", signal="go")).view.id
    env.get(run).pause()
    assert "wfe resume" in explain(env, run).blockers[0].text


def test_runs_that_have_ended_say_how(env: Env) -> None:
    assert why(env, output=1).summary.startswith("it has completed")
    failed = why(env, Fail(id="no", error="Refused", message="not today"), name="failing")
    assert "Refused: not today" in failed.summary
    assert "wfe retry" in failed.summary
    waiting = why(env, WaitSignal(id="wait", signal="go"), name="waiting").view.id
    env.get(waiting).cancel()
    assert explain(env, waiting).summary.startswith("it was cancelled")
    assert explain(env, waiting).blockers == []


@wfe.task
def undo(what: int) -> None: ...


def test_a_failed_run_that_has_been_compensated_is_forked_not_retried(env: Env, monkeypatch: Any) -> None:
    env.mock(undo)
    for name, tail in (("short", 500), ("long", 2)):
        monkeypatch.setattr("wfe.client.why.TAIL_EVENTS", tail)
        fail = Fail(id="no", error="Refused", message="not today")
        found = why(
            env, *(CompensateWith(id=f"u{n}", task="undo", with_={"what": n}) for n in range(5)), fail, name=name
        )
        assert found.view.status == "failed"
        with pytest.raises(RunClosed, match="fork"):
            env.get(found.view.id).retry()
        assert "wfe fork" in found.summary
        assert "wfe retry" not in found.summary


def test_a_child_that_failed_points_to_its_parent_which_alone_can_be_retried(env: Env) -> None:
    env.deploy(Definition("inner", nodes=(Fail(id="no", error="Refused"),)))
    parent = why(env, SubWorkflow(id="sub", workflow="inner"), name="outer").view.id
    (child,) = (run for run in env.list(workflow="inner"))
    summary = explain(env, child.id).summary
    assert f"wfe why {parent}" in summary
    assert "wfe retry" not in summary


def test_a_paused_run_does_not_wait_for_a_worker_as_well(env: Env) -> None:
    run = why(env, Task(id="pay", task="charge", task_version=2)).view.id
    env.get(run).pause()
    assert [blocker.kind for blocker in explain(env, run).blockers] == ["paused"]
    env.get(run).resume()
    assert [blocker.kind for blocker in explain(env, run).blockers] == ["worker"]


MODE = {"signal": "go"}


@wfe.workflow
async def fickle(wf: wfe.Durable) -> None:
    await wf.wait_signal(MODE["signal"])
    await wf.wait_signal("end")


def test_a_function_whose_code_changed_waits_for_nothing_but_the_right_code(env: Env, monkeypatch: Any) -> None:
    run = env.start(fickle)
    monkeypatch.setitem(MODE, "signal", "halt")
    run.signal("go")
    found = explain(env, run.id)
    (blocker,) = found.blockers
    assert (blocker.kind, blocker.reason) == ("incident", "changed")
    for words in ("code has changed", "a clock, dice or other outside state", "wf.now(), wf.random() and wf.uuid()"):
        assert words in blocker.text
    assert "defect" not in blocker.text
    assert "wfe resume RUN" in blocker.text
    assert [wait.kind for wait in run.describe().waiting_for] == ["incident"]
    monkeypatch.setitem(MODE, "signal", "go")
    run.resume()
    (blocker,) = explain(env, run.id).blockers
    assert (blocker.kind, blocker.detail.split()[0]) == ("signal", "end")


def test_the_log_has_one_line_for_a_function_that_is_not_deterministic(env: Env, monkeypatch: Any) -> None:
    said: list[dict[str, Any]] = []
    monkeypatch.setattr(turns, "_log", SimpleNamespace(warning=lambda event, **words: said.append({event: words})))
    run = env.start(fickle)
    monkeypatch.setitem(MODE, "signal", "halt")
    run.signal("go")
    run.signal("go")
    ((line,),) = (one.values() for one in said)
    assert line["run_id"] == run.id
    assert "does not do on its re-run what is recorded" in line["why"]


def test_the_document_has_the_keys_of_a_run_and_a_text_for_each_wait(env: Env) -> None:
    document = why_document(why(env, WaitSignal(id="wait", signal="go")))
    assert {"id", "workflow", "version", "key", "status", "summary", "waiting_for"} <= document.keys()
    (wait,) = document["waiting_for"]
    assert {"kind", "node", "detail", "attempt", "since", "due", "reason", "text", "by", "child"} == wait.keys()


def test_an_unknown_run_is_refused(env: Env) -> None:
    for run_id in ("nonsense", "0" * 26):
        with pytest.raises(UnknownRun):
            explain(env, run_id)


NEEDED = (["gpu"], ["gpu=1", "memory=8GB"])
COMMAND = "`wfe worker --app APP --label gpu --resource gpu=1 --resource memory=8GB`"


@pytest.mark.parametrize(
    ("cause", "words"),
    [
        (Cause("worker", "a", "charge", reason="no_workers", task_version=1), "none is connected"),
        (Cause("worker", "a", "charge", reason="version", task_version=2, offers=[1, 3]), "version 1, 3"),
        (
            Cause("worker", "a", "charge", reason="slots", by=["r1/0/0", "r1/1/0"], workers=2, slots=8),
            "taken by r1: more",
        ),
        (Cause("worker", "a", "train", reason="no_workers", labels=NEEDED[0], resources=NEEDED[1]), COMMAND),
        (Cause("worker", "a", "train", reason="nobody", labels=NEEDED[0], resources=NEEDED[1]), COMMAND),
        (
            Cause("worker", "a", "train", reason="labels", missing=["gpu"], labels=NEEDED[0], resources=NEEDED[1]),
            COMMAND,
        ),
        (
            Cause("worker", "a", "train", reason="resources", missing=["gpu=1"], labels=NEEDED[0], resources=NEEDED[1]),
            COMMAND,
        ),
        (
            Cause("worker", "a", "train", reason="taken", missing=["gpu=1"], labels=NEEDED[0], resources=NEEDED[1]),
            COMMAND,
        ),
        (Cause("worker", "a", "charge", reason="nobody"), "`wfe worker --app APP`"),
        (Cause("worker", "a", "charge", reason="alone", task_version=1), "of its own"),
        (Cause("worker", "a", "charge", reason="soon", task_version=1), "about to be"),
        (Cause("task", "a", "charge on w-1", since_ms=1, attempt=2), "with worker w-1"),
        (Cause("retry", "a", due_ms=1, attempt=3), "attempt 3"),
        (Cause("lock", "a", "key", reason="unknown"), "not being served"),
        (Cause("join", "a", "2 of 3"), "as a join"),
        (Cause("incident", detail="a defect"), "wfe resume RUN"),
        (Cause("incident", detail="f: other call", reason="changed"), "outside state: f: other call"),
        (Cause("compensation", detail="2 more"), "undoing"),
        (Cause("something_new", "a", "x"), "something_new x"),
    ],
)
def test_every_cause_has_its_sentence(cause: Cause, words: str) -> None:
    assert words in sentence(cause)
