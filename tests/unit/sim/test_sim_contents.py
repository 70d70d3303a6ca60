"""What the auditor makes of references in events: the value that an earlier event brought, or nothing."""

from __future__ import annotations

from typing import Any

from msgspec import Raw, msgpack

from wfe.limits import BLOB_BYTES_MIN
from wfe.model import event as ev
from wfe.model.blob import name_of, ref_to
from wfe.sim.contents import Contents

LARGE = "x" * BLOB_BYTES_MIN


def raw(value: Any) -> Raw:
    return Raw(msgpack.encode(value))


def done(value: Raw) -> ev.TaskDone:
    return ev.TaskDone(1, 0, 1, value)


def test_a_reference_stands_for_the_value_or_the_part_of_one_that_an_event_brought() -> None:
    contents = Contents()
    assert contents.whole(done(raw([7, LARGE]))).value == raw([7, LARGE])
    part = ref_to(name_of(raw(LARGE)))
    referring = Raw(b"\x81\xa1x" + bytes(part))
    assert contents.whole(done(referring)).value == raw({"x": LARGE})
    assert contents.copy().whole(done(part)).value == raw(LARGE)


def test_a_reference_to_what_no_event_brought_stays_and_is_no_value_of_a_run() -> None:
    contents = Contents()
    contents.whole(done(raw(LARGE)))
    unknown = ref_to(name_of(raw(LARGE + "y")))
    assert contents.whole(done(unknown)).value == unknown


def test_what_a_state_refers_to_and_the_store_does_not_have_is_named() -> None:
    contents = Contents()
    contents.whole(done(raw(LARGE)))
    name = name_of(raw(LARGE))
    state = b"\x91" + bytes(ref_to(name))
    assert contents.missing(state, {}) == [name]
    assert contents.missing(state, {name: b""}) == []
