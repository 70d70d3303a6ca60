"""Durable functions as people see them: what they wait for and where, whom they ask, their state and history."""

from __future__ import annotations

import msgspec

from support.durable import DurableDriver, approval, child, decode, durable, raw, signal, sleep, task
from wfe.core import decide
from wfe.model.event import EventChunk
from wfe.partition.past import run_past
from wfe.partition.views import history_events, open_approvals, shown_status, waiting_for


def begun() -> DurableDriver:
    return DurableDriver(durable("order"), input={"id": 7})


def test_a_function_waits_for_a_worker_and_then_for_what_it_called() -> None:
    driver = begun()
    assert [(w.kind, w.node, w.detail) for w in waiting_for(driver.run, driver.plan, {})] == [
        ("worker", "agent", "turn of agent")
    ]
    waits = [signal(1, "paid", correlation="7"), sleep(2, 50), child(3, "ship"), approval(4, "boss")]
    driver.turn(task(0, "charge"), *waits)
    found = [(w.kind, w.node, w.detail) for w in waiting_for(driver.run, driver.plan, {})]
    assert found[:3] == [
        ("worker", "charge[1]", "charge (agent.py:1)"),
        ("signal", "paid[2]", "paid 7 (agent.py:2)"),
        ("approval", "boss[5]", "boss"),
    ]
    assert ("timer", "sleep[3]", "") in found
    assert ("run", "ship[4]", driver.mail[0][1].run_id) in found


def test_a_function_that_only_waits_for_others_is_waiting() -> None:
    driver = begun()
    assert shown_status(driver.run, {}) == "pending"
    driver.turn(signal(0, "go"))
    assert shown_status(driver.run, {}) == "waiting"


def test_an_approval_of_a_function_is_listed_with_its_form() -> None:
    driver = begun()
    driver.turn(approval(0, "boss", to=raw("ann"), form=raw({"type": "object"}), timeout_ms=500))
    (asked,) = open_approvals(driver.run, driver.plan)
    assert (asked.name, asked.activation, decode(asked.to)) == ("boss", 1, "ann")
    assert decode(asked.form) == {"type": "object"}
    assert asked.due_ms == driver.now_ms + 500


def test_the_state_at_an_event_names_calls_that_have_ended() -> None:
    driver = begun()
    driver.turn(task(0, "charge"), task(1, "pack"))
    driver.end(0, "receipt")
    driver.break_(1)
    past = run_past(driver.plan, driver.run, 4, driver.now_ms)
    ended = [(node.node, node.activation, node.state, node.detail) for node in past.nodes if node.state != "worker"]
    assert ended == [("charge", 1, "done", ""), ("pack", 2, "failed", "ValueError: no")]


def test_a_history_tells_calls_and_their_ends_by_name() -> None:
    driver = begun()
    driver.turn(task(0, "charge", amount=3), child(1, "ship", to="home"))
    driver.end(0, "receipt")
    driver.command(lambda t: decide.control(t, "cancel", "c1"))
    told = history_events(driver.plan, 1, EventChunk(0, driver.events))
    assert [event.type for event in told] == [
        "RunStarted", "TasksOpened", "TurnTaken", "CallEnded", "CommandApplied", "CancelAsked",
    ]  # fmt: skip
    made = msgspec.msgpack.decode(told[2].data)["calls"]
    assert made[0] == {"kind": "task", "name": "charge", "where": "agent.py:1", "input": {"amount": 3}}
    assert made[1]["input"] == {"to": "home"}
    assert (told[3].node, told[3].activation) == ("charge", 1)
    assert msgspec.msgpack.decode(told[3].data)["status"] == "done"
