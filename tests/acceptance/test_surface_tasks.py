"""DESIGN section 6, "Inside a task" and "A call means": tasks as plain functions, and in a real worker."""

from __future__ import annotations

import asyncio
import datetime
import inspect
import json
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import surface_app as app_module
from surface_app import Item, Order
from surface_checks import T_S, result_of, until_file
from surface_tasks import CardStolen, database

import wfe
from conftest import Server
from wfe.client import Client, Run


@pytest.fixture(scope="module")
def app() -> Path:
    return Path(app_module.__file__)


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Server], app: Path) -> Iterator[Server]:
    """A server whose workers know the secret."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(app_module.SECRET, "hush-hush")
        yield start_server("--shards", "2", "--workers", "2", "--app", str(app))


@pytest.fixture(scope="module")
def client(server: Server) -> Iterator[Client]:
    with wfe.connect(server.address, (server.data / "token").read_text().strip()) as client:
        yield client


def failure_of(client: Client, workflow: Any, *args: Any) -> Any:
    with pytest.raises(wfe.RunFailed) as caught:
        result_of(client, workflow, *args)
    return caught.value.error


# ---- anywhere else a task is its plain function


def test_outside_a_workflow_a_task_is_its_function() -> None:
    assert app_module.pack(Item("ink", 2)) == "inkx2"
    assert app_module.pack(item=Item("ink")) == "inkx1"
    assert app_module.charge(Order("o", 1)) == "charge-o"
    assert asyncio.run(app_module.add(1, b=2)) == 3
    coroutine = app_module.add(1)
    assert inspect.iscoroutine(coroutine)
    coroutine.close()
    assert app_module.elsewhere() == os.getpid()
    with pytest.raises(CardStolen):
        app_module.charge(Order("stolen", 1))
    with pytest.raises(wfe.Fatal):
        app_module.moody("fatal")
    with pytest.raises(wfe.RetryAfter):
        app_module.moody("after")
    assert app_module.greet.with_options(id="x")("you") == "hello you"
    assert (app_module.facts.__name__, app_module.facts.__doc__) == ("facts", "What wfe.context() says.")


def test_outside_a_worker_the_context_is_a_dummy() -> None:
    context = wfe.context()
    assert (context.attempt, context.cancelled, context.previous, context.deadline) == (1, False, None, None)
    assert isinstance(context.run_id, str)
    assert isinstance(context.node, str)
    assert isinstance(context.key, str)
    context.heartbeat()
    context.heartbeat({"done": 1}, progress=0.25)
    context.logger.debug("outside")


def test_outside_a_worker_resources_and_secrets_work(monkeypatch: pytest.MonkeyPatch) -> None:
    assert database() is database()
    assert app_module.uses_database() == app_module.uses_database() - 1
    monkeypatch.setenv(app_module.SECRET, "abc")
    assert wfe.secret(app_module.SECRET) == "abc"
    monkeypatch.delenv(app_module.SECRET)
    with pytest.raises(wfe.WfeError, match=app_module.SECRET):
        wfe.secret(app_module.SECRET)


# ---- what the decorators refuse


def generator() -> Iterator[int]:
    yield 1


class Holder:
    def method(self) -> None: ...


@pytest.mark.parametrize("function", [generator, Holder.method, lambda: None, Holder])
def test_only_functions_at_module_level_become_tasks(function: Any) -> None:
    with pytest.raises(wfe.GraphError):
        wfe.task(function)


@pytest.mark.parametrize(
    "options", [{"timeout": 5}, {"heartbeat": 5}, {"timeout": "5"}, {"timeout": "0s"}, {"run_in": "moon"}]
)
def test_durations_are_text_or_timedeltas(options: dict[str, Any]) -> None:
    with pytest.raises(wfe.GraphError) as caught:
        wfe.task(**options)(generator)
    assert caught.value.file == __file__
    wfe.task(timeout=datetime.timedelta(seconds=5), heartbeat="100ms")


def test_retry_policies_refuse_what_they_cannot_mean() -> None:
    wfe.Retry(None, "100ms", 1.0, datetime.timedelta(hours=2), 0.0, on=(OSError, "HttpError"), never=("Gone",))
    bad: list[dict[str, Any]] = [
        {"max_attempts": 0},
        {"initial_delay": 1},
        {"max_delay": "1"},
        {"backoff": 0.5},
        {"jitter": 2},
        {"on": (5,)},
    ]
    for options in bad:
        with pytest.raises(wfe.GraphError):
            wfe.Retry(**options)
    with pytest.raises(TypeError, match="30s"):
        wfe.RetryAfter(30)  # type: ignore[arg-type]


def test_every_error_has_one_root() -> None:
    named = "GraphError InvalidInput UnknownWorkflow VersionConflict KeyConflict RunClosed Busy Disconnected"
    for name in [*named.split(), "RunFailed", "RunCancelled", "Fatal", "RetryAfter", "TaskCancelled", "TimedOut"]:
        assert issubclass(getattr(wfe, name), wfe.WfeError), name


# ---- in a worker


def test_the_context_tells_a_task_who_it_is(client: Client) -> None:
    run = client.start(app_module.about_itself)
    facts = run.result(timeout_s=T_S)["facts"]
    assert (facts["run_id"], facts["node"], facts["attempt"]) == (run.id, "facts", 1)
    assert (facts["cancelled"], facts["previous"]) == (False, None)
    assert run.id in facts["key"]
    assert facts["pid"] != os.getpid()


def test_a_policy_bounds_attempts_and_fatal_ends_them(client: Client) -> None:
    error = failure_of(client, app_module.moods, "bad")
    assert (error.type, error.message, error.attempts) == ("ValueError", "attempt 4", 4)
    error = failure_of(client, app_module.moods, "fatal")
    assert (error.type, error.message, error.attempts) == ("Fatal", "for good", 1)
    assert result_of(client, app_module.moods, "after") == "after 3"
    error = failure_of(client, app_module.patient_moods, "bad")
    assert (error.node, error.attempts) == ("once", 1)
    error = failure_of(client, app_module.patient_moods, "after")
    assert (error.type, error.attempts) == ("RetryAfter", 1)


def test_the_next_attempt_sees_what_the_last_heartbeat_left(client: Client) -> None:
    assert result_of(client, app_module.beating) == {"done": 7}


def test_run_in_process_is_a_process_of_its_own(client: Client) -> None:
    facts, pid = result_of(client, app_module.processes)
    assert pid not in (facts["pid"], os.getpid())


@pytest.mark.parametrize("workflow", [app_module.spinning, app_module.hanging])
def test_a_time_limit_stops_tasks_that_do_not_look(client: Client, workflow: Any) -> None:
    error = failure_of(client, workflow)
    assert (error.type, error.attempts) == ("TimedOut", 1)
    assert result_of(client, app_module.choose, 7) == "hello middle"


@pytest.mark.parametrize("workflow", [app_module.cancellable, app_module.cancellable_async])
def test_cancelled_tasks_are_told(client: Client, tmp_path: Path, workflow: Any) -> None:
    run: Run[Any] = client.start(workflow, str(tmp_path))
    until_file(tmp_path / "running")
    run.cancel()
    until_file(tmp_path / "stopped")
    with pytest.raises(wfe.RunCancelled):
        run.result(timeout_s=T_S)


def test_a_resource_is_one_instance_per_worker_process(client: Client) -> None:
    counts = [count for _ in range(5) for count in result_of(client, app_module.resourceful)]
    assert max(counts) >= len(counts) // 2
    assert sorted(set(counts)) == list(range(1, max(counts) + 1))


def test_a_secret_stays_a_name_in_the_graph_and_out_of_history(client: Client) -> None:
    run = client.start(app_module.secretive)
    assert run.result(timeout_s=T_S) == len("hush-hush")
    assert "hush-hush" not in json.dumps([event.data for event in run.history()])
    definition = client.definition(app_module.secretive)
    assert app_module.SECRET in repr(definition)
    assert "hush-hush" not in repr(definition)


def test_results_that_cannot_travel_fail_their_task_only(client: Client) -> None:
    error = failure_of(client, app_module.nonsensical)
    assert error.node == "gives_nonsense"
    assert "object" in error.message
    error = failure_of(client, app_module.oversized, 9 << 20)
    assert error.type == "PayloadTooLarge"
    assert len(result_of(client, app_module.oversized, 7 << 20)) == 7 << 20


def test_an_input_that_is_too_large_is_refused(client: Client) -> None:
    with pytest.raises(wfe.PayloadTooLarge):
        client.start("tagged", "x" * (9 << 20))
