"""Lists of runs: every partition is asked on its own, and their pages are merged."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any

import msgspec

from wfe.client.connection import Connection
from wfe.client.replies import decoder_of
from wfe.client.runs import AsyncRun
from wfe.client.views import run_info
from wfe.errors import Disconnected, InvalidInput, Unavailable
from wfe.limits import LIST_LIMIT_MAX
from wfe.model.ids import PARTITION_OF_PREFIX, is_run_id, partition_of_key
from wfe.wire.frames import Kind
from wfe.wire.messages import ListRuns, RunPage

STATUSES = ("pending", "running", "waiting", "paused", "completed", "failed", "cancelled")

LIST_TIMEOUT_S = 5.0
"""A list does not wait longer for one partition: it names it in ``incomplete``."""

_PREFIXES = tuple(PARTITION_OF_PREFIX)
"""What the ids of a partition begin with, by its number."""
_PREFIX_CHARS = len(_PREFIXES[0])

_decode_page = decoder_of(RunPage)


class RunList(list[AsyncRun[Any]]):
    """Runs, newest first. ``incomplete``: partitions that could not be asked; ``more``: there are further runs.

    ``cursor``: what `AsyncClient.list` takes as ``after`` to go on behind the last one; "" when there is none.
    """

    def __init__(
        self, runs: Iterable[AsyncRun[Any]] = (), *, incomplete: Iterable[int] = (), more: bool = False
    ) -> None:
        super().__init__(runs)
        self.incomplete, self.more = list(incomplete), more

    @property
    def cursor(self) -> str:
        return self[-1].id[_PREFIX_CHARS:] if self and self.more else ""


async def list_runs(connection: Connection, query: ListRuns, namespace: str) -> RunList:
    """Runs of all partitions, newest first. Unavailable when not a single one can be asked.

    The order is that of ids without their partition: times of starts, then chance. It is the order of each partition's
    own list, too, so that a place in it (``query.after``) means the same place everywhere.
    """
    if not 1 <= query.limit <= LIST_LIMIT_MAX:
        raise InvalidInput(f"limit must be between 1 and {LIST_LIMIT_MAX}", "limit")
    if query.status and query.status not in STATUSES:
        raise InvalidInput(f"no run has the status {query.status!r}: it is one of {', '.join(STATUSES)}", "status")
    if query.after and not is_run_id(_PREFIXES[0] + query.after):
        raise InvalidInput("that is no place in a list of runs: pass the cursor of the page before", "cursor")
    count = connection.welcome.partitions
    partitions = list(range(count))
    if query.workflow and query.key:
        partitions = [partition_of_key(namespace, query.workflow, query.key, count)]
    answers = await asyncio.gather(*(_page_of(connection, partition, query) for partition in partitions))
    incomplete = [partition for partition, page in zip(partitions, answers, strict=True) if page is None]
    if len(incomplete) == len(partitions):
        raise Unavailable("no partition can be asked at the moment: see `wfe status`")
    pages = [page for page in answers if page is not None]
    views = [view for page in pages for view in page.runs]
    views.sort(key=lambda view: view.id[_PREFIX_CHARS:], reverse=True)
    more = len(views) > query.limit or any(page.more for page in pages)
    runs = [AsyncRun[Any](connection, view.id, info=run_info(view)) for view in views[: query.limit]]
    return RunList(runs, incomplete=incomplete, more=more)


async def _page_of(connection: Connection, partition: int, query: ListRuns) -> RunPage | None:
    if query.after:
        query = msgspec.structs.replace(query, after=_PREFIXES[partition] + query.after)
    try:
        reply = await connection.ask(Kind.LIST, query, partition=partition, timeout_s=LIST_TIMEOUT_S, patient=False)
    except (Unavailable, Disconnected):
        return None
    return _decode_page(reply)
