"""In a real browser: what a run's tasks say, the alerts that fire, and lists that stay quick with 100,000 runs.

Needs Playwright and a Chromium (Debian: apt-get install chromium); skipped where one of them is missing.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest

from support.browser import barriers, launched, logged_in, needs_chromium, playwright
from wfe.journal.rows import ended_run_ops
from wfe.journal.schema import EndedRow
from wfe.lmdb.layout import open_store
from wfe.model.event import EventChunk
from wfe.model.ids import mint_run_id

pytestmark = needs_chromium
RUNS = 100_000
PARTITIONS = 4
PAGE = 100
OLDER_MAX = 1_000
"""As in pages/runs.tsx."""

APP = """
import logging
import time
from pathlib import Path
import wfe


@wfe.task
def speaks(file: str) -> str:
    print("<b>plain</b> <script>document.title = 'owned'</script>")
    logging.getLogger("shop").warning("low stock")
    while not Path(file).exists():
        time.sleep(0.01)
    print("it goes on")
    return "said"


@wfe.task
def chatters(said: str) -> str:
    for number in range(3_000):
        print(f"line {number}")
    return said


@wfe.workflow
def talk(wf: wfe.Graph, file: wfe.Ref[str]) -> wfe.Ref[str]:
    said = speaks(file)
    return chatters(said)
"""
CONFIG = """
[alerts]
every = "1s"

[alerts.to.nobody]
command = ["/nowhere/page"]

[alerts.rules.too-many-workers]
when = "workers"
below = 1000
for = "0s"
severity = "critical"
summary = "Fewer than a thousand workers"

[alerts.rules.disk]
when = "free_disk"
below = "1MiB"
"""


@pytest.fixture(scope="module")
def shop(start_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A server with rules, an app that prints, and 100,000 runs that ended long ago."""
    here = tmp_path_factory.mktemp("lines")
    (here / "lines_app.py").write_text(APP)
    (here / "wfe.toml").write_text(CONFIG)
    start_server("--partitions", str(PARTITIONS), data=here / "data").stop()
    fill(here / "data")
    options = ("--workers", "1", "--app", str(here / "lines_app.py"), "--http", "127.0.0.1:0")
    server = start_server(*options, "--config", str(here / "wfe.toml"), data=here / "data")
    server.url = json.loads((server.data / "server.json").read_text())["http"]
    server.here = here
    return server


def fill(data: Path) -> None:
    chunk = (1, msgspec.msgpack.encode(EventChunk(1, [])))
    for partition in range(PARTITIONS):
        store = open_store(data, partition, durability="none")
        ops = []
        for number in range(RUNS // PARTITIONS):
            at = 1_600_000_000_000 + 1_000 * number
            row = EndedRow(
                mint_run_id(partition, at, number), "old", 1, "failed" if number % 50 == 0 else "completed",
                started_at=at, ended_at=at + 10, seq=1, definition="0" * 32,
            )  # fmt: skip
            ops += ended_run_ops(row, b"", [chunk], had_open_row=False)
        store.commit(ops)
        store.close()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, shop: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    with logged_in(browser, shop, getattr(request, "param", 1280)) as page:
        yield page


def look(page: Any, name: str) -> None:
    """A picture for whoever wants to see what the test sees: WFE_PICTURES names a directory."""
    if where := os.environ.get("WFE_PICTURES"):
        page.screenshot(path=f"{where}/{name}.png", full_page=True)


def go(page: Any, path: str) -> None:
    page.goto(f"{page.url.partition('#')[0]}#/{path}")


@pytest.mark.parametrize("page", [1280, 390], indirect=True, ids=["desktop", "phone"])
def test_a_run_s_lines_are_followed_as_text_and_filtered_by_node(page: Any, shop: Any, tmp_path: Path) -> None:
    run = shop.json("start", "talk", "-i", json.dumps(str(tmp_path / "go")))["id"]
    go(page, f"runs/{run}")
    lines = page.locator(".lines p")
    page.wait_for_selector(".lines span:text('<b>plain</b> <script>')")
    page.wait_for_selector(".lines .badge:text('warning')")
    assert page.title() == "wfe"
    look(page, f"lines-{page.viewport_size['width']}")
    assert page.evaluate("document.documentElement.scrollWidth <= innerWidth")
    assert barriers(page) == []
    (tmp_path / "go").touch()
    page.wait_for_selector("h1 .badge:text('completed')")
    page.wait_for_selector(".lines span:text-is('line 2999')")
    assert lines.count() <= 2_100
    box = page.locator(".lines")
    assert box.evaluate("each => each.scrollTop + each.clientHeight >= each.scrollHeight - 2"), "it follows"
    page.locator(".filters select").select_option("speaks")
    playwright.expect(lines).to_have_count(3)
    assert [re.sub(r"\s+", " ", text) for text in page.locator(".lines span:last-child").all_text_contents()] == [
        "<b>plain</b> <script>document.title = 'owned'</script>",
        "low stock",
        "it goes on",
    ]


def test_alerts_that_fire_are_on_the_overview_with_receivers_that_fail(page: Any) -> None:
    page.wait_for_selector("ul.alerts li .badge:text('firing')")
    assert page.locator("ul.alerts li").count() == 1
    assert "Fewer than a thousand workers" in page.locator("ul.alerts").inner_text()
    page.wait_for_selector(".trouble:text('nobody is not told')")
    page.wait_for_selector("text=2 rules, judged")
    look(page, "alerts")


def test_lists_of_100_000_runs_ask_for_a_page_at_a_time_and_show_a_bounded_number(page: Any) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url) if "/runs?" in request.url else None)
    go(page, "runs?workflow=old")
    rows = page.locator("table.runs tbody tr")
    playwright.expect(rows).to_have_count(PAGE)
    for number in range(1, 13):
        with page.expect_response(lambda answer: "cursor=" in answer.url):
            page.click("button:text-is('More')")
        playwright.expect(rows).to_have_count(PAGE + min(OLDER_MAX, number * PAGE))
    assert len([url for url in asked if "cursor=" in url]) == 12, "one question per page"
    assert all(f"limit={PAGE}" in url for url in asked), asked
    assert rows.count() == PAGE + OLDER_MAX
    look(page, "runs")
    page.get_by_label("status").select_option("failed")
    playwright.expect(rows.filter(has_text="failed")).to_have_count(PAGE)
    playwright.expect(rows).to_have_count(PAGE)


def test_one_of_100_000_runs_is_found_by_its_id(page: Any) -> None:
    run = mint_run_id(2, 1_600_000_000_000 + 1_000 * 777, 777)
    page.keyboard.press("/")
    page.keyboard.type(run)
    page.keyboard.press("Enter")
    page.wait_for_url(re.compile(f"#/runs/{run}"))
