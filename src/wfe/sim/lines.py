"""What tasks of the simulated world say, and that whatever is kept of it was said, in order, and within bounds.

Lines may be lost and, around the death of a shard, come twice or late; what must never be is a line that nobody said,
another attempt's, or otherwise one out of its order. A line's text is its number within its attempt on its worker.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING

from msgspec import Raw, msgpack

from wfe.journal.schema import TASK_LOGS
from wfe.journal.task_logs import read_log, size_of
from wfe.limits import LOG_PENDING_BYTES, LOG_RUN_BYTES, LOG_RUN_LINES
from wfe.model.ids import RUN_ID_CHARS
from wfe.sim.node import Violation
from wfe.wire.messages import TaskSpec
from wfe.wire.task_logs import LogBatch, LogLine
from wfe.worker.task_logs import LineBuffer

if TYPE_CHECKING:
    from wfe.shard.actor import Shard
    from wfe.sim.disk import SimStore

Attempt = tuple[str, str, int, int, str]
"""Run, node, activation, attempt, worker."""
CHATTY = 300
"""Lines of a task that says very much; with long lines it goes beyond what a run keeps."""


class Speech:
    """Everything that was said in a world. ``random`` None: nobody says anything."""

    def __init__(self, random: Random | None) -> None:
        self._random = random
        self._said: dict[Attempt, int] = {}
        self.may_repeat = False
        """A shard has died: what it did not acknowledge is sent to the next one."""

    def of_task(self, lines: LineBuffer, spec: TaskSpec, worker: str, now_ms: int) -> None:
        """A task that runs says something, or not."""
        random = self._random
        if random is None or random.random() < 0.3:
            return
        count, width = (CHATTY, 2_000) if random.random() < 0.01 else (random.randint(1, 3), random.choice((1, 50)))
        attempt = (spec.run_id, spec.node_id, spec.activation, spec.attempt, worker)
        before = self._said.get(attempt, 0)
        self._said[attempt] = before + count
        told = [LogLine(now_ms, "info", f"{number} {'x' * width}", worker) for number in range(before, before + count)]
        lines.put(LogBatch(*attempt[:4], count, Raw(msgpack.encode(told))))

    def check_shard(self, name: str, shard: Shard) -> None:
        """Memory is bounded."""
        if shard.task_logs.held_bytes > LOG_PENDING_BYTES:
            raise Violation(f"{name} holds {shard.task_logs.held_bytes} bytes of lines")

    def check_store(self, store: SimStore) -> int:
        """Whatever a store keeps was said; gives the number of lines."""
        rows = store.range(TASK_LOGS, b"", None, limit=1_000_000)
        return sum(
            self._check_run(store, run_id) for run_id in sorted({key[:RUN_ID_CHARS].decode() for key, _ in rows})
        )

    def _check_run(self, store: SimStore, run_id: str) -> int:
        last: dict[Attempt, int] = {}
        seen: dict[Attempt, set[int]] = {}
        batches = read_log(store, run_id, 0).batches
        kept = sum(batch.count for batch in batches)
        if kept > LOG_RUN_LINES or sum(map(size_of, batches)) > LOG_RUN_BYTES:
            raise Violation(f"run {run_id} keeps {kept} lines")
        for batch in batches:
            for line in msgpack.decode(batch.lines, type=list[LogLine]):
                attempt = (run_id, batch.node, batch.activation, batch.attempt, line.logger)
                number = int(line.text.partition(" ")[0])
                if number >= self._said.get(attempt, 0):
                    raise Violation(f"nobody said line {number} of {attempt}")
                again = number in seen.setdefault(attempt, set())
                if again and not self.may_repeat:
                    raise Violation(f"line {number} of {attempt} is kept twice")
                # A frame that was lost with a shard's process comes once more behind those that were not.
                if number <= last.get(attempt, -1) and not again and not self.may_repeat:
                    raise Violation(f"line {number} of {attempt} is out of order")
                last[attempt] = number
                seen[attempt].add(number)
        return kept
