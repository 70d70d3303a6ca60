"""`wfe serve` as a child process, and what `wfe status` says about it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Any

WFE = str(Path(sys.executable).parent / "wfe")
START_TIMEOUT_S = 30.0
STOP_TIMEOUT_S = 20.0


class Server:
    """Two shards and two workers on a free port, with the data and the log in ``directory``."""

    def __init__(self, directory: Path, apps: Sequence[Path], environ: dict[str, str]) -> None:
        self._log = directory / "server.log"
        self._command = [WFE, "serve", "--shards", "2", "--workers", "2", "--data", str(directory / "data")]
        self._command += ["--listen", "tcp://127.0.0.1:0", *(f"--app={app}" for app in apps)]
        self._environ = {**os.environ, **environ}
        self.ready = self.address = ""

    def __enter__(self) -> Server:
        with self._log.open("w") as log:
            self._process = subprocess.Popen(
                self._command,
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
                text=True,
            )
        assert self._process.stdout is not None
        watchdog = threading.Timer(START_TIMEOUT_S, self._process.kill)
        watchdog.start()
        self.ready = self._process.stdout.readline().strip()
        watchdog.cancel()
        address = re.search(r"tcp://[\w.]+:\d+", self.ready)
        if address is None:
            self._process.kill()
            self._process.wait()
            raise SystemExit(f"wfe serve did not start:\n{self._log.read_text()[-3000:]}")
        self.address = address[0]
        self._environ["WFE_ADDRESS"] = self.address
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()

    def status(self) -> dict[str, Any]:
        """`wfe status --json`."""
        done = subprocess.run([WFE, "status", "--json"], env=self._environ, capture_output=True, text=True, check=True)
        status: dict[str, Any] = json.loads(done.stdout)
        return status
