"""What validation reports: one finding per mistake, with its place in the definition and a way out; what a name that
nobody knows may have been meant for. Pure."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from itertools import islice
from typing import Literal

from wfe.limits import NAME_CHARS_MAX

Severity = Literal["error", "warning"]
FINDINGS_MAX = 200
_CANDIDATES_MAX = 300
_LENGTH_DIFFERENCE_MAX = 3
"""Comparing texts is slow: a suggestion is looked for among so many names of about the same length."""
_NEAR_MAX, _NEAR_AMONG_MAX = 10, 500
"""How many of the names that there are a refusal shows, and among how many it looks for those that are alike."""


@dataclass(frozen=True, slots=True)
class Finding:
    """``where`` is a path into the definition, as in ``nodes[2].with.order``; ``node`` the id of the node it is in."""

    node: str | None
    where: str
    message: str
    suggestion: str | None = None
    severity: Severity = "error"

    def __str__(self) -> str:
        place = f"{self.where} ({self.node})" if self.node else self.where
        hint = f"; {self.suggestion}" if self.suggestion else ""
        return f"{place}: {self.message}{hint}"


class Findings:
    """Collects findings on the way through a definition: the first `FINDINGS_MAX`; ``count`` counts all."""

    def __init__(self) -> None:
        self.items: list[Finding] = []
        self.count = 0

    @property
    def full(self) -> bool:
        """Whether further findings are dropped: what takes time to find need not be looked for."""
        return len(self.items) >= FINDINGS_MAX

    def error(self, node: str | None, where: str, message: str, suggestion: str | None = None) -> None:
        self._add(Finding(node, where, message, suggestion))

    def warning(self, node: str | None, where: str, message: str, suggestion: str | None = None) -> None:
        self._add(Finding(node, where, message, suggestion, "warning"))

    def _add(self, finding: Finding) -> None:
        self.count += 1
        if not self.full:
            self.items.append(finding)


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """``did you mean 'order'?`` or None when nothing is close."""
    alike = (other for other in known if abs(len(other) - len(name)) <= _LENGTH_DIFFERENCE_MAX)
    candidates = list(islice(alike, _CANDIDATES_MAX))
    close = get_close_matches(name, candidates, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else None


def those_near(there: Collection[str], name: str) -> str:
    """The ids that there are, those that look alike first, and not too many."""
    known = list(islice(there, _NEAR_AMONG_MAX))
    near = get_close_matches(name[:NAME_CHARS_MAX], known, n=_NEAR_MAX, cutoff=0.5)
    shown = [*near, *(each for each in known if each not in near)][:_NEAR_MAX]
    more = f" and {len(there) - len(shown)} more" * (len(there) > len(shown))
    return f"it has: {', '.join(shown)}{more}" if shown else "it has none"
