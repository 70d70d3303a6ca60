"""Planted bugs of what tasks say. Part of `mutants`."""

from __future__ import annotations

from typing import Any

from planting import around

from wfe.journal import task_logs as journal
from wfe.shard.task_logs import TaskLogs
from wfe.worker import task_logs as worker
from wfe.worker.task_logs import LogSender


def _every_frame(on_lines: Any, self: TaskLogs, *arguments: Any) -> None:
    self._seen.clear()
    on_lines(self, *arguments)


def _another_attempt(batch: Any, key: Any, held: Any, budget_bytes: int) -> Any:
    return batch((*key[:3], key[3] + 1), held, budget_bytes)


def _sends_again(recover: Any, self: LogSender, links: Any) -> None:
    for shard in list(self._sent):
        self._lines.put_back(self._forget(shard))
    recover(self, links)


def _backwards(run_ops: Any, store: Any, run_id: str, batches: Any) -> Any:
    return run_ops(store, run_id, batches[::-1])


def line_patches() -> dict[str, Any]:
    return {
        "lines of a frame that comes twice are kept twice": around(TaskLogs, "_on_lines", _every_frame),
        "lines are told as those of another attempt": around(worker, "_batch", _another_attempt),
        "lines go again to a shard that lives": around(LogSender, "_recover", _sends_again),
        "lines are written backwards": around(journal, "_run_ops", _backwards),
    }
