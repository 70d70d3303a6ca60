"""Why a run does not go on, in words that say who can help; `wfe why` and the gateway show it. A part of the client.

A shard knows the run, its own locks and the workers; who holds a lock of another partition, and what a child run waits
for, is asked on the way. Invariant: the answer is one moment's, per partition; nothing is stopped to look at it.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from wfe.client.connection import Connection
from wfe.client.replies import decoder_of
from wfe.client.runs import check_run_id
from wfe.client.views import rfc3339, run_document
from wfe.errors import WfeError
from wfe.model.ids import is_run_id, lock_address, partition_of
from wfe.wire.frames import Kind
from wfe.wire.messages import GetRun, HistoryPage, HistoryQuery, RunView
from wfe.wire.why import Cause, LockQuery, LockQueue, RunWhy

DEPTH_MAX = 5
"""Children of children that are looked at."""
CHILDREN_MAX = 20
LOCK_TIMEOUT_S = 5.0
TAIL_EVENTS = 500
"""Of a failed run's history, read at once from its end."""

_decode_why = decoder_of(RunWhy)
_decode_page = decoder_of(HistoryPage)
_decode_queue = decoder_of(LockQueue)


@dataclass(frozen=True, slots=True)
class Blocker:
    """One thing that a run waits for. ``text``: a sentence; ``by``: places (``run/node/activation``) in the way.

    ``kind``: as in ``waiting_for``; ``reason``: why that is not there, a stable word; ``child``: of a sub-workflow.
    """

    kind: str
    node: str
    reason: str
    text: str
    detail: str = ""
    attempt: int = 0
    since_ms: int = 0
    due_ms: int = 0
    by: list[str] = field(default_factory=list)
    child: Explanation | None = None


@dataclass(frozen=True, slots=True)
class Explanation:
    """A run and what it waits for. ``summary``: one line."""

    view: RunView
    blockers: list[Blocker]
    summary: str


class Explaining:
    """Mixed into the client, which has the connection."""

    def _open(self) -> Connection:
        raise NotImplementedError

    async def why(self, run_id: str) -> Explanation:
        """What exactly the run waits for, children included. UnknownRun."""
        return await self._explain(check_run_id(run_id), 0)

    async def _explain(self, run_id: str, depth: int) -> Explanation:
        reply = await self._open().ask(Kind.WHY, GetRun(run_id), partition=partition_of(run_id))
        why = _decode_why(reply)
        blockers, children = [], 0
        for cause in why.causes:
            child = None
            if cause.kind == "run" and is_run_id(cause.detail) and depth < DEPTH_MAX and children < CHILDREN_MAX:
                children += 1
                child = await self._child(cause.detail, depth + 1)
            if cause.lock:
                await self._find_holder(cause)
            text = sentence(cause) + (f": {child.summary}" if child is not None else "")
            blockers.append(
                Blocker(
                    cause.kind,
                    cause.node,
                    cause.reason or cause.kind,
                    text,
                    cause.detail,
                    cause.attempt,
                    cause.since_ms,
                    cause.due_ms,
                    cause.by,
                    child,
                )
            )
        undone = why.view.status == "failed" and await self._compensated(why.view)
        return Explanation(why.view, blockers, _summary(why.view, blockers, undone))

    async def _compensated(self, view: RunView) -> bool:
        """Whether the last round of a failed run has been undone: it cannot be retried then."""
        before, undone = view.events, False
        while before > 0 and not undone:
            after = max(0, before - TAIL_EVENTS)
            begun, undone = await self._marks(view.id, after, before)
            if begun:
                break
            before = after
        return undone

    async def _marks(self, run_id: str, after: int, last: int) -> tuple[bool, bool]:
        """Of these events: whether a round began among them, and whether one of the last round's undid it."""
        begun = undone = False
        while after < last:
            query = HistoryQuery(run_id, after, last - after)
            page = _decode_page(await self._open().ask(Kind.HISTORY, query, partition=partition_of(run_id)))
            for event in page.events:
                if event.type == "RunRestored":
                    begun, undone = True, False
                undone = undone or event.type == "CompensationBegan"
            if not page.events:
                break
            after = page.events[-1].seq
        return begun, undone

    async def _child(self, run_id: str, depth: int) -> Explanation | None:
        try:
            return await self._explain(run_id, depth)
        except WfeError:  # it may have ended and be gone by now: its parent hears of it
            return None

    async def _find_holder(self, cause: Cause) -> None:
        connection = self._open()
        partition = partition_of(lock_address(cause.lock, connection.welcome.partitions))
        try:
            reply = await connection.ask(
                Kind.LOCK, LockQuery(cause.lock), partition=partition, timeout_s=LOCK_TIMEOUT_S, patient=False
            )
        except WfeError:
            cause.reason = "unknown"  # that partition is not served: it cannot give the lock either
            return
        places = _decode_queue(reply).places[:1]
        cause.reason, cause.by = ("held", places) if places else ("soon", [])


def sentence(cause: Cause) -> str:  # noqa: PLR0911 - one line per kind
    """A cause in words: what is awaited, and what would bring it."""
    where = f"node {cause.node!r}" if cause.node else "the run"
    due = f" (due {rfc3339(cause.due_ms)})" if cause.due_ms else ""
    match cause.kind:
        case "worker":
            return f"{where} waits for a worker: {_about_workers(cause)}"
        case "task":
            name, _, worker = cause.detail.rpartition(" on ")
            attempt = f", attempt {cause.attempt}" if cause.attempt > 1 else ""
            return f"{where} runs: task {name} is with worker {worker} since {rfc3339(cause.since_ms)}{attempt}"
        case "retry":
            return f"{where} failed and is tried again, attempt {cause.attempt}{due}"
        case "timer":
            return f"{where} sleeps{due}"
        case "loop":
            return f"{where} takes its next {cause.detail}{due}"
        case "signal":
            return f"{where} waits for the signal {cause.detail}{due}: `wfe signal RUN {cause.detail.split(' ')[0]}`"
        case "items":
            return f"{where} stays open for further items, which the signal {cause.detail} brings{due}"
        case "approval":
            name, _, who = cause.detail.partition(" by ")
            asked = f"{who} to decide" if who else "somebody to decide"
            return f"{where} waits for {asked} {name}{due}: `wfe approve RUN {name}`"
        case "lock":
            return f"{where} waits for the lock {cause.detail}{_about_lock(cause)}"
        case "run":
            return f"{where} waits for the run {cause.detail} to end{due}"
        case "join":
            return f"{where} waits as a join: {cause.detail}"
        case "paused":
            return "the run is paused: `wfe resume RUN` lets it go on"
        case "incident" if cause.reason == "changed":
            either = "the function's code has changed, or depends on a clock, dice or other outside state"
            return f"the run is paused because {either}: {cause.detail}: `wfe resume RUN`"
        case "incident":
            return f"the run was set aside because of a defect: {cause.detail}; `wfe resume RUN` tries again"
        case "compensation":
            return f"the run is undoing what it did: {cause.detail}"
    return f"{where} waits for {cause.kind} {cause.detail}".rstrip() + due


def _about_workers(cause: Cause) -> str:
    task = f"task {cause.detail} (version {cause.task_version})"
    match cause.reason:
        case "no_workers":
            return f"none is connected, and {task} needs one: start it with {_command(cause)}"
        case "nobody":
            those = "the one that is connected does not offer" if cause.workers == 1 else "none of them offers"
            return f"{those} {task}: start one whose app has it, with {_command(cause)}"
        case "version":
            offers = ", ".join(map(str, cause.offers))
            return (
                f"none offers {task}; there are workers with version {offers} of it: start one with the version "
                f"{cause.task_version} of the task, or keep the old function in the app"
            )
        case "slots":
            holders = ", ".join(dict.fromkeys(_run_of(place) for place in cause.by))
            taken = f" by {holders}" if holders else ""
            slots = f"{cause.slots} slots of {cause.workers} workers"
            return f"all {slots} that offer {task} are taken{taken}: more workers or slots would help"
        case "labels":
            lacking = "the label" if len(cause.missing) == 1 else "the labels"
            return (
                f"{_those(cause)} {task}, and none has {lacking} {', '.join(cause.missing)}: "
                f"start one with {_command(cause)}"
            )
        case "resources":
            return (
                f"{_those(cause)} {task}, and none has as much as {', '.join(cause.missing)}: "
                f"start one with {_command(cause)}"
            )
        case "taken":
            holders = ", ".join(dict.fromkeys(_run_of(place) for place in cause.by))
            taken = f" by {holders}" if holders else ""
            return (
                f"{task} needs {', '.join(cause.missing)}, of which no worker has enough to spare: "
                f"it is taken{taken}: another worker would help: {_command(cause)}"
            )
        case "alone":
            return f"{task} was lost with its worker before and waits for a worker of its own"
        case "soon":
            return f"{task} is about to be given to one"
    return task


def _command(cause: Cause) -> str:
    """What starts a worker that has everything the task asks for, not only what is missing."""
    flags = [*(f" --label {label}" for label in cause.labels), *(f" --resource {each}" for each in cause.resources)]
    return f"`wfe worker --app APP{''.join(flags)}`"


def _those(cause: Cause) -> str:
    return "one worker offers" if cause.workers == 1 else f"{cause.workers} workers offer"


def _about_lock(cause: Cause) -> str:
    match cause.reason:
        case "held":
            holders = ", ".join(dict.fromkeys(_run_of(place) for place in cause.by))
            return f", which is held by run {holders}" if holders else ""
        case "soon":
            return ", which is on its way"
        case "unknown":
            return ", whose partition is not being served at the moment: see `wfe status`"
    return ""


def _run_of(place: str) -> str:
    return place.partition("/")[0]


def _summary(view: RunView, blockers: list[Blocker], undone: bool) -> str:
    if view.status == "completed":
        return f"it has completed at {rfc3339(view.ended_at)}"
    if view.status in ("failed", "cancelled"):
        error = f": {view.error.type}: {view.error.message}" if view.error is not None else ""
        where = f" at node {view.error.node!r}" if view.error is not None and view.error.node else ""
        if view.status == "cancelled":
            return f"it was cancelled{error}"
        return f"it has failed{where}{error}; {_way_on(view, undone)}"
    if not blockers:
        return "it waits for nothing: it goes on"
    more = f" (and {len(blockers) - 1} more)" if len(blockers) > 1 else ""
    return blockers[0].text + more


def _way_on(view: RunView, undone: bool) -> str:
    """How a failed run is gone on with: what `retry` would refuse is not advised."""
    if view.parent:
        return f"it is a sub-workflow of run {view.parent}, which has been told: `wfe why {view.parent}`"
    if undone:
        return "what it did is undone (compensated): `wfe fork RUN --from NODE` begins a new run from there"
    return "`wfe retry RUN` lets it go on from there"


def why_document(found: Explanation) -> dict[str, Any]:
    """The JSON form: the run's keys, with the waits explained."""
    run = run_document(found.view)
    kept = ("id", "workflow", "version", "key", "status", "error", "started_at", "ended_at", "parent")
    return {
        **{name: run[name] for name in kept},
        "summary": found.summary,
        "waiting_for": [
            {
                "kind": each.kind,
                "node": each.node,
                "detail": each.detail,
                "attempt": each.attempt,
                "since": rfc3339(each.since_ms),
                "due": rfc3339(each.due_ms),
                "reason": each.reason,
                "text": each.text,
                "by": each.by,
                "child": why_document(each.child) if each.child is not None else None,
            }
            for each in found.blockers
        ],
    }
