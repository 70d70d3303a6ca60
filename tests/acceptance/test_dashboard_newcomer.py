"""A newcomer's first minutes: `wfe dev examples/order.py`, and then nothing but the page whose address it prints.

Needs Playwright and a Chromium (Debian: apt-get install chromium); skipped where one of them is missing.
"""

from __future__ import annotations

import os
import re
import shutil
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from conftest import STOP_S, WFE, environment_in
from support.browser import WAIT_MS, launched, needs_chromium

pytestmark = needs_chromium
EXAMPLES = Path(__file__).parents[2] / "examples"


@pytest.fixture
def printed(tmp_path: Path) -> Iterator[str]:
    """The address that `wfe dev examples/order.py` prints, in a clone's directory."""
    (tmp_path / "examples").mkdir()
    shutil.copy(EXAMPLES / "order.py", tmp_path / "examples" / "order.py")
    process = subprocess.Popen(
        [*WFE, "dev", "examples/order.py", "--listen", "tcp://127.0.0.1:0", "--http", "127.0.0.1:0"],
        cwd=tmp_path,
        env=environment_in(tmp_path),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stderr is not None
    try:
        for line in process.stderr:
            if found := re.search(r"open (http://\S+)", line):
                yield found[1]
                break
        else:
            pytest.fail("no address is printed")
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.communicate(timeout=STOP_S)
        finally:
            process.kill()


@pytest.fixture
def page(printed: str) -> Iterator[Any]:
    """The printed address, opened in a browser that knows nothing of wfe yet."""
    with launched() as browser:
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.set_default_timeout(WAIT_MS)
        broken: list[str] = []
        page.on("pageerror", lambda error: broken.append(str(error)))
        page.goto(printed)
        yield page
        assert broken == []


def test_a_newcomer_starts_watches_kills_a_worker_sees_the_retry_rewinds_and_forks(page: Any) -> None:
    page.wait_for_selector("h1:text('Overview')")  # the address has logged the browser in

    page.click("nav >> text=Workflows")
    page.click("main >> text=buy")
    page.click("text=Start a run")
    form = page.locator("dialog")
    form.get_by_label("id").fill("o-1")
    form.get_by_label("total").fill("80")
    form.get_by_label("stock").fill("1")
    form.get_by_label("packing_s").fill("600")
    form.locator("button.primary").click()

    page.wait_for_url(re.compile(r"#/runs/\w+$"))
    run = page.url
    page.wait_for_selector("[data-node=charge].n-done")
    page.wait_for_selector("[data-node=pack].n-open")

    page.click("nav >> text=Workers")
    page.wait_for_selector("main tr .badge:text('connected')")
    row = page.locator("main tr", has_text="connected").first
    victim = int(row.locator("td", has_text=re.compile(r"^\d{2,}$")).first.inner_text())
    os.kill(victim, signal.SIGKILL)

    page.goto(run)
    page.wait_for_selector("table.history td:text('TaskReopened')")
    page.wait_for_selector("[data-node=pack].n-open")
    page.wait_for_selector("table.history >> text=attempt 2")

    page.get_by_label("Rewind").fill("3")
    page.wait_for_selector("h2:text('State as of event 3')")
    page.wait_for_selector("[data-node=charge].n-open")
    assert page.locator("[data-node=pack].n-open").count() == 0

    page.click("text=Fork…")
    page.locator("dialog button.primary").click()
    page.wait_for_url(lambda url: url != run and "#/runs/" in url)
    page.wait_for_selector("[data-node=charge].n-done")
