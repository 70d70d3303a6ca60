"""Rule R12 word for word: each static check has a message with its line, and says nothing without need."""

from __future__ import annotations

import pytest

from wfe.authoring.yaml_reader import read_text

HEAD = "workflow: flow\nparams: {n: integer}\nnodes:\n"
CHECKS = {
    "unreachable nodes": (
        HEAD + "  - {task: a}\n  - {task: b}\n  - {task: c}\nedges: [a -> b]\nentry: [a]",
        (6, "error", "c: the node can never run"),
        HEAD + "  - {task: a}\n  - {task: b}\n  - {task: c}\nedges: [a -> b -> c]\nentry: [a]",
    ),
    "unreachable nodes in order": (
        HEAD + "  - {end: 1}\n  - {task: a}",
        (5, "error", "a: the node can never run"),
        HEAD + "  - {end: 1, if: n > 1}\n  - {task: a}",
    ),
    "xor split without default": (
        HEAD + "  - {task: a, split: xor}\n  - {task: b}\n  - {task: c}\n"
        "edges:\n  - {from: a, to: b, when: n > 1}\n  - {from: a, to: c, when: n > 2}",
        (9, "warning", "default"),
        HEAD + "  - {task: a, split: xor}\n  - {task: b}\n  - {task: c}\n"
        "edges:\n  - {from: a, to: b, when: n > 1}\n  - {from: a, to: c, default: true}",
    ),
    "and-join fed by xor branches": (
        HEAD + "  - {task: a, split: xor}\n  - {task: b}\n  - {task: c}\n  - {task: d}\n"
        "edges: [{from: a, to: b, when: n > 1}, {from: a, to: c, default: true}, b -> d, c -> d]",
        (7, "error", "d: the node waits for 'b' and 'c'"),
        HEAD + "  - {task: a, split: xor}\n  - {task: b}\n  - {task: c}\n  - {task: d, join: xor}\n"
        "edges: [{from: a, to: b, when: n > 1}, {from: a, to: c, default: true}, b -> d, c -> d]",
    ),
    "edges across scopes": (
        HEAD + "  - {task: a}\n  - {map: '[1]', id: m, do: [{task: b}]}\nedges: [a -> m, a -> b]",
        (6, "error", "which is in another block"),
        HEAD + "  - {task: a}\n  - {map: '[1]', id: m, do: [{task: b}]}\nedges: [a -> m]",
    ),
    "cycles without a wait or a task": (
        HEAD + "  - {set: 1, id: a}\n  - {set: 2, id: b, join: xor, split: xor}\n"
        "edges: [a -> b, {from: b, to: b, when: n > 1}]",
        (6, "error", "b -> b"),
        HEAD + "  - {set: 1, id: a}\n  - {task: b, join: xor, split: xor}\n"
        "edges: [a -> b, {from: b, to: b, default: true}]",
    ),
    "unknown names in expressions": (
        HEAD + "  - {task: a, if: m > 1}",
        (4, "error", "unknown name 'm'"),
        HEAD + "  - {task: a, if: n > 1}",
    ),
    "types that do not fit along an edge": (
        HEAD + "  - {task: a, returns: string}\n  - {when: a > 1, do: [{task: b}]}",
        (5, "error", "when: "),
        HEAD + "  - {task: a, returns: integer}\n  - {when: a > 1, do: [{task: b}]}",
    ),
    "a schema that rejects its own default": (
        "workflow: flow\nparams: {n: {type: integer, default: one}}\nnodes: [{task: a}]",
        (2, "error", "the default does not fit"),
        "workflow: flow\nparams: {n: {type: integer, default: 1}}\nnodes: [{task: a}]",
    ),
}


@pytest.mark.parametrize("check", CHECKS)
def test_a_static_check_finds_the_mistake_at_its_line(check: str) -> None:
    text, (line, severity, words), _ = CHECKS[check]
    found = [finding for finding in read_text(text, "flow.yaml").findings if words in finding.message]
    assert [(finding.line, finding.severity) for finding in found][:1] == [(line, severity)], read_text(
        text, "flow.yaml"
    ).findings


@pytest.mark.parametrize("check", CHECKS)
def test_it_says_nothing_once_the_mistake_is_mended(check: str) -> None:
    _, _, mended = CHECKS[check]
    assert read_text(mended, "flow.yaml").findings == []
