"""Advanced branching and synchronization: WCP-6 to 9, 28 to 33, 37, 38, 41, 42, each by its cases."""

from __future__ import annotations

from patterns.pattern_catalogue import FAMILIES
from patterns.pattern_playing import Play, each, each_for_crashes

PATTERNS = FAMILIES["Advanced branching and synchronization"]


@each(PATTERNS)
def test_the_pattern_holds(play: Play) -> None:
    assert play.in_env()


@each_for_crashes(PATTERNS)
def test_the_pattern_holds_wherever_the_engine_crashes(play: Play) -> None:
    assert play.with_crashes()
