"""Runs whose end somebody here wants to hear of, and when to ask the server for it again.

Sans-IO. A `Watch` is held by whoever is interested (a handle); this table knows it only weakly, so a handle that
is dropped costs nothing until the next sweep. Invariant: an id is in the table until its end is known or nobody asks.
"""

from __future__ import annotations

import weakref
from collections.abc import Callable, Collection, Iterable

from wfe.errors import UnknownRun, WfeError
from wfe.limits import FRAME_MESSAGES_MAX
from wfe.model.ids import partition_of
from wfe.wire.messages import RunOutcome

AWAITS_REMEMBERED = 1_000
ENDED = frozenset({"completed", "failed", "cancelled"})


class Watch:
    """One run's end: ``outcome`` once it has ended, ``error`` when it can never be known (no such run)."""

    __slots__ = ("__weakref__", "_waiters", "error", "outcome", "run_id")

    def __init__(self, run_id: str) -> None:
        self.run_id = run_id
        self.outcome: RunOutcome | None = None
        self.error: WfeError | None = None
        self._waiters: list[Callable[[], None]] | None = None

    @property
    def settled(self) -> bool:
        return self.outcome is not None or self.error is not None

    def when_settled(self, callback: Callable[[], None]) -> None:
        """Calls back once, at once when the end is known already."""
        if self.settled:
            callback()
        elif self._waiters is None:
            self._waiters = [callback]
        else:
            self._waiters.append(callback)

    def forget(self, callback: Callable[[], None]) -> None:
        """Takes a callback back."""
        if self._waiters is not None and callback in self._waiters:
            self._waiters.remove(callback)

    def settle(self, outcome: RunOutcome | None, error: WfeError | None = None) -> None:
        if self.settled:
            return
        self.outcome, self.error = outcome, error
        waiters, self._waiters = self._waiters, None
        for callback in waiters or ():
            callback()


class Watches:
    """The table of watches by run id, and the ids that must be sent to the server in AWAIT frames."""

    def __init__(self) -> None:
        self._table: dict[str, weakref.ref[Watch]] = {}
        self._ask: dict[str, None] = {}
        self._sent: dict[int, list[str]] = {}
        self._twins: dict[str, list[weakref.ref[Watch]]] = {}
        """Further watches of runs that are in the table already (a key that named a run watched before)."""

    def __len__(self) -> int:
        return len(self._table)

    @property
    def asking(self) -> bool:
        return bool(self._ask)

    def add(self, watch: Watch) -> None:
        """A watch whose start frame asks for the outcome itself."""
        self._table[watch.run_id] = weakref.ref(watch)

    def rename(self, run_id: str, known_as: str) -> None:
        """The server knows this run by another id: its key named an earlier one."""
        ref = self._table.pop(run_id, None)
        if ref is None or (watch := ref()) is None:
            return
        watch.run_id = known_as
        if known_as in self._table:
            self._twins.setdefault(known_as, []).append(ref)
        else:
            self._table[known_as] = ref
        self._ask[known_as] = None

    def get(self, run_id: str) -> Watch:
        """The watch for a run, made and asked for when there is none."""
        ref = self._table.get(run_id)
        watch = ref() if ref is not None else None
        if watch is None:
            watch = Watch(run_id)
            self.add(watch)
            self._ask[run_id] = None
        return watch

    def drop(self, run_id: str) -> None:
        self._take(run_id)

    def settle(self, outcomes: Iterable[RunOutcome]) -> None:
        """Books ends; outcomes of runs that nobody watches are ignored."""
        for outcome in outcomes:
            watches = self._take(outcome.run_id)
            if not watches:
                continue
            if outcome.status in ENDED:
                # A view would pin the whole frame for as long as the handle lives.
                outcome.output = outcome.output.copy()
                for watch in watches:
                    watch.settle(outcome)
            else:
                for watch in watches:
                    watch.settle(None, UnknownRun(f"no run {outcome.run_id} is kept"))

    def fail(self, run_id: str, error: WfeError) -> None:
        for watch in self._take(run_id):
            watch.settle(None, error)

    def _take(self, run_id: str) -> list[Watch]:
        ref = self._table.pop(run_id, None)
        self._ask.pop(run_id, None)
        refs = [ref] if ref is not None else []
        if self._twins:
            refs += self._twins.pop(run_id, [])
        return [watch for one in refs if (watch := one()) is not None]

    def sent(self, request: int, run_ids: list[str]) -> None:
        """These ids were asked for under this number; only the recent ones are remembered."""
        self._sent[request] = run_ids
        if len(self._sent) > AWAITS_REMEMBERED:
            del self._sent[next(iter(self._sent))]

    def claim(self, request: int) -> list[str] | None:
        """What was asked for under a number that the server refused."""
        return self._sent.pop(request, None)

    def ask_all(self, except_ids: frozenset[str], partitions: Collection[int] | None = None) -> None:
        """Every watch that is still wanted, but for those whose start is under way (it will ask itself).

        ``partitions``: only of runs in these.
        """
        dead = [run_id for run_id, ref in self._table.items() if ref() is None]
        for run_id in dead:
            self.drop(run_id)
        for run_id in self._table:
            if run_id not in except_ids and (partitions is None or partition_of(run_id) in partitions):
                self._ask[run_id] = None

    def take(self, frames_max: int) -> list[tuple[int, list[str]]]:
        """Up to ``frames_max`` AWAIT bodies, each of one partition and at most `FRAME_MESSAGES_MAX` ids."""
        if not self._ask:
            return []
        frames: list[tuple[int, list[str]]] = []
        filling: dict[int, list[str]] = {}
        for run_id in self._ask:
            partition = partition_of(run_id)
            ids = filling.get(partition)
            if ids is None or len(ids) >= FRAME_MESSAGES_MAX:
                if len(frames) >= frames_max:
                    break
                ids = filling[partition] = []
                frames.append((partition, ids))
            ids.append(run_id)
        for _, ids in frames:
            for run_id in ids:
                del self._ask[run_id]
        return frames
