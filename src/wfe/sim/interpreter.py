"""A slow interpreter of definitions, independent of `core`: whether a run may have ended as it did.

It walks the tree of the definition and works out every value for itself. What is chance (how a task ended, which signal
came, what was withdrawn because something else came first) it takes from the history; everything else must follow: the
inputs of tasks, the arms of choices, what catches take, results of maps, the outcome of children, the output.
Expressions are those of `generator`. What one kind of node means is one function in the table of `walks`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from msgspec.msgpack import decode

from wfe.model import event as ev
from wfe.model.definition import DurableCall, Node
from wfe.model.event_kinds import CompensationBegan
from wfe.sim.expressions import Broken, Env, holds, template
from wfe.sim.facts import Facts, Walked
from wfe.sim.ledger import RunBook
from wfe.sim.ledger_kinds import Place
from wfe.sim.rounds import deadline_expired
from wfe.sim.walks import WALKS


def check_run(book: RunBook, runs: Mapping[str, RunBook]) -> None:
    """`Violation` when the run's end does not follow from what happened in it. ``runs``: all, for its children."""
    if isinstance(book.shape.nodes[0] if book.shape.nodes else None, DurableCall):
        book.check_function()
    else:
        Interpreter(book, runs).check()


class Interpreter:
    """One run's."""

    def __init__(self, book: RunBook, runs: Mapping[str, RunBook]) -> None:
        self.book, self.runs = book, runs
        self.facts = Facts(book)

    def check(self) -> None:
        book = self.book
        env: Env = {"n": decode(book.started.input)}
        walked = self.sequence(book.shape.definition.nodes, 0, env)
        if book.status == "completed":
            self._check_output(walked, env)
        elif book.status == "failed":
            kind = book.error.type
            if kind in walked.faults or (kind == "TimedOut" and self._overdue()):
                return
            if not (kind == "expression" and walked.done and self._output_breaks(env)):
                raise book.fail(f"fails with {kind}, its faults are {walked.faults}")

    def _check_output(self, walked: Walked, env: Env) -> None:
        book = self.book
        assert book.output is not None
        output = decode(book.output)
        if walked.ends:
            if output not in walked.ends:
                raise book.fail(f"ends with {output!r}, its end nodes give {walked.ends!r}")
            return
        if not walked.done:
            raise book.fail(f"completes, though {walked}")
        if self._output_breaks(env):
            raise book.fail("completes, though its output cannot be computed")
        expected = template(book.shape.definition.output, env)
        if output != expected:
            raise book.fail(f"completes with {output!r}, {expected!r} follows from its history")

    def _output_breaks(self, env: Env) -> bool:
        try:
            template(self.book.shape.definition.output, env)
        except Broken:
            return True
        return False

    def _overdue(self) -> bool:
        """Whether the time of the run was over: at its end, or earlier, while it was paused."""
        due_ms, events = self.book.due_ms, self.book.events
        late = any(isinstance(event, (ev.RunEnded, CompensationBegan)) and event.time_ms >= due_ms for event in events)
        return (bool(due_ms) and late) or deadline_expired(self.book)

    # ---- nodes ------------------------------------------------------------------------------------------------------

    def sequence(self, nodes: Sequence[Node], act: int, env: Env) -> Walked:
        """One after the other."""
        found = Walked()
        for node in nodes:
            found.take(self.node(node, act, env))
            if not found.done:
                break
        return found

    def together(self, nodes: Sequence[Node], act: int, env: Env) -> Walked:
        """All at once, ordered by data alone."""
        found = Walked()
        for node in nodes:
            try:
                found.take(self.node(node, act, env))
            except KeyError:  # it names a value that a sibling never gave
                found.stuck = True
        return found

    def node(self, node: Node, act: int, env: Env) -> Walked:
        """One node, by its kind. In a block that is a net it has an activation of its own."""
        position = self.book.shape.position[node.id]
        place = (position, self.facts.fired.get((position, act), act))
        env[node.id] = None
        if node.if_ is not None and not holds(node.if_, env):
            return Walked(stuck=place not in self.facts.bypassed)
        if place in self.facts.skipped:
            env[node.id] = self.facts.skipped[place]
            return Walked()
        try:
            return WALKS[type(node)](self, node, place, env)
        except Broken:
            return self._broken(node, place)

    def _broken(self, node: Node, place: Place) -> Walked:
        """One of its expressions is a fault."""
        facts = self.facts
        if facts.faults.get(place) == "expression":
            return Walked(faults=["expression"])
        if place in facts.nodes or place in facts.tasks or place in facts.faults:
            raise self.book.fail(f"{node.id} goes on, though its expressions are a fault")
        return Walked(stuck=True)

    def expect(self, node: Node, place: Place, env: Env) -> None:
        """The node ended with the value that it has in ``env``."""
        value = self.facts.nodes.get(place)
        if value != env[node.id]:
            raise self.book.fail(f"{node.id} has the value {value!r}, {env[node.id]!r} follows")
