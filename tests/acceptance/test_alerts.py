"""Alerts of a real server: a rule fires, is said to a signed webhook, seen by command line and HTTP, and is over."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest
from test_http_server import Http

from conftest import Server
from support.receivers import Hook, hook
from wfe.gateway.signatures import verify

CONFIG = """
[alerts]
every = "1s"

[alerts.to.ops]
webhook = "{url}"
secret = "OPS_SECRET"

[alerts.rules.failing]
when = "run_failures"
workflow = "doomed"
above = "50%"
at_least = 3
window = "10s"
for = "0s"
summary = "Doomed runs fail"

[alerts.rules.disk]
when = "free_disk"
below = "1MiB"
"""
SECRET = "whsec_c2VjcmV0IG9mIHRoZSBhbGVydHM="


@pytest.fixture(scope="module")
def receiver() -> Iterator[Hook]:
    with hook() as made:
        yield made


@pytest.fixture(scope="module")
def config(receiver: Hook, tmp_path_factory: pytest.TempPathFactory) -> Path:
    file = tmp_path_factory.mktemp("config") / "wfe.toml"
    file.write_text(CONFIG.format(url=receiver.url))
    return file


@pytest.fixture(scope="module")
def served(start_server: Callable[..., Server], app: Path, config: Path) -> Server:
    os.environ["OPS_SECRET"] = SECRET
    try:
        options = ("--workers", "1", "--app", str(app), "--http", "127.0.0.1:0", "--config", str(config))
        return start_server(*options)
    finally:
        del os.environ["OPS_SECRET"]


def message(receiver: Hook) -> dict[str, Any]:
    headers, body = receiver.next(60)
    verify(SECRET, headers, body, time.time())
    document: dict[str, Any] = json.loads(body)
    return document


def until(condition: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < deadline, what
        time.sleep(0.1)


def test_a_rule_fires_is_said_once_and_is_over(served: Server, receiver: Hook) -> None:
    until(lambda: len(served.json("alerts")["alerts"]) == 2, "the rules to be judged")
    assert {alert["rule"]: alert["state"] for alert in served.json("alerts")["alerts"]} == {
        "failing": "ok",
        "disk": "ok",
    }
    for number in range(4):
        served.wfe("start", "doomed", "-i", json.dumps(f"reason {number}"), "--wait")
    firing = message(receiver)
    assert (firing["type"], firing["data"]["rule"], firing["data"]["subject"]) == (
        "wfe.alert.firing",
        "failing",
        "doomed",
    )
    assert firing["data"]["summary"] == "Doomed runs fail (doomed)"
    found = [alert for alert in served.json("alerts")["alerts"] if alert["state"] == "firing"]
    assert [alert["rule"] for alert in found] == ["failing"]
    (row,) = [line for line in served.wfe("alerts").stdout.splitlines() if "failing" in line]
    assert row.split()[:5] == ["firing", "failing", "doomed", "100", "%"]
    status, page = Http(served).ask("/api/v1/alerts")
    assert (status, [alert["state"] for alert in page["alerts"]]) == (200, ["firing", "ok"])
    over = message(receiver)
    assert (over["type"], over["data"]["rule"]) == ("wfe.alert.resolved", "failing")
    until(lambda: {alert["state"] for alert in served.json("alerts")["alerts"]} == {"ok"}, "all to be fine")
    assert receiver.got == []
    until(lambda: [each["sent"] for each in served.json("alerts")["receivers"]] == [2], "both answers to be counted")


def test_the_process_that_judges_is_started_again(served: Server) -> None:
    before = served.json("alerts")["at"]
    (pid,) = [pid for pid in children(served.pid) if "alerter" in command_of(pid)]
    os.kill(pid, signal.SIGKILL)
    until(lambda: any("alerter" in command_of(each) for each in children(served.pid) if each != pid), "another one")
    until(lambda: served.json("alerts")["at"] > before, "to judge again")


def children(pid: int) -> list[int]:
    return [child.pid for child in psutil.Process(pid).children()]


def command_of(pid: int) -> str:
    try:
        return " ".join(psutil.Process(pid).cmdline())
    except psutil.Error:
        return ""


def test_a_test_message_is_sent_from_here(served: Server, receiver: Hook, config: Path) -> None:
    served.environment["OPS_SECRET"] = SECRET
    done = served.wfe("alerts", "test", "failing", "--config", str(config))
    assert (done.returncode, done.stdout) == (0, "ops: delivered\n")
    assert message(receiver)["type"] == "wfe.alert.test"
    receiver.answers = [500]
    failed = served.wfe("alerts", "test", "failing", "--config", str(config), "--json")
    assert (failed.returncode, json.loads(failed.stdout)[0]["receiver"]) == (1, "ops")
    receiver.next()
    unknown = served.wfe("alerts", "test", "nothing", "--config", str(config))
    assert unknown.returncode == 2
    assert "there is no rule 'nothing'; there are failing, disk" in unknown.stderr
    assert served.wfe("alerts", "test").returncode == 2
    assert served.wfe("alerts", "show", "failing").returncode == 2


def test_a_server_refuses_rules_that_it_cannot_read(served: Server, tmp_path: Path) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text('[alerts.rules.r]\nwhen = "free_disk"\n')
    done = served.wfe("serve", "--data", str(tmp_path / "data"), "--config", str(file))
    assert done.returncode == 2
    assert 'alerts.rules.r.below: is needed: a size such as "2GiB"' in done.stderr
    assert not (tmp_path / "data").exists()
