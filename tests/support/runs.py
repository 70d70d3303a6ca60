"""Drives one run through core alone: no shard, no disk, time that jumps to the next timer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec
from msgspec import Raw

from wfe.core import decide
from wfe.core.compile import compile_plan
from wfe.core.evolve import replay
from wfe.core.turn import Turn
from wfe.core.values import splice
from wfe.model.blob import expand
from wfe.model.definition import Definition
from wfe.model.event import EventChunk, RunEvent, RunStarted
from wfe.model.ids import mint_run_id
from wfe.model.policy import ErrorInfo
from wfe.model.state import ENDED, PAUSED, RunState

encode = msgspec.msgpack.encode
decode = msgspec.msgpack.decode
START_MS = 1_000_000
RUN_ID = mint_run_id(3, START_MS, 42)


def error_of(error: BaseException) -> ErrorInfo:
    names = tuple(cls.__name__ for cls in type(error).__mro__ if cls is not object)
    return ErrorInfo(type(error).__name__, str(error), types=names)


@dataclass
class RunDriver:
    """One run. ``restart``: after every command the state goes through its snapshot, as a restart would do it."""

    definition: Definition
    input: Any = None
    tasks: Mapping[str, Callable[..., Any]] = field(default_factory=dict)
    restart: bool = False
    now_ms: int = START_MS

    def __post_init__(self) -> None:
        self.plan = compile_plan(self.definition, "hash")
        self.events: list[RunEvent] = []
        self.ready: list[int] = []
        self.mail: list[Any] = []
        self.withdrawn: list[tuple[int, int]] = []
        self.executions: list[str] = []
        due_ms = self.now_ms + self.plan.timeout_ms if self.plan.timeout_ms else 0
        event = RunStarted(
            RUN_ID, self.definition.workflow, 1, "hash", Raw(encode(self.input)), self.now_ms, due_ms=due_ms
        )
        self.run: RunState = decide.start(self.plan, event)
        self.command(lambda turn: decide.begin(turn, event))

    def command(self, work: Callable[[Turn], Any]) -> Any:
        """A turn of its own; its events are replayed beside it and must give the same state."""
        turn = Turn(self.run, self.plan, self.now_ms, 32, lambda: 0.5, [])
        result = work(turn)
        self.events += turn.events
        if self.run.status != PAUSED:
            self.ready += turn.ready
        self.mail += turn.mail
        self.withdrawn += turn.withdrawn
        if self.restart:
            self.run = decode(encode(self.run), type=RunState)
        return result

    def replayed(self) -> RunState:
        """The state from the events alone, through their encoded form."""
        chunk = decode(encode(EventChunk(0, self.events)), type=EventChunk)
        return replay(None, self.plan, chunk.events)

    def place(self, node_id: str, act: int = 0) -> int:
        return act * self.plan.stride + self.plan.by_id[node_id]

    def input_of(self, key: int) -> dict[str, Any]:
        act, index = divmod(key, self.plan.stride)
        made = self.run.inputs.get(key)
        if made is None:
            node = self.plan.nodes[index]
            made = splice(self.run, self.plan, node.scope, act, node.input)
        return decode(expand(made, self.run.blobs))

    def execute_next(self) -> None:
        """Run the task that has been ready for longest."""
        key = self.ready.pop(0)
        attempt = self.run.open.get(key)
        if attempt is None:
            return
        node = self.plan.nodes[key % self.plan.stride].node
        self.executions.append(node.id)
        try:
            value = self.tasks[node.task](**self.input_of(key))
        except Exception as error:  # noqa: BLE001  a task may raise anything
            self.fail(key, error_of(error))
        else:
            self.complete(key, value)

    def complete(self, key: int, value: Any) -> bool:
        return self.command(
            lambda t: decide.task_result(t, key, self.run.open.get(key, 0), 0, Raw(encode(value)), None)
        )

    def fail(self, key: int, error: ErrorInfo) -> bool:
        null = Raw(b"\xc0")
        return self.command(lambda t: decide.task_result(t, key, self.run.open.get(key, 0), 1, null, error))

    def fire_next_timer(self) -> None:
        timer = min(self.run.timers, key=lambda t: (self.run.timers[t], t))
        self.now_ms = max(self.now_ms, self.run.timers[timer])
        self.command(lambda turn: decide.timer_due(turn, timer))

    def step(self) -> bool:
        """One task or one timer; False when nothing can happen any more."""
        if self.run.status in ENDED:
            return False
        if self.ready:
            self.execute_next()
        elif self.run.timers:
            self.fire_next_timer()
        else:
            return False
        return True

    def finish(self) -> RunDriver:
        while self.step():
            pass
        return self

    def signal(self, name: str, payload: Any, event_id: str) -> None:
        self.command(lambda turn: decide.signal(turn, name, Raw(encode(payload)), event_id))

    def control(self, action: str, command_id: str = "c") -> None:
        self.command(lambda turn: decide.control(turn, action, command_id))

    @property
    def output(self) -> Any:
        assert self.run.status == "completed", (self.run.status, self.run.error)
        return decode(expand(self.run.output, self.run.blobs))
