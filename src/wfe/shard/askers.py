"""Who asked about which run, and when last: clients repeat what they wait for, so whoever does not has left.

A dict by run; whoever asks moves himself and the run to the end, so that the oldest are in front and memory holds only
what was asked for within `ASKERS_MS`. Pure: time is an argument.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Generic, TypeVar

from wfe.limits import ASKERS_MS, ASKERS_PER_RUN_MAX

Who = TypeVar("Who")
What = TypeVar("What")


class Askers(dict[str, tuple[tuple[Who, int, What], ...]], Generic[Who, What]):
    """By run: ``(who, when he last asked, what for)``, oldest first. A question that is repeated counts once.

    Somebody may await a million runs: those that he asks about at once share one tuple.
    """

    _last: tuple[tuple[Who, int, What], ...] = ()

    def ask(self, run_id: str, who: Who, what: What, now_ms: int) -> None:
        """Somebody waits for a run (and says so again before `ASKERS_MS` are over, or is forgotten)."""
        asked = self._last
        if asked != ((who, now_ms, what),):
            asked = self._last = ((who, now_ms, what),)
        others = self.pop(run_id, None)
        if others is not None:
            kept = [one for one in others if one[0] != who and one[1] > now_ms - ASKERS_MS]
            asked = (*kept[1 - ASKERS_PER_RUN_MAX :], *asked)
        self[run_id] = asked

    def take(self, run_id: str) -> Iterator[tuple[Who, What]]:
        """Those who wait for a run, who then wait no more."""
        for who, _, what in self.pop(run_id, ()):
            yield who, what

    def drop(self, unwanted: Callable[[str], bool]) -> None:
        """Nobody asks here about some runs any more."""
        for run_id in [run_id for run_id in self if unwanted(run_id)]:
            del self[run_id]

    def forget_old(self, now_ms: int) -> None:
        """Drop runs that nobody has asked about for a while."""
        limit_ms = now_ms - ASKERS_MS
        old = []
        for run_id, people in self.items():
            if people[-1][1] > limit_ms:
                break
            old.append(run_id)
        for run_id in old:
            del self[run_id]
