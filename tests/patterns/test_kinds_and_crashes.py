"""Kinds of node whose state lies in several places, with a crash before and after every commit.

Of the whole engine, and of one of two shards alone.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import wfe
from patterns.pattern_cluster import Cluster, crash_one_shard_everywhere
from wfe.authoring.yaml_reader import read_definitions
from wfe.testing import Env

APP = str(Path(__file__).parents[1] / "acceptance" / "kinds_app.py")
UNDONE = ["stamp", "stamp_2", "compensate_with_3", "compensate_with"]
WATCHED = """
workflow: watched
nodes:
  - {signal: x, id: work, boundary: [{timer: 50ms, port: late, interrupting: false}, {signal: stop, port: stopped}]}
  - {task: stamp, id: late, with: {name: late}}
  - {task: stamp, id: stopped, with: {name: stopped}}
edges:
  - {from: work, to: late, port: late}
  - {from: work, to: stopped, port: stopped}
output: ["${merge(late, null)}", "${merge(stopped, null)}"]
"""


def rest(env: Env) -> None:
    if isinstance(env, Cluster):
        env.rest()


def waits(run: Any) -> list[tuple[str, str]]:
    return [(wait.kind, wait.detail) for wait in run.describe().waiting_for]


def done(run: Any) -> list[str]:
    ends = ("TaskDone", "CompensationDone")
    return [item.node for item in run.history() if item.type in ends and not item.data.get("error")]


def one_at_a_time(env: Env) -> list[str]:
    """Three runs want a lock that all runs share; the first that has it is cancelled."""
    left = [env.start("printed", {"name": f"n{number}", "printer": "p"}) for number in range(3)]
    ended = []
    while left:
        rest(env)
        (holder,) = [run for run in left if ("signal", "paper") in waits(run)]
        assert all(waits(run) == [("lock", "printer p")] for run in left if run is not holder)
        if len(left) == 3:
            holder.cancel()
        else:
            holder.signal("paper")
        left.remove(holder)
        ended.append(holder.outcome().status)
    return ended


def undone_after_a_failure(env: Env) -> list[str]:
    run = env.start("undoing", True)
    outcome = run.outcome()
    assert outcome.error is not None
    assert "second cannot be undone" in outcome.error.message
    return done(run)


def undone_after_a_cancel(env: Env) -> list[str]:
    run = env.start("undoing", False)
    rest(env)
    run.cancel()
    with pytest.raises(wfe.RunCancelled):
        run.result()
    return done(run)


def undone_on_the_way(env: Env) -> list[str]:
    run = env.start("undone_on_the_way")
    assert run.result() == "stamped after"
    return done(run)


def another_one_decides(env: Env) -> Any:
    run = env.start("escalated")
    env.skip("60ms")
    assert waits(run) == [("approval", "terms by bob")]
    run.signal("terms", {"approved": True, "by": "bob"})
    return run.result()


def counted(env: Env) -> Any:
    run = env.start("counted")
    for more in (True, True, False):
        run.signal("more", more)
    return run.result()


def watched(env: Env) -> Any:
    env.deploy(*read_definitions(WATCHED, "watched.yaml"))
    run = env.start("watched")
    env.skip("60ms")
    rest(env)
    run.signal("stop")
    return run.result()


EXPECTED: dict[Callable[[Env], Any], Any] = {
    one_at_a_time: ["cancelled", "completed", "completed"],
    undone_after_a_failure: UNDONE,
    undone_after_a_cancel: UNDONE,
    undone_on_the_way: ["compensate_with", "stamp"],
    another_one_decides: "bob",
    counted: 2,
    watched: ["stamped late", "stamped stopped"],
}
EACH = pytest.mark.parametrize("scenario", EXPECTED, ids=lambda scenario: scenario.__name__)


@EACH
def test_the_same_comes_out_wherever_the_engine_crashes(scenario: Callable[[Env], Any]) -> None:
    assert Env.crash_everywhere(scenario, apps=[APP]) == EXPECTED[scenario]


@EACH
def test_the_same_comes_out_wherever_one_of_two_shards_crashes(scenario: Callable[[Env], Any]) -> None:
    assert crash_one_shard_everywhere(scenario, APP) == EXPECTED[scenario]
