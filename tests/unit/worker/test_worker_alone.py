"""A worker whose server does not answer: it says so soon, goes on trying, and gives up in the end."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from wfe.config import WorkerOptions
from wfe.worker import process
from wfe.worker.process import CONNECT_PATIENCE_MS, CONNECT_SILENCE_MS, EXIT_UNREACHABLE, WorkerProcess


class Nobody:
    def send(self, peer: bytes, parts: list[bytes]) -> bool:
        return False

    def close(self) -> None:
        pass


class Heard:
    """A logger that remembers."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, str]] = []

    def warning(self, event: str, **fields: Any) -> None:
        self.lines.append(("warning", fields["address"]))

    def error(self, event: str, **fields: Any) -> None:
        self.lines.append(("error", fields["address"]))


async def test_it_says_so_within_two_seconds_and_leaves_after_half_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    assert CONNECT_SILENCE_MS < 2_000
    heard = Heard()
    monkeypatch.setattr(process, "_logger", heard)
    loop = asyncio.get_running_loop()
    worker = WorkerProcess(loop, WorkerOptions(connect="tcp://nowhere:1", slots=1), {}, lambda *_: Nobody())
    begin_ms = worker._started_ms
    for after_ms in (CONNECT_SILENCE_MS, CONNECT_SILENCE_MS + 1, CONNECT_SILENCE_MS + 100):
        worker._judge(begin_ms + after_ms)
    assert heard.lines == [("warning", "tcp://nowhere:1")]
    worker._judge(begin_ms + CONNECT_PATIENCE_MS + 1)
    assert heard.lines[1:] == [("error", "tcp://nowhere:1")]
    assert await worker._exit == EXIT_UNREACHABLE
    await worker._close()
