"""Who asked about which run, and when last: clients repeat what they wait for, so whoever does not has left.

A dict by run; whoever asks moves himself and the run to the end, so that the oldest are in front and memory holds only
what was asked for within `ASKERS_MS`. Pure: time is an argument.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

from wfe.limits import ASKERS_MS, ASKERS_PER_RUN_MAX

Who = TypeVar("Who")
What = TypeVar("What")


class Askers(dict[str, dict[Who, tuple[int, What]]], Generic[Who, What]):
    """By run: who asked, with when he last did and what he asked for. A question that is repeated counts once."""

    def ask(self, run_id: str, who: Who, what: What, now_ms: int) -> None:
        """Somebody waits for a run (and says so again before `ASKERS_MS` are over, or is forgotten)."""
        people = self.pop(run_id, None)
        if people is None:
            people = {}
        else:
            people.pop(who, None)
            gone = [known for known, (asked_ms, _) in people.items() if asked_ms <= now_ms - ASKERS_MS]
            if not gone and len(people) >= ASKERS_PER_RUN_MAX:
                gone = [next(iter(people))]
            for known in gone:
                del people[known]
        people[who] = (now_ms, what)
        self[run_id] = people

    def take(self, run_id: str) -> Iterator[tuple[Who, What]]:
        """Those who wait for a run, who then wait no more."""
        for who, (_, what) in self.pop(run_id, {}).items():
            yield who, what

    def forget_old(self, now_ms: int) -> None:
        """Drop runs that nobody has asked about for a while."""
        limit_ms = now_ms - ASKERS_MS
        old = []
        for run_id, people in self.items():
            if people[next(reversed(people))][0] > limit_ms:
                break
            old.append(run_id)
        for run_id in old:
            del self[run_id]
