"""The dashboard in a real browser: a Chromium under Playwright, a page that is logged in, what axe finds in it.

Needs Playwright and a Chromium (Debian: apt-get install chromium); whoever imports this is skipped where one is
missing.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

playwright = pytest.importorskip("playwright.sync_api")
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
needs_chromium = pytest.mark.skipif(not CHROMIUM, reason="needs Chromium")
WAIT_MS = 30_000


@contextmanager
def launched() -> Iterator[Any]:
    """A browser."""
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield browser
        browser.close()


@contextmanager
def logged_in(browser: Any, server: Any, width: int = 1280) -> Iterator[Any]:
    """The overview of a server (``url``, ``data``), of which a browser must not complain while this lasts."""
    context = browser.new_context(viewport={"width": width, "height": 900})
    page = context.new_page()
    page.set_default_timeout(WAIT_MS)
    complaints: list[str] = []
    page.on("console", lambda message: complaints.append(message.text) if message.type == "error" else None)
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.goto(server.url)
    page.fill("input[type=password]", (server.data / "token").read_text().strip())
    page.click("text=Log in")
    page.wait_for_selector("h1:text('Overview')")
    yield page
    context.close()
    assert complaints == []


def barriers(page: Any) -> list[tuple[str, str]]:
    """What keeps people from using the page, as axe judges: (rule, first place)."""
    axe = pytest.importorskip("axe_playwright_python.sync_playwright")
    found = axe.Axe().run(page).response["violations"]
    return [(each["id"], each["nodes"][0]["html"]) for each in found if each["impact"] in ("serious", "critical")]
