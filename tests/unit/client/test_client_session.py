"""The client's state machine, driven frame by frame on a clock that the test owns."""

from __future__ import annotations

from collections import Counter

import pytest

from support.client_world import Dice, World, a_run
from support.fake_front import FakeFront, decode, encode
from wfe.client.questions import NEVER
from wfe.client.session import PROBE_MS, SILENCE_MS
from wfe.client.starts import START_WINDOW, Spread, frames_of
from wfe.errors import Busy, Disconnected, InvalidInput, KeyConflict, Unauthorized, Unavailable, WfeError
from wfe.limits import FRAME_MESSAGES_MAX
from wfe.model.ids import partition_of, partition_of_key, time_of
from wfe.wire.frames import Kind, header
from wfe.wire.messages import ErrorReply, RunView, ShardEndpoint, StartOutcome, StartRun, Welcome

# ---- hello ----


def test_hello_is_repeated_until_the_server_answers() -> None:
    front = FakeFront()
    front.deaf = True
    world = World(front)
    world.run(2_000)
    assert len(front.sent(Kind.HELLO)) > 3
    front.deaf = False
    world.run(1_000)
    assert world.session.connected


def test_a_wrong_token_ends_the_session() -> None:
    world = World(token="wrong")
    assert isinstance(world.session.failed, Unauthorized)


def test_a_request_before_the_welcome_leaves_after_it() -> None:
    front = FakeFront()
    front.deaf = True
    world = World(front)
    answers = world.ask(Kind.STATUS, None)
    assert front.sent(Kind.STATUS) == []
    front.deaf = False
    world.run(1_000)
    assert len(answers) == 1


def test_an_idle_session_is_silent() -> None:
    world = World()
    world.run(60_000)
    assert len(world.front.seen) == 1
    assert world.session.due_ms == NEVER


def test_a_request_after_a_long_idle_time_does_not_take_the_server_for_lost() -> None:
    world = World()
    world.run(3_600_000)
    world.front.drop = {Kind.STATUS}
    world.ask(Kind.STATUS, None)
    world.run(100)
    assert world.session.connected


def test_a_restarted_coordinator_that_forgot_the_client_gets_hello_and_the_request_again() -> None:
    world = World()
    world.front.greeted, world.front.server = False, "server-2"
    answers = world.ask(Kind.STATUS, None)
    world.run(1_000)
    assert len(answers) == 1
    assert not isinstance(answers[0], WfeError)


def test_a_silent_server_is_lost_and_found_again() -> None:
    world = World()
    world.front.deaf = True
    answers = world.ask(Kind.STATUS, None, timeout_ms=60_000)
    world.run(SILENCE_MS + 3 * PROBE_MS)
    assert not world.session.connected
    assert world.session.silent_ms(world.now_ms) >= SILENCE_MS
    world.front.deaf = False
    world.run(2_000)
    assert world.session.connected
    assert len(answers) == 1


# ---- requests ----


def test_an_unanswered_request_is_sent_again_with_growing_pauses_until_its_deadline() -> None:
    world = World()
    world.front.drop = {Kind.STATUS}
    answers = world.ask(Kind.STATUS, None, timeout_ms=10_000)
    world.run(9_900)
    assert answers == []
    assert 3 <= len(world.front.sent(Kind.STATUS)) <= 5
    assert len({head.request for head in world.front.sent(Kind.STATUS)}) == 1
    world.run(200)
    assert [type(answer) for answer in answers] == [Disconnected]


@pytest.mark.parametrize("code", ["busy", "unavailable"])
def test_busy_and_unavailable_are_waited_out(code: str) -> None:
    world = World()
    world.front.errors[Kind.STATUS] = [ErrorReply(code, "not now", retry_after_ms=200)] * 3
    answers = world.ask(Kind.STATUS, None)
    world.run(100)
    assert answers == []
    assert len(world.front.sent(Kind.STATUS)) == 1
    world.run(5_000)
    assert len(answers) == 1
    assert not isinstance(answers[0], WfeError)


def test_an_endless_busy_becomes_the_answer_at_the_deadline() -> None:
    world = World()
    world.front.errors[Kind.STATUS] = [ErrorReply("busy", "full", retry_after_ms=50)] * 10_000
    answers = world.ask(Kind.STATUS, None, timeout_ms=5_000)
    world.run(6_000)
    assert [type(answer) for answer in answers] == [Busy]


def test_an_impatient_request_takes_unavailable_for_an_answer() -> None:
    world = World()
    world.front.errors[Kind.LIST] = [ErrorReply("unavailable", "restarting", retry_after_ms=50)]
    answers = world.ask(Kind.LIST, None, patient=False)
    assert [type(answer) for answer in answers] == [Unavailable]


def test_errors_keep_their_fields() -> None:
    world = World()
    world.front.errors[Kind.SIGNAL] = [ErrorReply("invalid_input", "must be a number", path="$.a[0]")]
    answers = world.ask(Kind.SIGNAL, None)
    assert isinstance(answers[0], InvalidInput)
    assert answers[0].path == "$.a[0]"


def test_a_forgotten_request_is_not_sent_again() -> None:
    world = World()
    world.front.drop = {Kind.STATUS}
    number = world.session.request(Kind.STATUS, b"", lambda reply, error: pytest.fail("answered"), world.now_ms)
    world.session.forget(number)
    world.run(30_000)
    assert len(world.front.sent(Kind.STATUS)) == 1


def test_closing_answers_everything_that_is_open() -> None:
    world = World()
    world.front.drop = {Kind.STATUS, Kind.START}
    answers = world.ask(Kind.STATUS, None)
    batch = world.start(a_run())
    world.session.close(Disconnected("closed"))
    assert [type(answer) for answer in answers] == [Disconnected]
    assert isinstance(batch.errors[0], Disconnected)


def test_frames_that_make_no_sense_are_ignored() -> None:
    world = World()
    for parts in ([b""], [b"x", b"y", b"z"], [b"\xc1", b""], [b"\x95\x01\x13\x00\x01\x01", b"\xc1"]):
        world.session.on_frame(parts, world.now_ms)
    assert len(world.ask(Kind.STATUS, None)) == 1


# ---- starts ----


def test_starts_without_a_key_are_spread_evenly_over_partitions() -> None:
    world = World(FakeFront(partitions=8))
    batch = world.start(*(a_run(number) for number in range(800)))
    assert batch.open == 0
    counts = Counter(partition_of(run.run_id) for run in batch.runs)
    assert counts == dict.fromkeys(range(8), 100)
    assert len(world.front.sent(Kind.START)) == 8


@pytest.mark.parametrize(("count", "partitions"), [(1, 1), (32, 1), (58, 2), (255, 8), (256, 32), (500, 32)])
def test_few_starts_share_frames_and_many_go_everywhere_at_once(count: int, partitions: int) -> None:
    runs = [a_run() for _ in range(count)]
    Spread(32, 30).mint("hello", runs, 1_000, Dice().bits)
    per_partition = Counter(partition_of(run.run_id) for run in runs)
    assert len(per_partition) == partitions
    assert max(per_partition.values()) - min(per_partition.values()) <= 1


def test_lone_starts_visit_every_partition_in_rotation() -> None:
    world = World(FakeFront(partitions=8))
    ids = [world.start(a_run()).runs[0].run_id for _ in range(16)]
    assert Counter(map(partition_of, ids)) == dict.fromkeys(range(8), 2)


def test_frames_are_bounded_in_runs_and_in_bytes() -> None:
    runs = [a_run("x" * 300_000) for _ in range(10)] + [a_run() for _ in range(250)]
    Spread(1, 0).mint("hello", runs, 1_000, Dice().bits)
    frames = [indices for _, indices in frames_of(runs)]
    assert sorted(index for indices in frames for index in indices) == list(range(260))
    assert all(len(indices) <= FRAME_MESSAGES_MAX for indices in frames)
    assert max(sum(len(memoryview(runs[i].input)) for i in indices) for indices in frames) <= 1 << 20


def test_run_ids_carry_the_time_of_the_server() -> None:
    world = World()
    world.run(5_000)
    batch = world.start(a_run())
    assert time_of(batch.runs[0].run_id) == 1_700_000_000_000 + 5_000


def test_a_lost_start_is_sent_again_under_the_same_id_and_says_so() -> None:
    world = World()
    world.front.drop = {Kind.START}
    batch = world.start(a_run())
    world.front.drop = set()
    world.run(3_000)
    first, second = [decode(body, list[StartRun]) for kind, _, body in world.front.seen if kind is Kind.START]
    assert first[0].run_id == second[0].run_id
    assert (first[0].resent, second[0].resent) == (False, True)
    assert batch.open == 0
    assert not batch.errors


def test_a_start_whose_key_names_an_earlier_run_gives_that_run_and_its_end() -> None:
    world = World()
    first = world.start(a_run(5, key="k"))
    second = world.start(a_run(5, key="k"))
    assert second.runs[0].run_id == first.runs[0].run_id
    assert second.created == [False]
    world.run(100)
    watch = second.watches[0]
    assert watch is not None
    assert watch.outcome is not None


def test_two_watches_of_one_run_are_both_settled() -> None:
    world = World()
    world.front.run = lambda name, value: None
    first, second = world.start(a_run(5, key="k")), world.start(a_run(5, key="k"))
    world.run(100)
    world.inbox += world.front.end(first.runs[0].run_id, "completed", 1)
    world.settle()
    assert all(watch is not None and watch.outcome is not None for watch in (first.watches[0], second.watches[0]))


def test_a_refused_start_costs_the_others_of_its_frame_nothing() -> None:
    world = World(FakeFront(partitions=1))
    world.start(a_run(1, key="k"))
    batch = world.start(a_run(2, key="k"), a_run(3))
    assert isinstance(batch.errors[0], KeyConflict)
    assert list(batch.errors) == [0]
    assert batch.watches[1] is not None
    assert batch.watches[1].outcome is not None


def test_busy_for_some_starts_sends_only_those_again() -> None:
    world = World(FakeFront(partitions=1))
    front, refused = world.front, []
    accept = front.start_one

    def start_one(workflow: str, run: StartRun) -> StartOutcome:
        if decode(bytes(run.input), int) == 2 and not refused:
            refused.append(run.run_id)
            return StartOutcome(run.run_id, False, ErrorReply("busy", "full", retry_after_ms=50))
        return accept(workflow, run)

    front.start_one = start_one  # type: ignore[method-assign]
    batch = world.start(a_run(1), a_run(2), a_run(3))
    assert batch.open == 1
    world.run(1_000)
    frames = [decode(body, list[StartRun]) for kind, _, body in front.seen if kind is Kind.START]
    assert [run.run_id for run in frames[-1]] == refused
    assert batch.open == 0
    assert not batch.errors


def test_an_answer_that_comes_again_after_some_starts_were_put_off_means_nothing() -> None:
    """Found by the simulation, seed 5072: the frame had been sent twice, and both were answered."""
    world = World(FakeFront(partitions=1))
    accept, answers = world.front.start_one, []

    def start_one(workflow: str, run: StartRun) -> StartOutcome:
        answers.append(run.run_id)
        if decode(bytes(run.input), int) == 2 and answers.count(run.run_id) == 1:
            return StartOutcome(run.run_id, False, ErrorReply("busy", "full", retry_after_ms=50))
        return accept(workflow, run)

    world.front.start_one = start_one  # type: ignore[method-assign]
    heard: list[list[bytes]] = []
    on_frame = world.session.on_frame
    world.session.on_frame = lambda parts, now_ms: (heard.append(parts), on_frame(parts, now_ms))  # type: ignore
    batch = world.start(a_run(1), a_run(2), a_run(3))
    for parts in list(heard):
        on_frame(parts, world.now_ms)
    assert batch.open == 1
    world.run(1_000)
    assert batch.open == 0
    assert not batch.errors


def test_at_most_a_window_of_start_frames_is_under_way() -> None:
    world = World(FakeFront(partitions=1))
    world.front.drop = {Kind.START}
    batch = world.start(*(a_run() for _ in range((START_WINDOW + 20) * FRAME_MESSAGES_MAX)))
    assert len(world.front.sent(Kind.START)) == START_WINDOW
    world.front.drop = set()
    world.run(5_000)
    assert batch.open == 0
    assert not batch.errors


def test_starts_for_partitions_that_do_not_answer_hold_up_no_others() -> None:
    """A shard that is stopped answers nothing for as long as it is; the others' starts must not wait for it."""
    world = World(FakeFront(partitions=2))
    keys = {partition_of_key("default", "hello", key, 2): key for key in map(str, range(99))}
    silent, heard = keys[0], keys[1]
    world.front.drop = {Kind.START}
    stuck = [world.start(a_run(key=silent)) for _ in range(2 * START_WINDOW)]
    world.front.drop = set()
    assert world.start(a_run(key=heard)).open == 0
    assert all(batch.open for batch in stuck)


def test_a_get_gives_the_run_as_the_server_sees_it() -> None:
    world = World()
    run_id = world.start(a_run(7)).runs[0].run_id
    answers = world.ask(Kind.GET, [run_id], partition=partition_of(run_id))
    assert decode(answers[0], RunView).id == run_id


def test_what_was_asked_of_a_partition_that_moved_is_asked_again_at_once() -> None:
    world = World(FakeFront(partitions=4))
    shards = [ShardEndpoint(0, 1, "", "", True, [0, 2]), ShardEndpoint(1, 1, "", "", True, [1, 3])]

    def welcome() -> None:
        body = encode(Welcome(world.front.server, 4, world.front.time_ms, shards))
        world.session.on_frame([header(Kind.WELCOME), body], world.now_ms)
        world.run(0)

    welcome()
    world.front.run = lambda name, value: None
    keys = {partition_of_key("default", "hello", key, 4): key for key in map(str, range(99))}
    runs = [world.start(a_run(key=keys[partition])) for partition in (1, 2)]
    world.front.drop = {Kind.GET}
    world.ask(Kind.GET, [runs[1].runs[0].run_id], partition=2)
    world.front.seen.clear()
    welcome()
    assert world.front.seen == [], "nothing is new"
    shards[0].partitions.remove(2)
    welcome()
    assert world.front.seen == [], "it is on its way"
    shards[1].partitions.append(2)
    welcome()
    assert [(kind, head.partition) for kind, head, _ in world.front.seen] == [(Kind.GET, 2), (Kind.AWAIT, 2)]
