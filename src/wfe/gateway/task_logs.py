"""Routes of what a run's tasks print and log: a page of it, and a stream that goes on until the run has ended."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Annotated, Any

import msgspec
from litestar import Request
from litestar.di import NamedDependency
from litestar.params import FromPath, QueryParameter

from wfe.client.runs import AsyncRun
from wfe.client.task_logs import LogsPage, log_document
from wfe.gateway.documents import LogLines
from wfe.gateway.problems import BadRequest
from wfe.gateway.sse import EventStream, message
from wfe.gateway.state import Gateway
from wfe.gateway.streams import STREAM
from wfe.gateway.verbs import get
from wfe.limits import LOG_RUN_LINES, NAME_CHARS_MAX

TAIL_DEFAULT = 1_000
Node = Annotated[str, QueryParameter(max_length=NAME_CHARS_MAX, description="Only lines of this node's tasks.")]
Attempt = Annotated[int, QueryParameter(ge=0, le=(1 << 31) - 1, description="Only lines of this attempt; 0: of all.")]
Tail = Annotated[int, QueryParameter(ge=0, le=LOG_RUN_LINES, description="Only the last lines behind `after`.")]
After = Annotated[int, QueryParameter(ge=0, lt=1 << 62, description="The `cursor` of an earlier answer.")]


@get("/runs/{run_id:str}/logs", summary="Get what a run's tasks printed and logged")
async def get_logs(
    gateway: NamedDependency[Gateway],
    run_id: FromPath[str],
    node: Node = "",
    attempt: Attempt = 0,
    tail: Tail = TAIL_DEFAULT,
    after: After = 0,
) -> LogLines:
    """Lines in the order in which they were said. Kept are the newest of each run, best effort."""
    page = await gateway.client.handle(run_id).logs_page(after, node=node, attempt=attempt or None, tail=tail)
    return msgspec.convert(_document(page), LogLines)


@get(
    "/runs/{run_id:str}/logs/events",
    summary="Follow what a run's tasks print and log",
    description="Server-sent events: each has some lines as its data, and as its id the cursor behind them; the last "
    "one is called `end`. Last-Event-ID (or `after`) resumes.",
    responses=STREAM,
)
async def follow_logs(
    gateway: NamedDependency[Gateway],
    request: Request[Any, Any, Any],
    run_id: FromPath[str],
    node: Node = "",
    attempt: Attempt = 0,
    tail: Tail = TAIL_DEFAULT,
    after: After = 0,
) -> EventStream:
    """Goes on until the run has ended, which may be long."""
    last = request.headers.get("last-event-id", "").strip()
    if last and not (last.isascii() and last.isdecimal() and len(last) < 19):
        raise BadRequest(422, "that is no cursor of a log", parameter="Last-Event-ID")
    run = gateway.client.handle(run_id)
    await run.status()  # an unknown run is 404, not a stream
    lines = _lines(run, int(last) if last else after, node, attempt or None, None if last else tail)
    return EventStream(lambda: lines, gateway.streams)


async def _lines(
    run: AsyncRun[Any], cursor: int, node: str, attempt: int | None, tail: int | None
) -> AsyncGenerator[bytes, None]:
    page = await run.logs_page(cursor, node=node, attempt=attempt, tail=tail)
    while True:
        if page.items or not page.ended:
            yield message(_document(page), id=str(page.cursor))
        if page.ended:
            yield message({"id": run.id}, id=str(page.cursor), event="end")
            return
        page = await run.logs_page(page.cursor, node=node, attempt=attempt, wait=True)


def _document(page: LogsPage) -> dict[str, Any]:
    return {"lines": [log_document(item) for item in page.items], "cursor": page.cursor, "ended": page.ended}


ROUTES = [get_logs, follow_logs]
