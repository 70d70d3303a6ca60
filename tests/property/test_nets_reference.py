"""Nets against the slow reference of the rules, and what holds for every run: replay equals live."""

from __future__ import annotations

from hypothesis import given, reject, settings
from hypothesis import strategies as st

from support.nets import Both, graphs
from support.runs import encode
from support.token_game import Endless
from wfe.model.definition import Graph

STEPS = st.lists(
    st.tuples(st.integers(0, 30), st.integers(0, 11), st.sampled_from((*("",) * 12, "Boom", "TimedOut"))),
    min_size=12,
    max_size=30,
)
ACTIVE_MAX = 60
"""Nets whose tokens multiply without end are left alone from here on."""


def play(both: Both, steps: list[tuple[int, int, str]]) -> None:
    for pick, value, kind in steps:
        assert both.engine_marking() == both.reference_marking()
        if len(both.game.active) > ACTIVE_MAX or not both.act(pick, value, kind):
            break
    assert both.engine_marking() == both.reference_marking()


@settings(max_examples=400)
@given(graphs(), STEPS)
def test_the_engine_plays_every_net_as_the_reference_does(graph: Graph, steps: list[tuple[int, int, str]]):
    try:
        both = Both(graph)
        play(both, steps)
    except Endless:
        reject()
    warnings = [event for event in both.run.events if getattr(event, "stalemate", False)]
    assert len(warnings) == both.game.warnings


@settings(max_examples=100)
@given(graphs(), STEPS)
def test_replay_equals_live_after_every_event_of_a_net(graph: Graph, steps: list[tuple[int, int, str]]):
    try:
        both = Both(graph)
        for pick, value, kind in steps:
            if len(both.game.active) > ACTIVE_MAX or not both.act(pick, value, kind):
                break
            assert encode(both.run.replayed()) == encode(both.run.run)
    except Endless:
        reject()


@settings(max_examples=100)
@given(graphs(), STEPS)
def test_a_restart_after_every_step_of_a_net_changes_nothing(graph: Graph, steps: list[tuple[int, int, str]]):
    try:
        through_snapshots = Both(graph, restart=True)
        play(through_snapshots, steps)
    except Endless:
        reject()


@settings(max_examples=100)
@given(graphs(), STEPS, st.integers(1, 4))
def test_a_pause_between_two_ends_changes_nothing_that_the_reference_sees(
    graph: Graph, steps: list[tuple[int, int, str]], every: int
):
    try:
        both = Both(graph)
        for number, (pick, value, kind) in enumerate(steps):
            if len(both.game.active) > ACTIVE_MAX or not both.active():
                break
            paused = number % every == 0
            if paused:
                both.run.control("pause", f"p{number}")
            both.act(pick, value, kind)
            assert encode(both.run.replayed()) == encode(both.run.run)
            if paused:
                both.run.control("resume", f"r{number}")
            assert both.engine_marking() == both.reference_marking()
    except Endless:
        reject()
