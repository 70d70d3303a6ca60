"""Mistakes in workflow files: each is found once, with its line and column."""

from __future__ import annotations

import json
from typing import Any

import pytest

from wfe.authoring.yaml_reader import read_definitions, read_text
from wfe.errors import DefinitionError
from wfe.limits import DEFINITION_BYTES_MAX


def places(text: str) -> list[str]:
    return [str(finding) for finding in read_text(text, "f.yaml").findings if finding.severity == "error"]


HEAD = "workflow: flow\nparams: {n: integer}\nnodes:\n"

MISTAKES: dict[str, tuple[str, str]] = {
    "not YAML": (HEAD + "  - {task: [", "f.yaml:5:1: did not find expected node content"),
    "a tab": (HEAD + "\t- {task: a}", "f.yaml:4:1: found character that cannot start any token"),
    "braces without quotes": (HEAD + "- {task: a, with: {x: ${n}}}", "f.yaml:4:24: did not find expected ','"),
    "a colon in text": (HEAD + "- task: a: b", "f.yaml:4:10: mapping values are not allowed"),
    "duplicate key": (HEAD + "- task: a\n  if: n > 1\n  task: b", "f.yaml:6:3: the key 'task' is already given at 4:3"),
    "anchor": (HEAD + "- &x {task: a}", "f.yaml:4:3: anchors (&x)"),
    "alias": ("workflow: &w flow\nnodes: [{task: *w}]", "f.yaml:1:11: anchors (&w)"),
    "merge key": (HEAD + "- {<<: {task: a}}", "f.yaml:4:4: merge keys"),
    "tag": (HEAD + "- {task: !!str a}", "f.yaml:4:10: tags"),
    "key that is a number": (HEAD + "- {task: a, with: {1: x}}", "f.yaml:4:20: keys are text, and 1 is none"),
    "key that is true": (HEAD + "- {task: a, with: {true: x}}", "f.yaml:4:20: keys are text, and True is none"),
    "key that is a list": (HEAD + "- {task: a, with: {[a]: x}}", "f.yaml:4:20: keys are text"),
    "leading zero": (HEAD + "- {set: 0123}", "f.yaml:4:9: 0123 starts with a zero"),
    "not a number": (HEAD + "- {set: .nan}", "f.yaml:4:9: .nan has no form in JSON"),
    "huge number": (HEAD + "- {set: 99999999999999999999}", "f.yaml:4:9: 99999999999999999999 is outside"),
    "control character": ("workflow: \x01", "f.yaml:1:11: the character"),
    "half a character": ("workflow: '\ud800'", "f.yaml:1:12: the text is not valid Unicode"),
    "empty": ("# nothing\n", "f.yaml:1:1: the text holds no workflow"),
    "a list": ("- task: a\n", "f.yaml:1:1: a workflow is a mapping with the keys workflow and nodes, not a list"),
    "no name": ("nodes: [{task: a}]", "f.yaml:1:1: a workflow needs the key 'workflow'"),
    "no nodes": ("workflow: flow", "f.yaml:1:1: a workflow needs the key 'nodes'"),
    "nodes are no list": (
        "workflow: flow\nnodes: {task: a}",
        "f.yaml:2:8: nodes: a list of nodes is wanted, not a mapping",
    ),
    "node is text": (HEAD + "- charge", "f.yaml:4:3: a node is a mapping such as {task: name}, not the text 'charge'"),
    "no kind": (HEAD + "- {id: a}", "f.yaml:4:3: the node has no kind"),
    "kind misspelt": (HEAD + "- {tsk: a}", "did you mean 'task'?"),
    "two kinds": (HEAD + "- {task: a, end: 1}", "f.yaml:4:13: a node has one kind, and this one has 'task' and 'end'"),
    "another word": (
        HEAD + "- {while: n > 1, do: [{task: a}]}",
        "f.yaml:4:4: there are no 'while' nodes; write {loop: {while: condition}, do: [...]}",
    ),
    "another word as key": (
        HEAD + "- {task: a, until: n > 1}",
        "f.yaml:4:13: 'until' is not a key of a task node; write {loop:",
    ),
    "later key": (HEAD + "- {task: a, limits: [x]}", "f.yaml:4:13: 'limits' comes in a later version"),
    "loop of what": (HEAD + "- {loop: n > 1, do: [{task: a}]}", "f.yaml:4:10: loop: a loop is {while: condition}"),
    "key of a loop": (
        HEAD + "- {loop: {untl: n > 1}, do: [{task: a}]}",
        "f.yaml:4:11: loop: unknown key 'untl' of loop; did you mean 'until'?",
    ),
    "condition of a loop twice": (
        HEAD + "- {loop: {until: n > 1}, until: n > 2, do: [{task: a}]}",
        "f.yaml:4:33: until: the until is already given",
    ),
    "join misspelt": (HEAD + "- {task: a, join: al}", "f.yaml:4:19: join: a join is all, any, each, or, a number"),
    "join of none": (HEAD + "- {task: a, join: 0}", "f.yaml:4:19: join: a join is at least 1, not 0"),
    "join without number": (HEAD + "- {task: a, join: {rest: drain}}", "f.yaml:4:19: join: a join is all, any"),
    "key of a join": (HEAD + "- {task: a, join: {thread: 2, rest: drain}}", "unknown key 'rest' of a thread join"),
    "rest of a join": (
        HEAD + "- {task: a, join: {n: 2, rest: drian}}",
        "f.yaml:4:32: join: rest is drain, block or cancel, not 'drian'; did you mean 'drain'?",
    ),
    "split": (
        HEAD + "- {task: a, split: 3}",
        "f.yaml:4:20: split: split is and, xor, or or deferred, not the number 3",
    ),
    "edge without arrow": (
        HEAD + "- {graph: [{task: a}, {task: b}], edges: [a b]}",
        "f.yaml:4:43: an edge is text such as \"a -> b\", or {from: a, to: b}, not 'a b'",
    ),
    "edge that is a list": (HEAD + "- {graph: [{task: a}], edges: [[a]]}", "f.yaml:4:32: an edge is text"),
    "edge without end": (
        HEAD + "- {graph: [{task: a}], edges: [{from: a}]}",
        "f.yaml:4:32: an edge needs the key 'to'",
    ),
    "edges as mapping": (HEAD + "- {graph: [{task: a}], edges: {a: b}}", "f.yaml:4:31: edges: a list of edges is"),
    "regions without edges": (
        "workflow: flow\nregions: {x: [a]}\nnodes: [{task: a}]",
        "f.yaml:2:1: 'regions' needs edges beside it",
    ),
    "boundary of nothing": (
        HEAD + "- {task: a, boundary: [{port: late}]}",
        "f.yaml:4:24: a boundary event has a timer or a signal, exactly one of them",
    ),
    "boundary without port": (
        HEAD + "- {task: a, boundary: [{timer: 5m}]}",
        "f.yaml:4:24: a boundary event needs the key 'port'",
    ),
    "escalation": (
        HEAD + "- {approval: m, escalate: [{after: soon, to: boss}]}",
        "f.yaml:4:36: 'soon' is not a duration",
    ),
    "trigger": ("workflow: flow\ntriggers: [{hook: x}]\nnodes: [{task: a}]", "f.yaml:2:13: unknown key 'hook'"),
    "lock capacity": ("workflow: flow\nlocks: {db: 0}\nnodes: [{task: a}]", "f.yaml:2:13: the capacity of a lock"),
    "compensate takes nothing": (HEAD + "- {compensate: now}", "f.yaml:4:16: compensate: compensate takes no value"),
    "request": (HEAD + "- {http: [GET]}", 'f.yaml:4:10: http: a request is text such as "GET https://..."'),
    "method twice": (
        HEAD + "- {http: 'GET https://a.b', method: GET}",
        "f.yaml:4:37: method: the method is already given",
    ),
    "case": (HEAD + "- {decision: {a: '${n}'}}", "f.yaml:4:18: decision: a bare expression is wanted"),
    "reduce": (
        HEAD + "- {transform: '[n]', reduce: {initial: 0}}",
        "f.yaml:4:30: reduce: reduce needs the key 'value'",
    ),
    "set of an assign": (HEAD + "- {state: 1, id: s}\n- {assign: s, set: 3}", "f.yaml:5:20: set: this is a mapping"),
    "later top": (
        "workflow: flow\nconcurrency: 3\nnodes: [{task: a}]",
        "f.yaml:2:1: 'concurrency' comes in a later version",
    ),
    "unknown key": (
        HEAD + "- {task: a, wiht: {}}",
        "f.yaml:4:13: unknown key 'wiht' of a task node; did you mean 'with'?",
    ),
    "key of another kind": (HEAD + "- {sleep: 1s, retry: {}}", "f.yaml:4:15: 'retry' is not a key of a sleep node"),
    "unknown top key": ("workflow: flow\nparam: {}\nnodes: [{task: a}]", "did you mean 'params'?"),
    "unknown retry key": (HEAD + "- {task: a, retry: {attempts: 3}}", "f.yaml:4:21: unknown key 'attempts' of retry"),
    "missing do": (HEAD + "- {when: n > 1}", "f.yaml:4:3: a when node needs the key 'do'"),
    "otherwise alone": (HEAD + "- {otherwise: true, do: [{task: a}]}", "f.yaml:4:4: otherwise must follow a when"),
    "otherwise too late": (
        HEAD + "- {when: n > 1, do: [{task: a}]}\n- {task: b}\n- {otherwise: true, do: [{task: c}]}",
        "f.yaml:6:4: otherwise must follow a when",
    ),
    "otherwise after otherwise": (
        HEAD
        + "- {when: n > 1, do: [{task: a}]}\n- {otherwise: true, do: [{task: b}]}\n"
        + "- {otherwise: true, do: [{task: c}]}",
        "f.yaml:5:3: when: nothing can follow an otherwise",
    ),
    "number as duration": (HEAD + "- {sleep: 30}", "f.yaml:4:11: sleep: a duration is text"),
    "bad duration": (HEAD + "- {task: a, timeout: soon}", "f.yaml:4:22: timeout: 'soon' is not a duration"),
    "expression in braces": (
        HEAD + "- {when: '${n > 1}', do: [{task: a}]}",
        "f.yaml:4:10: when: a bare expression is wanted",
    ),
    "expression as list": (
        HEAD + "- {map: [1, 2], do: [{task: a}]}",
        "f.yaml:4:9: map: an expression is text, not a list",
    ),
    "with is a list": (HEAD + "- {task: a, with: [1]}", "f.yaml:4:19: with: this is a mapping, not a list"),
    "after a number": (
        HEAD + "- {task: a, after: [1]}",
        "f.yaml:4:21: after: the id of a node is text, not the number 1",
    ),
    "flag": (
        HEAD + "- {task: a, redeliver: yes}",
        "f.yaml:4:24: redeliver: true or false is wanted, not the text 'yes'",
    ),
    "label": (HEAD + "- {task: a, labels: [a b]}", "f.yaml:4:22: labels: 'a b' is no label: write \"gpu\" or"),
    "resource": (
        HEAD + "- {task: a, resources: {gpu: 2XB}}",
        "f.yaml:4:30: resources: gpu: '2XB' is no number or size: write for example",
    ),
    "memory without a unit": (
        HEAD + "- {task: a, resources: {memory: 8}}",
        "f.yaml:4:33: resources: memory is counted in bytes, and 8 is hardly any",
    ),
    "priority": (HEAD + "- {task: a, priority: 1.5}", "f.yaml:4:23: priority: priority is a whole number"),
    "tolerate": (
        HEAD + "- {map: '[n]', tolerate: some, do: [{task: a}]}",
        "f.yaml:4:26: tolerate: tolerate is a number",
    ),
    "task version": (HEAD + "- {task: a@new}", "f.yaml:4:10: task: 'a@new': the version after @ is a whole number"),
    "version twice": (HEAD + "- {workflow: a@2, version: 3}", "f.yaml:4:28: version: the version is already given"),
    "unknown type": (
        "workflow: flow\nparams: {n: integr}\nnodes: [{task: a}]",
        "f.yaml:2:13: unknown type 'integr'; did you mean",
    ),
    "bad schema": (
        "workflow: flow\nparams: {n: {type: object, properties: {x: 3}}}\nnodes: [{task: a}]",
        "f.yaml:2:44: 3 is not of types",
    ),
    "unknown name": (
        HEAD + "- task: a\n  with:\n    x: 1\n    y: '${m}'",
        "f.yaml:7:8: a: unknown name 'm'",
    ),
    "syntax of an expression": (HEAD + "- {task: a, if: n >}", "f.yaml:4:17: a: "),
    "condition of the second branch": (
        HEAD + "- {when: n > 1, do: [{task: a}]}\n- {otherwise: n + 1, do: [{task: b}]}",
        "f.yaml:5:15: when: a condition must be true or false",
    ),
    "inside the second branch": (
        HEAD + "- {when: n > 1, do: [{task: a}]}\n- {otherwise: true, do: [{task: b, with: {x: '${c}'}}]}",
        "f.yaml:5:46: b: unknown name 'c'",
    ),
    "inside parallel": (HEAD + "- {parallel: [{task: b, with: {x: '${c}'}}]}", "f.yaml:4:35: b: unknown name 'c'"),
    "circle": (HEAD + "- {task: a, after: [b]}\n- {task: b}", "f.yaml:4:20: a: nodes wait for each other in a circle"),
    "unreachable": (HEAD + "- {end: 1}\n- {task: b}", "f.yaml:5:3: b: the node can never run"),
    "same id": (
        HEAD + "- {task: a}\n- {task: b, id: a}\n- {task: c, id: a}",
        "f.yaml:6:17: a: the id 'a' is already used",
    ),
    "same workflow": (
        "workflow: a\nnodes: [{task: t}]\n---\nworkflow: a\nnodes: [{task: t}]",
        "f.yaml:4:1: the workflow 'a' is already defined at line 1",
    ),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_has_its_line_and_column(name: str):
    text, expected = MISTAKES[name]
    found = places(text)
    assert len(found) == 1, found
    assert expected in found[0]
    assert found[0].startswith("f.yaml:")


def test_all_mistakes_of_all_documents_are_reported_at_once_in_the_order_of_the_lines():
    text = (
        HEAD
        + "- {sleep: 30}\n- {task: a, timeout: 3}\n---\n"
        + HEAD
        + "- {task: a, with: {x: '${m}'}}\n- {task: b, if: m}\n"
    )
    with pytest.raises(DefinitionError) as caught:
        read_definitions(text, "f.yaml")
    assert [finding.split(": ")[0] for finding in caught.value.findings] == [
        "f.yaml:4:11",
        "f.yaml:5:22",
        "f.yaml:10:23",
        "f.yaml:11:17",
    ]


def test_a_text_beyond_the_bounds_is_refused_before_it_is_understood():
    assert "the limit is" in places("workflow: " + "x" * DEFINITION_BYTES_MAX)[0]
    assert "deeper than" in places("[" * 100_000)[0]
    assert "values" in places("[" + "1," * 200_001 + "]")[0]
    deep: Any = {"task": "a"}
    for _ in range(60):
        deep = {"parallel": [deep]}
    assert "nested deeper" in places(json.dumps({"workflow": "flow", "nodes": [deep]}))[0]
