"""What a task costs a whole worker: dispatch frames in, functions called on slot threads or the loop, results out."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
import uvloop
from msgspec import Raw

from wfe.model.registered import RegisteredTask
from wfe.wire.frames import PROTOCOL, Header, Kind, decode_header, encode_header, header
from wfe.wire.messages import (
    Ack,
    Dispatch,
    Results,
    ShardEndpoint,
    TaskResult,
    TaskSpec,
    Welcome,
    WorkerWelcome,
)
from wfe.worker.actor import COORDINATOR, Identity, WorkerActor
from wfe.worker.process import monotonic_ms
from wfe.worker.runner import Runner

SHARD = 0
FRAME_TASKS = 80
_encode = msgspec.msgpack.Encoder().encode
_results = msgspec.msgpack.Decoder(Results).decode


def noop() -> None:
    """Does nothing."""


async def async_noop() -> None:
    """Does nothing, on the loop."""


class PlayedWorker:
    """A worker's actor and runner in this process, whose coordinator and shard are played."""

    def __init__(self) -> None:
        self.loop = uvloop.new_event_loop()
        functions = {"noop": noop, "async_noop": async_noop}
        tasks = {
            (name, 1): RegisteredTask(name, 1, function, function is async_noop, __name__, name, __file__, 1)
            for name, function in functions.items()
        }
        self.runner = Runner(self.loop, tasks, 16, self._ended)
        self.actor = WorkerActor(Identity(worker="w", tasks=sorted(tasks), slots=16), self, self.runner)
        self._left = 0
        self._seq = self._run = 0
        self._done: asyncio.Future[None] | None = None
        welcome = Welcome("server", 1, 0, [ShardEndpoint(SHARD, 1, "", "tcp://nowhere")])
        self._say(COORDINATOR, header(Kind.WELCOME), welcome)

    def _ended(self, results: list[TaskResult], *more: Any) -> None:
        self.actor.on_results(results, monotonic_ms(), *more)

    def _say(self, link: int, head: bytes, body: Any) -> None:
        self.actor.on_frame(link, [head, _encode(body)], monotonic_ms())

    def open(self, link: int, endpoint: ShardEndpoint) -> None:
        """The worker connects."""

    def close(self, link: int) -> None:
        """The worker disconnects."""

    def send(self, link: int, parts: list[bytes]) -> bool:
        head = decode_header(parts[0])
        if head.kind == Kind.WORKER_HELLO:
            answer = encode_header(Header(PROTOCOL, int(Kind.WORKER_WELCOME), request=head.request))
            self.loop.call_soon(self._say, SHARD, answer, WorkerWelcome(1, 10_000))
        elif head.kind == Kind.RESULTS:
            results = _results(parts[1])
            self._left -= len(results.results)
            self._say(SHARD, header(Kind.RESULTS_ACK), Ack(results.seq))
            if self._left == 0 and self._done is not None:
                self._done.set_result(None)
        return True

    async def _frames(self, task: str, frames: int) -> None:
        for _ in range(frames):
            self._seq += 1
            self._run += FRAME_TASKS
            specs = [
                TaskSpec(f"{self._run + i:026}", 3, 0, 1, task, 1, "step", Raw(b"\x80")) for i in range(FRAME_TASKS)
            ]
            self._left = FRAME_TASKS
            self._done = self.loop.create_future()
            self._say(SHARD, header(Kind.DISPATCH), Dispatch(self._seq, specs))
            await self._done

    def run(self, task: str, frames: int) -> int:
        """So many frames of tasks, one after the other; the number of tasks."""
        self.loop.run_until_complete(self._frames(task, frames))
        return frames * FRAME_TASKS

    def stop(self) -> None:
        self.runner.close()
        self.loop.close()


@pytest.fixture
def worker() -> Iterator[PlayedWorker]:
    played = PlayedWorker()
    played.loop.run_until_complete(asyncio.sleep(0.01))
    yield played
    played.stop()


@pytest.mark.parametrize("task", ["noop", "async_noop"])
def test_a_worker_runs_tasks(benchmark: Any, worker: PlayedWorker, task: str) -> None:
    worker.run(task, 10)
    tasks = benchmark.pedantic(worker.run, args=(task, 50), rounds=10)
    assert tasks == 50 * FRAME_TASKS
    benchmark.extra_info.update(per="task", units=tasks)


def cost_us(task: str, rounds: int = 10) -> float:
    """Processor time per task of the best round, as `test_parts_shard.cost_us`; the played shard's is in it."""
    played = PlayedWorker()
    played.loop.run_until_complete(asyncio.sleep(0.01))
    played.run(task, 20)
    gc.collect()
    gc.freeze()
    gc.set_threshold(50_000, 20, 50)
    best = float("inf")
    for _ in range(rounds):
        begun = time.process_time()
        tasks = played.run(task, 50)
        best = min(best, 1e6 * (time.process_time() - begun) / tasks)
    played.stop()
    return best
