"""What nodes take from the Python tasks they name, and what is checked against them."""

from __future__ import annotations

from typing import Any

import msgspec

from wfe.authoring.yaml_reader import read_definitions, read_text
from wfe.model.definition import Definition, Task
from wfe.model.policy import RetryPolicy
from wfe.model.registered import RegisteredTask

HEAD = "workflow: flow\nparams: {n: integer}\nnodes:\n"


class Receipt(msgspec.Struct):
    id: str


def charge(order: dict[str, Any], tries: int = 1) -> Receipt:
    return Receipt(str(order) + str(tries))


REGISTERED = RegisteredTask(
    name="charge",
    version=3,
    function=charge,
    is_async=False,
    module="m",
    qualname="charge",
    file="m.py",
    line=1,
    retry=RetryPolicy(max_attempts=7),
    timeout_ms=5_000,
    heartbeat_ms=1_000,
    redeliver=False,
    labels=("gpu",),
    resources={"gpu": 1},
)
RECEIPT = {"type": "object", "properties": {"id": {"type": "string"}}, "required": ["id"]}


def read_with_tasks(node: str, **tasks: RegisteredTask) -> Definition:
    known = tasks or {"charge": REGISTERED}
    (definition,) = read_definitions(HEAD + node, "f.yaml", tasks=known)
    return definition


def test_a_node_takes_from_its_task_what_it_does_not_set():
    definition = read_with_tasks("- {task: charge, with: {order: {}}}")
    assert definition.types == {"Receipt": RECEIPT}
    assert definition.nodes == (
        Task(
            id="charge",
            task="charge",
            task_version=3,
            with_={"order": {}},
            retry=RetryPolicy(max_attempts=7),
            timeout_ms=5_000,
            heartbeat_ms=1_000,
            redeliver=False,
            returns={"$ref": "#/types/Receipt"},
            labels=("gpu",),
            resources={"gpu": 1},
        ),
    )


def test_what_a_node_sets_wins_even_when_it_sets_nothing():
    (node,) = read_with_tasks(
        "- {task: charge, with: {order: {}}, retry: null, timeout: 1s, heartbeat: null, redeliver: true, returns: null,"
        " labels: [], resources: {}}"
    ).nodes
    assert node == Task(id="charge", task="charge", task_version=3, with_={"order": {}}, timeout_ms=1_000)


def test_another_version_of_a_task_takes_nothing_from_this_one():
    (node,) = read_with_tasks("- {task: charge@2, with: {anything: 1}}").nodes
    assert node == Task(id="charge", task="charge", task_version=2, with_={"anything": 1})


def test_types_of_results_are_checked_along_the_edges():
    found = read_text(
        HEAD + "- {task: charge, with: {order: {}}}\n- {set: '${charge.idd}'}", "f.yaml", {"charge": REGISTERED}
    )
    assert [str(finding) for finding in found.findings] == [
        "f.yaml:5:9: set: there is no field 'idd'; did you mean 'id'?"
    ]


def test_arguments_are_checked_against_the_function():
    found = [
        str(finding)
        for node in ("with: {ordr: {}}", "id: x")
        for finding in read_text(HEAD + f"- {{task: charge, {node}}}", "f.yaml", {"charge": REGISTERED}).findings
    ]
    assert found == [
        "f.yaml:4:18: charge() lacks the argument order",
        "f.yaml:4:25: charge() has no parameter 'ordr'; did you mean 'order'?",
        "f.yaml:4:10: charge() lacks the argument order",
    ]


def test_a_task_that_the_app_does_not_have_is_a_warning_for_others_may_offer_it():
    reading = read_text(HEAD + "- {task: chrge}", "f.yaml", {"charge": REGISTERED})
    assert reading.ok
    assert [str(finding) for finding in reading.findings] == [
        "f.yaml:4:10: no task of this app is called 'chrge': a worker of another app must offer it; "
        "did you mean 'charge'?"
    ]
    assert read_text(HEAD + "- {task: chrge}", "f.yaml", {}).findings == []
