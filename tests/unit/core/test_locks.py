"""Locks of a run: capacities, queues, fairness, and that nobody keeps one after its end; the seam of shared ones."""

from __future__ import annotations

import pytest

from support.core_cases import TASKS, define, task
from support.runs import RunDriver, error_of
from wfe.core import decide
from wfe.model.definition import Catch, Lock, Loop, Map, Parallel, Race, Sleep
from wfe.model.ids import lock_address, lock_name
from wfe.model.mail import LockReleased, LockWanted


def locked(id: str, *names: str, body: object = None) -> Lock:
    return Lock(id=id, names=names, do=(body or task(f"t_{id}", "inc", x=1),))  # type: ignore[arg-type]


def start(*nodes: object, locks: dict[str, int] | None = None, **rest: object) -> RunDriver:
    return RunDriver(define(*nodes, locks=locks or {"a": 1, "b": 1}, **rest), None, TASKS)


def running(run: RunDriver) -> set[str]:
    return {run.plan.nodes[key % run.plan.stride].id for key in run.run.open}


def parallel(*nodes: object) -> Parallel:
    return Parallel(id="p", do=nodes)  # type: ignore[arg-type]


def test_one_after_another_in_the_order_of_asking():
    run = start(parallel(locked("x", "a"), locked("y", "a"), locked("z", "a")))
    for name in ("t_x", "t_y", "t_z"):
        assert running(run) == {name}
        run.complete(run.place(name), 1)
        assert run.replayed() == run.run
    assert run.run.status == "completed"


def test_as_many_hold_a_lock_as_its_capacity():
    run = start(parallel(locked("x", "a"), locked("y", "a"), locked("z", "a")), locks={"a": 2})
    assert running(run) == {"t_x", "t_y"}


def test_all_or_none_and_nobody_overtakes_who_waits_for_the_same_name():
    run = start(parallel(locked("x", "a"), locked("y", "a", "b"), locked("z", "b")))
    assert running(run) == {"t_x"}
    run.complete(run.place("t_x"), 1)
    assert running(run) == {"t_y"}
    run.complete(run.place("t_y"), 1)
    assert running(run) == {"t_z"}


def test_who_wants_other_names_does_not_wait():
    run = start(parallel(locked("x", "a"), locked("y", "a"), locked("z", "b")))
    assert running(run) == {"t_x", "t_z"}


def test_a_failure_a_lost_race_and_a_cancel_release_it():
    caught = Catch(id="c", errors=("ValueError",), do=(locked("x", "a"),))
    run = start(parallel(caught, locked("y", "a")))
    run.fail(run.place("t_x"), error_of(ValueError("no")))
    assert running(run) == {"t_y"}
    race = Race(id="r", do=(locked("x", "a"), Sleep(id="z", duration_ms=5)))
    run = start(parallel(race, locked("y", "a")))
    run.fire_next_timer()
    assert running(run) == {"t_y"}
    assert run.replayed() == run.run
    run.control("cancel")
    assert not run.run.locks


def test_one_that_waits_and_is_withdrawn_leaves_the_queue():
    race = Race(id="r", do=(locked("y", "a"), Sleep(id="z", duration_ms=5)))
    run = start(parallel(locked("x", "a"), race, locked("w", "a")))
    run.fire_next_timer()
    run.complete(run.place("t_x"), 1)
    assert running(run) == {"t_w"}


def test_items_of_a_map_go_one_by_one():
    seen: list[int] = []

    def note(x: int) -> None:
        seen.append(x)

    body = Lock(id="l", names=("a",), do=(task("t", "note", x="${item}"),))
    run = RunDriver(define(Map(id="m", items="[1, 2, 3]", do=(body,)), locks={"a": 1}), None, {"note": note})
    while run.run.status == "running":
        assert len(run.run.open) == 1
        run.execute_next()
    assert seen == [1, 2, 3]


def test_a_lock_in_a_loop_is_taken_again_in_each_iteration():
    run = start(Loop(id="l", items="[1, 2]", do=(locked("x", "a"),)))
    assert run.finish().run.status == "completed"


def test_nothing_is_granted_while_the_run_is_paused():
    run = start(parallel(locked("x", "a"), locked("y", "a")))
    run.control("pause", "p")
    run.complete(run.place("t_x"), 1)
    assert running(run) == set()
    run.control("resume", "r")
    assert running(run) == {"t_y"}
    assert run.replayed() == run.run


def test_an_empty_body_gives_it_back_at_once():
    run = start(Lock(id="l", names=("a",), do=()))
    assert run.run.status == "completed"


class TestShared:
    """A lock of all runs: asked for, given and released by mail."""

    NODE = Lock(id="l", names=("printer",), do=(task("t", "inc", x=1),), key="${n}")
    NAME = lock_name("default", "printer", "hp")

    def asking(self, *nodes: object) -> RunDriver:
        return RunDriver(define(*(nodes or (self.NODE,))), "hp", TASKS)

    def give(self, run: RunDriver) -> bool:
        return run.command(lambda turn: decide.lock_given(turn, run.place("l"), self.NAME))

    def test_it_is_asked_for_by_mail_and_begins_when_given(self):
        run = self.asking()
        ((address, body),) = run.mail
        assert address == lock_address(self.NAME, 32)
        assert body == LockWanted(self.NAME, run.run.id, run.plan.by_id["l"], 0)
        assert not run.run.open
        assert self.give(run)
        assert running(run) == {"t"}
        assert not self.give(run)
        run.complete(run.place("t"), 1)
        assert run.mail[1] == (address, LockReleased(self.NAME, run.run.id, run.plan.by_id["l"], 0))
        assert run.run.status == "completed"
        assert run.replayed() == run.run

    @pytest.mark.parametrize("held", [False, True])
    def test_whoever_is_withdrawn_says_so(self, held: bool):
        run = self.asking()
        if held:
            self.give(run)
        run.control("cancel")
        assert [type(body) for _, body in run.mail] == [LockWanted, LockReleased]

    def test_a_gift_that_comes_too_late_means_nothing(self):
        run = self.asking(Race(id="r", do=(self.NODE, Sleep(id="z", duration_ms=5))), Sleep(id="y", duration_ms=9))
        run.fire_next_timer()
        assert not self.give(run)
        assert not run.run.open

    def test_a_refusal_fails_the_block_and_nothing_is_held(self):
        catch = Catch(id="c", errors=("LockQueueFull",), do=(self.NODE,))
        run = self.asking(catch, task("after", "inc", x=1))
        run.command(lambda turn: decide.lock_given(turn, run.place("l"), self.NAME, refused=True))
        assert running(run) == {"after"}
        assert not run.run.locks
        assert not run.run.shared_locks
        assert run.replayed() == run.run

    def test_a_refusal_that_nobody_catches_fails_the_run(self):
        run = self.asking()
        run.command(lambda turn: decide.lock_given(turn, run.place("l"), self.NAME, refused=True))
        assert run.run.status == "failed"
        assert run.run.error is not None
        assert run.run.error.type == "LockQueueFull"

    def test_a_gift_during_a_pause_takes_effect_at_its_end(self):
        run = self.asking()
        run.control("pause", "p")
        assert self.give(run)
        assert not run.run.open
        run.control("resume", "r")
        assert running(run) == {"t"}

    def test_a_key_that_is_no_text_is_a_fault(self):
        assert RunDriver(define(self.NODE), [1], TASKS).run.error.type == "expression"
