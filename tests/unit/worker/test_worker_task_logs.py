"""Lines of tasks on their way to a shard: whose they are, bounds, masks, and shards that are away."""

from __future__ import annotations

import io
import logging
from contextlib import contextmanager

import msgspec
import worker_tasks
from runs import Runs

from support.worker_engine import Engine, result, spec
from wfe import observe
from wfe.limits import LOG_ATTEMPT_BYTES, LOG_LINE_CHARS_MAX, LOG_SEND_BYTES, LOG_WORKER_BYTES
from wfe.model.ids import mint_run_id
from wfe.wire.frames import Kind
from wfe.wire.messages import Ack
from wfe.wire.task_logs import LogBatch, LogLine
from wfe.worker import capture
from wfe.worker.context import context
from wfe.worker.functions import TaskFunction
from wfe.worker.job import CURRENT, Job, current_fields
from wfe.worker.link import LinkState
from wfe.worker.task_logs import LineBuffer

RUNS = [mint_run_id(0, 1_000 + number, number) for number in range(10)]
HERE = mint_run_id(0, 1_000, 77)
THERE = mint_run_id(1, 1_000, 77)


def lines_of(batch: LogBatch) -> list[LogLine]:
    lines = msgspec.msgpack.decode(batch.lines, type=list[LogLine])
    assert len(lines) == batch.count
    return lines


def texts(batches: list[LogBatch]) -> list[str]:
    return [line.text for batch in batches for line in lines_of(batch)]


def everything(lines: LineBuffer) -> list[LogBatch]:
    return lines.take(1 << 30, lambda _: True)


def say(lines: LineBuffer, text: str, run_id: str = HERE, **fields: object) -> None:
    token = CURRENT.set(Job(spec(run_id), TaskFunction(worker_tasks.registered(context))))
    try:
        lines.tap({"event": text, "level": "info", "logger": "x", "time": "now", **fields})
    finally:
        CURRENT.reset(token)


@contextmanager
def tapped():
    """Installed inside the test: pytest puts its own streams in place between fixtures and tests."""
    lines = LineBuffer()
    observe.configure("info", "json", stream=io.StringIO(), context=current_fields)
    observe.tap(lines.tap)
    capture.install()
    try:
        yield lines
    finally:
        capture.uninstall()
        observe.tap(None)
        observe.configure()


def prints() -> None:
    print("one\ntwo", end="")
    logging.getLogger("shop").warning("sold %d", 3)
    context().logger.info("structured", price=7)
    logging.getLogger("shop").debug("not shown, not kept")


async def test_what_a_task_prints_and_logs_is_kept_with_its_attempt():
    runs = Runs()
    with tapped() as lines:
        run = runs.start(prints)
        await runs.ended(run)
        print("outside")
    (batch,) = everything(lines)
    assert (batch.run_id, batch.node, batch.attempt) == (run, "node", 1)
    said = [(line.level, line.logger, line.text) for line in lines_of(batch)]
    assert said == [
        ("info", "wfe.print", "one"),
        ("warning", "shop", "sold 3"),
        ("info", "wfe.task", "structured price=7"),
        ("info", "wfe.print", "two"),
    ]
    assert not lines.waiting
    runs.runner.close()


async def test_the_process_of_a_task_hands_its_lines_over_before_its_end():
    lines = LineBuffer()
    runs = Runs(processes=1, lines=lines)
    await runs(worker_tasks.says, count=20)
    assert texts(everything(lines)) == [*(f"line {number}" for number in range(20)), "the end"]
    await runs(worker_tasks.says, count=50_000)
    batches = everything(lines)
    assert sum(batch.count + batch.dropped for batch in batches) == 50_001
    assert sum(len(batch.lines) for batch in batches) <= LOG_ATTEMPT_BYTES + 10
    assert texts(batches)[-1] == "the end"
    runs.runner.close()


def test_secrets_are_masked_and_long_lines_cut():
    lines = LineBuffer(lambda text: text.replace("hunter2", "***"))
    say(lines, "login with hunter2", password="hunter2")
    say(lines, "x" * (LOG_LINE_CHARS_MAX + 5))
    say(lines, "odd \udcff", exception="Traceback", trace_id="abc")
    (batch,) = everything(lines)
    first, second, third = texts([batch])
    assert [line.trace for line in lines_of(batch)] == ["", "", "abc"]
    assert first == "login with *** password='***'"
    assert second.endswith("x [5 more characters]")
    assert third == "odd \\udcff\nTraceback"


def test_an_attempt_that_says_too_much_keeps_its_newest_lines_and_counts_the_others():
    lines = LineBuffer()
    for number in range(1_000):
        say(lines, f"{number} {'x' * 1_000}")
    (batch,) = everything(lines)
    assert batch.count + batch.dropped == 1_000
    assert len(batch.lines) <= LOG_ATTEMPT_BYTES
    assert texts([batch])[-1].startswith("999 ")


def test_many_attempts_together_stay_within_the_worker_s_bound():
    lines = LineBuffer()
    for run in RUNS:
        for _ in range(240):
            say(lines, "x" * 1_000, run)
    batches = everything(lines)
    assert sum(len(batch.lines) for batch in batches) <= LOG_WORKER_BYTES + 30
    assert sum(batch.count + batch.dropped for batch in batches) == 2_400


def joined(lines: LineBuffer, shards: int = 1) -> Engine:
    engine = Engine(shards=shards, lines=lines)
    for place, endpoint in enumerate(engine.endpoints):
        endpoint.partitions = [place]
    return engine.join()


def test_lines_leave_with_the_tick_each_to_the_shard_of_its_run():
    lines = LineBuffer()
    engine = joined(lines, shards=2)
    say(lines, "here", HERE)
    say(lines, "there", THERE)
    engine.tick()
    sent = [(link, texts(body.batches)) for link, kind, body in engine.sent if kind == Kind.TASK_LOGS]
    assert sorted(sent) == [(0, ["here"]), (1, ["there"])]
    engine.sent.clear()
    engine.tick()
    assert engine.take(Kind.TASK_LOGS) == []


def test_lines_come_before_the_result_of_their_attempt():
    lines = LineBuffer()
    engine = joined(lines)
    engine.dispatch(0, 1, spec(HERE))
    say(lines, "said")
    engine.end(result(HERE))
    kinds = [kind for _, kind, _ in engine.sent]
    assert kinds.index(Kind.TASK_LOGS) < kinds.index(Kind.RESULTS)


def test_a_flood_leaves_in_small_parts():
    lines = LineBuffer()
    engine = joined(lines)
    sizes = []
    for _ in range(30):
        for _ in range(500):
            say(lines, "x" * 1_000)
        engine.tick()
        sizes += [sum(len(batch.lines) for batch in frame.batches) for frame in engine.take(Kind.TASK_LOGS)]
    assert max(sizes) <= LOG_ATTEMPT_BYTES
    assert max(sizes[5:]) <= LOG_SEND_BYTES + 2 * 1_100


def test_lines_wait_for_a_shard_that_is_away_and_frames_are_numbered():
    lines = LineBuffer()
    engine = joined(lines)
    engine.actor.links[0].down()
    say(lines, "kept")
    engine.tick()
    assert engine.take(Kind.TASK_LOGS) == []
    engine.actor.links[0].state = LinkState.OPEN
    engine.tick()
    say(lines, "more")
    engine.tick()
    frames = engine.take(Kind.TASK_LOGS)
    assert [(frame.seq, texts(frame.batches)) for frame in frames] == [(1, ["kept"]), (2, ["more"])]


def test_what_a_dead_shard_did_not_acknowledge_goes_to_the_next_one_in_order():
    lines = LineBuffer()
    engine = joined(lines)
    for text in ("stored", "one", "two"):
        say(lines, text)
        engine.tick()
    engine.receive(0, Kind.LOGS_ACK, Ack(1))
    engine.actor.links[0].down()
    say(lines, "three")
    engine.take(Kind.TASK_LOGS)
    engine.endpoints[0].epoch = 2
    engine.welcome()
    engine.welcome_from(0, epoch=2)
    engine.tick()
    (frame,) = engine.take(Kind.TASK_LOGS)
    assert texts(frame.batches) == ["one", "two", "three"]
    engine.receive(0, Kind.LOGS_ACK, Ack(frame.seq))
    engine.tick()
    assert engine.take(Kind.TASK_LOGS) == []


def test_a_new_hello_to_the_same_shard_sends_no_line_twice():
    lines = LineBuffer()
    engine = joined(lines)
    say(lines, "once")
    engine.tick()
    engine.take(Kind.TASK_LOGS)
    engine.receive(0, Kind.REJECT)
    engine.welcome_from(0)
    engine.tick()
    assert engine.take(Kind.TASK_LOGS) == []


def test_what_is_not_acknowledged_takes_bounded_memory():
    lines = LineBuffer()
    engine = joined(lines)
    for _ in range(100):
        for _ in range(120):
            say(lines, "x" * 1_000)
        engine.tick()
    engine.actor.links[0].endpoint.epoch = 2
    engine.actor.links[0].state = LinkState.HELLO
    engine.tick()
    assert sum(len(batch.lines) for batch in everything(lines)) <= LOG_WORKER_BYTES
