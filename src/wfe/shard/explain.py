"""Why a run does not go on: its waits, with what this shard knows of workers and locks. Reads only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import Any

import msgspec

from wfe.core.durable.turns import by_changed_code
from wfe.core.plan import Plan
from wfe.errors import UnknownRun
from wfe.limits import LOSSES_SUSPECT
from wfe.model.ids import is_run_id
from wfe.model.needs import Needs, amount_text, missing_labels, missing_resources
from wfe.partition.entry import Entry, Lease
from wfe.partition.locks import place_of
from wfe.partition.partition import Partition
from wfe.partition.views import entry_view, run_view, waiting_for
from wfe.shard.core import Found, ShardCore
from wfe.shard.links import Link
from wfe.shard.loading import Loader
from wfe.shard.turns import Turns
from wfe.wire.frames import Header, Kind
from wfe.wire.messages import GetRun, Waiting
from wfe.wire.why import Cause, LockQuery, LockQueue, RunWhy

NAMED_MAX = 10
"""Places that an explanation names; there may be thousands."""


class Explainer:
    """Handlers by kind, see `Requests`. ``links``: the workers that are connected."""

    def __init__(self, core: ShardCore, loader: Loader, turns: Turns, links: dict[bytes, Link]) -> None:
        self._core, self._loader, self._turns, self._links = core, loader, turns, links

    def kinds(self) -> dict[int, tuple[Any, Any]]:
        """For the table of `Requests`."""
        return {
            Kind.WHY: (msgspec.msgpack.Decoder(GetRun).decode, self._why),
            Kind.LOCK: (msgspec.msgpack.Decoder(LockQuery).decode, self._lock),
        }

    def _why(self, client: bytes, header: Header, partition: Partition, query: GetRun, now_ms: int) -> None:
        def explain(found: Found, later_ms: int) -> None:
            if found is None:
                self._core.refuse(client, header.request, UnknownRun(f"no run {query.run_id} is kept"))
            elif isinstance(found, Entry):
                self._core.answer(client, header.request, RunWhy(entry_view(found), self.causes(found)))
            else:
                self._core.answer(client, header.request, RunWhy(run_view(found, None, {})))

        if not is_run_id(query.run_id) or self._core.partition_for(query.run_id) is not partition:
            raise UnknownRun(f"{query.run_id!r} is no id of a run in partition {partition.number}")
        self._loader.run(partition, query.run_id, explain, now_ms)

    def _lock(self, client: bytes, header: Header, partition: Partition, query: LockQuery, now_ms: int) -> None:
        places = list(partition.record.locks.get(query.lock, ()))
        self._core.answer(client, header.request, LockQueue(places[:NAMED_MAX], max(0, len(places) - 1)))

    def causes(self, entry: Entry) -> list[Cause]:
        """Every wait of a run in memory, explained."""
        run = entry.run
        # Both are listed in the order of their places in the run's state.
        tasks = iter([key for key in run.open if key not in entry.leases])
        locks = iter([key for key, held in run.locks.items() if not held])
        found = []
        for wait in waiting_for(run, entry.plan, entry.leases):
            cause = _cause(wait)
            if wait.kind == "worker" and (key := next(tasks, None)) is not None:
                self._explain_task(cause, entry, key)
            elif wait.kind == "lock" and (key := next(locks, None)) is not None:
                _explain_lock(cause, entry, key)
            elif wait.kind == "incident" and run.durable is not None and by_changed_code(run.incident):
                cause.reason = "changed"
            found.append(cause)
        return found

    def _explain_task(self, cause: Cause, entry: Entry, key: int) -> None:
        kind = self._turns.kind_of(entry, key)
        name, version = kind[:2]
        needs = kind[2] if len(kind) == 3 else None
        links = list(self._links.values())
        offering = [link for link in links if (name, version) in link.tasks]
        able = [link for link in offering if needs is None or kind in link.kinds or kind in link.rationed]
        if needs is not None:
            cause.labels, cause.resources = list(needs.labels), _amounts(needs.resources)
        cause.task_version, cause.workers = version, len(able) if able else len(links)
        cause.slots = sum(link.slots for link in able)
        if not links:
            cause.reason = "no_workers"
        elif not able:
            cause.offers = sorted({other for link in links for task, other in link.tasks if task == name})
            cause.reason = "version" if cause.offers else "nobody"
            if offering and needs is not None:
                _explain_misfit(cause, needs, offering)
        elif entry.run.losses.get(key, 0) >= LOSSES_SUSPECT:
            cause.reason = "alone"
        elif needs is not None and needs.resources:
            self._explain_ration(cause, needs, able)
        elif any(link.credit_tasks > 0 for link in able):
            cause.reason = "soon"
        else:
            cause.reason, cause.by = "slots", _holders(able)

    def _explain_ration(self, cause: Cause, needs: Needs, able: list[Link]) -> None:
        """There are workers that it fits, once others that use the same have ended."""
        names = {name for name, _ in needs.resources}

        def shares(lease: Lease) -> bool:
            kind = self._turns.kind_of(lease.entry, lease.key)
            return len(kind) == 3 and any(name in names for name, _ in kind[2].resources)

        cause.by = _holders(able, shares)
        cause.reason = "taken" if cause.by else "soon"
        cause.missing = _amounts(needs.resources)


def _cause(wait: Waiting) -> Cause:
    return Cause(wait.kind, wait.node, wait.detail, wait.since_ms, wait.due_ms, wait.attempt)


def _explain_misfit(cause: Cause, needs: Needs, offering: list[Link]) -> None:
    """No worker that offers the task has what it needs: what those that come nearest lack."""
    cause.workers = len(offering)
    lacking = min((missing_labels(needs, link.labels) for link in offering), key=len)
    if lacking:
        cause.reason, cause.missing = "labels", lacking
        return
    labelled = [link for link in offering if not missing_labels(needs, link.labels)]
    short = min((missing_resources(needs, link.resources) for link in labelled), key=len)
    cause.reason = "resources"
    cause.missing = _amounts(short)


def _amounts(resources: Iterable[tuple[str, int]]) -> list[str]:
    return [f"{name}={amount_text(name, amount)}" for name, amount in resources]


def _holders(links: Iterable[Link], which: Callable[[Lease], bool] = lambda _: True) -> list[str]:
    """Places that hold slots, those that got them first in front."""
    held = (lease for link in links for lease in link.held if which(lease))
    leases = sorted(held, key=lambda lease: lease.dispatched_ms)
    return [_place(lease.entry, lease.key) for lease in leases[:NAMED_MAX]]


def _place(entry: Entry, key: int) -> str:
    act, index = divmod(key, entry.plan.stride)
    return place_of(entry.run.id, index, act)


def _explain_lock(cause: Cause, entry: Entry, key: int) -> None:
    """A shared lock is owned by some partition; a lock of the run itself is held by other places of the run."""
    run = entry.run
    shared = run.shared_locks.get(key)
    if shared is not None:
        cause.reason, cause.lock = "elsewhere", shared
        return
    wanted = set(_lock_names(entry.plan, key))
    holders = [other for other, held in run.locks.items() if held and wanted & set(_lock_names(entry.plan, other))]
    cause.reason, cause.by = "held", [_place(entry, other) for other in holders[:NAMED_MAX]]


def _lock_names(plan: Plan, key: int) -> Iterator[str]:
    yield from getattr(plan.nodes[key % plan.stride].node, "names", ())
