"""Messages about runs that await a signal with a correlation. See `messages`."""

from __future__ import annotations

from msgspec import Struct


class AwaitersQuery(Struct, array_like=True):
    """Runs of a partition that wait on this channel (`model.state.channel_of`), at most ``limit``."""

    channel: str
    limit: int = 2


class Awaiters(Struct, array_like=True):
    run_ids: list[str]
