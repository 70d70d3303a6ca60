"""The worker's side of the protocol, frame by frame, on a clock that the test owns."""

from __future__ import annotations

from itertools import pairwise

from msgspec import Raw

from support.worker_engine import Engine, result, spec
from wfe.limits import FRAME_BYTES_MAX, FRAME_MESSAGES_MAX, HEARTBEAT_MS, LEASE_MS, MIB
from wfe.wire.frames import Kind
from wfe.wire.messages import TaskBeat, TaskRef
from wfe.worker.actor import COORDINATOR
from wfe.worker.link import LinkState, split_results


def ref(run: str, attempt: int = 1) -> TaskRef:
    return TaskRef(run, 0, 0, attempt)


# ---- joining


def test_a_worker_says_hello_to_the_coordinator_and_then_to_every_shard_that_serves():
    engine = Engine(shards=3)
    engine.endpoints[2].up = False
    engine.tick()
    (hello,) = engine.take(Kind.HELLO)
    assert (hello.role, hello.token, hello.peer) == ("worker", "secret", "w")
    engine.welcome()
    assert engine.opened == [0, 1]
    assert [hello.tasks for hello in engine.take(Kind.WORKER_HELLO)] == [[("t", 1)], [("t", 1)]]


def test_nothing_is_lent_before_the_shard_has_welcomed_the_worker():
    engine = Engine()
    engine.tick()
    engine.welcome()
    assert not engine.take(Kind.CREDIT)
    engine.welcome_from(0)
    (credit,) = engine.take(Kind.CREDIT)
    assert credit.tasks == 4, "one per slot until something was measured"


def test_a_hello_that_found_no_connection_is_repeated_at_the_next_tick():
    engine = Engine()
    engine.connected = False
    engine.tick()
    engine.connected = True
    engine.tick()
    assert len(engine.take(Kind.HELLO)) == 1
    engine.connected = False
    engine.welcome()
    engine.connected = True
    engine.tick()
    assert len(engine.take(Kind.WORKER_HELLO)) == 1


def test_an_unanswered_hello_is_repeated_with_growing_pauses():
    engine = Engine()
    engine.tick()
    engine.welcome()
    engine.take(Kind.WORKER_HELLO)
    times = [engine.now_ms]
    for _ in range(200):
        engine.tick(100)
        if engine.take(Kind.WORKER_HELLO):
            times.append(engine.now_ms)
    pauses = [after - before for before, after in pairwise(times)]
    assert pauses[0] >= HEARTBEAT_MS
    assert pauses == sorted(pauses)
    assert max(pauses) <= 5_100


def test_a_wrong_token_is_a_refusal_and_a_forgotten_identity_a_new_hello():
    engine = Engine()
    engine.tick()
    engine.error(COORDINATOR, "unauthorized")
    assert engine.actor.refused is not None
    engine = Engine().join()
    engine.take(Kind.HELLO)
    engine.error(COORDINATOR, "unauthorized")
    assert engine.actor.refused is None
    engine.tick()
    assert len(engine.take(Kind.HELLO)) == 1


def test_a_new_epoch_of_a_shard_means_a_new_hello_and_the_same_epoch_does_not():
    engine = Engine().join()
    engine.take(Kind.WORKER_HELLO)
    engine.welcome()
    assert not engine.take(Kind.WORKER_HELLO)
    engine.endpoints[0].epoch = 2
    engine.welcome()
    engine.endpoints[0].epoch = 3
    engine.welcome()
    assert engine.actor.links[0].state is LinkState.HELLO


def test_a_shard_that_is_down_keeps_its_tasks_and_gets_its_results_when_it_is_back():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"), spec("b"))
    engine.endpoints = [type(engine.endpoints[0])(0, 1, "", "", up=False)]
    engine.welcome()
    engine.end(result("a"))
    assert not engine.take(Kind.RESULTS)
    engine.endpoints = [type(engine.endpoints[0])(0, 2, "ipc://new", "tcp://new")]
    engine.welcome()
    assert engine.opened == [0, 0], "the shard has moved"
    sent = engine.sent
    assert [kind for _, kind, _ in sent] == [Kind.WORKER_HELLO, Kind.RESULTS]
    assert sent[0][2].held == [ref("b")]
    assert [r.run_id for r in sent[1][2].results] == ["a"]
    assert sent[1][2].seq == 1


# ---- tasks and results


def test_each_task_of_a_dispatch_is_started_and_uses_one_credit():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"), spec("b"))
    assert [task.run_id for task in engine.started] == ["a", "b"]
    assert engine.lent(0) == 2
    assert engine.actor.held == 2


def test_a_task_that_is_held_is_not_started_again():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"))
    engine.dispatch(0, 2, spec("a"))
    assert len(engine.started) == 1


def test_results_that_end_together_travel_in_one_frame_to_the_shard_that_gave_the_tasks():
    engine = Engine(shards=2).join()
    engine.dispatch(0, 1, spec("a"), spec("b"))
    engine.dispatch(1, 1, spec("c"))
    engine.end(result("a"), result("c"), result("b"))
    sent = [(link, [r.run_id for r in body.results]) for link, kind, body in engine.sent if kind == Kind.RESULTS]
    assert sent == [(0, ["a", "b"]), (1, ["c"])]


def test_a_result_is_sent_again_after_a_hello_until_it_is_acknowledged():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"), spec("b"))
    engine.end(result("a"))
    engine.end(result("b"))
    engine.ack(0, 1)
    engine.take(Kind.RESULTS)
    engine.receive(0, Kind.REJECT)
    (results,) = engine.take(Kind.RESULTS)
    assert (results.seq, [r.run_id for r in results.results]) == (1, ["b"])
    engine.welcome_from(0)
    engine.ack(0, 1)
    engine.receive(0, Kind.REJECT)
    assert not engine.take(Kind.RESULTS)


def test_an_acknowledgement_of_an_earlier_conversation_does_not_count():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"))
    engine.end(result("a"))
    engine.receive(0, Kind.REJECT)
    engine.ack(0, 1)
    assert engine.actor.links[0].unacknowledged() == 1
    engine.receive(0, Kind.REJECT)
    first = engine.requests[0]
    engine.tick(HEARTBEAT_MS)
    assert engine.requests[0] > first
    engine.welcome_from(0, request=first)
    engine.ack(0, 1)
    assert engine.actor.links[0].unacknowledged() == 1, "the welcome answered the hello before the last"
    engine.welcome_from(0)
    engine.ack(0, 1)
    assert engine.actor.links[0].unacknowledged() == 0


def test_results_without_an_acknowledgement_are_presented_anew():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"))
    engine.end(result("a"))
    engine.take(Kind.RESULTS)
    for _ in range(LEASE_MS // 1_000):
        engine.tick(1_000)
        engine.load(0, 0, 1)
    assert len(engine.take(Kind.RESULTS)) == 1


def test_more_results_than_fit_into_a_frame_are_split_by_number_and_by_bytes():
    many = split_results([result(str(n)) for n in range(250)])
    assert [len(part) for part in many] == [FRAME_MESSAGES_MAX, FRAME_MESSAGES_MAX, 50]
    large = split_results([result(str(n), value=b"x" * 4 * MIB) for n in range(8)])
    assert all(sum(len(r.value) for r in part) < FRAME_BYTES_MAX - MIB for part in large)
    assert sum(len(part) for part in large) == 8


# ---- disagreements


def test_a_gap_in_the_dispatch_numbers_means_a_hello_that_names_what_is_held():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"))
    engine.take(Kind.WORKER_HELLO)
    engine.dispatch(0, 3, spec("c"))
    (hello,) = engine.take(Kind.WORKER_HELLO)
    assert hello.held == [ref("a")]
    assert [task.run_id for task in engine.started] == ["a"]


def test_a_load_with_a_higher_dispatch_number_shows_a_lost_frame():
    engine = Engine().join()
    engine.take(Kind.WORKER_HELLO)
    engine.load(0, ready=0, dispatch_seq=1)
    assert len(engine.take(Kind.WORKER_HELLO)) == 1


def test_what_arrives_between_hello_and_welcome_is_ignored():
    engine = Engine().join()
    engine.receive(0, Kind.REJECT)
    engine.dispatch(0, 1, spec("a"))
    assert not engine.started
    engine.welcome_from(0)
    engine.dispatch(0, 1, spec("b"))
    assert [task.run_id for task in engine.started] == ["b"]


def test_a_frame_that_could_not_be_sent_leads_to_a_new_hello():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"))
    engine.connected = False
    engine.end(result("a"))
    engine.connected = True
    engine.take(Kind.WORKER_HELLO)
    engine.tick()
    assert [kind for _, kind, _ in engine.sent if kind in (Kind.WORKER_HELLO, Kind.RESULTS)] == [
        Kind.WORKER_HELLO,
        Kind.RESULTS,
    ]


def test_a_silent_shard_gets_a_fresh_connection():
    engine = Engine().join()
    for _ in range(3 * LEASE_MS // 1_000):
        engine.tick(1_000)
    assert engine.opened.count(0) >= 2


def test_a_malformed_frame_costs_a_hello_and_nothing_else():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"))
    engine.take(Kind.WORKER_HELLO)
    engine.actor.on_frame(0, [b"\xff", b""], engine.now_ms)
    assert len(engine.take(Kind.WORKER_HELLO)) == 1
    engine.actor.on_frame(0, [], engine.now_ms)
    engine.actor.on_frame(COORDINATOR, [b"\x00"], engine.now_ms)
    engine.actor.on_frame(7, [b"\x00"], engine.now_ms)
    assert engine.actor.held == 1


# ---- heartbeats and cancels


def test_heartbeats_go_out_every_second_and_carry_the_last_dispatch_number():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"))
    beats = []
    for _ in range(30):
        engine.tick(100)
        beats += engine.take(Kind.HEARTBEAT)
        engine.load(0, 0, 1)
    assert len(beats) == 3
    assert {(beat.dispatch_seq, beat.running) for beat in beats} == {(1, 1)}


def test_a_tasks_heartbeat_arrives_before_its_result():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"), spec("b"))
    beat = TaskBeat(ref("a"), Raw(b"\x07"), 0.5)
    engine.actor.on_results([result("a")], engine.now_ms, [beat])
    kinds = [kind for _, kind, _ in engine.sent if kind in (Kind.HEARTBEAT, Kind.RESULTS)]
    assert kinds == [Kind.HEARTBEAT, Kind.RESULTS]
    (sent,) = engine.take(Kind.HEARTBEAT)
    assert (sent.beats[0].details, sent.beats[0].progress) == (Raw(b"\x07"), 0.5)


def test_only_tasks_that_are_held_are_cancelled():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"), spec("b"))
    engine.receive(0, Kind.CANCEL_TASKS, [ref("a"), ref("a", 2), ref("z")])
    assert engine.cancelled == ["a"]


# ---- credit


def test_credit_is_renewed_when_a_slow_task_has_ended():
    engine = Engine(slots=2).join()
    engine.dispatch(0, 1, spec("a"), spec("b"))
    engine.take(Kind.CREDIT)
    engine.end(result("a", took_us=5_000_000))
    (credit,) = engine.take(Kind.CREDIT)
    assert credit.tasks == 1


def test_fast_tasks_earn_a_deep_prefetch():
    engine = Engine(slots=16).join()
    engine.dispatch(0, 1, *(spec(str(n)) for n in range(16)))
    engine.end(*(result(str(n), took_us=2) for n in range(16)))
    assert engine.lent(0) > 1_000


def test_most_credit_goes_to_the_home_shard_and_a_little_to_every_other():
    engine = Engine(shards=3, slots=16, index=4).join()
    assert engine.lent(1) > engine.lent(0) >= 1
    assert engine.lent(2) >= 1


def test_credit_is_recalled_from_an_idle_shard_for_one_that_is_hungry():
    engine = Engine(shards=2, slots=4).join()
    home = engine.lent(0)
    engine.dispatch(1, 1, spec("a"))
    engine.take(Kind.RECALL)
    engine.load(1, ready=50, dispatch_seq=1)
    recalled = [link for link, kind, _ in engine.sent if kind == Kind.RECALL]
    assert recalled == [0]
    engine.receive(0, Kind.RETURNED, [home, 0])
    assert engine.lent(1) >= 2
    assert engine.lent(0) + engine.lent(1) + 1 <= 4


def test_two_hungry_shards_take_turns_at_a_single_slot():
    engine = Engine(shards=2, slots=1).join()
    engine.load(0, ready=1_000)
    engine.load(1, ready=3)
    served = []
    seqs = [0, 0]
    for number in range(8):
        engine.now_ms += 10
        shard = 0 if engine.lent(0) else 1
        assert engine.lent(0) + engine.lent(1) == 1
        served.append(shard)
        seqs[shard] += 1
        engine.dispatch(shard, seqs[shard], spec(str(number)))
        engine.load(0, ready=1_000, dispatch_seq=seqs[0])
        engine.load(1, ready=3, dispatch_seq=seqs[1])
        engine.end(result(str(number), took_us=50_000))
    assert served.count(1) >= 3


def test_credit_that_never_arrived_is_noticed():
    engine = Engine(slots=4).join()
    engine.take(Kind.WORKER_HELLO)
    for _ in range(4):
        engine.tick(1_000)
        engine.load(0, ready=5)
    assert engine.take(Kind.WORKER_HELLO)


# ---- leaving


def test_a_retiring_worker_calls_credit_back_and_is_settled_when_all_is_acknowledged():
    engine = Engine().join()
    engine.dispatch(0, 1, spec("a"))
    engine.actor.retire()
    engine.tick()
    assert engine.take(Kind.RECALL) == [None]
    engine.receive(0, Kind.RETURNED, [3, 0])
    engine.end(result("a"))
    assert not engine.actor.settled
    engine.ack(0, 1)
    assert engine.actor.settled
    assert not engine.take(Kind.CREDIT)
    engine.actor.leave()
    assert len(engine.take(Kind.BYE)) == 2


def test_a_worker_that_is_fit_again_lends_again():
    engine = Engine().join()
    engine.actor.retire()
    engine.tick()
    engine.receive(0, Kind.RETURNED, [4, 0])
    engine.actor.retire(False)
    engine.take(Kind.CREDIT)
    engine.tick()
    assert [credit.tasks for credit in engine.take(Kind.CREDIT)] == [4]


def test_a_retiring_worker_still_ends_its_presentation_after_a_hello():
    engine = Engine().join()
    engine.actor.retire()
    engine.receive(0, Kind.REJECT)
    engine.take(Kind.CREDIT)
    engine.welcome_from(0)
    assert [(credit.tasks, credit.bytes) for credit in engine.take(Kind.CREDIT)] == [(0, 0)]
