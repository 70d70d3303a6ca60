"""What validation says about loops, states, races, locks and nets: one finding per mistake, with line and a way out."""

from __future__ import annotations

import pytest
from findings_of_kinds import HEAD, KINDS, STATE
from findings_of_nets import NETS, B, C, graph

from wfe.authoring.yaml_reader import PlacedFinding, read_text

ERRORS = KINDS | NETS


def findings(text: str) -> list[PlacedFinding]:
    return read_text(text, "f.yaml").findings


@pytest.mark.parametrize("name", ERRORS)
def test_a_mistake_is_found_once_with_its_line(name: str):
    text, expected = ERRORS[name]
    found = [finding for finding in findings(text) if finding.severity == "error"]
    assert len(found) == 1, [str(finding) for finding in found]
    assert str(found[0]).startswith(f"f.yaml:{expected}")


WARNINGS: dict[str, tuple[str, str]] = {
    "split without default": (
        graph("{task: a, split: xor}\n{task: b}", "{from: a, to: b, when: n > 1}"),
        "7:3: a: the split xor has no default: when no condition holds, the run fails with NoBranch; add default",
    ),
    "edge behind a free one": (
        graph("{task: a, split: xor}\n" + B + "\n" + C, "a -> b", "{from: a, to: c, when: n > 1}"),
        "9:3: a: this edge is never taken: one without a condition, 'b', comes before it",
    ),
    "case that leads nowhere": (
        graph("{decision: {big: n > 1, small: true}}\n{task: b}", "{from: decision, to: b, port: big}"),
        "4:34: decision: no edge leads on from the case 'small'; add {from: decision, to: ..., port: small}",
    ),
    "event that leads nowhere": (
        graph("{task: a, boundary: [{timer: 1s, port: late}]}\n" + B, "a -> b"),
        "4:23: a: no edge leads on from the port 'late'",
    ),
    "event in a block": (
        HEAD + "- {task: a, boundary: [{timer: 1s, port: late}]}",
        "5:23: a: nothing follows the port 'late': the order of a block has no ports; use a graph",
    ),
    "locks in one order and in the other": (
        HEAD + "- {lock: printer, do: [{lock: scanner, do: [{task: a}]}]}\n"
        "- {lock: scanner, do: [{lock: printer, do: [{task: b}]}]}",
        "6:31: lock_4: 'printer' is taken while 'scanner' is held, and at 'lock_2' it is the other way",
    ),
    "no case for the rest": (HEAD + "- {decision: {a: n > 1}}", "5:3: decision: no case takes the rest"),
    "nothing to transform": (HEAD + "- {transform: '[n]'}", "5:3: transform: the transformation changes nothing"),
    "no rest": (HEAD + "- {map: 3, rest: continue, do: [{task: a}]}", "5:18: map: there is no rest"),
    "endless by its bound": (HEAD + "- {loop: true, do: [{task: a}]}", "5:3: loop: the loop ends only by its bound"),
    "endless": (HEAD + "- {loop: true, max_iterations: null, do: [{task: a}]}", "5:3: loop: nothing ends the loop"),
    "hidden item": (
        HEAD + "- {map: 2, do: [{loop: {items: '[n]'}, do: [{task: a}]}]}",
        "5:17: loop: the name 'item' hides the one of the map 'map' around it; give one of them another name",
    ),
    "unknown field": (
        HEAD + STATE + "- {assign: s, set: {cuont: 1}}",
        "6:28: assign: the state 's' begins without a field 'cuont'; did you mean 'count'?",
    ),
    "late escalation": (
        HEAD + "- {approval: boss, timeout: 1h, escalate: [{after: 2h, to: x}]}",
        "5:52: approval: nobody is asked then: the approval has timed out before",
    ),
    "decision without end": (HEAD + "- {approval: boss, on_timeout: approve}", "5:32: approval: on_timeout is never"),
    "poll for the transient": (HEAD + "- {signal: go, transient: true, timeout: 0s}", "5:27: signal: a poll never"),
    "body of a get": (HEAD + "- {http: GET https://a.b, body: {x: 1}}", "5:33: http: a GET request carries no body"),
    "lock misspelt": (HEAD + "- {lock: dsk, do: [{task: a}]}", "5:10: lock: 'dsk' is no lock of this run, so it is"),
    "missed without a condition": (HEAD + "- {task: a, on_missed: skip}", "5:24: a: on_missed has no meaning"),
    "joins after a merge": (
        graph(
            "{task: a}\n{decision: {x: n > 1, y: true}, join: each}\n{task: b}\n{task: c}\n{task: d}\n{task: e}",
            *("a -> decision", "e -> decision", "{from: decision, to: b, port: x}", "{from: decision, to: c, port: y}"),
            *("b -> d", "c -> d"),
        ),
        "8:3: d: the node waits for 'b' and 'c', but 'decision' leads to only one of them",
    ),
}


@pytest.mark.parametrize("name", WARNINGS)
def test_what_is_doubtful_is_a_warning_with_a_way_out(name: str):
    text, expected = WARNINGS[name]
    (found,) = findings(text)
    assert found.severity == "warning"
    assert str(found).startswith(f"f.yaml:{expected}")
    assert found.suggestion


RIGHT: dict[str, str] = {
    "iterations see what is around and what is inside": HEAD
    + "- {task: a}\n- {loop: {until: b == a}, index: i, do: [{task: b, with: {x: '${a}', i: '${i + 1}'}}]}",
    "the winner's value where it has won": HEAD
    + "- {race: [{task: a}, {task: b}]}\n- {when: race.winner == 'a' && n > 1, do: [{set: '${a}'}]}\n"
    + "- {if: \"'b' == race.winner\", set: '${b}'}\n- {set: '${merge(a, b)}'}",
    "what a lock makes is known behind it": HEAD + "- {lock: desk, do: [{task: a}]}\n- {set: '${a}'}",
    "a lock with room for two inside itself": HEAD + "- {lock: pair, do: [{lock: pair, do: [{task: a}]}]}",
    "the same shared lock apart by keys": HEAD
    + "- {lock: printer, key: '${n}', do: [{lock: printer, key: x, do: [{task: a}]}]}",
    "a state that changes its number": HEAD
    + STATE
    + "- {assign: s, set: {count: '${s.count + 0.5}'}}\n- {when: s.count == 7, do: [{set: 1}]}",
    "a state that begins with null holds anything": HEAD + "- {state: {x: null}, id: s}\n- {assign: s, set: {x: [1]}}",
    "changes one after the other": HEAD
    + STATE
    + "- parallel:\n  - {assign: s, set: {count: 1}}\n  - {assign: s, set: {count: 2}, after: [assign]}",
    "changes of different fields at once": HEAD
    + STATE
    + "- parallel:\n  - {assign: s, set: {count: 1}}\n  - {assign: s, set: {name: y}}",
    "items of a map one at a time": HEAD + STATE + "- {map: 3, max_parallel: 1, do: [{assign: s, set: {count: 1}}]}",
    "a state of each item": HEAD + "- {map: 3, do: [{state: {x: 0}, id: s}, {assign: s, set: {x: 1}}]}",
    "a break out of a map in a loop": HEAD + "- {loop: true, do: [{map: 2, do: [{task: a}, {break_if: a > 1}]}]}",
    "counts of a map": HEAD + "- {map: 9, complete_when: done > n && failed + active < total, do: [{task: a}]}",
    "siblings' values in a graph": graph(
        "{task: a, join: each, with: {x: '${merge(b, 0)}'}}\n{task: b, with: {x: '${a}'}, split: xor}\n" + C,
        *("a -> b", "{from: b, to: a, when: b > n}", "{from: b, to: c, default: true}"),
        more="entry: a\noutput: '${merge(c, null)}'\n",
    ),
    "a way back with a task on it": graph(
        "{set: 1, join: each}\n{task: b}\n{decision: {again: b > n, done: true}}\n{task: c}",
        *("set -> b -> decision", "{from: decision, to: set, port: again}", "{from: decision, to: c, port: done}"),
        more="entry: set\n",
    ),
    "choices that merge": graph(
        "{decision: {x: n > 1, y: true}}\n{task: a}\n{task: b}\n{task: c, join: each}",
        *("{from: decision, to: a, port: x}", "{from: decision, to: b, port: y}", "a -> c", "b -> c"),
    ),
    "both branches of an or-split": graph(
        "{task: a, split: or}\n{task: b}\n{task: c}\n{task: d, join: or}",
        *("{from: a, to: b, when: n > 1}", "{from: a, to: c, default: true}", "b -> d", "c -> d"),
    ),
    "a milestone": graph('{task: a}\n{task: b, enabled_while: \'active("a") && !done("b") && n > 1\'}', "a -> b"),
    "a region cancelled": graph("{task: a}\n{task: b, cancels: [left, run]}", "a -> b", more="regions: {left: [a]}\n"),
    "secrets whole": HEAD + "- {custom: slack.post, with: {a: ['${secret(\"K\")}']}}",
    "the first of two": HEAD
    + "- {task: a}\n- {task: b, after: []}\n- {task: c, after: [a, b], join: any, with: {x: '${merge(a, b)}'}}",
}


@pytest.mark.parametrize("name", RIGHT)
def test_what_is_right_has_no_findings(name: str):
    assert [str(finding) for finding in findings(RIGHT[name])] == []


def test_all_findings_of_a_net_come_at_once():
    text = graph("{task: a, join: {n: 5}}\n{task: b, after: []}", "a -> b", "c -> a", "b -> a", more="entry: x\n")
    assert len([finding for finding in findings(text) if finding.severity == "error"]) == 4


def test_large_nets_are_judged_in_seconds_not_minutes():
    nodes = "\n".join(f"{{decision: {{x: n > {i}, y: true}}, id: d{i}}}" for i in range(2_000))
    edges = [f"{{from: d{i}, to: d{j}, port: {p}}}" for i in range(1_998) for p, j in (("x", i + 1), ("y", i + 2))]
    assert findings(graph(nodes, *edges))
