"""Real servers for acceptance tests: `wfe serve` as people start it, in a process of its own."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from support import command_line

WFE = (sys.executable, "-P", "-c", "from wfe.cli import main; main()")
STOP_S = 30

APP = """
import time
import wfe


@wfe.task
def greet(name: str) -> str:
    return f"hello {name}"


@wfe.task(retry=wfe.Retry(max_attempts=3, initial_delay="10ms"))
def fail_always(reason: str) -> str:
    raise ValueError(reason)


@wfe.task
def double(number: int) -> int:
    return 2 * number


@wfe.workflow
def hello(wf: wfe.Graph, name: wfe.Ref[str]) -> wfe.Ref[str]:
    return greet(name)


@wfe.workflow
def doomed(wf: wfe.Graph, reason: wfe.Ref[str]) -> wfe.Ref[str]:
    return fail_always(reason)


@wfe.workflow
def patient(wf: wfe.Graph) -> wfe.Ref[dict]:
    return wf.wait_signal("go", dict)


@wfe.workflow
def doubled(wf: wfe.Graph, numbers: wfe.Ref[list[int]]) -> wfe.Ref[list[int]]:
    return wf.map(double, numbers)
"""


class Server:
    """A running `wfe serve` and the environment in which its clients find it."""

    def __init__(self, process: subprocess.Popen[str], data: Path, environment: dict[str, str]) -> None:
        self.process, self.data, self.environment = process, data, environment
        where = json.loads((data / "server.json").read_text())
        self.address, self.pid = where["address"], where["pid"]
        self.environment["WFE_ADDRESS"] = self.address

    def wfe(self, *arguments: str, stdin: str | None = None, timeout_s: float = 60) -> subprocess.CompletedProcess[str]:
        """A command line against this server."""
        return command_line.run(arguments, environment=self.environment, stdin=stdin, timeout_s=timeout_s)

    def json(self, *arguments: str, code: int = 0) -> Any:
        """The document that a command prints with ``--json``; it must exit with this code."""
        done = self.wfe(*arguments, "--json")
        assert done.returncode == code, (done.returncode, done.stdout, done.stderr)
        return json.loads(done.stdout)

    def stop(self) -> int:
        """SIGTERM, as a service manager does; the exit code."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return self.process.wait(STOP_S)
        finally:
            if self.process.poll() is None:
                self.process.kill()


def environment_in(directory: Path) -> dict[str, str]:
    """This process's environment, but with a state directory of its own and without any server's address or token."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("WFE_")}
    return {**kept, "XDG_STATE_HOME": str(directory / "state")}


@pytest.fixture(scope="module")
def app(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An app file with workflows ``hello doomed patient doubled``."""
    file = tmp_path_factory.mktemp("app") / "acceptance_app.py"
    file.write_text(APP)
    return file


@pytest.fixture(scope="module")
def start_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Callable[..., Server]]:
    """``start_server("--shards", "2", data=...)``: a server on a free port, stopped at the end of the module."""
    started: list[Server] = []

    def start(*options: str, data: Path | None = None) -> Server:
        data = data or tmp_path_factory.mktemp("data")
        environment = environment_in(data)
        process = subprocess.Popen(
            [*WFE, "serve", "--data", str(data), "--listen", "tcp://127.0.0.1:0", *options],
            env=environment,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert process.stdout is not None
        ready = process.stdout.readline()
        assert ready.startswith("wfe: serving on "), ready
        server = Server(process, data, environment)
        started.append(server)
        return server

    yield start
    for server in started:
        server.stop()
        assert server.process.stdout is not None
        server.process.stdout.close()


@pytest.fixture(scope="module")
def server(start_server: Callable[..., Server], app: Path) -> Server:
    """A server with two shards and one worker that runs ``app``."""
    return start_server("--shards", "2", "--workers", "1", "--app", str(app))
