"""Messages about the events of all runs of a shard, as they are committed. See `messages`."""

from __future__ import annotations

from msgspec import Struct

from wfe.wire.runs import HistoryEvent


class FeedQuery(Struct, array_like=True):
    """What a shard commits from now on (``cursor`` -1), or behind a place that an earlier page named.

    ``epoch``: of that page. ``types``: names of events, empty: all; ``workflow`` "" : all. Answered as soon as there is
    anything, even if the filter leaves nothing of it (then the page moves the cursor on).
    """

    cursor: int = -1
    epoch: int = 0
    types: list[str] = []
    workflow: str = ""


class FeedEvent(Struct, array_like=True):
    """An event and its run. Its ``data`` is null when it is large: the run's history has it."""

    run_id: str
    workflow: str
    event: HistoryEvent


class FeedPage(Struct, array_like=True):
    """``cursor``: the place to go on behind. ``missed``: what was between is no longer here: look at the runs again."""

    shard: int
    epoch: int
    cursor: int
    events: list[FeedEvent] = []
    missed: bool = False
