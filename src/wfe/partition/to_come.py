"""Runs of a partition whose part of the log's tail is not replayed yet. Pure.

After a crash a shard serves before it has replayed its log's tail: whoever asks for a run has that one replayed first.
So nobody who looks into ``Partition.entries`` can tell the difference. Who goes through all of them has them all
replayed there and then, which holds up everybody else; so whoever can wait asks to be called instead (`when_whole`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from wfe.partition.entry import Entry


class EntriesToCome(dict[str, Entry]):
    """``waiting``: the runs that are not replayed. ``replay`` takes one of them out of it, and puts the run in here
    unless its store has all of it; ``replay_all`` leaves none.
    """

    def __init__(
        self,
        entries: dict[str, Entry],
        waiting: dict[str, Any],
        replay: Callable[[str], None],
        replay_all: Callable[[], None],
    ) -> None:
        super().__init__(entries)
        self._waiting = waiting
        self._replay = replay
        self._replay_all = replay_all
        self._awaited_by: list[Callable[[int], None]] = []

    @property
    def is_awaited(self) -> bool:
        """Whether somebody waits for all runs."""
        return bool(self._awaited_by)

    def when_whole(self, then: Callable[[int], None]) -> None:
        """``then(now_ms)`` is called once every run was replayed."""
        self._awaited_by.append(then)

    def take_awaiting(self) -> list[Callable[[int], None]]:
        """Those who wait: they are to be called now."""
        waited, self._awaited_by = self._awaited_by, []
        return waited

    def __getitem__(self, run_id: str) -> Entry:
        if run_id in self._waiting:
            self._replay(run_id)
        return super().__getitem__(run_id)

    def __contains__(self, run_id: object) -> bool:
        if run_id in self._waiting:
            self._replay(run_id)
        return super().__contains__(run_id)

    def get(self, run_id: str, default: Any = None) -> Any:
        if run_id in self._waiting:
            self._replay(run_id)
        return super().get(run_id, default)

    def pop(self, run_id: str, *default: Any) -> Any:
        if run_id in self._waiting:
            self._replay(run_id)
        return super().pop(run_id, *default)

    def __len__(self) -> int:
        return super().__len__() + len(self._waiting)

    def __bool__(self) -> bool:
        return len(self) > 0

    def __iter__(self) -> Iterator[str]:
        self._replay_all()
        return super().__iter__()

    def keys(self) -> Any:
        self._replay_all()
        return super().keys()

    def values(self) -> Any:
        self._replay_all()
        return super().values()

    def items(self) -> Any:
        self._replay_all()
        return super().items()

    def replayed(self) -> dict[str, Entry]:
        """A plain dict of what is there, for when nothing is to come any more."""
        assert not self._waiting, "every run was replayed"
        return dict(super().items())
