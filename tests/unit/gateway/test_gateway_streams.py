"""Event streams: order, resuming, slow and dead readers, and a bounded number of them."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import msgspec
import pytest

from support.http import HttpEnv, Reader
from wfe.limits import STREAM_BEAT_S, STREAM_STALL_S, STREAMS_MAX

YAML = """
workflow: patient
nodes:
  - {signal: go, id: first}
  - {signal: go, id: second}
output: "${second}"
"""


@pytest.fixture
def http() -> Iterator[HttpEnv]:
    with HttpEnv() as http:
        http.ask("POST", "/api/v1/definitions", body=YAML.encode(), headers={"content-type": "application/yaml"})
        yield http


def start(http: HttpEnv) -> str:
    run_id: str = http.post("/api/v1/runs", {"workflow": "patient"}).json()["id"]
    return run_id


def go(http: HttpEnv, run_id: str) -> None:
    assert http.post(f"/api/v1/runs/{run_id}/signal", {"name": "go", "payload": "x\n\nid: 99"}).status == 200


def rest(http: HttpEnv, seconds: float = 0.1) -> None:
    http.drive(asyncio.sleep(seconds))


def test_a_stream_brings_what_there_was_then_what_happens_then_the_end(http: HttpEnv) -> None:
    run_id = start(http)
    reader = Reader(http, f"/api/v1/runs/{run_id}/events")
    rest(http)
    before = len(reader.events)
    assert (reader.status, before > 0) == (200, True)
    go(http, run_id)
    rest(http)
    assert len(reader.events) > before
    go(http, run_id)
    rest(http)
    assert reader.task.done()
    events = reader.events
    assert events[-1]["event"] == "end"
    assert [event["id"] for event in events[:-1]] == [str(number + 1) for number in range(len(events) - 1)]
    history = http.get(f"/api/v1/runs/{run_id}/history").json()["events"]
    assert [msgspec.json.decode(event["data"]) for event in events[:-1]] == history
    assert http.gateway.streams.taken == 0


def test_a_stream_goes_on_behind_the_last_event_id(http: HttpEnv) -> None:
    run_id = start(http)
    go(http, run_id)
    go(http, run_id)
    whole = Reader(http, f"/api/v1/runs/{run_id}/events")
    rest(http)
    for given in ({"headers": {"last-event-id": "2"}}, {"query": {"after": 2}}):
        part = Reader(http, f"/api/v1/runs/{run_id}/events", **given)
        rest(http)
        assert part.events == whole.events[2:]
    beyond = Reader(http, f"/api/v1/runs/{run_id}/events", query={"after": 10_000})
    rest(http)
    assert [event["event"] for event in beyond.events] == ["end"]


def test_an_unknown_run_or_cursor_is_an_error_and_no_stream(http: HttpEnv) -> None:
    assert http.get(f"/api/v1/runs/{'0' * 26}/events").status == 404
    run_id = start(http)
    for bad in ("x", "-1", "9" * 30, "٣".encode().decode("latin-1")):
        assert http.get(f"/api/v1/runs/{run_id}/events", headers={"last-event-id": bad}).status == 422
    assert http.get(f"/api/v1/runs/{run_id}/events", query={"after": "x"}).status == 400


def test_a_silent_stream_says_that_it_lives_and_a_reader_that_left_frees_its_place(http: HttpEnv) -> None:
    reader = Reader(http, f"/api/v1/runs/{start(http)}/events")
    rest(http, STREAM_BEAT_S * 2 + 1)
    assert sum(chunk.startswith(b":") for chunk in reader.chunks) == 2
    assert http.gateway.streams.taken == 1
    reader.leave()
    rest(http)
    assert reader.task.done()
    assert http.gateway.streams.taken == 0


def test_a_reader_that_takes_nothing_is_cut_off(http: HttpEnv) -> None:
    run_id = start(http)
    reader = Reader(http, f"/api/v1/runs/{run_id}/events")
    reader.pause()
    rest(http, STREAM_STALL_S - 1)
    assert not reader.task.done()
    rest(http, 2)
    assert reader.task.done()
    assert http.gateway.streams.taken == 0


def test_a_flood_of_streams_is_told_to_come_back(http: HttpEnv) -> None:
    run_id = start(http)
    readers = [Reader(http, f"/api/v1/runs/{run_id}/events") for _ in range(STREAMS_MAX + 20)]
    rest(http, 1)
    open_ones = [reader for reader in readers if reader.status == 200]
    assert len(open_ones) == STREAMS_MAX
    refused = http.get(f"/api/v1/runs/{run_id}/events")
    assert (refused.status, "retry-after" in refused.headers) == (503, True)
    for reader in readers:
        reader.leave()
    rest(http, 1)
    assert http.gateway.streams.taken == 0


def test_the_events_of_all_runs_are_followed_and_resumed(http: HttpEnv) -> None:
    reader = Reader(http, "/api/v1/events")
    rest(http, 1)
    first, second = start(http), start(http)
    rest(http, 1)
    events = [msgspec.json.decode(event["data"]) for event in reader.events if "data" in event]
    assert {event["run"] for event in events} == {first, second}
    assert events[0].keys() == {"run", "workflow", "event"}
    reader.leave()
    rest(http)
    assert http.gateway.streams.taken == 0
    go(http, first)
    again = Reader(
        http, "/api/v1/events", headers={"last-event-id": reader.events[-1]["id"]}, query={"type": "SignalTaken"}
    )
    rest(http, 1)
    (event,) = [msgspec.json.decode(event["data"]) for event in again.events if "data" in event]
    assert (event["run"], event["event"]["type"]) == (first, "SignalTaken")
    again.leave()
    rest(http)


def test_a_crash_of_the_engine_is_told_to_those_who_follow(http: HttpEnv) -> None:
    reader = Reader(http, "/api/v1/events")
    rest(http, 1)
    http.env.crash()
    rest(http, 10)
    assert any(event.get("event") == "missed" for event in reader.events)
    run_id = start(http)
    rest(http, 1)
    assert any(run_id in event.get("data", "") for event in reader.events)
    reader.leave()
    rest(http)


def test_a_place_in_all_events_that_is_none_is_refused(http: HttpEnv) -> None:
    for bad in ("x", "1.2", "1.2.x", "1.2.3.4", "1.2.3,", "٣.1.1"):
        answer = http.get("/api/v1/events", query={"after": bad})
        assert answer.status == 422, bad
    assert http.get("/api/v1/events", query={"type": ["x"] * 100}).status == 422


def test_streams_and_long_polls_end_as_whole_answers_when_the_gateway_stops(http: HttpEnv) -> None:
    run_id = start(http)
    readers = [Reader(http, path) for path in (f"/api/v1/runs/{run_id}/events", "/api/v1/events")]
    waiting = http.env._world.loop.create_task(
        http.answer("GET", f"/api/v1/runs/{run_id}/result", query={"wait": "50s"})
    )
    rest(http, 1)
    assert http.gateway.streams.taken == 3
    http.gateway.streams.end()
    rest(http)
    assert [reader.chunks[-1] for reader in readers] == [b"", b""], "the end of an answer"
    assert all(reader.task.done() for reader in readers)
    assert (waiting.result().status, waiting.result().json()["id"]) == (202, run_id)
    assert http.gateway.streams.taken == 0
