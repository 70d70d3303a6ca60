"""DESIGN section 6, "Python": the sync and async client, and names and versions, against a real server."""

from __future__ import annotations

import asyncio
import importlib.util
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import surface_app as app_module
from surface_app import Summary
from surface_checks import T_S, result_of, signals, until

import wfe
from conftest import Server
from wfe.client import Client


@pytest.fixture(scope="module")
def app() -> Path:
    return Path(app_module.__file__)


@pytest.fixture(scope="module")
def token(server: Server) -> str:
    return (server.data / "token").read_text().strip()


@pytest.fixture(scope="module")
def client(server: Server, token: str) -> Iterator[Client]:
    with wfe.connect(server.address, token) as client:
        yield client


# ---- the client


def test_inputs_go_by_position_by_name_or_as_json(client: Client) -> None:
    expected = Summary("hello small", [2, 8])
    assert result_of(client, app_module.summarise, 1) == expected
    assert result_of(client, app_module.summarise, n=1) == expected
    assert result_of(client, app_module.summarise, wfe.args(1, factor=3)) == expected
    plain = {"choice": "hello small", "numbers": [2, 8]}
    assert result_of(client, "summarise", {"n": 1}) == plain
    assert result_of(client, "summarise@1", n=1) == plain
    assert result_of(client, "choose", n=1) == result_of(client, "choose", wfe.args(n=1)) == "hello small"
    assert result_of(client, "checkout", id="free", total=0, items=[])["order"] == "free"
    assert [run.result(timeout_s=T_S) for run in client.start_many("choose", [7, wfe.args(n=7)])] == [
        "hello middle"
    ] * 2
    assert result_of(client, "checkout", {"id": "free", "total": 0, "items": []})["order"] == "free"


@pytest.mark.parametrize(
    ("workflow", "value", "path"),
    [
        ("checkout", {"id": "x"}, "$"),
        ("checkout", {"id": "x", "total": 1, "items": [{"sku": 5}]}, "$.items[0].sku"),
        ("summarise", {"n": "seven"}, "$.n"),
        ("summarise", {"n": 7, "nn": 7}, "$"),
    ],
)
def test_input_that_does_not_fit_says_where(client: Client, workflow: str, value: Any, path: str) -> None:
    with pytest.raises(wfe.InvalidInput) as caught:
        client.start(workflow, value)
    assert caught.value.path == path


def test_a_call_that_does_not_fit_is_refused(client: Client) -> None:
    for args, kwargs in [((), {}), ((1, 2, 3), {}), ((1,), {"n": 1}), ((1,), {"nothing": 1})]:
        with pytest.raises(wfe.InvalidInput):
            client.start(app_module.summarise, *args, **kwargs)
    with pytest.raises(wfe.InvalidInput):
        client.start(app_module.greet, "a task")  # type: ignore[call-overload]


def test_a_key_names_one_run(client: Client) -> None:
    run = client.start(app_module.choose, 7, key="order-42")
    assert client.start(app_module.choose, 7, key="order-42").id == run.id
    assert client.start("choose", 7, key="order-42").id == run.id
    assert run.result(timeout_s=T_S) == "hello middle"
    assert client.start(app_module.choose, 7, key="order-42").result(timeout_s=T_S) == "hello middle"
    with pytest.raises(wfe.KeyConflict):
        client.start(app_module.choose, 8, key="order-42")
    assert client.start(app_module.tagged, "north", key="order-42").id != run.id
    assert client.find(app_module.choose, "order-42").result(timeout_s=T_S) == "hello middle"


def test_start_many_takes_inputs_or_args(client: Client) -> None:
    runs = client.start_many(app_module.choose, [1, 7, 70])
    assert [run.result(timeout_s=T_S) for run in runs] == ["hello small", "hello middle", "hello big"]
    sums = client.start_many(app_module.arithmetic, [wfe.args(4, 2), wfe.args(a=9, b=3)])
    assert [run.result(timeout_s=T_S)["numbers"][3] for run in sums] == [2, 3]
    assert client.start_many(app_module.choose, []) == []


def test_lists_filter_by_status_workflow_key_and_tags(client: Client) -> None:
    north = client.start(app_module.tagged, "north-pole", tags={"who": "me"})
    south = client.start(app_module.tagged, "south-pole", key="south", tags={"who": "me"}, priority=5)
    waiting = client.start(app_module.asleep, tags={"who": "me"})
    for run in (north, south):
        run.result(timeout_s=T_S)
    until(waiting, lambda info: info.status == "waiting")
    assert {run.id for run in client.list(tags={"who": "me"})} == {north.id, south.id, waiting.id}
    assert [run.id for run in client.list(tags={"region": "north-pole"})] == [north.id]
    assert [run.id for run in client.list(workflow=app_module.tagged, key="south")] == [south.id]
    assert [run.id for run in client.list(workflow="tagged", status="completed", tags={"who": "me"})] == [
        south.id,
        north.id,
    ]
    assert [run.id for run in client.list(status="waiting", tags={"who": "me"})] == [waiting.id]
    assert len(client.list(limit=2)) == 2
    (found,) = client.list(key="south")
    assert found.info is not None
    assert (found.info.tags, found.info.priority) == ({"who": "me", "region": "south-pole"}, 5)
    with pytest.raises(wfe.InvalidInput):
        client.list(status="sleepy")


def test_signals_go_by_key_and_may_start_the_run(client: Client) -> None:
    with pytest.raises(wfe.UnknownRun):
        client.signal(app_module.in_order, "by-key", "one", 1)
    run = client.signal(app_module.in_order, "by-key", "one", 1, event_id="e1", start=wfe.args())
    again = client.signal(app_module.in_order, "by-key", "one", 1, event_id="e1", start=wfe.args())
    assert again.id == run.id
    client.signal(app_module.in_order, "by-key", "two", 2)
    assert run.result(timeout_s=T_S) == [1, 2]
    with pytest.raises(wfe.RunClosed):
        client.signal(app_module.in_order, "by-key", "two", 2)


def test_signals_are_queued_checked_and_counted_once(client: Client) -> None:
    run = client.start(app_module.in_order)
    run.signal("two", 22, event_id="same")
    run.signal("two", 99, event_id="same")
    with pytest.raises(wfe.InvalidInput):
        run.signal("one", "text")
    run.signal("one", 11)
    assert run.result(timeout_s=T_S) == [11, 22]


def test_a_result_that_is_late_is_a_timeout_and_the_run_goes_on(client: Client) -> None:
    run = client.start(app_module.in_order)
    with pytest.raises(TimeoutError):
        run.result(timeout_s=0.05)
    assert run.status() in ("running", "waiting")
    run.signal("one", 1)
    run.signal("two", 2)
    assert run.result(timeout_s=T_S) == [1, 2]
    assert client.get(run.id).result(timeout_s=T_S) == [1, 2]
    assert client.get(run.id).status() == "completed"


def test_a_cancelled_run_raises_and_takes_nothing_more(client: Client) -> None:
    run = client.start(app_module.asleep)
    run.cancel(compensate=True)
    with pytest.raises(wfe.RunCancelled):
        run.result(timeout_s=T_S)
    assert run.status() == "cancelled"
    with pytest.raises(wfe.RunClosed):
        run.signal("x")
    for refused in (run.pause, run.resume):
        with pytest.raises(wfe.RunClosed):
            refused()


def test_a_paused_run_takes_signals_that_count_at_resume(client: Client) -> None:
    run = client.start(app_module.in_order)
    until(run, signals)
    run.pause()
    assert run.status() == "paused"
    run.signal("one", 1)
    run.signal("two", 2)
    with pytest.raises(TimeoutError):
        run.result(timeout_s=0.1)
    run.resume()
    assert run.result(timeout_s=T_S) == [1, 2]


def test_history_lists_a_runs_events_in_order_and_follows_them(client: Client) -> None:
    run = client.start(app_module.choose, 7)
    followed = list(run.history(follow=True))
    assert [event.seq for event in followed] == list(range(1, len(followed) + 1))
    assert followed == run.history()
    assert (followed[0].type, followed[-1].type) == ("RunStarted", "RunEnded")
    assert "greet_2" in {event.node for event in followed}


def test_unknown_names_are_told_apart(client: Client) -> None:
    with pytest.raises(wfe.UnknownWorkflow):
        client.start("nobody", 1)
    with pytest.raises(wfe.UnknownWorkflow):
        client.start("choose@99", 1)
    with pytest.raises(wfe.UnknownRun):
        client.get("0" * 26)
    with pytest.raises(wfe.UnknownRun):
        client.find(app_module.choose, "nobody's key")


async def test_the_async_client_has_the_same_names(server: Server, token: str) -> None:
    async with wfe.aconnect(server.address, token) as client:
        run = await client.start(app_module.in_order, key="async")
        assert (await client.find(app_module.in_order, "async")).id == run.id
        with pytest.raises(TimeoutError):
            await run.result(timeout_s=0.05)
        await run.pause()
        await run.resume()
        await run.signal("one", 1)
        await client.signal(app_module.in_order, "async", "two", 2)
        assert await run.result(timeout_s=T_S) == [1, 2]
        assert await run.status() == "completed"
        assert [found.id for found in await client.list(workflow="in_order", key="async")] == [run.id]
        events = await run.history()
        assert [event.seq async for event in run.history(follow=True)] == [event.seq for event in events]
        runs = await client.start_many(app_module.choose, [1, 7])
        assert await asyncio.gather(*(run.result(timeout_s=T_S) for run in runs)) == ["hello small", "hello middle"]
        cancelled = await client.start(app_module.asleep)
        await cancelled.cancel()
        with pytest.raises(wfe.RunCancelled):
            await cancelled.result(timeout_s=T_S)


def test_who_cannot_connect_says_so(server: Server) -> None:
    with pytest.raises(wfe.Disconnected):
        wfe.connect("tcp://127.0.0.1:9", "token", connect_timeout_s=0.2)
    with pytest.raises(wfe.Unauthorized):
        wfe.connect(server.address, "wrong")


# ---- names and versions

VERSIONED = """
import wfe

@wfe.task
def double(n: int) -> int:
    return 2 * n

@wfe.workflow({options})
def versioned{suffix}(wf: wfe.Graph, n: int) -> int:
    wf.wait_signal("go")
    return {result}
"""


def versioned(directory: Path, result: str, suffix: str = "", options: str = "") -> Any:
    """The workflow as a file that was edited in between would give it."""
    file = directory / f"versioned_{abs(hash((result, options)))}.py"
    file.write_text(VERSIONED.format(result=result, suffix=suffix, options=options))
    spec = importlib.util.spec_from_file_location(file.stem, file)
    assert spec is not None
    assert spec.loader is not None
    module: ModuleType = importlib.util.module_from_spec(spec)
    sys.modules[file.stem] = module
    spec.loader.exec_module(module)
    return getattr(module, f"versioned{suffix}")


def test_the_server_counts_versions_and_a_run_keeps_its_graph(client: Client, tmp_path: Path) -> None:
    one, two = versioned(tmp_path, "double(n)"), versioned(tmp_path, "double(double(n))")
    assert [found.version for found in client.deploy(one)] == [1]
    assert [(found.version, found.changed) for found in client.deploy(one)] == [(1, False)]
    old = client.start(one, 5)
    assert [(found.version, found.changed) for found in client.deploy(two)] == [(2, True)]
    new, pinned = client.start(one, 5), client.start("versioned@1", 5)
    for run in (old, new, pinned):
        run.signal("go")
    assert [run.result(timeout_s=T_S) for run in (old, new, pinned)] == [10, 20, 10]
    assert [run.describe().version for run in (old, new, pinned)] == [1, 2, 1]


def test_an_explicit_version_keeps_its_graph(client: Client, tmp_path: Path) -> None:
    one = versioned(tmp_path, "double(n)", "_explicitly", "version=7")
    two = versioned(tmp_path, "n", "_explicitly", "version=7")
    assert [found.version for found in client.deploy(one)] == [7]
    with pytest.raises(wfe.VersionConflict):
        client.deploy(two)
    assert [found.version for found in client.deploy(one)] == [7]
