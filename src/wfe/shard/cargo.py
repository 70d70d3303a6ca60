"""The large values that go along with a dispatch frame: each once, and only those that the worker has not got yet."""

from __future__ import annotations

from msgspec import Raw

from wfe.model.blob import Blobs, names_needed, size_of
from wfe.wire.blobs import BlobWindow


class Cargo:
    """One frame's blobs: ``weigh`` each input, ``load`` what the last one needs if it travels, ``sent`` at the end."""

    __slots__ = ("_needed", "_window", "blobs")

    def __init__(self, window: BlobWindow[None]) -> None:
        self._window = window
        self._needed: dict[bytes, Raw] = {}
        self.blobs: dict[bytes, Raw] = {}

    def weigh(self, data: Raw, blobs: Blobs) -> tuple[int, int]:
        """How large an input is for whoever decodes it, and how much it adds to the frame."""
        missing = [name for name in names_needed(data, blobs) if name not in self._window.kept]
        self._needed = {name: blobs[name] for name in missing if name not in self.blobs}
        return size_of(data, blobs), len(data) + sum(map(len, self._needed.values()))

    def load(self) -> None:
        """The input that was weighed last travels in this frame."""
        if self._needed:
            self.blobs |= self._needed
            self._needed = {}

    def sent(self) -> list[tuple[bytes, Raw]]:
        """The frame is complete: what it carries counts as known to the worker from now on."""
        for name, data in self.blobs.items():
            self._window.add(name, len(data), None)
        return list(self.blobs.items())
