"""Event streams that a reader can resume: a run's history as it grows, and the events of all runs."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing
from typing import Annotated, Any

from litestar import Request
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, QueryParameter

from wfe.client.feed import FeedItem, Places
from wfe.client.runs import AsyncRun
from wfe.client.views import event_document
from wfe.errors import InvalidInput
from wfe.gateway.documents import StreamedEvent
from wfe.gateway.problems import BadRequest
from wfe.gateway.sse import MEDIA_TYPE, EventStream, message
from wfe.gateway.state import Gateway
from wfe.gateway.verbs import get
from wfe.limits import NAME_CHARS_MAX

PAGE = 100
TYPES_MAX = 50
STREAM = {
    200: ResponseSpec(StreamedEvent, description="Server-sent events.", media_type=MEDIA_TYPE, generate_examples=False)
}


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
    return EventStream(lambda: _history(run, cursor), gateway.streams)


async def _history(run: AsyncRun[Any], cursor: int) -> AsyncGenerator[bytes, None]:
    while True:
        page = await run.events(cursor, PAGE, wait=True)
        cursor = page.cursor
        if page.items:
            yield b"".join(message(event_document(item), id=str(item.seq)) for item in page.items)
        if page.ended:
            yield message({"id": run.id}, id=str(cursor), event="end")
            return


@get(
    "/events",
    summary="Follow the events of all runs",
    description="Server-sent events from now on: `data` is `{run, workflow, event}`; the event's own data is null when "
    "it is large. Last-Event-ID (or `after`) resumes; some events may then come twice. `missed`: others are gone, for "
    "the reader was too slow or a shard started anew: look at the runs again.",
    responses=STREAM,
)
async def follow_all(
    gateway: NamedDependency[Gateway],
    request: Request[Any, Any, Any],
    after: FromQuery[str] = "",
    workflow: FromQuery[str | None] = None,
    types: Annotated[list[str] | None, QueryParameter(name="type", description="Names of events; repeatable.")] = None,
) -> EventStream:
    """Endless."""
    cursor = request.headers.get("last-event-id", "").strip() or after
    try:
        Places(cursor)  # a bad one is an answer, not a stream
    except InvalidInput as error:
        problem = "that is no place in the events: pass the id of one"
        raise BadRequest(422, problem, parameter="after" if cursor == after else "Last-Event-ID") from error
    if len(types or ()) > TYPES_MAX:
        raise BadRequest(422, f"at most {TYPES_MAX} types", parameter="type")
    for parameter, names in (("type", types or ()), ("workflow", (workflow or "",))):
        if any(len(name) > NAME_CHARS_MAX for name in names):
            raise BadRequest(422, f"a name has at most {NAME_CHARS_MAX} characters", parameter=parameter)
    client = gateway.client

    async def chunks() -> AsyncGenerator[bytes, None]:
        async with aclosing(client.feed_pages(after=cursor, types=types or (), workflow=workflow)) as pages:
            async for page in pages:
                yield b"".join(map(_feed_message, page))  # in one piece: a write for each event costs ten times that

    return EventStream(chunks, gateway.streams)


def _feed_message(item: FeedItem) -> bytes:
    if item.missed:
        return message({}, id=item.cursor, event="missed")
    if item.event is None:
        return f"id: {item.cursor}\n\n".encode()
    return message({"run": item.run_id, "workflow": item.workflow, "event": event_document(item.event)}, id=item.cursor)


ROUTES = [follow_run, follow_all]
