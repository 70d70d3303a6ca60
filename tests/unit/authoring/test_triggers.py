"""What starts a workflow beside clients, in Python and YAML: the same definition."""

from __future__ import annotations

import json

import pytest

import wfe
from wfe.authoring.yaml_reader import read_definitions, read_text
from wfe.authoring.yaml_writer import to_plain, write_yaml
from wfe.core.canonical import canonical, decode, definition_hash
from wfe.core.validate import validate
from wfe.model.definition import Definition, Set
from wfe.model.net import Trigger

TRIGGERS = (Trigger(kind="manual"), Trigger("orders", "${body.order}", "${headers.id}"), Trigger(kind="api"))


@wfe.workflow(on=["manual", wfe.Webhook("orders", input="${body.order}", key="${headers.id}"), "api"])
def intake(wf: wfe.Graph, order: wfe.Ref[dict]) -> wfe.Ref[dict]:
    return order


@wfe.workflow(on=wfe.Webhook("orders"))
def simple(wf: wfe.Graph, order: wfe.Ref[dict]) -> wfe.Ref[dict]:
    return order


def test_python_and_yaml_name_the_same_triggers() -> None:
    definition = intake.definition()
    assert definition.triggers == TRIGGERS
    assert simple.definition().triggers == (Trigger("orders"),)
    text = write_yaml(definition)
    assert read_definitions(text, "intake.yaml") == [definition]
    plain = to_plain(definition)
    assert plain["on"] == [
        "manual",
        {"webhook": "orders", "input": "${body.order}", "key": "${headers.id}"},
        "api",
    ]
    assert read_definitions(json.dumps(plain), "intake.json") == [definition]


@pytest.mark.parametrize("word", ["on", "triggers", '"on"'])
def test_on_and_triggers_are_the_same_key(word: str) -> None:
    [found] = read_definitions(f"workflow: flow\n{word}: [{{webhook: a}}]\nnodes: [{{set: 1}}]", "flow.yaml")
    assert found.triggers == (Trigger("a"),)


def test_a_definition_that_was_stored_before_there_were_kinds_means_the_same() -> None:
    old = b'{"nodes":[{"id":"a","type":"set","value":1}],"triggers":[{"webhook":"a"}],"workflow":"flow"}'
    definition = decode(old)
    assert definition.triggers == (Trigger("a", kind="webhook"),)
    assert canonical(definition) == old
    assert definition_hash(definition) == definition_hash(
        Definition("flow", nodes=(Set(id="a", value=1),), triggers=(Trigger("a"),))
    )


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("[manaul]", "there is no trigger 'manaul'; did you mean 'manual'?"),
        ("[nightly]", "there is no trigger 'nightly'; it is manual, api or {webhook: name}"),
        ("[{cron: 0 2 * * *}]", "a trigger by cron comes in a later version of wfe"),
        ("[{webhok: a}]", "unknown key 'webhok' of a trigger; did you mean 'webhook'?"),
        ("[{input: 1}]", "a trigger needs the key 'webhook'"),
        ("manual", "a list of triggers is wanted"),
    ],
)
def test_a_mistake_in_a_trigger_has_its_line(given: str, message: str) -> None:
    [finding] = read_text(f"workflow: flow\non: {given}\nnodes: [{{set: 1}}]", "flow.yaml").findings
    assert finding.line == 2
    assert message in finding.message


def test_only_a_webhook_has_a_name_and_an_input() -> None:
    wrong = Definition("flow", nodes=(Set(id="a", value=1),), triggers=(Trigger("x", kind="manual"),))
    assert [finding.message for finding in validate(wrong)] == [
        "a trigger manual has no name, input or key: only a webhook has"
    ]
