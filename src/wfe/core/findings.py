"""What validation reports: one finding per mistake, with its place in the definition and a way out. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from difflib import get_close_matches
from typing import Literal

Severity = Literal["error", "warning"]
_CANDIDATES_MAX = 2_000
"""Names that a suggestion is looked for among: comparing texts is slow."""


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
    """Collects findings on the way through a definition."""

    def __init__(self) -> None:
        self.items: list[Finding] = []

    def error(self, node: str | None, where: str, message: str, suggestion: str | None = None) -> None:
        self.items.append(Finding(node, where, message, suggestion))

    def warning(self, node: str | None, where: str, message: str, suggestion: str | None = None) -> None:
        self.items.append(Finding(node, where, message, suggestion, "warning"))


def did_you_mean(name: str, known: Iterable[str]) -> str | None:
    """``did you mean 'order'?`` or None when nothing is close."""
    candidates = [other for _, other in zip(range(_CANDIDATES_MAX), known, strict=False)]
    close = get_close_matches(name, candidates, n=1, cutoff=0.6)
    return f"did you mean {close[0]!r}?" if close else None
