"""Empty tables of a state are one object, which nobody can fill."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from wfe.core.compile import compile_plan
from wfe.core.evolve import new_run
from wfe.model import event as ev
from wfe.model.definition import Definition, Sleep
from wfe.model.state import NULL, RunState
from wfe.model.tables import NO_ITEMS, NOTHING, add, items_of, put, share_empties
from wfe.partition.entry import decode_state


def started() -> RunState:
    plan = compile_plan(Definition("naps", nodes=(Sleep(id="nap", duration_ms=1),)), "0")
    return new_run(ev.RunStarted("r", "naps", 1, "0", NULL, 1), plan)


def shared(run: RunState) -> set[str]:
    return {name for name in run.__struct_fields__ if getattr(run, name) in (NOTHING, NO_ITEMS)} - {"open", "frames"}


def test_a_run_that_begins_has_no_empty_table_of_its_own() -> None:
    run = started()
    own = {name for name in shared(run) if getattr(run, name) is not NOTHING and getattr(run, name) is not NO_ITEMS}
    assert len(shared(run)) >= 24
    assert not own


def test_a_table_that_is_filled_is_its_runs_alone() -> None:
    one, other = started(), started()
    one.timers = put(one.timers, 3, 10)
    one.timers = put(one.timers, 4, 11)
    one.commands = add(one.commands, ("a", ""))
    one.commands = add(one.commands, ("b", ""))
    assert (one.timers, list(one.commands)) == ({3: 10, 4: 11}, [("a", ""), ("b", "")])
    assert other.timers is NOTHING
    assert other.commands is NO_ITEMS


@pytest.mark.parametrize(
    "fill",
    [
        lambda: NOTHING.__setitem__(1, 2),
        lambda: NOTHING.setdefault(1, 2),
        lambda: NOTHING.update({1: 2}),
        lambda: NOTHING.__ior__({1: 2}),
        lambda: NO_ITEMS.append(1),
        lambda: NO_ITEMS.extend([1]),
        lambda: NO_ITEMS.insert(0, 1),
        lambda: NO_ITEMS.__iadd__([1]),
        lambda: NO_ITEMS.__setitem__(slice(None), [1]),
    ],
)
def test_the_shared_tables_refuse_to_be_filled(fill: Any) -> None:
    with pytest.raises(TypeError, match="use put or add"):
        fill()
    assert (dict(NOTHING), list(NO_ITEMS)) == ({}, [])


def test_a_snapshot_says_the_same_whether_tables_are_shared_or_own() -> None:
    run = started()
    snapshot = msgspec.msgpack.encode(run)
    own = msgspec.msgpack.decode(snapshot, type=RunState)
    assert own.waits is not NOTHING
    assert msgspec.msgpack.encode(own) == snapshot


def test_a_run_that_comes_back_has_no_empty_table_of_its_own() -> None:
    run = started()
    run.waits = put(run.waits, 1, "go")
    back = decode_state(msgspec.msgpack.encode(run))
    assert back == run
    assert back.signals is NOTHING
    assert back.faults is NO_ITEMS
    assert back.waits == {1: "go"}


def test_what_is_left_of_a_list_is_shared_when_nothing_is() -> None:
    assert items_of([]) is NO_ITEMS
    assert list(items_of([1])) == [1]


def test_other_defaults_of_a_state_are_left_alone() -> None:
    run = started()
    run.frames.clear()
    share_empties(run)
    assert run.frames is not NOTHING
    assert run.open is not NOTHING
