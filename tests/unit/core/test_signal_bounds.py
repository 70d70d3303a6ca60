"""What a run keeps of signals that nothing takes is bounded, by their number and by their bytes."""

from __future__ import annotations

import msgspec
import pytest
from msgspec import Raw

from support.core_cases import TASKS, define
from support.runs import RunDriver
from wfe.core import signals as core_signals
from wfe.core.signals import signal
from wfe.errors import Busy
from wfe.limits import BLOB_BYTES_MIN, SIGNALS_BUFFERED_BYTES_MAX
from wfe.model.definition import Sleep, WaitSignal


def sleeping() -> RunDriver:
    return RunDriver(define(Sleep(id="z", duration_ms=10**6), WaitSignal(id="w", signal="go")), None, TASKS)


def send(run: RunDriver, number: int, size_bytes: int) -> None:
    payload = Raw(msgspec.msgpack.encode(f"{number:08}" + "x" * size_bytes))
    run.command(lambda turn: signal(turn, "go", payload, f"e{number}"))


def test_large_signals_are_bounded_together() -> None:
    run, size = sleeping(), SIGNALS_BUFFERED_BYTES_MAX // 4
    for number in range(3):
        send(run, number, size)
    with pytest.raises(Busy, match="bytes that nothing has taken"):
        send(run, 4, size)
    run.fire_next_timer()
    assert run.run.status == "completed", "it takes one, and ends"


def test_many_signals_below_the_size_of_a_blob_are_bounded_together(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_signals, "SIGNALS_BUFFERED_BYTES_MAX", 20 * BLOB_BYTES_MIN)
    run = sleeping()
    for number in range(20):
        send(run, number, BLOB_BYTES_MIN - 100)
    with pytest.raises(Busy, match="bytes that nothing has taken"):
        send(run, 20, BLOB_BYTES_MIN - 100)
    assert not run.run.blobs


def test_a_run_with_as_many_commands_set_aside_takes_no_more(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(core_signals, "COMMANDS_DEFERRED_MAX", 0)
    with pytest.raises(Busy):
        send(sleeping(), 1, 1)
