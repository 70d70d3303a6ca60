"""What holds up its worker is named, with its line."""

from __future__ import annotations

import threading
import time
from pathlib import Path

from wfe.worker.durable import watch as module
from wfe.worker.durable.watch import Watch

HERE = Path(__file__).name


class Log:
    def __init__(self) -> None:
        self.lines: list[dict[str, object]] = []
        self.said = threading.Event()

    def warning(self, event: str, **fields: object) -> None:
        self.lines.append({"event": event, **fields})
        self.said.set()


def test_a_turn_that_does_not_end_is_named_once_with_the_line_it_stands_at(monkeypatch):
    log = Log()
    monkeypatch.setattr(module, "_logger", log)
    watch = Watch(slow_ms=20)
    watch.enter("durable:slow", "run-1", time.monotonic_ns())
    assert log.said.wait(30)
    watch.leave()
    watch.close()
    (line,) = log.lines
    assert (line["function"], line["run"]) == ("durable:slow", "run-1")
    assert str(line["at"]).startswith(f"{HERE}:")
    assert str(line["at"]).endswith("in test_a_turn_that_does_not_end_is_named_once_with_the_line_it_stands_at")
    assert watch.noticed == 1


def test_short_turns_are_not_named(monkeypatch):
    log = Log()
    monkeypatch.setattr(module, "_logger", log)
    watch = Watch(slow_ms=60_000)
    for number in range(100):
        watch.enter("durable:quick", f"run-{number}", time.monotonic_ns())
        watch.leave()
    watch.close()
    assert (watch.noticed, log.lines) == (0, [])
