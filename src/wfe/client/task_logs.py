"""What a run's tasks print and log, as people and scripts read it: a page, a list, or line by line as it is said."""

from __future__ import annotations

from collections.abc import AsyncIterator, Generator
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from wfe.client.connection import Connection
from wfe.client.replies import decoder_of
from wfe.client.views import rfc3339, time_of_ms
from wfe.model.ids import partition_of
from wfe.wire.frames import Kind
from wfe.wire.task_logs import LogPage, LogQuery

_decode_page = decoder_of(LogPage)


@dataclass(frozen=True, slots=True)
class LogItem:
    """One line. ``level``: debug info warning error critical; ``logger``: who said it, ``wfe.print`` for a print.

    ``dropped`` lines right before this one are gone: too many were said at once, or newer ones took their room.
    """

    time: datetime | None
    level: str
    text: str
    node: str
    activation: int
    attempt: int
    logger: str = ""
    dropped: int = 0
    trace: str = ""
    time_ms: int = 0


class LogsPage(NamedTuple):
    """A part of a run's log. ``cursor``: go on after it; ``ended``: nothing will come behind it."""

    items: list[LogItem]
    cursor: int
    ended: bool


class RunLogs:
    """Lines of a run: await it for a list, or ``async for`` over it; with ``follow`` until the run has ended."""

    def __init__(self, connection: Connection, query: LogQuery, *, follow: bool) -> None:
        self._connection, self._query, self._follow = connection, query, follow

    def __await__(self) -> Generator[Any, None, list[LogItem]]:
        return self._list().__await__()

    async def _list(self) -> list[LogItem]:
        return [item async for item in self]

    async def __aiter__(self) -> AsyncIterator[LogItem]:
        query = self._query
        page = await log_page(self._connection, query)
        while True:
            for item in page.items:
                yield item
            if page.ended or not self._follow:
                return
            query = LogQuery(query.run_id, page.cursor, query.node, query.attempt, wait=True)
            page = await log_page(self._connection, query)


async def log_page(connection: Connection, query: LogQuery) -> LogsPage:
    """One answer of the server. UnknownRun when the run is not kept."""
    where = partition_of(query.run_id)
    page = _decode_page(await connection.ask(Kind.LOGS, query, partition=where, forever=query.wait))
    items = []
    missing = page.dropped if not query.after and query.tail < 0 else 0
    for entry in page.entries:
        missing += entry.dropped
        for line in entry.lines:
            items.append(
                LogItem(
                    time_of_ms(line.time_ms), line.level, line.text, entry.node, entry.activation, entry.attempt,
                    line.logger, missing, line.trace, line.time_ms,
                )
            )  # fmt: skip
            missing = 0
    return LogsPage(items, page.cursor, page.ended)


def log_document(item: LogItem) -> dict[str, Any]:
    """A line as JSON shows it."""
    return {
        "time": rfc3339(item.time_ms),
        "level": item.level,
        "node": item.node,
        "activation": item.activation,
        "attempt": item.attempt,
        "logger": item.logger,
        "text": item.text,
        "dropped": item.dropped,
        "trace": item.trace or None,
    }
