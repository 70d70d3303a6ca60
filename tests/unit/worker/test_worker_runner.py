"""What a task gets, and what becomes of what it gives: values, errors, context, output."""

from __future__ import annotations

import asyncio
import dataclasses
import io
import json
import logging
import sys
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

import msgspec
import pydantic
import pytest
from msgspec import Raw
from runs import Runs, failed, value
from worker_tasks import registered

from wfe import observe
from wfe.errors import Fatal, RetryAfter
from wfe.limits import ERROR_MESSAGE_CHARS_MAX, PAYLOAD_BYTES_MAX, TRACEBACK_CHARS_MAX
from wfe.model.registered import SECRET_KEY
from wfe.secrets import read_secret
from wfe.wire.messages import TaskSpec
from wfe.worker import capture
from wfe.worker.context import context
from wfe.worker.functions import TaskFunction
from wfe.worker.job import current_fields


@pytest.fixture
async def runs():
    made = Runs()
    yield made
    made.runner.close()


# ---- arguments and results


class Item(msgspec.Struct):
    name: str
    price: float


@dataclasses.dataclass
class Order:
    id: str
    items: list[Item]


class Person(pydantic.BaseModel):
    name: str
    age: int = 1


def nothing() -> None: ...


async def nothing_async() -> None: ...


def total(order: Order, factor: float = 2.0) -> float:
    assert isinstance(order.items[0], Item)
    return factor * sum(item.price for item in order.items)


async def older(person: Person) -> Person:
    return Person(name=person.name, age=person.age + 1)


def untyped(a, /, b=3):
    return {"sum": a + b, "when": timedelta(seconds=1)}


def wants_an_int(x: int) -> int:
    return x


def tells_the_secret(password: str, options: dict[str, Any]) -> list[str]:
    return [password, options["deep"][0]]


ORDER = {"id": "o", "items": [{"name": "a", "price": 1.5}, {"name": "b", "price": 2.0}]}


@pytest.mark.parametrize("function", [nothing, nothing_async])
async def test_a_task_without_arguments_gives_null(runs, function):
    result = await runs(function)
    assert value(result) is None
    assert result.started_us >= 0


async def test_arguments_arrive_in_their_annotated_types(runs):
    assert value(await runs(total, order=ORDER)) == 7.0
    assert value(await runs(total, order=ORDER, factor=1.0)) == 3.5
    assert value(await runs(older, person={"name": "ann"})) == {"name": "ann", "age": 2}
    assert value(await runs(untyped, a=1))["sum"] == 4


async def test_arguments_that_do_not_fit_fail_for_good_and_say_where(runs):
    error = failed(await runs(wants_an_int, x="three"))
    assert error.type == "InvalidInput"
    assert error.fatal
    assert "$.x" in error.message
    missing = failed(await runs(wants_an_int))
    assert "x" in missing.message
    assert missing.fatal


async def test_secrets_are_put_in_only_in_the_worker(runs, monkeypatch):
    monkeypatch.setenv("DB_PASSWORD", "hunter2")
    assert read_secret("DB_PASSWORD") == "hunter2"
    result = await runs(
        tells_the_secret, password={SECRET_KEY: "DB_PASSWORD"}, options={"deep": [{SECRET_KEY: "DB_PASSWORD"}]}
    )
    assert value(result) == ["hunter2", "hunter2"]


async def test_a_running_task_does_not_keep_the_frame_of_its_input():
    function = TaskFunction(registered(wants_an_int))
    spec = TaskSpec("r", 0, 0, 1, "wants_an_int", 1, "node", Raw(msgspec.msgpack.encode({"x": 5})))
    assert function.invoke(spec) == 5
    assert spec.input == Raw(b"\xc0")


def test_the_estimate_of_a_task_follows_its_calls_and_not_a_single_hiccup():
    function = TaskFunction(registered(nothing))
    for _ in range(100):
        function.took(2)
    assert function.estimate_us < 10
    function.took(5_000)
    assert function.estimate_us < 50
    for _ in range(40):
        function.took(50_000)
    assert function.estimate_us > 40_000


def returns_a_socket() -> object:
    return {"answer": [1, io.StringIO()]}


async def returns_too_much() -> bytes:
    return b"x" * PAYLOAD_BYTES_MAX


async def test_a_result_that_is_no_payload_fails_for_good(runs):
    error = failed(await runs(returns_a_socket))
    assert error.type == "InvalidInput"
    assert error.fatal
    assert "$.answer[1]" in error.message
    large = failed(await runs(returns_too_much))
    assert large.type == "PayloadTooLarge"
    assert large.fatal


async def test_a_task_that_this_worker_does_not_have_fails_as_unknown(runs):
    waiting = runs._waiting["ghost"] = asyncio.get_running_loop().create_future()
    runs.runner.start(TaskSpec("ghost", 0, 0, 1, "nobody", 7, "node", Raw(b"\x80")))
    error = failed(await waiting)
    assert error.type == "UnknownTask"
    assert error.fatal
    assert "'nobody' in version 7" in error.message


# ---- errors


class CardDeclined(ValueError):
    pass


class Unprintable(Exception):
    def __str__(self) -> str:
        raise RuntimeError("no")


def declines() -> None:
    raise CardDeclined("too poor")


async def is_fatal() -> None:
    raise Fatal("never again")


def wants_a_pause() -> None:
    raise RetryAfter("30s")


def leaves() -> None:
    sys.exit(3)


async def leaves_async() -> None:
    sys.exit(3)


async def interrupts() -> None:
    raise KeyboardInterrupt


async def cancels_itself() -> None:
    raise asyncio.CancelledError


def recurses(depth: int = 0) -> None:
    recurses(depth + 1)


def is_verbose() -> None:
    raise ValueError("x" * 100_000)


def is_unprintable() -> None:
    raise Unprintable


async def test_an_exception_travels_with_type_bases_message_and_traceback(runs):
    error = failed(await runs(declines))
    assert (error.type, error.message, error.node) == ("CardDeclined", "too poor", "node")
    assert error.types[:2] == ("CardDeclined", f"{__name__}.CardDeclined")
    assert {"ValueError", "Exception"} <= set(error.types)
    assert 'raise CardDeclined("too poor")' in error.traceback
    assert str(Path("wfe", "worker")) not in error.traceback
    assert not error.fatal


async def test_fatal_and_retry_after_keep_their_meaning(runs):
    assert failed(await runs(is_fatal)).fatal
    pause = failed(await runs(wants_a_pause))
    assert pause.retry_after_ms == 30_000
    assert not pause.fatal


@pytest.mark.parametrize(
    ("function", "kind"),
    [
        (leaves, "SystemExit"),
        (leaves_async, "SystemExit"),
        (interrupts, "KeyboardInterrupt"),
        (cancels_itself, "CancelledError"),
        (is_unprintable, "Unprintable"),
    ],
)
async def test_whatever_a_task_raises_fails_the_task_and_nothing_else(runs, function, kind):
    assert failed(await runs(function)).type == kind
    assert value(await runs(nothing)) is None
    assert value(await runs(nothing_async)) is None


async def test_messages_and_tracebacks_are_bounded(runs):
    deep = failed(await runs(recurses))
    assert deep.type == "RecursionError"
    assert 100 < len(deep.traceback) <= TRACEBACK_CHARS_MAX
    verbose = failed(await runs(is_verbose))
    assert len(verbose.message) <= ERROR_MESSAGE_CHARS_MAX
    assert "characters left out" in verbose.message


async def test_annotations_that_cannot_be_used_fail_the_task_with_their_place(runs):
    def broken(x: NoSuchType) -> None: ...  # noqa: F821

    error = failed(await runs(broken, x=1))
    assert error.fatal
    assert "NoSuchType" in error.message
    assert "test_worker_runner.py" in error.message


# ---- context


def describes() -> list[Any]:
    here = context()
    return [here.run_id, here.node, here.attempt, here.key, here.previous, here.cancelled, here.deadline is None]


async def describes_async() -> list[Any]:
    await asyncio.sleep(0)
    return describes()


@pytest.mark.parametrize("function", [describes, describes_async])
async def test_a_task_knows_its_place(runs, function):
    run = runs.start(function, {"previous": Raw(msgspec.msgpack.encode({"page": 7}))})
    assert value(await runs.ended(run)) == [run, "node", 1, f"{run}/node/0", {"page": 7}, False, True]


async def test_concurrent_tasks_each_see_their_own_context(runs):
    names = [runs.start(describes_async) for _ in range(20)]
    assert [value(await runs.ended(run))[0] for run in names] == names


def beats() -> None:
    context().heartbeat({"done": 3}, progress=0.5)
    context().heartbeat({"done": 4}, progress=0.75)
    raise ValueError


async def test_the_last_heartbeat_is_handed_on_before_the_result(runs):
    await runs(beats)
    (beat,) = runs.beats
    assert msgspec.msgpack.decode(beat.details) == {"done": 4}
    assert beat.progress == 0.75


def test_outside_a_worker_the_context_is_a_dummy():
    here = context()
    assert (here.run_id, here.attempt, here.previous, here.cancelled, here.deadline) == ("local", 1, None, False, None)
    here.heartbeat({"a": 1}, progress=1.0)
    with pytest.raises(ValueError, match="0 to 1"):
        here.heartbeat(progress=7)
    assert here.logger is not None


def has_a_deadline() -> float:
    deadline = context().deadline
    assert deadline is not None
    return deadline.timestamp()


async def test_the_deadline_is_a_wall_time(runs):
    import time

    before = time.time()
    at = value(await runs(has_a_deadline, {"timeout_ms": 50_000}))
    assert before + 49 < at < time.time() + 51


# ---- output


def prints() -> None:
    print("one\ntwo")
    print("three", end="")
    logging.getLogger("shop").warning("sold %d", 3)
    context().logger.info("structured", price=7)


async def prints_async() -> None:
    print("from the loop")


@contextmanager
def captured():
    """Installed inside the test: pytest puts its own streams in place between fixtures and tests."""
    stream, original = io.StringIO(), sys.stdout
    observe.configure("info", "json", stream=stream, context=current_fields)
    capture.install()
    try:
        yield stream
    finally:
        capture.uninstall()
        observe.configure()
    assert sys.stdout is original


async def test_output_of_tasks_becomes_log_lines_with_their_place(runs):
    with captured() as log:
        run = runs.start(prints)
        await runs.ended(run)
        other = runs.start(prints_async)
        await runs.ended(other)
    lines = [json.loads(line) for line in log.getvalue().splitlines()]
    said = [(line["event"], line["run"], line["node"], line["attempt"]) for line in lines]
    assert said == [
        ("one", run, "node", 1),
        ("two", run, "node", 1),
        ("sold 3", run, "node", 1),
        ("structured", run, "node", 1),
        ("three", run, "node", 1),
        ("from the loop", other, "node", 1),
    ]
    assert lines[2]["logger"] == "shop"
    assert lines[3]["price"] == 7


def test_output_outside_tasks_is_left_alone(capsys):
    with captured() as log:
        print("plain")
        logging.getLogger("x").warning("w")
    assert "run" not in json.loads(log.getvalue())
    assert capsys.readouterr().out == "plain\n"
