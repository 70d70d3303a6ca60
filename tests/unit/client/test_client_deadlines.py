"""How long a start is worth to a client: single ones from the call on, `start_many` from the last that moved."""

from __future__ import annotations

import pytest

from support.client_world import World, a_run
from support.fake_front import FakeFront, decode
from wfe.client.starts import START_WINDOW, StartBatch
from wfe.errors import Busy, Disconnected, Unavailable
from wfe.limits import FRAME_MESSAGES_MAX
from wfe.model.ids import partition_of_key
from wfe.wire.frames import Kind
from wfe.wire.messages import ErrorReply, StartOutcome, StartRun

TIMEOUT_MS = 5_000


def started(world: World, count: int) -> list[StartBatch]:
    """Single starts, each a frame of its own."""
    return [world.start(a_run(number), timeout_ms=TIMEOUT_MS) for number in range(count)]


def bulk(world: World, count: int) -> StartBatch:
    batch = StartBatch([a_run(number) for number in range(count)], bulk=True)
    world.session.start("hello", 0, batch, world.now_ms, timeout_ms=TIMEOUT_MS)
    world.settle()
    return batch


def keys_of_two_partitions() -> tuple[str, str]:
    keys = {partition_of_key("default", "hello", key, 2): key for key in map(str, range(99))}
    return keys[0], keys[1]


# ---- single starts ----


def test_a_start_that_waited_behind_others_until_its_time_was_up_is_refused_and_does_not_exist() -> None:
    world = World(FakeFront(partitions=1))
    world.front.drop = {Kind.START}
    batches = started(world, 2 * START_WINDOW)
    world.run(TIMEOUT_MS - 1)
    assert all(batch.open for batch in batches)
    world.run(2)
    assert not any(batch.open for batch in batches)
    *_, last = batches
    assert type(last.errors[0]) is Busy
    assert last.errors[0].retry_after_s > 0
    assert "never sent" in str(last.errors[0])
    sent = {
        run.run_id for kind, _, body in world.front.seen if kind is Kind.START for run in decode(body, list[StartRun])
    }
    assert last.runs[0].run_id not in sent
    assert batches[0].runs[0].run_id in sent


def test_the_time_of_a_start_counts_from_the_call_even_if_it_leaves_late() -> None:
    world = World(FakeFront(partitions=1))
    world.front.drop = {Kind.START}
    started(world, START_WINDOW)
    world.run(3_000)
    late = world.start(a_run(), timeout_ms=TIMEOUT_MS)
    world.run(TIMEOUT_MS - 3_000 + 10)  # the window is free: it leaves
    assert late.open == 1
    assert late.runs[0].run_id in {
        run.run_id for kind, _, body in world.front.seen if kind is Kind.START for run in decode(body, list[StartRun])
    }
    world.run(3_000)
    assert late.open == 0


def test_a_start_that_was_sent_and_not_answered_is_of_unknown_outcome_and_says_so() -> None:
    world = World()
    world.front.drop = {Kind.START}
    batch = world.start(a_run(), timeout_ms=TIMEOUT_MS)
    world.run(TIMEOUT_MS + 10)
    assert type(batch.errors[0]) is Disconnected
    assert "not known" in str(batch.errors[0])


@pytest.mark.parametrize(("code", "kind"), [("busy", Busy), ("unavailable", Unavailable)])
def test_a_start_that_was_put_off_each_time_was_refused_for_sure(code: str, kind: type[Exception]) -> None:
    world = World()
    world.front.errors[Kind.START] = [ErrorReply(code, "not now", retry_after_ms=300)] * 1_000
    batch = world.start(a_run(), timeout_ms=TIMEOUT_MS)
    world.run(TIMEOUT_MS + 10)
    assert type(batch.errors[0]) is kind
    assert "not known" not in str(batch.errors[0])


def test_a_start_that_was_put_off_and_then_not_answered_is_of_unknown_outcome() -> None:
    world = World()
    world.front.errors[Kind.START] = [ErrorReply("busy", "not now", retry_after_ms=300)]
    batch = world.start(a_run(), timeout_ms=TIMEOUT_MS)
    world.front.drop = {Kind.START}
    world.run(TIMEOUT_MS + 10)
    assert type(batch.errors[0]) is Busy
    assert "not now" in str(batch.errors[0])
    assert "not known" in str(batch.errors[0])


def test_starts_that_wait_for_a_server_that_is_gone_are_given_up_in_time_as_disconnected() -> None:
    world = World()
    world.front.deaf = True
    world.start(a_run(), timeout_ms=60_000)
    world.run(10_000)  # the connection is found to be lost
    batch = world.start(a_run(), timeout_ms=TIMEOUT_MS)
    world.run(TIMEOUT_MS + 10)
    assert type(batch.errors[0]) is Disconnected
    assert "never sent" in str(batch.errors[0])


def test_a_start_without_a_time_limit_waits_for_ever() -> None:
    world = World()
    world.front.drop = {Kind.START}
    batch = world.start(a_run(), timeout_ms=None)
    world.run(600_000)
    assert batch.open == 1


def test_nobody_asks_for_the_end_of_a_run_whose_start_was_given_up() -> None:
    world = World(FakeFront(partitions=1))
    world.front.drop = {Kind.START}
    batches = started(world, START_WINDOW + 5)
    world.run(TIMEOUT_MS + 10)
    assert not any(batch.open for batch in batches)
    assert len(world.session.watches) == 0


# ---- many at once ----


def test_many_starts_go_on_for_as_long_as_some_of_them_are_taken() -> None:
    world = World(FakeFront(partitions=1))
    accept = world.front.start_one
    taken: list[int] = []

    def start_one(workflow: str, run: StartRun) -> StartOutcome:
        """One start per second."""
        if len(taken) > (world.now_ms - 1_000) // 1_000:
            return StartOutcome(run.run_id, False, ErrorReply("busy", "full", retry_after_ms=100))
        taken.append(world.now_ms)
        return accept(workflow, run)

    world.front.start_one = start_one  # type: ignore[method-assign]
    batch = bulk(world, 30)
    world.run(20_000)
    assert 0 < batch.open < 30
    world.run(60_000)
    assert batch.open == 0
    assert not batch.errors


def test_many_starts_are_given_up_together_when_none_moves_for_the_timeout() -> None:
    world = World(FakeFront(partitions=2))
    world.front.drop = {Kind.START}
    batch = bulk(world, 3 * START_WINDOW * FRAME_MESSAGES_MAX)
    world.run(TIMEOUT_MS - 10)
    assert batch.open == len(batch.runs)
    world.run(100)
    assert batch.open == 0
    assert len(batch.errors) == len(batch.runs)


def test_many_starts_that_wait_behind_others_count_from_what_those_do() -> None:
    world = World(FakeFront(partitions=1))
    accept = world.front.start_one
    most = 10
    """Starts that are taken per second."""

    def start_one(workflow: str, run: StartRun) -> StartOutcome:
        if decode(bytes(run.input), int) >= most * (world.now_ms - 1_000) // 1_000:
            return StartOutcome(run.run_id, False, ErrorReply("busy", "full", retry_after_ms=100))
        return accept(workflow, run)

    world.front.start_one = start_one  # type: ignore[method-assign]
    first = bulk(world, START_WINDOW * FRAME_MESSAGES_MAX)
    second = bulk(world, FRAME_MESSAGES_MAX)
    world.run(TIMEOUT_MS + 3_000)  # no frame of the first is done yet, and none of the second has left
    assert first.open < len(first.runs)
    assert second.open == len(second.runs)
    most = 10_000
    world.run(20_000)
    assert first.open == second.open == 0
    assert not first.errors
    assert not second.errors


def test_a_start_that_was_put_off_says_that_it_was_sent_before() -> None:
    """The network may double a frame: the double of what was put off may be taken, and its run end, before this one."""
    world = World(FakeFront(partitions=1))
    accept, said = world.front.start_one, []

    def start_one(workflow: str, run: StartRun) -> StartOutcome:
        said.append(run.resent)
        if len(said) == 1:
            return StartOutcome(run.run_id, False, ErrorReply("busy", "later", retry_after_ms=10))
        return accept(workflow, run)

    world.front.start_one = start_one  # type: ignore[method-assign]
    world.start(a_run(), timeout_ms=TIMEOUT_MS)
    world.run(TIMEOUT_MS // 2)
    assert said == [False, True]


def test_a_lone_start_leaves_beside_many_that_are_not_answered() -> None:
    world = World(FakeFront(partitions=1))
    world.front.drop = {Kind.START}
    many = bulk(world, 2 * START_WINDOW * FRAME_MESSAGES_MAX)
    world.front.drop = set()
    assert world.start(a_run(), timeout_ms=TIMEOUT_MS).open == 0
    assert many.open == len(many.runs)


def test_a_partition_that_takes_nothing_ends_many_starts_once_the_others_are_done() -> None:
    world = World(FakeFront(partitions=2))
    silent, heard = keys_of_two_partitions()
    batch = StartBatch([a_run(0, key=silent), a_run(1, key=heard)], bulk=True)
    accept = world.front.start_one

    def start_one(workflow: str, run: StartRun) -> StartOutcome:
        if run.key == silent:
            return StartOutcome(run.run_id, False, ErrorReply("unavailable", "away", retry_after_ms=100))
        return accept(workflow, run)

    world.front.start_one = start_one  # type: ignore[method-assign]
    world.session.start("hello", 0, batch, world.now_ms, timeout_ms=TIMEOUT_MS)
    world.settle()
    assert batch.open == 1
    world.run(2 * TIMEOUT_MS)
    assert {index: type(error) for index, error in batch.errors.items()} == {0: Unavailable}
