"""A slow interpreter of definitions, independent of `core`: whether a run may have ended as it did.

It walks the tree of the definition and works out every value for itself. What is chance (how a task ended, which signal
came, what was withdrawn because something else came first) it takes from the history; everything else must follow: the
inputs of tasks, the arms of choices, what catches take, results of maps, the output. Expressions are those of
`generator`.
"""

from __future__ import annotations

import operator
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from msgspec.msgpack import decode

from wfe.model import event as ev
from wfe.model.definition import (
    Block,
    Catch,
    End,
    Fail,
    Map,
    Node,
    Parallel,
    Set,
    Sleep,
    StartWorkflow,
    SubWorkflow,
    Task,
    WaitSignal,
    When,
)
from wfe.model.state import RUN_DEADLINE
from wfe.sim.ledger import Place, RunBook

Env = dict[str, Any]
_NAME = re.compile(r"\$\{(\w+)\}")
_CONDITION = re.compile(r"n (<|>|==) (\d)")
_COMPARE = {"<": operator.lt, ">": operator.gt, "==": operator.eq}


@dataclass(slots=True)
class Walked:
    """What became of some nodes. ``stuck``: some were withdrawn or never begun. ``faults``: types that may leave."""

    stuck: bool = False
    faults: list[str] = field(default_factory=list)
    ends: list[Any] = field(default_factory=list)

    def take(self, other: Walked) -> None:
        self.stuck = self.stuck or other.stuck
        self.faults += other.faults
        self.ends += other.ends

    @property
    def done(self) -> bool:
        return not (self.stuck or self.faults or self.ends)


class _Facts:
    """What chance decided, by place."""

    def __init__(self, book: RunBook) -> None:
        self.tasks: dict[Place, Any] = {}
        self.nodes: dict[Place, Any] = {}
        self.faults: dict[Place, str] = {}
        self.arms: dict[Place, int] = {}
        self.caught: dict[Place, str] = {}
        self.items: dict[Place, dict[int, str]] = {}
        self.bases: dict[Place, int] = {}
        self.bypassed: set[Place] = set()
        for event in book.events:
            match event:
                case ev.TaskDone(node, act, _, value):
                    self.tasks[node, act] = decode(value)
                case ev.TaskFailed(node, act, _, error, retry_ms):
                    if not retry_ms:
                        self.faults[node, act] = error.type
                case ev.FaultRaised(node, act, error):
                    self.faults[node, act] = error.type
                case ev.NodeDone(node, act, value):
                    self.nodes[node, act] = decode(value)
                case ev.NodeBypassed(node, act):
                    self.bypassed.add((node, act))
                case ev.BlockOpened(node, act, arm):
                    self.arms[node, act] = arm
                case ev.FaultCaught(node, act, error):
                    self.caught[node, act] = error.type
                case ev.MapOpened(node, act, base, _):
                    self.bases[node, act] = base
                case ev.ItemFailed(node, act, index, error):
                    self.items.setdefault((node, act), {})[index] = error.type
        self.signals = book.taken


def check_run(book: RunBook) -> None:
    """`Violation` when the run's end does not follow from what happened in it."""
    _Interpreter(book).check()


class _Interpreter:
    def __init__(self, book: RunBook) -> None:
        self._book = book
        self._shape = book.shape
        self._facts = _Facts(book)

    def check(self) -> None:
        book = self._book
        env: Env = {"n": decode(book.started.input)}
        walked = self._sequence(book.shape.definition.nodes, 0, env)
        if book.status == "completed":
            assert book.output is not None
            output = decode(book.output)
            if walked.ends:
                if output not in walked.ends:
                    raise book.fail(f"ends with {output!r}, its end nodes give {walked.ends!r}")
                return
            if not walked.done:
                raise book.fail(f"completes, though {walked}")
            expected = self._template(book.shape.definition.output, env)
            if output != expected:
                raise book.fail(f"completes with {output!r}, {expected!r} follows from its history")
        elif book.status == "failed":
            kind = book.error.type
            if kind not in walked.faults and not (kind == "TimedOut" and self._overdue()):
                raise book.fail(f"fails with {kind}, its faults are {walked.faults}")

    def _overdue(self) -> bool:
        """Whether the time of the run was over: at its end, or earlier, while it was paused."""
        due_ms, events = self._book.started.due_ms, self._book.events
        expired = any(isinstance(event, ev.TimerExpired) and event.timer == RUN_DEADLINE for event in events)
        ended = events[-1]
        return bool(due_ms) and (expired or (isinstance(ended, ev.RunEnded) and ended.time_ms >= due_ms))

    # ---- values -----------------------------------------------------------------------------------------------------

    def _template(self, value: Any, env: Env) -> Any:
        if isinstance(value, str):
            if match := _NAME.fullmatch(value):
                return env[match[1]]
            return _NAME.sub(lambda match: str(env[match[1]]), value)
        if isinstance(value, list):
            return [self._template(item, env) for item in value]
        if isinstance(value, dict):
            return {name: self._template(item, env) for name, item in value.items()}
        return value

    def _holds(self, condition: str, env: Env) -> bool:
        match = _CONDITION.fullmatch(condition)
        assert match is not None, f"the generator made {condition!r}"
        return bool(_COMPARE[match[1]](env["n"], int(match[2])))

    # ---- blocks -----------------------------------------------------------------------------------------------------

    def _sequence(self, nodes: Sequence[Node], act: int, env: Env) -> Walked:
        for node in nodes:
            walked = self._node(node, act, env)
            if not walked.done:
                return walked
        return Walked()

    def _together(self, nodes: Sequence[Node], act: int, env: Env) -> Walked:
        found = Walked()
        for node in nodes:
            try:
                found.take(self._node(node, act, env))
            except KeyError:  # it names a value that a sibling never gave
                found.stuck = True
        return found

    def _node(self, node: Node, act: int, env: Env) -> Walked:
        place = (self._shape.position[node.id], act)
        env[node.id] = None
        if node.if_ is not None and not self._holds(node.if_, env):
            return Walked(stuck=place not in self._facts.bypassed)
        match node:
            case When():
                return self._when(node, place, env)
            case Parallel():
                return self._together(node.do, act, env)
            case Block():
                return self._sequence(node.do, act, env)
            case Catch():
                return self._catch(node, place, env)
            case Map():
                return self._map(node, place, env)
            case End():
                return Walked(ends=[self._template(node.value, env)])
            case Fail():
                return Walked(faults=[node.error])
            case Task():
                return self._task(node, place, env)
        return self._leaf(node, place, env)

    def _when(self, node: When, place: Place, env: Env) -> Walked:
        chosen = next((i for i, b in enumerate(node.branches) if b.cond is None or self._holds(b.cond, env)), -1)
        arm = self._facts.arms.get(place)
        if arm is None:
            return Walked(stuck=True)
        if arm != chosen:
            raise self._book.fail(f"{node.id} takes arm {arm}, {chosen} follows")
        return Walked() if chosen < 0 else self._sequence(node.branches[chosen].do, place[1], env)

    def _catch(self, node: Catch, place: Place, env: Env) -> Walked:
        inner = self._sequence(node.do, place[1], env)
        caught = self._facts.caught.get(place)
        if caught is None:
            if inner.done:
                env[node.id] = {"failed": False, "type": "", "message": "", "node": "", "attempts": 0}
                self._same(node, place, env)
            leaving = [kind for kind in inner.faults if "Exception" not in node.errors and kind not in node.errors]
            return Walked(inner.stuck or leaving != inner.faults, leaving, inner.ends)
        if caught not in inner.faults:
            raise self._book.fail(f"{node.id} takes {caught}, its faults are {inner.faults}")
        if "Exception" not in node.errors and caught not in node.errors:
            raise self._book.fail(f"{node.id} takes {caught}, it wants {node.errors}")
        # Message and attempts depend on chance; what is caught is the history's, its type was checked.
        env[node.id] = self._caught_value(place)
        return Walked()

    def _caught_value(self, place: Place) -> Any:
        for event in self._book.events:
            if isinstance(event, ev.FaultCaught) and (event.node, event.act) == place:
                error = event.error
                return {
                    "failed": True, "type": error.type, "message": error.message, "node": error.node,
                    "attempts": error.attempts,
                }  # fmt: skip
        raise AssertionError("the place was caught")

    def _map(self, node: Map, place: Place, env: Env) -> Walked:
        base = self._facts.bases.get(place)
        if base is None:
            return Walked(stuck=True)
        items = [env["n"] if text == "n" else int(text) for text in re.findall(r"\w+", node.items)]
        failed = self._facts.items.get(place, {})
        found, values, indexes = Walked(), [], []
        for index, item in enumerate(items):
            inner: Env = {**env, node.as_: item}
            walked = self._sequence(node.do, base + index, inner)
            if index in failed:
                if failed[index] not in walked.faults:
                    raise self._book.fail(f"item {index} of {node.id} fails with {failed[index]}: {walked}")
                continue
            found.take(walked)
            values.append(inner.get(node.do[-1].id))
            indexes.append(index)
        if node.tolerate_count is not None and len(failed) > node.tolerate_count:
            raise self._book.fail(f"{node.id} tolerates {len(failed)} failures")
        env[node.id] = values
        if node.tolerate_count is not None:
            errors = self._errors(place, items)
            env[node.id] = {"values": values, "indexes": indexes, "errors": errors}
        return found

    def _errors(self, place: Place, items: list[int]) -> list[dict[str, Any]]:
        errors = {
            event.index: event.error
            for event in self._book.events
            if isinstance(event, ev.ItemFailed) and (event.node, event.act) == place
        }
        return [
            {
                "index": index, "failed": True, "type": errors[index].type, "message": errors[index].message,
                "node": errors[index].node, "attempts": errors[index].attempts,
            }
            for index in sorted(errors)
        ]  # fmt: skip

    # ---- leaves -----------------------------------------------------------------------------------------------------

    def _task(self, node: Task, place: Place, env: Env) -> Walked:
        book, facts = self._book, self._facts
        made = {"x": self._template(node.with_["x"], env)}
        for (number, act, attempt), data in book.executed.items():
            if (number, act) == place and decode(data) != made:
                raise book.fail(f"attempt {attempt} of {node.id} got {decode(data)!r}, {made!r} follows")
        if place in facts.tasks:
            if facts.tasks[place] != made["x"]:
                raise book.fail(f"{node.id} gave {facts.tasks[place]!r}, not {made['x']!r}")
            env[node.id] = made["x"]
            return Walked()
        if place in facts.faults:
            return Walked(faults=[facts.faults[place]])
        return Walked(stuck=True)

    def _leaf(self, node: Node, place: Place, env: Env) -> Walked:
        facts = self._facts
        if place in facts.faults:
            if not isinstance(node, (WaitSignal, SubWorkflow, StartWorkflow)):
                raise self._book.fail(f"{node.id} fails with {facts.faults[place]}")
            return Walked(faults=[facts.faults[place]])
        if place in facts.signals and isinstance(node, WaitSignal):
            env[node.id] = decode(facts.signals[place])
            return Walked()
        if place not in facts.nodes:
            return Walked(stuck=True)
        match node:
            case Set():
                env[node.id] = self._template(node.value, env)
            case WaitSignal():
                env[node.id] = node.default
            case SubWorkflow() | StartWorkflow():
                env[node.id] = facts.nodes[place]
            case Sleep():
                env[node.id] = None
        self._same(node, place, env)
        return Walked()

    def _same(self, node: Node, place: Place, env: Env) -> None:
        value = self._facts.nodes.get(place)
        if value != env[node.id]:
            raise self._book.fail(f"{node.id} has the value {value!r}, {env[node.id]!r} follows")
