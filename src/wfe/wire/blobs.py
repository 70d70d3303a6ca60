"""Which blobs a worker has: both ends of a link keep the same books of what was sent, so that nothing is asked.

Pure. A shard adds a blob when it sends it in a dispatch frame, the worker when it takes it from one; frames are taken
in the order of their numbers or not at all, and books are opened anew with every hello. So both agree at any frame.
First in, first out: what left is sent again when it is wanted again.
"""

from __future__ import annotations

from collections import ChainMap
from collections.abc import Iterable
from typing import Generic, TypeVar

from msgspec import Raw

from wfe.limits import BLOB_WINDOW_BYTES
from wfe.model.blob import expand, names_needed, size_of
from wfe.wire.messages import TaskSpec

T = TypeVar("T")


class BlobWindow(Generic[T]):
    """The blobs sent last, by name, up to ``bytes_max`` together. A shard keeps names alone, a worker the contents."""

    __slots__ = ("_bytes_max", "_size", "_sizes", "kept")

    def __init__(self, bytes_max: int = BLOB_WINDOW_BYTES) -> None:
        self._bytes_max = bytes_max
        self._size = 0
        self._sizes: dict[bytes, int] = {}
        self.kept: dict[bytes, T] = {}

    def add(self, name: bytes, size_bytes: int, content: T) -> None:
        """A blob goes over the link, the oldest ones leave."""
        self._size += size_bytes - self._sizes.pop(name, 0)
        self.kept.pop(name, None)  # the newest are last
        self._sizes[name] = size_bytes
        self.kept[name] = content
        while self._size > self._bytes_max and len(self.kept) > 1:
            oldest = next(iter(self.kept))
            self._size -= self._sizes.pop(oldest)
            del self.kept[oldest]

    def clear(self) -> None:
        """A new conversation."""
        self._size = 0
        self._sizes.clear()
        self.kept.clear()


def unpack(specs: Iterable[TaskSpec], brought: list[tuple[bytes, Raw]], window: BlobWindow[Raw]) -> None:
    """Gives each task of a frame the blobs that its input refers to: those that came along, and those of before."""
    fresh = {name: data.copy() for name, data in brought}
    if not fresh and not window.kept:
        return
    known = ChainMap(fresh, window.kept)
    for spec in specs:
        needed = names_needed(spec.input, known)
        if needed:
            spec.blobs = {name: known[name] for name in needed}
    for name, data in fresh.items():
        window.add(name, len(data), data)


def input_of(spec: TaskSpec) -> bytes:
    """A task's input with its blobs in place."""
    return bytes(expand(spec.input, spec.blobs) if spec.blobs else spec.input)


def input_bytes(spec: TaskSpec) -> int:
    """How large that is."""
    return size_of(spec.input, spec.blobs) if spec.blobs else len(spec.input)
