"""What retry, fork and skip make of a run's books: part of `ledger`, whose rules hold.

A history that was gone on from is not all that counts. `counting` says which events do: of a retried run all but those
by which its places failed, of a fork those of its origin up to the point that was named, in front of its own. The books
after it are those of these events, in which what was open has begun anew (`begin_anew`): under another attempt, with no
failure counted, calls of other workflows made again.

Which places had failed is the one thing that is taken from production code, as what chance decides is from events.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

from wfe.core.compile import compile_plan
from wfe.core.rounds import point_after
from wfe.model import event as ev
from wfe.model.definition import Approval, DurableCall, Graph, Map, StartWorkflow, SubWorkflow, walk
from wfe.model.event_kinds import CompensationDone
from wfe.model.event_nets import FiringsOpened
from wfe.model.event_rounds import NodeSkipped, RunRestored
from wfe.model.state import RUN_DEADLINE
from wfe.wire.messages import NULL, TaskResult

if TYPE_CHECKING:
    from wfe.sim.ledger import RunBook
    from wfe.sim.ledger_kinds import Place


class Counted(NamedTuple):
    """An event, and when it was committed. ``failed``: with which places the round before a `RunRestored` failed;
    ``inherited``: those of them that had failed before that round began, in the origin of a fork."""

    time_ms: int
    event: ev.RunEvent
    failed: frozenset[Place] = frozenset()
    inherited: frozenset[Place] = frozenset()


REBUILT = (
    "open", "opened", "retrying", "failures", "losses", "sleeping", "bases", "upto", "items_ended", "awaited",
    "deadlines", "escalations", "levels", "signals", "taken", "arrived", "grown", "loops", "asked", "granted",
    "shared_by", "registered", "called", "callable", "compensates", "handler", "ending", "parents", "games",
    "boundaries", "begun_ms", "fired",
)  # fmt: skip
"""What a book holds that follows from the events that count."""


def can_go_on(book: RunBook) -> bool:
    """Whether people of this world go on from runs such as this one: nets and durable functions have other tests."""
    if any(isinstance(node, (Graph, DurableCall)) for node in walk(book.shape.definition.nodes)):
        return False
    return not any(isinstance(each.event, FiringsOpened) for each in counting(book, book.seq))


def retry_is_refused(book: RunBook) -> bool:
    """Whether a failed run may not be retried: somebody was told, it was compensated, or it held a lock of all runs."""
    events = [each.event for each in counting(book, book.seq)]
    return bool(
        book.started.parent or book.shared_by or any(type(event).__name__ == "CompensationBegan" for event in events)
    )


def counting(book: RunBook, upto: int) -> list[Counted]:
    """The events that count after the first ``upto`` of a run's own. Each `RunRestored` among them is followed by what
    was gone on to."""
    kept: list[Counted] = []
    for number, (time_ms, event) in enumerate(_timed(book)):
        if number == upto:
            break
        failed = inherited = frozenset[Any]()
        if isinstance(event, RunRestored) and event.origin:
            kept += counting(book.others[event.origin], event.at)[1:]
        elif isinstance(event, RunRestored):
            failed = failed_places(book, number)
            kept, inherited = _without_failures(book, kept[:-1], failed)
        kept.append(Counted(time_ms, event, failed, inherited))
    return kept


def failed_places(book: RunBook, number: int) -> frozenset[Place]:
    """The places whose failure ended the run before its event ``number`` (from 0)."""
    found = book.failed.get(number)
    if found is None:
        plan = compile_plan(book.shape.definition, book.started.definition)
        run = point_after(plan, book.events[: number - 1]).run
        places = {(key % plan.stride, key // plan.stride) for key, _ in run.faults}
        found = book.failed[number] = frozenset(places)
    return found


def _timed(book: RunBook) -> Iterator[tuple[int, ev.RunEvent]]:
    events = iter(book.events)
    for time_ms, count in book.chunks:
        for _, event in zip(range(count), events, strict=False):
            yield time_ms, event


def _without_failures(
    book: RunBook, events: list[Counted], failed: frozenset[Place]
) -> tuple[list[Counted], frozenset[Place]]:
    left, kept = set(failed), []
    inherited: frozenset[Place] | None = None
    for counted in reversed(events):
        event = counted.event
        if inherited is None and isinstance(event, RunRestored):
            inherited = frozenset(left)
        if isinstance(event, (ev.TaskFailed, ev.FaultRaised)) and (event.node, event.act) in left:
            left.discard((event.node, event.act))
            continue
        kept.append(counted)
    kept.reverse()
    if any(not isinstance(book.shape.nodes[node], Approval) for node, _ in left):
        raise book.fail(f"is retried, but {left} never failed")
    return kept, inherited or frozenset()


def restored(book: RunBook, event: RunRestored, time_ms: int) -> None:
    """The run goes on, as a fork or in a new round: its books are made anew."""
    number = len(book.events) - 1
    if event.origin and (number != 1 or event.round):
        raise book.fail(f"{event.origin} is its origin, said by event {number + 1}, in round {event.round}")
    kept = counting(book, number + 1)
    twin = type(book)(book.id, book.shape, book.started, book.others)
    for then_ms, each, failed, inherited in kept:
        twin.events.append(each)
        _believe(twin, each)
        if isinstance(each, RunRestored):
            begin_anew(twin, failed, inherited, each)
        elif (handler := getattr(twin, f"_{type(each).__name__}", None)) is not None:
            handler(each, then_ms)
    for name in REBUILT:
        setattr(book, name, getattr(twin, name))
    if event.origin:
        book.contents = book.others[event.origin].contents.copy()
    elif book.due_ms:
        book.due_ms = time_ms + (book.shape.definition.timeout_ms or 0)
    book.status, book.output, book.error = "running", None, None
    book.resumed_ms = time_ms


def _believe(twin: RunBook, event: ev.RunEvent) -> None:
    """What workers said was compared when it became durable."""
    if isinstance(event, ev.TaskDone):
        said = TaskResult("", event.node, event.act, event.attempt, 0, event.value, None, 0)
        twin.results[event.node, event.act, event.attempt] = said
    elif isinstance(event, CompensationDone):
        status = 0 if event.error is None else 1
        said = TaskResult("", event.node, event.act, event.attempt, status, NULL, event.error, 0)
        twin.results[event.node, event.act, event.attempt] = said
    elif isinstance(event, ev.TaskFailed):
        said = TaskResult("", event.node, event.act, event.attempt, 1, NULL, event.error, 0)
        twin.results[event.node, event.act, event.attempt] = said


def begin_anew(book: RunBook, failed: frozenset[Place], inherited: frozenset[Place], event: RunRestored) -> None:
    """Everything that is open at this point begins again."""
    for place in inherited:  # it is not open, and opens as for the first time
        book.open.pop(place, None)
        book.opened.pop(place, None)
    for place in book.open:
        book.open[place] += 1
        book.opened[place] = max(book.open[place], book.opened.get(place, 0))
        book.failures.pop(place, None)
        book.losses.pop(place, None)
    for place in failed:
        book.taken.pop(place, None)
    again = set(failed) - book.open.keys()
    calls = (SubWorkflow, StartWorkflow) if event.origin else (SubWorkflow,)
    again |= {place for place in book.deadlines if isinstance(book.shape.nodes[place[0]], calls)}
    for node, act in again:
        book._withdraw(node, book.shape.stop[node], act)
    book.status = "running"


def skipped(book: RunBook, event: NodeSkipped) -> None:
    """Somebody has ended an open node."""
    place = (event.node, event.act)
    if not is_open(book, place):
        raise book.fail(f"{event}, which is not open")
    group = book._single_of(place)
    book._withdraw(event.node, book.shape.stop[event.node], event.act)
    book._place_ends(place)
    if group is not None:
        book._item_ends(group)


def is_open(book: RunBook, place: Place) -> bool:
    """Whether something is under way at a place, as far as books say: they do not name calls without a time limit."""
    tables: tuple[Mapping[Place, object], ...] = (book.open, book.retrying, book.sleeping, *book.tables())
    node = book.shape.nodes[place[0]]
    if isinstance(node, Map) and place in book.bases and book.items_ended[place] < book.bases[place][1]:
        return True  # also once nothing more is to come into it
    return isinstance(node, SubWorkflow) or any(place in table for table in tables)


def deadline_expired(book: RunBook) -> bool:
    """Whether the time of the run was over at some point that counts."""
    events = [each.event for each in counting(book, book.seq)]
    return any(isinstance(event, ev.TimerExpired) and event.timer == RUN_DEADLINE for event in events)
