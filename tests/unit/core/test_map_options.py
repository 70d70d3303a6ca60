"""Maps over a number, maps that grow, maps that are left early (patterns 12 to 15, 26, 27, 34 to 36)."""

from __future__ import annotations

from typing import Any

import pytest

from support.core_cases import TASKS, define, task
from support.runs import RunDriver, error_of
from wfe.errors import InvalidInput
from wfe.limits import MAP_GROWN_MAX, MAP_ITEMS_MAX
from wfe.model.definition import Catch, Map, Parallel, Race, Set, Sleep, WaitSignal

PLAIN = (task("t", "inc", x="${item}"),)
FRAMED = (Set(id="s", value="${item}"), task("t", "inc", x="${s}"))
MADE = (task("t", "inc", x="${item + 0}"),)
BODIES = pytest.mark.parametrize("body", [PLAIN, FRAMED, MADE], ids=["plain", "framed", "made"])


def start(
    value: Any = None, output: Any = "${m}", *, do: Any = PLAIN, after: tuple[Any, ...] = (), **rest: Any
) -> RunDriver:
    node = Map(id="m", do=do, **{"items": "n", **rest})
    return RunDriver(define(node, *after, output=output), value, TASKS)


def items(run: RunDriver) -> list[int]:
    """The activations of open tasks."""
    return sorted(key // run.plan.stride for key in run.run.open)


def end(run: RunDriver, position: int, value: int = 0) -> None:
    act = items(run)[position]
    run.complete(act * run.plan.stride + run.plan.by_id["t"], value)
    assert run.replayed() == run.run


class TestNumber:
    @BODIES
    def test_a_whole_number_means_that_many_items(self, body: Any):
        assert start(3, do=body).finish().output == [1, 2, 3]

    def test_none_are_fine(self):
        assert start(0).finish().output == []

    @pytest.mark.parametrize("value", [-1, MAP_ITEMS_MAX + 1, 10**15, 1.5, True, None, "3"])
    def test_what_is_no_number_of_items_is_a_fault(self, value: object):
        assert start(value).run.error.type == "expression"


class TestGrowing:
    @BODIES
    def test_it_stays_open_until_it_is_closed(self, body: Any):
        run = start([1], do=body, grow="more")
        run.finish()
        assert run.run.status == "running"
        run.signal("more", [10, 20], "e1")
        run.finish()
        run.signal("more", None, "e2")
        assert run.output == [2, 11, 21]
        assert run.replayed() == run.run
        assert not run.run.waits

    def test_it_may_be_closed_while_items_run(self):
        run = start([1, 2], grow="more")
        run.signal("more", None, "e")
        assert run.run.status == "running"
        assert run.finish().output == [2, 3]

    def test_what_came_early_counts(self):
        node = Map(id="m", items="n", grow="more", do=PLAIN)
        run = RunDriver(define(Sleep(id="z", duration_ms=5), node, output="${m}"), [], TASKS)
        run.signal("more", [5], "e1")
        run.signal("more", None, "e2")
        assert run.finish().output == [6]

    def test_what_comes_after_the_close_is_left_alone(self):
        run = start([1], grow="more")
        run.signal("more", None, "e1")
        run.signal("more", [5], "e2")
        assert run.finish().output == [2]

    @pytest.mark.parametrize("payload", [5, "x", {"a": 1}])
    def test_a_signal_that_brings_no_list_is_refused(self, payload: object):
        with pytest.raises(InvalidInput, match="list"):
            start([1], grow="more").signal("more", payload, "e")

    def test_too_many_items_are_a_fault(self):
        run = start([1], grow="more")
        run.signal("more", list(range(MAP_GROWN_MAX)), "e")
        assert run.run.error.type == "expression"

    def test_two_that_grow_side_by_side_keep_their_items_apart(self):
        both = Parallel(id="p", do=tuple(
            Map(id=name, items="[0]", grow=name, do=(task(f"t{name}", "inc", x="${item}"),)) for name in ("m", "k")
        ))  # fmt: skip
        run = RunDriver(define(both, output="${[m, k]}"), None, TASKS)
        for name, brought in (("m", [1]), ("k", [2]), ("m", [3]), ("m", None), ("k", None)):
            run.signal(name, brought, f"{name}{brought}")
        assert run.finish().output == [[1, 2, 4], [1, 3]]

    def test_growth_of_a_pause_takes_effect_at_its_end(self):
        run = start([], grow="more")
        run.control("pause", "p")
        run.signal("more", [1, 2], "e1")
        run.signal("more", None, "e2")
        assert not run.run.open
        run.control("resume", "r")
        run.ready[:] = run.run.open
        assert run.finish().output == [2, 3]

    def test_one_that_is_withdrawn_waits_no_more(self):
        race = Race(id="r", do=(Map(id="m", items="n", grow="more", do=PLAIN), Sleep(id="z", duration_ms=5)))
        run = RunDriver(define(race), [1], TASKS)
        run.fire_next_timer()
        assert run.run.status == "completed"
        assert run.withdrawn


class TestLeaving:
    @BODIES
    def test_after_so_many_it_ends_with_what_there_is_in_item_order(self, body: Any):
        run = start([1, 2, 3], do=body, complete_after=2)
        end(run, 2, 30)
        end(run, 0, 10)
        assert run.output == [10, 30]
        assert len(run.withdrawn) == 1

    def test_by_a_condition_over_the_counts(self):
        run = start([1, 2, 3, 4], complete_when="done * 2 > total && failed == 0 && active < total")
        end(run, 0)
        end(run, 0)
        assert run.run.status == "running"
        end(run, 0)
        assert run.output == [0, 0, 0]

    def test_tolerated_failures_count_as_ended(self):
        run = start([1, 2, 3], complete_after=2, tolerate_count=1)
        key = next(iter(run.run.open))
        run.fail(key, error_of(ValueError("no")))
        end(run, 0, 5)
        assert run.output["values"] == [5]
        assert run.output["indexes"] == [1]

    def test_names_around_it_may_be_named(self):
        run = start([1, 2, 3], complete_when="done >= n[0]")
        end(run, 2, 7)
        assert run.output == [7]

    def test_a_condition_that_is_none_is_a_fault_of_the_map(self):
        run = start([1, 2], complete_when="done")
        assert (run.run.error.type, run.run.error.node) == ("expression", "m")
        caught = Catch(id="c", errors=("expression",), do=(Map(id="m", items="n", do=PLAIN, complete_when="x.y"),))
        assert RunDriver(define(caught, output="${c.failed}"), [1], TASKS).output is True

    def test_items_that_have_not_begun_never_do(self):
        run = start([1, 2, 3, 4], complete_after=1, max_parallel=1)
        end(run, 0)
        assert len(run.output) == 1
        assert run.run.status == "completed"

    def test_a_rest_of_frames_with_waits_is_withdrawn(self):
        body = (WaitSignal(id="w", signal="go"), Set(id="s", value="${w}"))
        run = start([1, 2, 3], do=body, complete_after=1, after=(Sleep(id="z", duration_ms=5),))
        run.signal("go", 9, "e")
        assert not run.run.waits
        assert len(run.run.frames) == 1
        assert run.replayed() == run.run
        assert run.finish().output == [9]

    def test_nobody_waits_for_the_items_of_a_map_without_synchronisation(self):
        run = start([1, 2], complete_after=0, rest="continue", after=(task("next", "inc", x=1),))
        assert len(run.run.open) == 3
        run.finish()
        assert run.run.status == "completed"
        assert sorted(run.executions) == ["next", "t", "t"]

    def test_a_failure_that_nobody_hears_of_fails_nothing(self):
        run = start([1, 2], complete_after=1, rest="continue", after=(Sleep(id="z", duration_ms=5),))
        end(run, 0, 1)
        run.fail(next(iter(run.run.open)), error_of(ValueError("no")))
        assert run.replayed() == run.run
        assert run.finish().output == [1]

    def test_the_rest_goes_on_within_its_window(self):
        run = start([1, 2, 3], complete_after=1, rest="continue", max_parallel=1)
        run.finish()
        assert run.executions == ["t", "t", "t"]
        assert run.output == [2]

    def test_a_map_that_was_left_grows_no_more(self):
        run = start([1, 2, 3], grow="more", complete_after=2, rest="continue")
        end(run, 0)
        end(run, 0)
        assert not run.run.waits
        end(run, 0)
        assert run.run.status == "completed"
        assert not run.run.groups

    def test_a_map_that_is_left_with_its_last_item_is_gone(self):
        run = start([1], grow="more", complete_after=1, rest="continue", after=(Sleep(id="z", duration_ms=5),))
        end(run, 0)
        assert not run.run.groups
        assert run.finish().run.status == "completed"
        assert run.replayed() == run.run
