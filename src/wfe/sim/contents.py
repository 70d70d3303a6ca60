"""Large values by reference, as the auditor sees them: what a reference in an event stands for.

Pure. A content is known once an event has brought it whole; a reference to anything else stays in the event, and no
value that a run may have come to is equal to it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar

from msgspec import Raw, Struct, msgpack, structs

from wfe.limits import BLOB_BYTES_MIN
from wfe.model.blob import compact, expand, names_in, names_needed
from wfe.model.event_rounds import RunRestored
from wfe.model.state import RunState

E = TypeVar("E", bound=Struct)
_encode = msgpack.Encoder().encode
_decode_members = msgpack.Decoder(dict[str, Raw]).decode
_decode_items = msgpack.Decoder(list[Raw]).decode


class Contents:
    """Of one run."""

    def __init__(self) -> None:
        self._known: dict[bytes, Raw] = {}

    def copy(self) -> Contents:
        """Those of a run that goes on from this one."""
        other = Contents()
        other._known = dict(self._known)
        return other

    def whole(self, event: E) -> E:
        """The event with its values in place of references; what it brings is known from now on."""
        if type(event) is RunRestored:
            return event  # a state, not a value
        changes: dict[str, Any] = {}
        for name in event.__struct_fields__:
            value = getattr(event, name)
            if type(value) is not Raw:
                continue
            if len(value) >= BLOB_BYTES_MIN:
                self._learn(value)
            if self._known and names_in(value):
                changes[name] = expand(value, self._known)
        return structs.replace(event, **changes) if changes else event

    def missing(self, snapshot: bytes, there: Mapping[bytes, object]) -> list[bytes]:
        """Names of contents that a state refers to and that are not there."""
        return [name for name in names_needed(snapshot, self._known) if name not in there]

    def _learn(self, value: Raw) -> None:
        def stored(name: bytes, data: Raw) -> bool:
            self._known[name] = Raw(bytes(data))
            return True

        compact(value, stored)
        first = bytes(value)[0]
        parts: list[Raw] = []
        if 0x80 <= first < 0x90 or first in (0xDE, 0xDF):
            parts = list(_decode_members(value).values())
        elif 0x90 <= first < 0xA0 or first in (0xDC, 0xDD):
            parts = _decode_items(value)
        for part in parts:
            if len(part) >= BLOB_BYTES_MIN:
                self._learn(part)


def state_of(run: RunState) -> bytes:
    """A run's state, encoded without its blobs, which have rows of their own. Not by the code that writes snapshots."""
    return _encode(structs.replace(run, blobs={}) if run.blobs else run)
