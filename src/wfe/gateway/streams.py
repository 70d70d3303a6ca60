"""Event streams that a reader can resume: a run's history as it grows (and all runs' events, in `feed`)."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Annotated, Any

from litestar import Request, get
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, QueryParameter

from wfe.client.runs import AsyncRun
from wfe.client.views import event_document
from wfe.gateway.problems import BadRequest
from wfe.gateway.sse import MEDIA_TYPE, EventStream, message
from wfe.gateway.state import Gateway

PAGE = 100
STREAM = {200: ResponseSpec(str, description="Server-sent events.", media_type=MEDIA_TYPE, generate_examples=False)}


@get(
    "/runs/{run_id:str}/events",
    summary="Follow a run's events",
    description="Server-sent events: each has the event's number as its id and the event as its data; the last one is "
    "called `end`. Last-Event-ID (or `after`) resumes.",
    responses=STREAM,
)
async def follow_run(
    gateway: NamedDependency[Gateway],
    request: Request[Any, Any, Any],
    run_id: FromPath[str],
    after: Annotated[int, QueryParameter(ge=0, le=1 << 62)] = 0,
) -> EventStream:
    """Goes on until the run has ended, which may be long."""
    last = request.headers.get("last-event-id", "").strip()
    if last and not (last.isascii() and last.isdecimal() and len(last) < 19):
        raise BadRequest(422, "that is not the number of an event", parameter="Last-Event-ID")
    run = gateway.client.handle(run_id)
    await run.status()  # an unknown run is 404, not a stream
    cursor = int(last) if last else after
    return EventStream(lambda: _history(run, cursor), gateway.streams.place())


async def _history(run: AsyncRun[Any], cursor: int) -> AsyncIterator[bytes]:
    while True:
        page = await run.events(cursor, PAGE, wait=True)
        cursor = page.cursor
        for item in page.items:
            yield message(event_document(item), id=str(item.seq))
        if page.ended:
            yield message({"id": run.id}, id=str(cursor), event="end")
            return


ROUTES = [follow_run]
