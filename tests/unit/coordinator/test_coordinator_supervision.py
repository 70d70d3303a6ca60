"""Children: ordered start, restart intensity, planned replacements, drains; and what peers are told of it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from support.coordinator_world import CLIENT, WORKER, World, decode
from wfe.config import WorkerOptions
from wfe.coordinator.supervision import EXIT_STARVED, Child, ChildState, Supervisor
from wfe.limits import (
    DRAIN_MS,
    HEARTBEAT_MS,
    PEER_PROBE_MS,
    RESTART_BACKOFF_MAX_MS,
    RESTART_BACKOFF_MS,
    RESTART_INTENSITY,
    RESTART_PERIOD_MS,
    STALLED_MS,
)
from wfe.wire.frames import Kind, decode_header, header
from wfe.wire.messages import KnownWorkers, ServerStatus, Welcome


def names(world: World) -> list[str]:
    return [name for name, _ in world.effects.spawned]


def state_of(world: World) -> ServerStatus:
    return world.actor.status(world.now_ms)


def crash(world: World, name: str, code: int = -9) -> None:
    world.actor.on_child_exit(name, code, world.now_ms)


# ---- start ----


def test_shards_start_first_and_workers_once_every_shard_serves() -> None:
    world = World(shards=2, workers=2).start()
    assert names(world) == ["shard-0", "shard-1"]
    world.shard_hello(world.last_options("shard-0"))
    assert names(world) == ["shard-0", "shard-1"]
    world.shard_hello(world.last_options("shard-1"))
    assert names(world) == ["shard-0", "shard-1", "worker-0", "worker-1"]
    worker = world.last_options("worker-1")
    assert isinstance(worker, WorkerOptions)
    assert (worker.apps, worker.connect, worker.index, worker.local) == (["app.py"], "ipc://front", 1, True)
    assert worker.worker != world.last_options("worker-0").worker


def test_every_shard_is_told_its_partitions_and_a_fresh_epoch() -> None:
    world = World(shards=2, partitions=4).start()
    first, second = world.last_options("shard-0"), world.last_options("shard-1")
    assert (first.partitions, second.partitions) == ([0, 2], [1, 3])
    assert first.epoch < second.epoch
    assert first.ipc != second.ipc
    crash(world, "shard-0")
    assert world.last_options("shard-0").epoch > second.epoch


def test_the_engine_is_starting_then_serving_then_degraded_then_serving() -> None:
    world = World(shards=2).start()
    assert state_of(world).state == "starting"
    world.shard_hello(world.last_options("shard-0"))
    assert state_of(world).state == "starting"
    world.shard_hello(world.last_options("shard-1"))
    assert state_of(world).state == "serving"
    crash(world, "shard-0")
    assert state_of(world).state == "degraded"
    assert [shard.state for shard in state_of(world).shards] == ["restarting", "serving"]
    world.shard_hello(world.last_options("shard-0"))
    assert state_of(world).state == "serving"
    assert [shard.restarts for shard in state_of(world).shards] == [1, 0]


# ---- ends ----


def test_a_shard_that_died_is_replaced_at_once_and_its_partitions_are_unavailable_meanwhile() -> None:
    world = World(shards=2).serving()
    world.hello()
    before = world.identity(0)
    crash(world, "shard-0")
    assert names(world)[-1] == "shard-0"
    world.send(CLIENT, Kind.GET, b"x", partition=0)
    assert world.error().code == "unavailable"
    world.shard_hello(world.last_options("shard-0"))
    world.send(CLIENT, Kind.GET, b"x", partition=0)
    assert world.effects.back[-1][0] == world.identity(0) != before


def test_what_an_earlier_process_of_a_shard_sent_is_not_heard() -> None:
    world = World(shards=1).serving()
    old = world.last_options("shard-0")
    crash(world, "shard-0")
    frames = len(world.effects.front)
    world.from_shard(0, [CLIENT, b"h", b"b"], old.epoch)
    world.shard_hello(old)
    assert world.actor.topology.routes == [None] * 4
    assert len(world.effects.front) == frames
    assert world.actor.unheard == 2


def test_workers_and_busy_clients_hear_at_once_when_a_shard_goes_and_when_it_is_back() -> None:
    world = World(shards=2).serving()
    world.hello(b"silent")
    world.now_ms += PEER_PROBE_MS + 1
    world.hello(WORKER, role="worker", worker="w1")
    world.hello(CLIENT)
    for happens, expected in (
        (lambda: crash(world, "shard-0"), [False, True]),
        (lambda: world.shard_hello(world.last_options("shard-0")), [True, True]),
    ):
        world.effects.front.clear()
        happens()
        assert {peer for peer, _ in world.effects.front} == {CLIENT, WORKER}
        for peer in (CLIENT, WORKER):
            head, body = world.answer(peer)
            assert head.kind == Kind.WELCOME
            assert [shard.up for shard in decode(body, Welcome).shards] == expected


def test_the_end_of_a_local_worker_is_told_to_every_shard_at_once() -> None:
    world = World(shards=2, workers=1).serving()
    worker = world.last_options("worker-0").worker
    world.hello(WORKER, role="worker", worker=worker)
    world.effects.back.clear()
    crash(world, "worker-0")
    told = [decode(parts[1], KnownWorkers) for _, parts in world.effects.back]
    assert [(known.workers, known.gone) for known in told] == [([], [worker])] * 2
    assert names(world)[-1] == "worker-0"
    assert world.last_options("worker-0").worker != worker


def test_a_shard_that_comes_back_hears_of_the_workers_there_are() -> None:
    world = World(shards=1).serving()
    world.hello(WORKER, role="worker", worker="w1")
    crash(world, "shard-0")
    world.effects.back.clear()
    world.shard_hello(world.last_options("shard-0"))
    [(_, parts)] = world.effects.back
    assert decode_header(parts[0]).kind == Kind.WORKERS
    assert decode(parts[1], KnownWorkers).workers == ["w1"]


def test_a_shard_past_its_restart_intensity_is_down_and_the_others_serve() -> None:
    world = World(shards=2).serving()
    world.hello()
    for _ in range(RESTART_INTENSITY):
        crash(world, "shard-0")
        world.pass_time(RESTART_BACKOFF_MS << RESTART_INTENSITY)
        assert world.actor.supervisor.children["shard-0"].state is ChildState.RUNNING
    spawned = len(world.effects.spawned)
    crash(world, "shard-0")
    world.pass_time(10 * RESTART_PERIOD_MS)
    assert len(world.effects.spawned) == spawned
    assert state_of(world).shards[0].state == "down"
    assert state_of(world).state == "degraded"
    world.hello()
    world.send(CLIENT, Kind.GET, b"x", partition=0)
    assert world.error().code == "unavailable"
    assert "down" in world.error().message
    world.send(CLIENT, Kind.GET, b"x", partition=1)
    assert world.effects.back[-1][0] == world.identity(1)


def test_workers_start_although_a_shard_is_down() -> None:
    world = World(shards=2, workers=1).start()
    world.shard_hello(world.last_options("shard-1"))
    for _ in range(RESTART_INTENSITY + 1):
        crash(world, "shard-0", 1)
        world.pass_time(RESTART_BACKOFF_MS << RESTART_INTENSITY)
    assert names(world)[-1] == "worker-0"


def test_a_worker_that_tasks_keep_killing_comes_back_ever_more_slowly_but_is_never_down() -> None:
    world = World(shards=1, workers=1).serving()
    child = world.actor.supervisor.children["worker-0"]
    for _ in range(5 * RESTART_INTENSITY):
        crash(world, "worker-0")
        world.pass_time(RESTART_BACKOFF_MAX_MS)
        assert child.state is ChildState.RUNNING
    crash(world, "worker-0")
    world.pass_time(RESTART_BACKOFF_MS)
    assert child.state is ChildState.BACKOFF
    assert state_of(world).workers[0].restarts == 5 * RESTART_INTENSITY + 1


def test_a_worker_that_leaves_to_be_replaced_is_no_failure() -> None:
    world = World(shards=1, workers=1).serving()
    for _ in range(3 * RESTART_INTENSITY):
        crash(world, "worker-0", 0)
    assert state_of(world).workers[0].restarts == 3 * RESTART_INTENSITY
    assert world.actor.supervisor.children["worker-0"].state is ChildState.RUNNING


def test_a_stuck_worker_is_killed_once_and_replaced_without_counting_as_a_failure() -> None:
    world = World(shards=1, workers=1).serving()
    for _ in range(3 * RESTART_INTENSITY):
        world.effects.killed.clear()
        world.actor.on_overrun("worker-0")
        world.actor.on_overrun("worker-0")
        assert world.effects.killed == ["worker-0"]
        crash(world, "worker-0")
    assert world.actor.supervisor.children["worker-0"].state is ChildState.RUNNING


def test_a_process_that_the_system_refuses_is_tried_again_until_it_starts() -> None:
    """Out of descriptors, processes or memory: nobody crashed, so this counts for no restart intensity."""
    world = World(shards=1).serving()
    world.effects.refuse_spawn = True
    crash(world, "shard-0")
    world.pass_time(10 * RESTART_PERIOD_MS)
    assert state_of(world).shards[0].state == "restarting"
    world.effects.refuse_spawn = False
    world.pass_time(RESTART_BACKOFF_MAX_MS)
    assert names(world) == ["shard-0", "shard-0"]


def test_a_shard_that_had_too_few_descriptors_is_tried_again_until_there_are_some() -> None:
    world = World(shards=1).serving()
    for _ in range(3 * RESTART_INTENSITY):
        started = len(names(world))
        crash(world, "shard-0", EXIT_STARVED)
        world.pass_time(RESTART_BACKOFF_MAX_MS)
        assert len(names(world)) == started + 1


def test_a_shard_that_lives_in_silence_is_stalled_not_dead() -> None:
    world = World(shards=1).serving()
    world.pass_time(STALLED_MS + 1)
    assert state_of(world).shards[0].state == "stalled"
    assert state_of(world).state == "degraded"
    assert world.effects.killed == []
    world.hello()
    world.send(CLIENT, Kind.GET, b"x", partition=0)
    assert world.effects.back[-1][0] == world.identity(0)


@given(gaps=st.lists(st.integers(0, RESTART_PERIOD_MS), max_size=40))
def test_restarts_within_a_period_never_exceed_the_intensity(gaps: list[int]) -> None:
    starts: list[int] = []
    now_ms = 0
    supervisor = Supervisor([Child("shard", 0)], lambda child: starts.append(now_ms) or 1)
    [child] = supervisor.children.values()
    supervisor.start(child, now_ms)
    for gap in gaps:
        now_ms += gap
        if child.state is ChildState.RUNNING:
            supervisor.exited(child, 1, now_ms)
        supervisor.tick(now_ms)
    for first in starts[1:]:
        assert sum(first <= start < first + RESTART_PERIOD_MS for start in starts[1:]) <= RESTART_INTENSITY + 1
    if child.state is ChildState.DOWN:
        supervisor.tick(now_ms + 100 * RESTART_PERIOD_MS)
        assert child.state is ChildState.DOWN


# ---- drain ----


def test_a_drain_lets_workers_finish_before_shards_checkpoint() -> None:
    world = World(shards=2, workers=2).serving()
    world.actor.drain(world.now_ms)
    assert world.effects.terminated == ["worker-0", "worker-1"]
    assert world.effects.back == []
    crash(world, "worker-0", 0)
    assert not any(decode_header(parts[0]).kind == Kind.DRAIN for _, parts in world.effects.back)
    crash(world, "worker-1", 0)
    drained = [peer for peer, parts in world.effects.back if decode_header(parts[0]).kind == Kind.DRAIN]
    assert drained == [world.identity(0), world.identity(1)]
    crash(world, "shard-0", 0)
    assert not world.actor.done
    crash(world, "shard-1", 0)
    assert world.actor.done
    assert len(world.effects.spawned) == 4


def test_a_draining_engine_takes_no_new_runs_but_answers() -> None:
    world = World(shards=1, workers=1).serving()
    world.hello()
    world.actor.drain(world.now_ms)
    world.send(CLIENT, Kind.START, b"x", partition=0, workflow="hello")
    assert world.error().code == "unavailable"
    world.send(CLIENT, Kind.GET, b"x", partition=0)
    assert world.effects.back[-1][0] == world.identity(0)
    assert state_of(world).state == "draining"


def test_children_that_do_not_leave_in_time_are_ended() -> None:
    world = World(shards=1, workers=1).serving()
    world.actor.drain(world.now_ms)
    world.pass_time(DRAIN_MS + 2 * HEARTBEAT_MS)
    assert world.effects.killed == ["worker-0"]
    crash(world, "worker-0")
    world.pass_time(DRAIN_MS - 1)
    assert world.effects.killed == ["worker-0"]
    world.pass_time(1)
    assert world.effects.killed == ["worker-0", "shard-0"]
    crash(world, "shard-0")
    assert world.actor.done


def test_a_shard_that_does_not_serve_is_not_waited_for_in_a_drain() -> None:
    world = World(shards=2).start()
    world.shard_hello(world.last_options("shard-0"))
    world.actor.drain(world.now_ms)
    assert world.effects.killed == ["shard-1"]


def test_a_second_signal_ends_everything_at_once() -> None:
    world = World(shards=1, workers=1).serving()
    world.actor.drain(world.now_ms)
    world.actor.stop_now()
    assert world.effects.killed == ["shard-0", "worker-0"]
    crash(world, "shard-0")
    crash(world, "worker-0")
    assert world.actor.done


def test_an_engine_without_children_drains_at_once() -> None:
    world = World(shards=1)
    world.effects.refuse_spawn = True
    world.start()
    world.actor.drain(world.now_ms)
    assert world.actor.done


# ---- mail ----


def test_the_other_shards_hear_of_one_that_comes_back_so_that_they_send_their_mail_again() -> None:
    world = World().serving()
    world.actor.on_child_exit("shard-1", -9, 0)
    world.effects.back.clear()
    world.shard_hello(world.last_options("shard-1"))
    told = [
        (peer, decode(parts[1], list[int])) for peer, parts in world.effects.back if parts[0] == header(Kind.SERVES)
    ]
    assert told == [(world.identity(0), world.actor.topology.shards[1].partitions)]


def test_mail_goes_to_the_shard_of_its_partition_and_is_dropped_while_there_is_none() -> None:
    world = World(shards=2).serving()
    mail = [header(Kind.MAIL, 1), b"letters"]
    world.from_shard(0, mail)
    assert world.effects.back == [(world.identity(1), mail)]
    crash(world, "shard-1")
    world.effects.back.clear()
    world.from_shard(0, mail)
    world.from_shard(0, [header(Kind.MAIL_ACK, 99), b"x"])
    assert world.effects.back == []
