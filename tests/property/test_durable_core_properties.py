"""Random turns, ends of calls, signals, losses, pauses, rounds and restarts of a durable function, against a slow
reference: a list of calls, a list of ends, and a queue per signal."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from msgspec import Raw

from support.durable import (
    DurableDriver,
    cancel,
    child,
    continue_with,
    decode,
    durable,
    encode,
    publish,
    raw,
    signal,
    sleep,
    task,
)
from wfe.core import decide
from wfe.core.durable.places import MAIN, state_of
from wfe.core.durable.records import record_of
from wfe.core.evolve import replay
from wfe.model.durable import OPEN, RUN_CANCELLED, DurableRecord
from wfe.model.event import EventChunk
from wfe.model.state import RunState

KINDS = st.sampled_from(["task", "sleep", "signal", "child", "publish"])
NAMES = st.sampled_from(["a", "b"])


@dataclass
class Reference:
    """What should be: calls by number (kind, name, open), ends in order, signals that nobody has taken."""

    calls: list[list[Any]] = field(default_factory=list)
    ends: list[tuple[int, Any]] = field(default_factory=list)
    buffered: dict[str, list[int]] = field(default_factory=dict)
    taken: int = 0
    in_turn: bool = True

    def end(self, seq: int, value: Any) -> None:
        self.calls[seq][2] = False
        self.ends.append((seq, value))
        self.in_turn = self.in_turn or len(self.ends) > self.taken

    def meet(self) -> None:
        """The oldest signals go to the calls that have waited for longest."""
        for seq, (kind, name, is_open) in enumerate(self.calls):
            if kind == "signal" and is_open and self.buffered.get(name):
                self.end(seq, self.buffered[name].pop(0))

    def book(self, calls: list[tuple[str, str]], cancels: list[int], taken: int) -> None:
        first = len(self.calls)
        self.taken = taken
        self.in_turn = len(self.ends) > taken
        self.calls += [[kind, name, kind != "publish"] for kind, name in calls]
        for seq in cancels:
            self.calls[seq][2] = False
        for seq in range(first, len(self.calls)):
            kind, name, is_open = self.calls[seq]
            if kind == "signal" and is_open and self.buffered.get(name):
                self.end(seq, self.buffered[name].pop(0))


class DurableMachine(RuleBasedStateMachine):
    def __init__(self) -> None:
        super().__init__()
        self.driver = DurableDriver(durable("order"), input=1)
        self.reference = Reference()
        self.held: list[Any] = []
        """A turn that ended while the run is paused."""
        self.value = 0

    @property
    def run(self) -> RunState:
        return self.driver.run

    def paused(self) -> bool:
        return self.run.status == "paused"

    def open_of(self, *kinds: str) -> list[int]:
        return [seq for seq, (kind, _, is_open) in enumerate(self.reference.calls) if is_open and kind in kinds]

    @precondition(lambda self: self.reference.in_turn and not self.held)
    @rule(data=st.data())
    def a_turn_ends(self, data: st.DataObject) -> None:
        reference = self.reference
        seq = len(reference.calls)
        drawn = data.draw(st.lists(st.tuples(KINDS, NAMES), max_size=4))
        calls = [*drawn, ("task", "a")]  # so that it never waits for nothing
        makers = {"task": task, "signal": signal, "child": child}
        commands = []
        for number, (kind, name) in enumerate(calls, seq):
            if kind == "sleep":
                commands.append(sleep(number, 100))
            elif kind == "publish":
                commands.append(publish(number, name))
            else:
                commands.append(makers[kind](number, name))
        candidates = self.open_of("task", "sleep", "signal", "child") + list(range(seq, seq + len(drawn)))
        cancels = data.draw(st.lists(st.sampled_from(candidates), max_size=2, unique=True)) if candidates else []
        cancels = [number for number in cancels if number < seq or calls[number - seq][0] != "publish"]
        taken = data.draw(st.integers(reference.taken, len(reference.ends)))
        commands += [cancel(number) for number in cancels]
        self.driver.turn(*commands, taken=taken)
        if self.paused():
            self.held = [calls, cancels, taken]
        else:
            reference.book(calls, cancels, taken)

    @precondition(lambda self: self.open_of("task"))
    @rule(data=st.data())
    def a_task_ends(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(self.open_of("task")))
        self.value += 1
        assert self.driver.end(seq, self.value)
        self.reference.end(seq, self.value)

    @precondition(lambda self: self.open_of("task"))
    @rule(data=st.data(), spent=st.booleans())
    def an_attempt_is_lost(self, data: st.DataObject, spent: bool) -> None:
        key = self.driver.key(data.draw(st.sampled_from(self.open_of("task"))))
        if self.run.losses.get(key, 0) < 3:
            attempt = self.run.open[key]
            self.driver.command(lambda t: decide.task_lost(t, key, attempt, spent=spent))
            assert self.run.open[key] == attempt + 1

    @precondition(lambda self: self.reference.in_turn and not self.held)
    @rule()
    def a_turn_is_lost(self) -> None:
        attempt = self.run.open[MAIN]
        self.driver.command(lambda t: decide.task_lost(t, MAIN, attempt, spent=False))
        assert not self.driver.command(lambda t: decide.task_result(t, MAIN, attempt, 3, raw(None), None))

    @precondition(lambda self: self.open_of("child"))
    @rule(data=st.data())
    def a_sub_workflow_ends(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(self.open_of("child")))
        key = self.driver.key(seq)
        self.value += 1
        told = raw(self.value)
        assert self.driver.command(
            lambda t: decide.child_ended(t, key, self.run.children[key], "completed", told, None)
        )
        self.reference.end(seq, self.value)

    @precondition(lambda self: self.open_of("sleep") and not self.paused())
    @rule()
    def time_passes(self) -> None:
        timer = min(self.run.timers, key=lambda t: (self.run.timers[t], t))
        self.driver.fire_next_timer()
        self.reference.end(timer // 2 // self.driver.plan.stride - state_of(self.run).base, None)

    @rule(name=NAMES)
    def a_signal_comes(self, name: str) -> None:
        self.value += 1
        told = raw(self.value)
        self.driver.command(lambda t: decide.signal(t, name, told, f"e{self.value}"))
        self.reference.buffered.setdefault(name, []).append(self.value)
        if not self.paused():
            self.reference.meet()

    @precondition(lambda self: not self.paused())
    @rule()
    def somebody_pauses(self) -> None:
        self.value += 1
        self.driver.command(lambda t: decide.control(t, "pause", f"c{self.value}"))

    @precondition(lambda self: self.paused())
    @rule()
    def somebody_resumes(self) -> None:
        self.value += 1
        self.driver.command(lambda t: decide.control(t, "resume", f"c{self.value}"))
        if self.held:
            self.reference.book(*self.held)
            self.held = []
        self.reference.meet()

    @precondition(lambda self: self.reference.in_turn and not self.paused())
    @rule()
    def a_round_begins(self) -> None:
        self.driver.turn(continue_with(order=self.value))
        self.reference = Reference(buffered=self.reference.buffered)

    @rule()
    def the_shard_restarts(self) -> None:
        self.driver.run = decode(encode(self.run), type=RunState)

    @invariant()
    def it_is_as_the_reference_says(self) -> None:
        state, reference = state_of(self.run), self.reference
        assert [(c.name, c.status == OPEN) for c in state.calls] == [
            ("" if kind in ("sleep", "publish") else name, is_open) for kind, name, is_open in reference.calls
        ]
        assert [(c.seq, decode(c.value)) for c in state.completions] == reference.ends
        assert (MAIN in self.run.open) == reference.in_turn
        assert {key for key in self.run.open if key != MAIN} == {self.driver.key(s) for s in self.open_of("task")}
        assert {channel: [decode(v) for _, v in q] for channel, q in self.run.signals.items()} == {
            name: values for name, values in reference.buffered.items() if values
        }

    @invariant()
    def replay_equals_live(self) -> None:
        chunk = decode(encode(EventChunk(0, self.driver.events)), type=EventChunk)
        assert encode(replay(None, self.driver.plan, chunk.events)) == encode(self.run)

    @invariant()
    def a_partial_record_is_the_rest_of_the_whole_one(self) -> None:
        whole, rest = (
            decode(record_of(self.run, self.driver.plan, 0, partial=partial), type=DurableRecord)
            for partial in (False, True)
        )
        assert rest.since_call == len(whole.calls)
        assert encode(whole.completions[rest.since_completion :]) == encode(rest.completions)
        assert all(call.options == Raw(b"\xc0") for call in whole.calls)
        assert RUN_CANCELLED not in [completion.seq for completion in whole.completions]


DurableMachine.TestCase.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
TestDurableCore = DurableMachine.TestCase
