"""The decorators: what a call means, what is refused at the definition, what options become."""

from __future__ import annotations

import asyncio
import contextlib
import copy
import inspect
import pickle
import subprocess
import sys
from datetime import timedelta
from typing import Any

import pytest

import wfe
from wfe.model.policy import RetryPolicy
from wfe.model.registered import RegisteredTask, RegisteredWorkflow


@wfe.task
def double(x: int) -> int:
    """Twice as much."""
    return 2 * x


@wfe.task(version=3, run_in="process", timeout=timedelta(minutes=2))
async def later(x: int) -> int:
    return 3 * x


@wfe.task
def quadruple(x: int) -> int:
    return double(double(x))


@wfe.workflow
def flow(wf: wfe.Graph, x: int) -> int:
    return double(x)


def test_outside_of_a_drawing_a_task_is_its_function() -> None:
    assert double(4) == 8
    assert quadruple(1) == 4
    assert asyncio.run(later(2)) == 6  # type: ignore[arg-type]
    assert double.with_options(id="x")(5) == 10
    with pytest.raises(TypeError):
        double()  # type: ignore[call-arg]


def test_a_task_looks_like_its_function() -> None:
    assert double.__name__ == "double"
    assert double.__doc__ == "Twice as much."
    assert list(inspect.signature(double).parameters) == ["x"]
    assert pickle.loads(pickle.dumps(double)) is double
    assert copy.copy(double) is double


def test_a_task_carries_what_a_worker_needs() -> None:
    task = later.__wfe_task__
    assert isinstance(task, RegisteredTask)
    assert (task.name, task.version, task.is_async, task.run_in, task.timeout_ms) == (
        "later",
        3,
        True,
        "process",
        120_000,
    )
    assert (task.module, task.qualname, task.file) == (__name__, "later", __file__)
    assert task.retry is None
    assert inspect.iscoroutinefunction(task.function)


def test_a_workflow_carries_what_a_client_needs() -> None:
    workflow = flow.__wfe_workflow__
    assert isinstance(workflow, RegisteredWorkflow)
    assert (workflow.name, workflow.version, workflow.kind) == ("flow", None, "graph")
    assert list(inspect.signature(workflow.function).parameters) == ["wf", "x"]


def test_a_workflow_called_outside_of_a_workflow_says_how_to_run_it() -> None:
    for call in (flow, flow.with_options(id="x")):
        with pytest.raises(wfe.GraphError, match=r"client\.start\(flow, \.\.\.\).*wfe\.run\(flow") as refused:
            call(3)
        assert refused.value.file == __file__


def _nested() -> Any:
    @wfe.task
    def inner() -> None: ...

    return inner


class Holder:
    def method(self) -> None: ...

    async def generator(self) -> Any:
        yield 1


def generator() -> Any:
    yield 1


def many(*values: int) -> None: ...


def named(**values: int) -> None: ...


def positional(x: int, /) -> None: ...


def durable(wf: wfe.Durable, x: int) -> int:
    return x


def plain_first(order: int) -> int:
    return order


def no_parameters() -> None: ...


@pytest.mark.parametrize(
    ("decorate", "function", "words"),
    [
        (wfe.task, lambda: 1, "has a name"),
        (wfe.task, Holder.method, "a method cannot be a task"),
        (wfe.task, generator, "return a list"),
        (wfe.task, many, r"\*values"),
        (wfe.task, named, r"\*\*values"),
        (wfe.task, positional, "positional-only"),
        (wfe.task, Holder, "plain `def`"),
        (wfe.task, staticmethod(many), "plain `def`"),
        (wfe.workflow, lambda wf: 1, "has a name"),
        (wfe.workflow, generator, "generator"),
        (wfe.workflow, durable, "async def"),
        (wfe.workflow, plain_first, "annotated 'int'"),
        (wfe.workflow, no_parameters, "the first parameter is the graph"),
        (wfe.workflow, Holder, "plain `def`"),
        (wfe.workflow, double, "plain `def`"),
    ],
)
def test_what_cannot_be_a_task_or_a_workflow_is_refused_at_its_definition(
    decorate: Any, function: Any, words: str
) -> None:
    with pytest.raises(wfe.GraphError, match=words):
        decorate(function)


def test_a_task_inside_a_function_is_refused() -> None:
    with pytest.raises(wfe.GraphError, match="module level") as refused:
        _nested()
    assert refused.value.line == _nested.__code__.co_firstlineno + 1


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: wfe.task(version=0), "version"),
        (lambda: wfe.task(version=True), "version"),
        (lambda: wfe.task(name=""), "name"),
        (lambda: wfe.task(run_in="fiber"), "thread"),  # type: ignore[call-overload]
        (lambda: wfe.task(timeout=30), "did you mean"),  # type: ignore[call-overload]
        (lambda: wfe.task(timeout="0s"), "longer than 0"),
        (lambda: wfe.task(heartbeat="soon"), "not a duration"),
        (lambda: wfe.task(retry=3), r"wfe\.Retry"),  # type: ignore[call-overload]
        (lambda: wfe.task(limits=["db"]), "later version"),
        (lambda: wfe.workflow(version=0), "version"),
        (lambda: wfe.workflow(on="0 2 * * *"), "later version"),
        (lambda: wfe.workflow(on=["manual", 7]), "later version"),
        (lambda: wfe.workflow(tags=["a"]), "tags"),  # type: ignore[call-overload]
        (lambda: wfe.Retry(max_attempts=0), "at least 1"),
        (lambda: wfe.Retry(backoff=0.5), "backoff"),
        (lambda: wfe.Retry(jitter=2), "jitter"),
        (lambda: wfe.Retry(initial_delay=1), "did you mean"),  # type: ignore[arg-type]
        (lambda: wfe.Retry(on=(3,)), "types of errors"),  # type: ignore[arg-type]
        (lambda: wfe.Retry(never=(int,)), "types of errors"),  # type: ignore[arg-type]
        (lambda: wfe.Durable(None), "made by the engine"),
        (lambda: wfe.secret(""), "name of a secret"),
    ],
)
def test_a_bad_option_is_refused_at_its_line(build: Any, words: str) -> None:
    with pytest.raises(wfe.GraphError, match=words) as refused:
        build()
    assert (refused.value.file, refused.value.line) == (__file__, build.__code__.co_firstlineno)


def test_a_retry_policy_is_data() -> None:
    assert wfe.Retry().policy == RetryPolicy()
    assert wfe.Retry(
        max_attempts=None, max_delay=timedelta(hours=1), on="HttpError", never=OSError
    ).policy == RetryPolicy(max_attempts=None, max_delay_ms=3_600_000, on=("HttpError",), never=("OSError",))
    assert wfe.Retry(jitter=0) == wfe.Retry(jitter=0)


def test_a_secret_outside_of_a_drawing_is_its_value(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SOME_TOKEN", "hush")
    assert wfe.secret("SOME_TOKEN") == "hush"


def test_an_annotation_for_checkers_only_is_explained() -> None:
    @wfe.workflow
    def broken(wf: wfe.Graph, order: Missing) -> None:  # type: ignore[name-defined]  # noqa: F821
        double(1)

    with pytest.raises(wfe.GraphError, match=r"Missing.*TYPE_CHECKING"):
        broken.definition()


def test_a_type_without_json_form_is_refused() -> None:
    @wfe.workflow
    def broken(wf: wfe.Graph, value: complex) -> None:
        double(1)

    with pytest.raises(wfe.GraphError, match="the parameter 'value': complex cannot be a payload"):
        broken.definition()


def test_a_default_must_fit_its_type() -> None:
    @wfe.workflow
    def broken(wf: wfe.Graph, value: int = "x") -> None:  # type: ignore[assignment]
        double(1)

    with pytest.raises(wfe.GraphError, match="the default of 'value' takes int"):
        broken.definition()


def test_a_call_inside_a_drawing_ends_with_the_drawing() -> None:
    @wfe.workflow
    def broken(wf: wfe.Graph) -> None:
        double(1)
        raise ValueError("stop")

    with contextlib.suppress(wfe.GraphError):
        broken.definition()
    assert double(2) == 4


def test_importing_wfe_is_light_and_every_public_name_exists() -> None:
    script = (
        "import sys, wfe\n"
        "heavy = {'asyncio', 'zmq', 'msgspec', 'lmdb', 'yaml', 'logging'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
        "for name in wfe.__all__:\n"
        "    assert getattr(wfe, name) is not None, name\n"
        "assert set(wfe.__all__) <= set(dir(wfe))\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, timeout=60)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        _ = wfe.nothing  # type: ignore[attr-defined]
