"""Routes of runs: start, find, list, wait for the end; what happens to them is in `commands`, streams in `streams`."""

from __future__ import annotations

from contextlib import suppress
from typing import Annotated, Any

import msgspec
from litestar import Response
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, HeaderParameter, JSONBody, QueryParameter
from msgspec import UNSET, Struct, UnsetType

from wfe.client.views import event_document, past_document, run_document
from wfe.client.why import why_document
from wfe.errors import Busy, Disconnected, Unavailable, UnknownRun
from wfe.gateway.documents import EventPage, Explanation, Run, RunList, RunPast, RunStatus
from wfe.gateway.problems import BadRequest
from wfe.gateway.state import Gateway
from wfe.gateway.verbs import get, post
from wfe.limits import KEY_CHARS_MAX, LONG_POLL_MAX_S, NAME_CHARS_MAX
from wfe.model.durations import parse_duration
from wfe.model.trace import parse
from wfe.wire.messages import RunView, StartRun
from wfe.wire.payload import encode_value

LIST_MAX = 1_000
EVENTS_MAX = 10_000

Limit = Annotated[int, QueryParameter(ge=1, le=LIST_MAX, description="At most so many.")]
Tags = Annotated[
    list[str] | None, QueryParameter(name="tag", description="Only runs with this tag, as NAME=VALUE; repeatable.")
]
Key = Annotated[str, HeaderParameter(name="Idempotency-Key", max_length=KEY_CHARS_MAX)]
Caller = Annotated[
    str, HeaderParameter(name="traceparent", description="The caller's W3C trace context; a malformed one is ignored.")
]


class StartRequest(Struct, forbid_unknown_fields=True):
    """Starts a run. ``version`` 0: the current one.

    ``input``: the value of the only parameter, or an object by name for several. ``args``: always an object by name.
    ``key``: (workflow, key) names one run; without it, or with an empty one, the header Idempotency-Key
    is the key. Both may be given when they are equal.
    """

    workflow: Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]
    version: Annotated[int, msgspec.Meta(ge=0, le=1 << 31)] = 0
    input: Any | UnsetType = UNSET
    args: dict[str, Any] | UnsetType = UNSET
    key: Annotated[str, msgspec.Meta(max_length=KEY_CHARS_MAX)] = ""
    priority: Annotated[int, msgspec.Meta(ge=-(1 << 31), le=1 << 31)] = 0
    tags: dict[str, str] = {}


def run_of(view: RunView) -> Run:
    return msgspec.convert(run_document(view), Run)


async def read_run(gateway: Gateway, run_id: str) -> Run:
    return run_of(await gateway.client.view(run_id))


@post(
    "/runs",
    status_code=201,
    summary="Start a run",
    description="200 instead of 201: the key named a run before.",
    responses={200: ResponseSpec(Run, description="That run.", generate_examples=False)},
)
async def start_run(
    gateway: NamedDependency[Gateway], data: JSONBody[StartRequest], idempotency_key: Key = "", traceparent: Caller = ""
) -> Response[Run]:
    """Starts a run; the answer comes once the start is durable."""
    if data.input is not UNSET and data.args is not UNSET:
        raise BadRequest(422, "give the input either as `input` or by name as `args`", pointer="#/args")
    if data.key and idempotency_key and data.key != idempotency_key:
        raise BadRequest(422, "`key` and the header Idempotency-Key differ: give one of the two", pointer="#/key")
    named = data.args is not UNSET
    value = data.args if named else None if data.input is UNSET else data.input
    run = StartRun(
        "",
        encode_value(value),
        data.key or idempotency_key,
        data.priority,
        data.tags,
        named=named,
        trace=parse(traceparent),
    )
    created = await gateway.client.submit(data.workflow, data.version, run)
    try:
        found = await read_run(gateway, run.run_id)
    except (Busy, Disconnected, Unavailable, UnknownRun):
        # It is durable: to be told to come back would make whoever has no key start another one.
        found = run_of(RunView(run.run_id, data.workflow, data.version, "pending", run.key, run.input))
    return Response(found, status_code=201 if created else 200, headers={"location": f"/api/v1/runs/{run.run_id}"})


@get("/runs", summary="List runs, newest first")
async def list_runs(
    gateway: NamedDependency[Gateway],
    status: FromQuery[RunStatus | None] = None,
    workflow: FromQuery[str | None] = None,
    key: FromQuery[str | None] = None,
    tags: Tags = None,
    limit: Limit = 100,
    cursor: FromQuery[str | None] = None,
) -> RunList:
    """Runs without their payloads. Pass the answer's ``cursor`` for the next page."""
    found = await gateway.client.list(
        status=status, workflow=workflow, key=key, tags=tags_of(tags), limit=limit, after=cursor
    )
    views = [run.info.view for run in found if run.info is not None and run.info.view is not None]
    return RunList([run_of(view) for view in views], found.cursor or None, found.incomplete)


@get("/runs/{run_id:str}", summary="Get a run")
async def get_run(gateway: NamedDependency[Gateway], run_id: FromPath[str]) -> Run:
    """The run as it is now, with what it waits for."""
    return await read_run(gateway, run_id)


@get("/workflows/{workflow:str}/runs/{key:str}", summary="Get the run that a key names")
async def find_run(gateway: NamedDependency[Gateway], workflow: FromPath[str], key: FromPath[str]) -> Run:
    """The run that (workflow, key) names. A key with a slash fits into no path: list runs by workflow and key."""
    run = await gateway.client.find(workflow, key)
    return await read_run(gateway, run.id)


@get(
    "/runs/{run_id:str}/result",
    summary="Wait for a run's end",
    description="200 once the run has ended, whichever way; 202 when it goes on after the wait: ask again.",
    responses={202: ResponseSpec(Run, description="It goes on.", generate_examples=False)},
)
async def get_result(
    gateway: NamedDependency[Gateway], run_id: FromPath[str], wait: FromQuery[str] = "0s"
) -> Response[Run]:
    """Long poll: answers at the run's end, or after ``wait`` (a duration such as ``30s``; at most a minute)."""
    wait_s = duration_of(wait, "wait")
    if wait_s > 0:
        handle = gateway.client.handle(run_id)
        with gateway.streams.one(), suppress(TimeoutError):
            await gateway.streams.unless_ending(handle.outcome(wait_s))
    found = await read_run(gateway, run_id)
    return Response(found, status_code=200 if found.ended_at else 202)


@get("/runs/{run_id:str}/history", summary="Get the events of a run")
async def get_history(
    gateway: NamedDependency[Gateway],
    run_id: FromPath[str],
    after: Annotated[int, QueryParameter(ge=0, le=1 << 62)] = 0,
    limit: Annotated[int, QueryParameter(ge=1, le=EVENTS_MAX)] = 1_000,
) -> EventPage:
    """Events with numbers above ``after``, in order. Pass ``cursor`` as ``after`` for the next page."""
    page = await gateway.client.handle(run_id).events(after, limit)
    documents = {"events": [event_document(item) for item in page.items], "cursor": page.cursor, "ended": page.ended}
    return msgspec.convert(documents, EventPage)


@get("/runs/{run_id:str}/state", summary="Get the state of a run as of an event")
async def get_state(
    gateway: NamedDependency[Gateway],
    run_id: FromPath[str],
    event: Annotated[int, QueryParameter(ge=0, le=1 << 62)] = 0,
) -> RunPast:
    """The whole state right after an event (0: now): what was open, which values there were."""
    return msgspec.convert(past_document(await gateway.client.handle(run_id).past(event)), RunPast)


@get("/runs/{run_id:str}/why", summary="Explain why a run does not go on")
async def explain(gateway: NamedDependency[Gateway], run_id: FromPath[str]) -> Explanation:
    """What exactly it waits for: a worker, slots, a lock and who has it, a timer, a signal, a person, another run."""
    return msgspec.convert(why_document(await gateway.client.why(run_id)), Explanation)


def tags_of(tags: list[str] | None) -> dict[str, str]:
    """``NAME=VALUE`` texts as a filter."""
    found: dict[str, str] = {}
    for text in tags or []:
        name, equals, value = text.partition("=")
        if not name or not equals:
            raise BadRequest(422, f"{text!r} is no tag: write NAME=VALUE", parameter="tag")
        if found.setdefault(name, value) != value:
            raise BadRequest(422, f"no run has two values of the tag {name!r}", parameter="tag")
    return found


def duration_of(text: str, name: str) -> float:
    """Seconds, at most as many as a long poll may take."""
    try:
        return min(parse_duration(text) / 1000, LONG_POLL_MAX_S)
    except ValueError as error:
        raise BadRequest(422, str(error), parameter=name) from error


ROUTES = [start_run, list_runs, get_run, find_run, get_result, get_history, get_state, explain]
