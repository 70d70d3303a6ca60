"""The dashboard in a real browser, against a real server: every page, and every button that does something.

Needs Playwright and a Chromium (Debian: apt-get install chromium); skipped where one of them is missing.
"""

from __future__ import annotations

import json
import os
import re
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import pytest

from support.browser import barriers, launched, logged_in, needs_chromium

pytestmark = needs_chromium

APP = """
import os, time
from dataclasses import dataclass
from pathlib import Path
import wfe


@dataclass
class Order:
    id: str
    total: float


class OutOfStock(Exception):
    pass


@wfe.task
def charge(order: Order) -> str:
    marker = Path(__file__).with_name(order.id)
    if order.id.startswith("slow") and not marker.exists():
        marker.write_text(str(os.getpid()))
        time.sleep(600)
    return f"charge-{order.id}"


@wfe.task(retry=wfe.Retry(max_attempts=2, initial_delay="10ms"))
def send(order: Order) -> str:
    if order.total < 0:
        raise OutOfStock("<script>document.title = 'owned'</script>")
    return f"parcel-{order.id}"


@wfe.workflow
def buy(wf: wfe.Graph, order: wfe.Ref[Order]) -> wfe.Ref[dict[str, str]]:
    with wf.when(order.total > 1000):
        wf.approval("manager", to="sales")
    charged = charge(order)
    parcel = send(order)
    return {"charge": charged, "parcel": parcel}


@wfe.workflow
def patient(wf: wfe.Graph) -> wfe.Ref[dict]:
    return wf.wait_signal("go", dict)
"""
YAML = """
workflow: hello
params: {name: string}
nodes:
  - {set: "${\'hello \' + name}", id: greeting}
output: ${greeting}
"""


@pytest.fixture(scope="module")
def shop(start_server: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> Any:
    file = tmp_path_factory.mktemp("shop") / "shop_app.py"
    file.write_text(APP)
    server = start_server("--workers", "1", "--app", str(file), "--http", "127.0.0.1:0")
    server.app = file
    server.url = json.loads((server.data / "server.json").read_text())["http"]
    wait_until_ready(server.url)
    return server


def wait_until_ready(url: str) -> None:
    """Until the gateway serves, and the engine behind it."""
    for _ in range(300):
        try:
            with urlopen(f"{url}/readyz", timeout=10):
                return
        except OSError:
            time.sleep(0.1)
    pytest.fail(f"{url} does not become ready")


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with launched() as browser:
        yield browser


@pytest.fixture
def page(browser: Any, shop: Any, request: pytest.FixtureRequest) -> Iterator[Any]:
    with logged_in(browser, shop, getattr(request, "param", 1280)) as page:
        yield page


def start_from_form(page: Any, number: str, total: int) -> str:
    """Starts an order from its form; the run's id."""
    page.goto(f"{page.url.partition('#')[0]}#/workflows/buy")
    page.click("text=Start a run")
    form = page.locator("dialog")
    form.get_by_label("id").fill(number)
    form.get_by_label("total").fill(str(total))
    page.locator("dialog button.primary").click()
    page.wait_for_url(re.compile(r"#/runs/\w+$"))
    return str(page.url.rpartition("/")[2])


def wait_for_status(page: Any, status: str) -> None:
    page.wait_for_selector(f"h1 .badge:text('{status}')")


def test_a_run_is_started_from_the_form_watched_rewound_and_forked(page: Any, shop: Any) -> None:
    run = start_from_form(page, "o-1", 80)
    wait_for_status(page, "completed")
    page.wait_for_selector("[data-node=send].n-done")
    assert shop.json("get", run)["output"] == {"charge": "charge-o-1", "parcel": "parcel-o-1"}
    slider = page.get_by_label("Rewind")
    slider.fill("3")
    page.wait_for_selector("h2:text('State as of event 3')")
    page.wait_for_selector("[data-node=charge].n-open")
    assert page.locator("[data-node=send].n-done").count() == 0
    page.click("text=Fork…")
    page.locator("dialog button.primary").click()
    page.wait_for_url(lambda url: run not in url)
    wait_for_status(page, "completed")


def test_a_worker_that_is_killed_is_seen_and_the_task_runs_again(page: Any, shop: Any) -> None:
    start_from_form(page, "slow-1", 5)
    page.wait_for_selector("[data-node=charge].n-open")
    marker = Path(shop.app).with_name("slow-1")
    for _ in range(100):
        if marker.exists() and marker.read_text():
            break
        page.wait_for_timeout(100)
    os.kill(int(marker.read_text()), signal.SIGKILL)
    wait_for_status(page, "completed")
    page.wait_for_selector("table.history td:text('TaskReopened')")


def test_a_failed_run_says_why_and_its_payload_stays_text(page: Any) -> None:
    start_from_form(page, "o-2", -1)
    wait_for_status(page, "failed")
    page.wait_for_selector(".trouble:text('<script>')")
    assert page.title() == "wfe"
    page.wait_for_selector("[data-node=send].n-failed")
    page.click("nav >> text=Incidents")
    page.wait_for_selector("td.error:text('OutOfStock')")
    page.locator("main").get_by_role("button", name="retry").first.click()
    page.wait_for_selector(".notices p:text('retry')")


def test_a_decision_is_made_in_the_inbox(page: Any, shop: Any) -> None:
    run = start_from_form(page, "o-3", 5_000)
    page.wait_for_selector("li .badge:text('approval')")
    page.click("nav >> text=Approvals")
    page.click("text=Decide…")
    page.get_by_label("your name").fill("ann")
    page.click("dialog >> text=Approve")
    page.wait_for_selector("text=Nobody is asked for anything.")
    assert shop.wfe("get", run, "--wait").returncode in (0, 2)
    page.goto(f"{page.url.partition('#')[0]}#/runs/{run}")
    wait_for_status(page, "completed")


def test_runs_are_paused_resumed_signalled_and_cancelled_one_by_one_and_together(page: Any, shop: Any) -> None:
    runs = [shop.json("start", "patient")["id"] for _ in range(3)]
    base = page.url.partition("#")[0]
    page.goto(f"{base}#/runs/{runs[0]}")
    page.click("text=Pause")
    wait_for_status(page, "paused")
    page.click("text=Resume")
    wait_for_status(page, "waiting")
    page.click("text=Signal…")
    page.get_by_label("payload, as JSON").fill('{"answer": 42}')
    page.locator("dialog button.primary").click()
    wait_for_status(page, "completed")
    assert shop.json("get", runs[0])["output"] == {"answer": 42}
    page.goto(f"{base}#/runs/{runs[1]}")
    page.click("text=Skip…")
    page.get_by_label("its value, as JSON").fill('{"by": "hand"}')
    page.click("text=Skip it")
    wait_for_status(page, "completed")
    page.goto(f"{base}#/runs?workflow=patient&status=waiting")
    page.wait_for_selector(f"td >> text={runs[2]}")
    page.click("text=pause…")
    page.click("text=pause them")
    page.click("text=undo: resume 1")
    page.wait_for_selector(".notices p:text('resume: 1 of 1')")
    page.click("text=cancel…")
    page.click("text=cancel them")
    page.wait_for_selector("text=No run matches.")
    assert shop.json("get", runs[2])["status"] == "cancelled"


def test_a_workflow_is_checked_and_deployed_as_yaml(page: Any, shop: Any) -> None:
    page.click("nav >> text=Workflows")
    page.click("text=Deploy YAML…")
    page.get_by_label("YAML").fill(YAML.replace("${greeting}", "${farewell}"))
    page.click("dialog >> text=Check")
    page.wait_for_selector("dialog li.trouble:text('farewell')")
    page.get_by_label("YAML").fill(YAML)
    page.locator("dialog").get_by_role("button", name="Deploy").click()
    page.wait_for_selector("td >> text=hello")
    assert shop.json("start", "hello", "-i", '"ann"', "--wait")["output"] == "hello ann"


def test_versions_are_compared_tagged_and_taken_out_of_use(page: Any, shop: Any) -> None:
    for number, text in enumerate(("old", "new"), 1):
        file = shop.data / f"v{number}.yaml"
        file.write_text(
            f"workflow: dated\nnodes: [{{set: {text}, id: {text}}}, {{set: 1, id: same}}]\noutput: ${{{text}}}\n"
        )
        assert shop.wfe("deploy", str(file)).returncode == 0
    page.goto(f"{page.url.partition('#')[0]}#/workflows/dated")
    old = page.locator("tr", has_text="version 1")
    old.get_by_role("button", name="compare").click()
    page.wait_for_selector("dialog .badge:text('removed')")
    page.wait_for_selector("dialog [data-node=new].n-done")
    page.keyboard.press("Escape")
    old.get_by_role("button", name="tag…").click()
    page.get_by_label("tag", exact=False).last.fill("proven")
    page.click("text=Set it")
    page.wait_for_selector("td .badge:text('proven')")
    old.get_by_role("button", name="use").click()
    page.wait_for_selector(".notices p:text('use: done')")
    assert shop.json("start", "dated", "--wait")["output"] == "old"
    page.locator("tr", has_text="version 2").get_by_role("button", name="deprecate").click()
    page.wait_for_selector("td .badge:text('deprecated')")
    assert shop.wfe("start", "dated@2").returncode != 0


@pytest.mark.parametrize("page", [1280, 390], indirect=True, ids=["desktop", "phone"])
def test_every_page_is_whole_and_accessible_in_light_and_dark(page: Any, shop: Any) -> None:
    run = shop.json("start", "buy", "-i", '{"id": "o-9", "total": 9000}')["id"]
    base = page.url.partition("#")[0]
    pages = ["", "runs", f"runs/{run}", "workflows", "workflows/buy", "approvals", "incidents", "workers", "log"]
    for theme in ("light", "dark"):
        page.get_by_label("theme").select_option(theme)
        for path in pages:
            page.goto(f"{base}#/{path}")
            page.wait_for_selector("main h1")
            page.wait_for_load_state("networkidle") if path != "log" else page.wait_for_selector(".badge:text('live')")
            assert page.locator("main .trouble").count() == 0, path
            assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{path} is wider than the page"
            assert barriers(page) == [], (path, theme)


def test_the_keys_lead_from_page_to_page(page: Any) -> None:
    for key, title in (("r", "Runs"), ("w", "Workflows"), ("a", "Approvals"), ("o", "Overview")):
        page.keyboard.press(key)
        page.wait_for_selector(f"h1:text('{title}')")
    page.keyboard.press("/")
    assert page.evaluate("document.activeElement.id") == "find"
