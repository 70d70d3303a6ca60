"""The ids that nodes get when the author gives none: the same for a drawn workflow and for its YAML. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable

from wfe.core.checks import RESERVED_NAMES
from wfe.core.expressions import RESERVED

_NO_IDENTIFIER = re.compile(r"[^A-Za-z0-9_]")


class NodeIds:
    """Hands out ids in the order of the lines: ``base``, ``base_2``, ``base_3``. ``taken``: names already in use."""

    def __init__(self, taken: Iterable[str]) -> None:
        self._taken = {*RESERVED_NAMES, *taken}
        self._counts: dict[str, int] = {}
        """For each base how far its names are known to be taken."""

    def __contains__(self, name: str) -> bool:
        return name in self._taken

    def assign(self, base: str) -> str:
        """A fresh id, taken from now on."""
        found = self.next(base)
        self.take(found)
        return found

    def take(self, name: str) -> None:
        """No other node gets this id."""
        self._taken.add(name)

    def next(self, base: str) -> str:
        """What `assign` would give."""
        base = _NO_IDENTIFIER.sub("_", base)
        base = f"_{base}" if not base or base[0].isdigit() or base in RESERVED else base
        count = self._counts.get(base, 1)
        candidate = base if count == 1 else f"{base}_{count}"
        while candidate in self._taken:
            count += 1
            candidate = f"{base}_{count}"
        self._counts[base] = count
        return candidate
