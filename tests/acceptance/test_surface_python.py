"""DESIGN section 6, "Python": what workflows mean, drawn in Python and run by a real server."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest
import surface_app as app_module
from surface_app import Item, Order, Receipt, Summary
from surface_checks import T_S, result_of, signals, until
from surface_tasks import CardStolen

import wfe
from conftest import Server
from wfe.client import Client


@pytest.fixture(scope="module")
def app() -> Path:
    return Path(app_module.__file__)


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with wfe.connect(server.address, (server.data / "token").read_text().strip()) as client:
        yield client


# ---- the rules


def test_the_example_completes_with_its_pydantic_result(client: Client) -> None:
    order = Order("o-1", 12.5, [Item("ink"), Item("pen", 3)])
    receipt = result_of(client, app_module.checkout, order)
    assert receipt == Receipt(order="o-1", charge="charge-o-1", packed=["inkx1", "penx3"])
    free = result_of(client, app_module.checkout, Order("o-2", 0))
    assert free.order == "free"


def test_a_caught_error_is_a_value_and_fail_names_its_own_type(client: Client) -> None:
    with pytest.raises(wfe.RunFailed) as caught:
        result_of(client, app_module.checkout, Order("stolen", 5))
    error: Any = caught.value.error
    assert (error.type, error.message) == ("OrderRefused", "call the police")


def test_errors_are_known_by_their_base_classes(client: Client) -> None:
    with pytest.raises(wfe.RunFailed) as caught:
        result_of(client, app_module.charging, Order("stolen", 5))
    error: Any = caught.value.error
    assert (error.type, error.node, error.attempts) == ("CardStolen", "charge", 1)
    assert caught.value.caused_by(app_module.CardDeclined)
    assert caught.value.caused_by(CardStolen)
    assert not caught.value.caused_by(ConnectionError)
    text = result_of(client, app_module.child_fails, Order("stolen", 5))
    assert text.startswith("CardStolen at ")
    assert text.endswith(": call the police")


def test_retry_tries_subclasses_of_its_errors_again(client: Client) -> None:
    assert result_of(client, app_module.charging, Order("flaky", 5)) == "charge-flaky"


def test_expressions_have_pythons_meaning(client: Client) -> None:
    assert result_of(client, app_module.arithmetic, 7, 2) == {
        "numbers": [9, 5, 14, 3.5, 3],
        "comparisons": [False, True, False, False, True, True],
        "conditions": [True, True, False, False],
        "functions": [2, False, "7/2", 14],
    }


@pytest.mark.parametrize(("n", "size"), [(3, "small"), (7, "middle"), (70, "big")])
def test_when_otherwise_and_merge(client: Client, n: int, size: str) -> None:
    assert result_of(client, app_module.choose, n) == f"hello {size}"


@pytest.mark.parametrize(("n", "label"), [(3, "small"), (7, "middle hello you"), (70, "big 70")])
def test_what_a_block_computes_exists_if_the_run_gets_there(client: Client, n: int, label: str) -> None:
    assert result_of(client, app_module.computes_in_blocks, n) == [label, n + 1]


def test_statements_start_when_the_one_above_has_ended(client: Client) -> None:
    run = client.start(app_module.in_order)
    assert signals(until(run, signals)) == {"one"}
    run.signal("two", 2)
    run.signal("one", 1)
    assert run.result(timeout_s=T_S) == [1, 2]


def test_in_parallel_only_data_and_branches_order(client: Client) -> None:
    run = client.start(app_module.concurrent)
    assert signals(until(run, signals)) == {"left", "first"}
    run.signal("first", 1)
    assert signals(until(run, lambda info: "second" in signals(info))) == {"left", "second"}
    run.signal("second", 2)
    run.signal("left", 0)
    assert run.result(timeout_s=T_S) == [0, 1, 2]


def test_the_first_failure_in_parallel_cancels_the_others(client: Client) -> None:
    with pytest.raises(wfe.RunFailed) as caught:
        result_of(client, app_module.failing_parallel)
    assert caught.value.caused_by(wfe.Fatal)


def test_tolerated_failures_are_listed_by_item(client: Client) -> None:
    mixed = [Item("a"), Item("bad", -1), Item("c")]
    found = result_of(client, app_module.tolerant, mixed)
    assert isinstance(found, wfe.MapResult)
    assert (found.values, found.indexes) == (["ax1", "cx1"], [0, 2])
    (error,) = found.errors
    assert (error.failed, error.type, error.message, error.attempts) == (True, "ValueError", "bad cannot be packed", 1)
    with pytest.raises(wfe.RunFailed) as caught:
        result_of(client, app_module.tolerant, [Item("bad", -1), Item("bad", -1), Item("c")])
    assert caught.value.caused_by(ValueError)
    assert result_of(client, app_module.tolerant_by_share, mixed).indexes == [0, 2]
    with pytest.raises(wfe.RunFailed):
        result_of(client, app_module.tolerant_by_share, [Item("bad", -1), Item("bad", -1), Item("c")])
    assert result_of(client, app_module.tolerant, []).values == []


def test_sub_workflows_are_awaited_mapped_and_detached(client: Client) -> None:
    assert result_of(client, app_module.summarise, 7) == Summary("hello middle", [14, 20])
    assert result_of(client, app_module.fans_out, [1, 7, 70]) == ["hello small", "hello middle", "hello big"]
    run_id = result_of(client, app_module.detaches, 70)
    detached = client.find(app_module.choose, "detached")
    assert detached.id == run_id
    assert detached.result(timeout_s=T_S) == "hello big"


def test_a_sub_workflow_takes_its_own_defaults(client: Client) -> None:
    tripled, alone = Summary("hello small", [2, 8]), Summary("hello small", [2, 4])
    found = result_of(client, app_module.leaves_defaults_out, 1)
    plain = [{"choice": each.choice, "numbers": each.numbers} for each in (tripled, alone)]
    assert found == [plain[0], plain[1], [plain[0]], 26]
    assert client.find(app_module.summarise, "defaults-1").result(timeout_s=T_S) == tripled


def test_async_workflows_await_their_refs(client: Client) -> None:
    assert result_of(client, app_module.awaited, 1) == 12


def test_a_workflow_may_just_compute(client: Client) -> None:
    assert result_of(client, app_module.constant) == "constant"
    assert result_of(client, app_module.nested_constant) == "a constant"


def test_signals_time_out_to_their_default_or_to_an_error(client: Client) -> None:
    assert result_of(client, app_module.polling) == {"item": {"sku": "none", "count": 1}, "count": 1}
    with pytest.raises(wfe.RunFailed) as caught:
        result_of(client, app_module.late)
    assert caught.value.caused_by(wfe.TimedOut)


def test_sleeps_end_and_a_run_has_its_own_time_limit(client: Client) -> None:
    assert result_of(client, app_module.naps) == "hello early riser"
    run = client.start(app_module.limited)
    with pytest.raises(wfe.RunFailed) as caught:
        run.result(timeout_s=T_S)
    assert caught.value.caused_by("TimedOut")
    assert run.describe().version == 3


def test_a_run_knows_itself(client: Client) -> None:
    run = client.start(app_module.about_itself, key="itself")
    found = run.result(timeout_s=T_S)
    assert (found["id"], found["key"]) == (run.id, "itself")
    assert datetime.fromisoformat(found["at"]) <= datetime.fromisoformat(found["now"])


def test_a_workflow_called_outside_of_one_names_what_to_use() -> None:
    with pytest.raises(wfe.GraphError, match=r"client\.start\(choose.*wfe\.run\(choose"):
        app_module.choose(7)


def test_wfe_run_gives_the_typed_result_and_raises_as_a_run_does() -> None:
    assert wfe.run(app_module.summarise, 7, factor=1) == Summary("hello middle", [14, 16])
    with pytest.raises(wfe.RunFailed) as caught:
        wfe.run(app_module.moods, "fatal")
    assert caught.value.caused_by(wfe.Fatal)
