"""Random workflows with tiny pages and nearly every value a blob: they do what they do when nothing is."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from random import Random
from typing import Any
from unittest.mock import patch

from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw
from test_core_properties import Script, act, check, finish, scripts

from support.programs import programs, tasks
from support.runs import RunDriver, decode, encode
from wfe.core.groups import length_of, number_in
from wfe.model.blob import REF_BYTES, compact, expand, names_in, names_needed, references_in, size_of
from wfe.model.definition import Definition
from wfe.model.event import MapOpened
from wfe.partition.entry import Entry, decode_state
from wfe.sim.generator import Generator

BLOB_BYTES = REF_BYTES + 2
PAGE = 2
WORDS = ["", "a", "word " * 8, "another one " * 4, "word " * 8 + "!"]


@contextmanager
def tiny() -> Iterator[None]:
    """Everything that is longer than a reference is a blob; maps of three items are paged."""
    places = [f"wfe.{module}.BLOB_BYTES_MIN" for module in ("model.blob", "core.places", "core.values", "core.decide")]
    pages = [f"wfe.core.{module}.MAP_PAGE_ITEMS" for module in ("groups", "places", "nodes.maps")]
    with ExitStack() as stack:
        for name in places:
            stack.enter_context(patch(name, BLOB_BYTES))
        for name in pages:
            stack.enter_context(patch(name, PAGE))
        yield


def end_of(run: RunDriver) -> tuple[Any, ...]:
    output = decode(expand(run.run.output, run.run.blobs)) if run.run.status == "completed" else run.run.error
    return run.run.status, output, run.executions


class Restarted(RunDriver):
    """After each command the state goes through its snapshot and its rows of blobs, as in a shard."""

    def command(self, work: Any) -> Any:
        found = super().command(work)
        snapshot = Entry(0, self.run, self.plan).snapshot()
        kept = {name: bytes(self.run.blobs[name]) for name in names_needed(snapshot, self.run.blobs)}
        self.run = decode_state(snapshot, kept)
        return found


@given(programs(), st.integers(1, 6), scripts)
def test_runs_do_the_same_with_and_without_references(definition: Definition, value: int, script: Script):
    ends = []
    for small in (False, True):
        with ExitStack() as stack:
            if small:
                stack.enter_context(tiny())
            run = RunDriver(definition, value, tasks())
            for operation, number in script:
                act(run, operation, number)
            finish(run)
            if small:
                check(run)
            ends.append(end_of(run))
    assert ends[0] == ends[1]


def test_these_programs_do_have_references():
    found = pages = 0
    with tiny():
        for seed in range(60):
            run = RunDriver(Generator(Random(seed)).definition(depth=3), 4, tasks()).finish()
            found += any(names_in(encode(event)) for event in run.events)
            opened = [event.items for event in run.events if isinstance(event, MapOpened)]
            pages += any((number_in(items) or length_of(expand(items, run.run.blobs)) or 0) > PAGE for items in opened)
    assert found > 3, found
    assert pages > 3, pages


@given(programs(), st.integers(1, 6), scripts)
def test_what_nothing_refers_to_may_go_at_any_time(definition: Definition, value: int, script: Script):
    ends = []
    for driver in (RunDriver, Restarted):
        with tiny():
            run = driver(definition, value, tasks())
            for operation, number in script:
                act(run, operation, number)
            finish(run)
            replayed = run.replayed()
            assert names_needed(encode(run.run), run.run.blobs).keys() <= replayed.blobs.keys()
            assert Entry(0, replayed, run.plan).snapshot() == Entry(0, run.run, run.plan).snapshot()
            ends.append(end_of(run))
    assert ends[0] == ends[1]


values = st.recursive(
    st.sampled_from(WORDS) | st.integers().filter(lambda n: abs(n) < 2**63) | st.none() | st.binary(max_size=60),
    lambda inner: st.lists(inner, max_size=6) | st.dictionaries(st.sampled_from(WORDS), inner, max_size=5),
    max_leaves=30,
)


@given(st.lists(values, max_size=6))
def test_values_come_back_whole_from_any_nesting_of_references(parts: list[Any]):
    blobs: dict[bytes, Raw] = {}

    def stored(name: bytes, data: Raw) -> bool:
        blobs[name] = Raw(bytes(data))
        return True

    with tiny():
        made = Raw(encode([]))
        for part in parts:
            small = compact(Raw(encode(part)), stored)
            made = compact(Raw(encode([made, small, {"k": small}])), stored)
            assert decode(expand(small, blobs)) == part
            assert size_of(small, blobs) == len(encode(part))
    wanted: Any = []
    for part in parts:
        wanted = [wanted, part, {"k": part}]
    assert decode(expand(made, blobs)) == wanted
    assert size_of(made, blobs) == len(encode(wanted))
    assert set(references_in(made)) <= set(names_needed(made, blobs))
