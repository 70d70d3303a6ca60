"""The auditor's view of what clients are told: each answer against what is durable when it comes.

Numbers in comments are the invariants of docs/reliability.md. What a read must show at least (``floor``) is what
was durable before the question left.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from msgspec import Raw, msgpack

from wfe.errors import DefinitionDeprecated, InvalidInput, KeyConflict, PayloadTooLarge, UnknownWorkflow, WfeError
from wfe.model.event_rounds import RunRestored
from wfe.sim.ledger import ENDS, RunBook
from wfe.sim.messages import is_wrong_input
from wfe.sim.node import Violation
from wfe.wire.messages import HistoryPage, RunOutcome, RunPage, RunView, StartOutcome

if TYPE_CHECKING:
    from wfe.sim.auditor import Auditor
    from wfe.sim.world import World


class Answers:
    """Part of the auditor."""

    def __init__(self, auditor: Auditor, world: World) -> None:
        self._auditor = auditor
        self._catalogue = world.catalogue
        self._may_be_gone = world.expiry.may_be_gone
        self.asked: dict[str, str | None] = {}
        """Starts by the id that they have minted: the run that was there already, by key and input."""

    def start_asked(self, run_id: str, workflow: str, data: Raw, key: str) -> None:
        known = self._auditor.key_of(workflow, key) if key else None
        self.asked[run_id] = known if known and bytes(self._auditor.runs[known].started.input) == bytes(data) else None

    def start_answered(self, minted: str, run_id: str, workflow: str, data: Raw, key: str, created: bool) -> None:
        """An accepted start: the run is durable, is of this workflow and input, and its key names it (1, 8)."""
        book = self._auditor.runs.get(run_id)
        if book is None:
            raise Violation(f"the start of {run_id} was acknowledged, but is not durable")
        if book.started.workflow != workflow or book.started.key != key or bytes(book.started.input) != bytes(data):
            raise book.fail(f"was started as {book.started}, the client asked for {workflow}, {data!r}, {key!r}")
        if run_id != minted and not key:
            raise book.fail(f"answers the start of {minted}, which had no key")
        if created and run_id != minted:
            raise book.fail(f"is said to be new to the start of {minted}, which its key led to it")
        if key and (named := self._auditor.key_of(workflow, key)) != run_id:
            raise book.fail(f"key {key} names {named}")
        self._auditor.count("starts_acknowledged")

    def start_refused(self, minted: str, workflow: str, data: Raw, key: str, error: WfeError) -> None:
        """A refused start has left nothing behind."""
        self._auditor.count("starts_refused")
        value = msgpack.decode(data)
        if isinstance(error, (InvalidInput, PayloadTooLarge)) and is_wrong_input(value):
            pass
        elif isinstance(error, KeyConflict):
            run_id = self._auditor.key_of(workflow, key)
            if run_id is None or bytes(self._auditor.runs[run_id].started.input) == bytes(data):
                raise Violation(f"key {key} of {workflow} conflicts with {run_id}, which has the same input")
        elif isinstance(error, DefinitionDeprecated) and workflow in self._catalogue.ever_deprecated:
            bound = self.asked[minted]
            if bound is not None and not self._may_be_gone(bound):
                raise self._auditor.runs[bound].fail(f"is there, but its key {key} is refused ({error!r})")
            return self._auditor.count("starts_of_deprecated")  # perhaps a repetition of one that began after all
        elif not isinstance(error, UnknownWorkflow):
            raise Violation(f"a start of {workflow} with {value!r} is refused: {error!r}")
        if minted in self._auditor.runs:
            raise self._auditor.runs[minted].fail(f"was refused ({error!r}), and runs")

    def signal_answered(self, run_id: str, name: str, event_id: str) -> None:
        if event_id not in self._auditor.runs[run_id].arrived:
            raise self._auditor.runs[run_id].fail(f"signal {event_id} was acknowledged, but is not durable")

    def control_answered(self, run_id: str, action: str, command: str) -> None:
        book = self._auditor.runs[run_id]
        if command not in book.commands and not (action == "cancel" and book.status == "cancelled"):
            raise book.fail(f"{action} was acknowledged, but is not durable")

    def fork_answered(self, origin: RunBook, run_id: str, event: int, outcome: StartOutcome) -> None:
        """A fork is durable, and one of this run from this point."""
        book = self._auditor.runs.get(run_id)
        if book is None or outcome.run_id != run_id:
            raise Violation(f"the fork {run_id} of {origin.id} was acknowledged as {outcome}, but is not durable")
        restored = book.events[1]
        if not isinstance(restored, RunRestored) or (restored.origin, restored.at) != (origin.id, event):
            raise book.fail(f"is a fork of {origin.id} from event {event}, it begins with {restored}")
        mine, original = book.started, origin.started
        if (mine.definition, bytes(mine.input)) != (original.definition, bytes(original.input)):
            raise book.fail(f"is a fork of {origin.id}, which was {origin.started}")
        self._auditor.count("forks")

    def outcome_seen(self, outcome: RunOutcome) -> None:
        """A run's end as a client hears it: final, durable (3, 5)."""
        book = self._auditor.runs.get(outcome.run_id)
        ends = [end for end in book.ends if end.status == outcome.status] if book is not None else []
        if book is None or not ends:
            raise Violation(f"{outcome.run_id} is said to be {outcome.status}, durable is {book and book.status}")
        if not any(bytes(end.output) == bytes(outcome.output) for end in ends):
            raise book.fail(f"ended with {ends!r}, a client hears {outcome.output!r}")
        self._auditor.count("outcomes_seen")

    def view_seen(self, view: RunView, floor: int) -> None:
        """A read shows a durable state, no older than what was durable when it was asked (14)."""
        book = self._auditor.runs.get(view.id)
        if book is None or not floor <= view.events <= book.seq:
            raise Violation(f"a read of {view.id} shows {view.events} events, {floor} were durable before it")
        if book.status in ENDS and view.events == book.seq and view.status != book.status:
            raise book.fail(f"is {book.status}, a client reads {view.status}")

    def found(self, workflow: str, key: str, view: RunView) -> None:
        if (named := self._auditor.key_of(workflow, key)) != view.id:
            raise Violation(f"key {key} of {workflow} names {named}, a client finds {view.id}")

    def history_seen(self, run_id: str, page: HistoryPage, floor: int) -> None:
        """A history is a prefix of the durable one, without gaps."""
        book = self._auditor.runs[run_id]
        numbers = [event.seq for event in page.events]
        if numbers != list(range(1, len(numbers) + 1)) or (len(numbers) < min(floor, 1_000)):
            raise book.fail(f"a client sees the events {numbers}, {floor} were durable before it asked")
        for event in page.events:
            if type(book.events[event.seq - 1]).__name__ != event.type:
                raise book.fail(f"event {event.seq} is {book.events[event.seq - 1]}, a client sees {event.type}")

    def list_seen(self, partition: int, page: RunPage, floor: Sequence[str]) -> None:
        """A list has every run that was durable when it was asked, once, newest first (11)."""
        ids = [view.id for view in page.runs]
        if ids != sorted(set(ids), reverse=True):
            raise Violation(f"a list of partition {partition} is not in order: {ids}")
        missing = {run_id for run_id in set(floor) - set(ids) if not self._may_be_gone(run_id)}
        if missing and not page.more:
            raise Violation(f"a list of partition {partition} misses {sorted(missing)}")
        unknown = [run_id for run_id in ids if run_id not in self._auditor.runs]
        if unknown:
            raise Violation(f"a list of partition {partition} shows what is not durable: {unknown}")
