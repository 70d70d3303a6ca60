"""Whether a new version could carry live runs of an old one: on a real engine in this process, run by run."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

import wfe
from wfe.authoring.yaml_reader import read_definitions
from wfe.client.checks import DeployCheck
from wfe.testing import Env

BASE = """
workflow: flow
params: {n: integer}
nodes:
  - {set: "${n + 1}", id: first}
  - {set: "${n + 2}", id: unused}
  - {signal: go, id: go}
  - {set: "${first + 1}", id: last}
output: "${last}"
"""


@wfe.task
def measure() -> int:
    return 7


@pytest.fixture
def env() -> Iterator[Env]:
    with Env() as env:
        yield env


def deploy(env: Env, text: str) -> None:
    env.deploy(*read_definitions(text, "flow.yaml"))


def check(env: Env, text: str) -> DeployCheck:
    [found] = env._drive(env.client.check(*read_definitions(text, "flow.yaml")))
    return found


def reasons(env: Env, text: str) -> list[tuple[str, str]]:
    """What keeps the new version from carrying the one live run."""
    found = check(env, text)
    assert found.ok == (not found.runs)
    assert found.carried + len(found.runs) == 1
    return [(each.node, each.reason) for run in found.runs for each in run.obstacles]


def changed(text: str, old: str, new: str) -> str:
    assert text.count(old) == 1, old
    return text.replace(old, new)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("${first + 1}", "${first + 2}"),
        ("  - {signal: go, id: go}\n", "  - {set: 0, id: fresh}\n  - {signal: go, id: go}\n"),
        ("  - {signal: go, id: go}\n", "  - {signal: go, id: go}\n  - {signal: again}\n"),
        ('  - {set: "${n + 2}", id: unused}\n', ""),
        ("{signal: go, id: go}", "{signal: go, id: go, timeout: 1h}"),
        ("params: {n: integer}", "params: {n: integer, m: {type: integer, default: 3}}"),
        ("params: {n: integer}", "params: {n: number}"),
    ],
)
def test_changes_that_a_run_can_live_with(env: Env, old: str, new: str) -> None:
    deploy(env, BASE)
    env.start("flow", 1)
    assert reasons(env, changed(BASE, old, new)) == []


@pytest.mark.parametrize(
    ("old", "new", "node", "reason"),
    [
        ("{signal: go, id: go}", "{signal: go, id: other}", "go", "the new version has no such node"),
        ("{signal: go, id: go}", "{signal: come, id: go}", "go", "waits for another signal there ('come')"),
        ("{signal: go, id: go}", "{sleep: 1h, id: go}", "go", "in the new version it is a sleep node"),
        (
            "  - {signal: go, id: go}",
            "  - {when: n > 0, do: [{signal: go, id: go}]}",
            "go",
            "stands elsewhere: inside 'when'",
        ),
        ("${first + 1}", "${unused + 1}", "last", "needs the value of 'unused', which has ended and was not kept"),
        ('"${last}"', '"${unused}"', "", "the output needs the value of 'unused'"),
        ("params: {n: integer}", "params: {n: {type: integer, minimum: 5}}", "", "its input does not fit"),
        ("params: {n: integer}", "params: {n: integer, m: integer}", "", "its input does not fit"),
    ],
)
def test_changes_that_a_run_cannot_live_with(env: Env, old: str, new: str, node: str, reason: str) -> None:
    deploy(env, BASE)
    env.start("flow", 1)
    found = reasons(env, changed(BASE, old, new))
    assert [each for each, why in found if reason in why] == [node], found


def test_a_new_node_before_what_has_begun_matters_when_its_value_does(env: Env) -> None:
    deploy(env, BASE)
    env.start("flow", 1)
    text = changed(BASE, "  - {signal: go, id: go}", "  - {set: 7, id: fresh}\n  - {signal: go, id: go}")
    [(node, reason)] = reasons(env, changed(text, "${first + 1}", "${fresh + 1}"))
    assert (node, reason) == (
        "last",
        "it needs the value of 'fresh', which is new and comes before what the run has begun",
    )


def test_a_node_that_has_not_run_must_not_move_before_what_has_begun(env: Env) -> None:
    deploy(env, BASE)
    env.start("flow", 1)
    text = changed(BASE, '  - {set: "${first + 1}", id: last}\n', "")
    moved = changed(text, "  - {signal: go, id: go}", '  - {set: "${first + 1}", id: last}\n  - {signal: go, id: go}')
    found = dict(reasons(env, moved))
    assert "it has not run, and in the new version it comes before what has begun" in found["last"]


def test_kept_values_must_fit_the_types_of_the_new_version(env: Env) -> None:
    text = """
workflow: flow
nodes:
  - {task: measure, returns: {type: integer}}
  - {signal: go, id: go}
output: "${measure}"
"""

    env.mock(measure).returns(7)
    deploy(env, text)
    env.start("flow")
    assert reasons(env, changed(text, "{type: integer}", "{type: number}")) == []
    [(node, reason)] = reasons(env, changed(text, "{type: integer}", "{type: string}"))
    assert node == "measure"
    assert "its value does not fit what the new version says it gives" in reason


OPEN = """
workflow: flow
nodes:
  - {compensate_with: undo, with: {x: 1}}
  - parallel:
      - {task: missing, with: {x: 1}}
      - {approval: boss}
      - {workflow: inner, id: child}
      - {loop: {items: "[1, 2]"}, id: l, do: [{signal: step, id: step}, {set: 1, id: one}]}
      - {map: "[1, 2]", id: m, do: [{task: absent, with: {item: "${item}"}}]}
      - {lock: [desk], id: k, do: [{signal: held}]}
    id: p
"""


@pytest.mark.parametrize(
    ("old", "new", "node", "reason"),
    [
        ("{task: missing, with: {x: 1}}", "{task: missing, with: {x: 2}, timeout: 5s}", "", ""),
        ("{task: missing,", "{task: other, id: missing,", "missing", "the new version calls 'other' (version 1) there"),
        ("{task: missing,", "{task: missing@2,", "missing", "the new version calls 'missing' (version 2) there"),
        ("{task: missing, with: {x: 1}}", "{task: missing, with: {y: 1}}", "missing", "calls it with y"),
        ("{approval: boss}", "{approval: chief, id: approval}", "approval", "the new version asks for 'chief' there"),
        ("{workflow: inner,", "{workflow: outer,", "child", "the new version runs 'outer' there"),
        ("{set: 1, id: one}", "{set: 2, id: one}", "", ""),
        ("{signal: step, id: step}, ", "", "step", "the new version has no such node"),
        ('{items: "[1, 2]"}, id: l', '{items: "[1]"}, id: l2', "l", "the new version has no such node"),
        ("{task: absent,", "{set: 1}, {task: absent,", "m", "its items are done by one task in one of the versions"),
        ("[desk]", "[chair]", "k", "the new version takes other locks there"),
        ("{compensate_with: undo,", "{compensate_with: undo@2,", "compensate_with", "has another task there"),
        ("  - {compensate_with: undo, with: {x: 1}}\n", "", "compensate_with", "has registered compensation"),
        ("    id: p\n", "    id: q\n", "p", "a block is open there, and the new version has no such node"),
    ],
)
def test_everything_that_is_open_must_be_there(env: Env, old: str, new: str, node: str, reason: str) -> None:
    env.deploy(*read_definitions("workflow: inner\nnodes: [{signal: x}]", "inner.yaml"))
    deploy(env, OPEN)
    env._drive(env.client.start("flow"))
    found = reasons(env, changed(OPEN, old, new))
    if not node:
        assert found == []
    assert [each for each, why in found if reason in why][:1] == ([node] if node else []), found


REPEATED = """
workflow: flow
nodes:
  - {set: 1, id: used}
  - {set: 2, id: unused}
  - {signal: go, id: go}
  - map: "[1, 2]"
    id: m
    max_parallel: 1
    do: [{set: "${used}", id: inner}, {signal: step, id: step}]
    output: "${used}"
  - {loop: {while: "used > 0"}, id: l, do: [{set: "${used}", id: deep}, {signal: turn, id: turn}]}
"""


@pytest.mark.parametrize("signals", [(), ("go",), ("go", "step"), ("go", "step", "step")])
@pytest.mark.parametrize(
    ("old", "new", "node"),
    [
        ('{set: "${used}", id: inner}', '{set: "${unused}", id: inner}', "m"),
        ('output: "${used}"', 'output: "${unused}"', "m"),
        ('while: "used > 0"', 'while: "unused > 0"', "l"),
        ('{set: "${used}", id: deep}', '{set: "${unused + used}", id: deep}', "l"),
        ('{set: "${used}", id: inner}', '{set: "${used + 1}", id: inner}', ""),
    ],
)
def test_what_a_map_or_loop_will_need_for_what_comes_must_be_kept(
    env: Env, signals: tuple[str, ...], old: str, new: str, node: str
) -> None:
    deploy(env, REPEATED)
    run = env.start("flow")
    for name in signals:
        env._drive(run._run.signal(name))
    if node == "m" and len(signals) == 3:
        return  # the map has ended
    found = [each for each, why in reasons(env, changed(REPEATED, old, new)) if "the value of 'unused'" in why]
    assert found == ([node] if node else [])


NET = """
workflow: flow
nodes:
  - {set: 1, id: a}
  - {set: 1, id: b}
  - {signal: go, id: go}
  - {set: 1, id: both}
edges: [a -> b -> both, a -> go -> both]
"""


@pytest.mark.parametrize(
    ("old", "new", "node", "reason"),
    [
        ("{set: 1, id: both}", "{set: 2, id: both}", "", ""),
        ("{set: 1, id: both}", "{set: 1, id: both, join: or}", "both", "its join is another one"),
        (
            "a -> b -> both, ",
            "a -> b, {from: b, to: both, port: error}, ",
            "both",
            "a token waits on the edge from 'b'",
        ),
        ("{signal: go, id: go}", "{signal: come, id: go}", "go", "waits for another signal"),
    ],
)
def test_tokens_of_a_net_stand_on_edges_that_must_be_there(
    env: Env, old: str, new: str, node: str, reason: str
) -> None:
    deploy(env, NET)
    env.start("flow")
    found = reasons(env, changed(NET, old, new))
    assert [each for each, why in found if reason in why] == ([node] if node else []), found


def test_runs_are_judged_wherever_they_are_and_nothing_changes(env: Env) -> None:
    deploy(env, BASE)
    runs = [env.start("flow", n, key=f"k{n}") for n in range(25)]
    env.skip("2h")
    env.crash()
    env.start("flow", 99)
    broken = changed(BASE, "{signal: go, id: go}", "{signal: go, id: other}")
    found = check(env, broken)
    assert (len(found.runs), found.carried, found.more, found.ok) == (26, 0, False, False)
    assert {run.key for run in found.runs} >= {f"k{n}" for n in range(25)}
    [limited] = env._drive(env.client.check(*read_definitions(broken, "flow.yaml"), limit=3))
    assert (len(limited.runs), limited.more) == (3, True)
    fine = check(env, changed(BASE, "${first + 1}", "${first + 2}"))
    assert (fine.runs, fine.carried, fine.ok) == ([], 26, True)
    assert check(env, BASE).carried == 0, "runs of the same version are not asked about"
    env._drive(runs[3]._run.signal("go"))
    assert runs[3].result() == 5
    assert len(env._drive(env.client.definitions())) == 1


def test_a_new_workflow_breaks_nothing(env: Env) -> None:
    found = check(env, BASE)
    assert (found.deployed.new, found.ok, found.carried) == (True, True, 0)


def test_a_defect_in_the_look_at_a_run_costs_no_more_than_its_verdict(
    env: Env, monkeypatch: pytest.MonkeyPatch
) -> None:
    deploy(env, BASE)
    run = env.start("flow", 1)

    def broken(*_: object) -> None:
        raise KeyError("a defect")

    monkeypatch.setattr("wfe.core.study.carry.Carrier.reasons", broken)
    assert "a defect of wfe met the look at this run (KeyError)" in reasons(env, BASE.replace("+ 2", "+ 3"))[0][1]
    env._drive(run._run.signal("go"))
    assert run.result() == 3
