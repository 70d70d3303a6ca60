"""The base of all events; `event` is their index, with the rules for tags and fields."""

from __future__ import annotations

from msgspec import Raw, Struct

NULL = Raw(b"\xc0")


class Event(Struct, frozen=True, array_like=True, gc=False):
    """Base of all events."""
