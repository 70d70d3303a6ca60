"""All patterns of the catalogue, by family and by number."""

from __future__ import annotations

from patterns import (
    patterns_basic,
    patterns_branching,
    patterns_cancelling,
    patterns_flow,
    patterns_instances,
    patterns_joins,
    patterns_states,
)
from patterns.pattern_model import Pattern

FAMILIES: dict[str, tuple[Pattern, ...]] = {
    "Basic control flow": patterns_basic.PATTERNS,
    "Advanced branching and synchronization": (*patterns_branching.PATTERNS, *patterns_joins.PATTERNS),
    "Multiple instances": patterns_instances.PATTERNS,
    "State-based": patterns_states.PATTERNS,
    "Cancellation": patterns_cancelling.PATTERNS,
    "Iteration": patterns_flow.ITERATION,
    "Termination": patterns_flow.TERMINATION,
    "Triggers": patterns_flow.TRIGGERS,
}
PATTERNS: tuple[Pattern, ...] = tuple(
    sorted((pattern for family in FAMILIES.values() for pattern in family), key=lambda pattern: pattern.number)
)
