"""Basic control flow: WCP-1 to WCP-5, each by its cases, from YAML and from Python."""

from __future__ import annotations

from patterns.pattern_catalogue import FAMILIES
from patterns.pattern_playing import Play, each, each_for_crashes

PATTERNS = FAMILIES["Basic control flow"]


@each(PATTERNS)
def test_the_pattern_holds(play: Play) -> None:
    assert play.in_env()


@each_for_crashes(PATTERNS)
def test_the_pattern_holds_wherever_the_engine_crashes(play: Play) -> None:
    assert play.with_crashes()
