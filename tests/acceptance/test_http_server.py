"""HTTP in front of a real server: the gateway as a child process, its death, its end, and one that stands alone."""

from __future__ import annotations

import json
import re
import signal
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from conftest import WFE, Server


class Http:
    """Requests with the server's token."""

    def __init__(self, server: Server) -> None:
        self.url = json.loads((server.data / "server.json").read_text())["http"]
        self.token = (server.data / "token").read_text().strip()

    def ask(self, path: str, document: Any = None, url: str = "") -> tuple[int, Any]:
        body = None if document is None else json.dumps(document).encode()
        headers = {"authorization": f"Bearer {self.token}", "content-type": "application/json"}
        request = urllib.request.Request((url or self.url) + path, body, headers)
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:
                return answer.status, json.loads(answer.read())
        except urllib.error.HTTPError as error:
            return error.code, json.loads(error.read())

    def lines(self, path: str) -> Iterator[str]:
        request = urllib.request.Request(self.url + path, headers={"authorization": f"Bearer {self.token}"})
        with urllib.request.urlopen(request, timeout=30) as answer:
            for line in answer:
                yield line.decode().rstrip("\n")


@pytest.fixture(scope="module")
def served(start_server: Callable[..., Server], app: Path) -> Server:
    return start_server("--shards", "2", "--workers", "1", "--app", str(app), "--http", "127.0.0.1:0")


@pytest.fixture(scope="module")
def http(served: Server) -> Http:
    return Http(served)


def wait_until_ready(http: Http) -> None:
    """The gateway connects within its first second; a request before that is told to come back."""
    for _ in range(200):
        try:
            if http.ask("/readyz")[0] == 200:
                return
        except OSError:
            pass
        time.sleep(0.1)
    pytest.fail("the gateway does not become ready")


def test_the_server_says_that_it_is_ready_when_its_gateway_listens(served: Server, http: Http) -> None:
    assert http.ask("/healthz")[0] == 200
    assert served.json("status")["http"] == http.url
    assert f"http        {http.url}" in served.wfe("status").stdout


def test_a_run_is_started_followed_and_found_over_http(http: Http) -> None:
    wait_until_ready(http)
    status, run = http.ask("/api/v1/runs", {"workflow": "hello", "input": "ada", "key": "h-1"})
    assert status == 201
    assert http.ask(f"/api/v1/runs/{run['id']}/result?wait=20s")[1]["output"] == "hello ada"
    assert http.ask("/api/v1/runs", {"workflow": "hello", "input": "ada", "key": "h-1"})[0] == 200
    kinds = [line for line in http.lines(f"/api/v1/runs/{run['id']}/events") if line.startswith("event: ")]
    assert kinds == ["event: end"]
    assert http.ask("/api/v1/runs?workflow=hello")[1]["runs"][0]["id"] == run["id"]


def test_a_gateway_that_is_killed_comes_back_and_no_run_notices(served: Server, http: Http) -> None:
    wait_until_ready(http)
    run_id = http.ask("/api/v1/runs", {"workflow": "patient"})[1]["id"]
    children = psutil.Process(served.pid).children()
    (gateway,) = [child for child in children if child.cmdline()[-1] == "gateway"]
    gateway.kill()
    gateway.wait(10)
    for attempt in range(100):
        try:
            if http.ask(f"/api/v1/runs/{run_id}/signal", {"name": "go", "payload": {}, "event_id": "e"})[0] == 200:
                break
        except OSError:
            time.sleep(0.1)
        assert attempt < 99
    assert http.ask(f"/api/v1/runs/{run_id}/result?wait=20s")[1]["status"] == "completed"


def test_a_second_gateway_stands_alone_before_the_same_server(served: Server, http: Http) -> None:
    process = subprocess.Popen(
        [*WFE, "gateway", "--http", "127.0.0.1:0", "--connect", served.address],
        env=served.environment,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        assert process.stderr is not None
        url = ""
        for line in process.stderr:
            if found := re.search(r"open (http://[^/]+)/login\?code=", line):
                url = found[1]
                break
        status, _ = http.ask("/healthz", url=url)
        assert status == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(20) == 0
    finally:
        process.kill()
        process.stderr.close()


def test_a_port_that_is_taken_ends_the_start(served: Server, http: Http, tmp_path: Path) -> None:
    where = http.url.removeprefix("http://")
    done = served.wfe("serve", "--data", str(tmp_path / "data"), "--listen", "tcp://127.0.0.1:0", "--http", where)
    assert done.returncode == 2
    assert "--http" in done.stderr
    assert not (tmp_path / "data").exists()


def test_the_server_leaves_in_order_with_its_gateway(start_server: Callable[..., Server]) -> None:
    server = start_server("--http", "127.0.0.1:0")
    http = Http(server)
    wait_until_ready(http)
    assert server.stop() == 0
    with pytest.raises(OSError, match="refused"):
        http.ask("/healthz")
