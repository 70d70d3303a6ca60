"""What strangers and broken programs send: filters without measure, cursors from nowhere, scripts; readers that stand
still. Each is answered at its field, holds no memory, and costs nobody else anything."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Iterator
from typing import Any

import pytest

from support.http import HttpEnv, Reader
from wfe.client.feed import FeedItem
from wfe.limits import KEY_CHARS_MAX, NAME_CHARS_MAX, STREAM_STALL_S, TAGS_MAX

YAML = """
workflow: echo
params: {said: string}
nodes: [{signal: go}]
output: "${said}"
"""
SCRIPT = "</script><script>alert(document.cookie)</script>"


@pytest.fixture
def http() -> Iterator[HttpEnv]:
    with HttpEnv() as http:
        http.ask("POST", "/api/v1/definitions", body=YAML.encode(), headers={"content-type": "application/yaml"})
        yield http


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("/api/v1/runs", {"cursor": "from nowhere"}),
        ("/api/v1/runs", {"cursor": "9" * 26 + "x"}),
        ("/api/v1/runs", {"cursor": "z" * 100_000}),
        ("/api/v1/runs", {"limit": 10**9}),
        ("/api/v1/runs", {"limit": "all"}),
        ("/api/v1/runs", {"status": "lost"}),
        ("/api/v1/runs", {"tag": "no-equals-sign"}),
        ("/api/v1/runs", {"tag": [f"t{n}=v" for n in range(TAGS_MAX + 1)]}),
        ("/api/v1/runs", {"workflow": "w" * (NAME_CHARS_MAX + 1)}),
        ("/api/v1/runs", {"key": "k" * (KEY_CHARS_MAX + 1)}),
        ("/api/v1/events", {"after": "1.2"}),
        ("/api/v1/events", {"after": ",".join(f"{n}.1.1" for n in range(5_000))}),
        ("/api/v1/events", {"type": ["RunEnded"] * 1_000}),
        ("/api/v1/events", {"type": "T" * 100_000}),
        ("/api/v1/events", {"workflow": "w" * 100_000}),
        ("/api/v1/approvals", {"limit": -1}),
    ],
)
def test_a_filter_or_cursor_without_measure_is_refused(http: HttpEnv, path: str, query: dict[str, Any]) -> None:
    answer = http.get(path, query=query)
    assert answer.status in (400, 422), answer
    problem = answer.json()
    [parameter] = query
    assert problem["errors"][0]["parameter"] == parameter
    assert len(answer.body) < 5_000, "the answer does not repeat what was sent"


@pytest.mark.parametrize(
    "document",
    [
        {"action": "cancel", "filter": {}},
        {"action": "cancel", "filter": {"workflow": "w" * 10_000}},
        {"action": "cancel", "filter": {"tags": {f"t{n}": "v" for n in range(1_000)}}},
        {"action": "cancel", "filter": {"tags": {"t": "v" * 100_000}}},
        {"action": "cancel", "filter": {"everything": True}},
        {"action": "destroy", "filter": {"workflow": "echo"}},
        {"action": "cancel", "filter": [["workflow", "echo"]]},
    ],
)
def test_a_bulk_filter_without_measure_touches_no_run(http: HttpEnv, document: dict[str, Any]) -> None:
    run_id = http.post("/api/v1/runs", {"workflow": "echo", "input": "x"}).json()["id"]
    answer = http.post("/api/v1/runs/bulk", {**document, "dry_run": False})
    assert 400 <= answer.status < 500, answer
    assert answer.json()["errors"][0]["pointer"].startswith("#/")
    assert http.get(f"/api/v1/runs/{run_id}").json()["status"] == "waiting"


def test_a_script_in_a_payload_comes_back_as_data_that_no_browser_runs(http: HttpEnv) -> None:
    run_id = http.post("/api/v1/runs", {"workflow": "echo", "input": SCRIPT, "tags": {"t": SCRIPT}}).json()["id"]
    http.post(f"/api/v1/runs/{run_id}/signal", {"name": "go", "payload": SCRIPT})
    for path in ("", "/history", "/result"):
        answer = http.get(f"/api/v1/runs/{run_id}{path}")
        assert SCRIPT.replace("/", "\\/") in answer.text or SCRIPT in answer.text
        assert answer.headers["content-type"].startswith("application/json")
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert "script-src 'self'" in answer.headers["content-security-policy"]
    wrong = http.post("/api/v1/runs", {"workflow": SCRIPT})
    assert wrong.status == 404
    assert wrong.headers["content-type"].startswith("application/problem+json")


def test_a_reader_that_stands_still_holds_one_page_however_much_happens(
    http: HttpEnv, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[int] = []

    async def endless(**_: Any) -> AsyncGenerator[list[FeedItem], None]:
        while True:
            asked.append(len(asked))
            yield [FeedItem(f"0.1.{len(asked)}")] * 10
            await asyncio.sleep(0)

    monkeypatch.setattr(http.gateway.client, "feed_pages", endless)
    reader = Reader(http, "/api/v1/events")
    reader.pause()
    http.drive(asyncio.sleep(STREAM_STALL_S - 1))
    assert not reader.task.done()
    assert len(asked) <= 2, "one page waits to be taken, and another may have been asked for"
    http.drive(asyncio.sleep(2))
    assert reader.task.done(), "it is cut off"
    assert http.gateway.streams.taken == 0
