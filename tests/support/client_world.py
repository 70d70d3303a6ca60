"""A client's session and a faked server on one clock that the test owns."""

from __future__ import annotations

import random
from typing import Any

import msgspec

from support.fake_front import FakeFront
from wfe.client.session import Session
from wfe.client.starts import StartBatch
from wfe.wire.frames import Kind
from wfe.wire.messages import StartRun
from wfe.wire.payload import encode_value


class Dice:
    def __init__(self) -> None:
        self.bits = random.Random(7).getrandbits


class World:
    """A session and a fake server on one clock; frames arrive in the same millisecond."""

    def __init__(self, front: FakeFront | None = None, token: str = "secret") -> None:
        self.front = front or FakeFront()
        self.now_ms = 1_000
        self.session = Session(self.send, Dice(), lambda: token)
        self.inbox: list[list[bytes]] = []
        self.session.open(self.now_ms)
        self.settle()

    def send(self, parts: list[bytes]) -> bool:
        self.inbox += self.front.receive(parts)
        return True

    def settle(self) -> None:
        while self.inbox:
            self.session.on_frame(self.inbox.pop(0), self.now_ms)

    def run(self, for_ms: int) -> None:
        """Lets time pass as a loop would: ticks only when something is due."""
        end = self.now_ms + for_ms
        while self.session.due_ms <= end:
            self.now_ms = max(self.now_ms, self.session.due_ms)
            self.session.on_tick(self.now_ms)
            self.settle()
        self.now_ms = end

    def ask(self, kind: Kind, body: Any, **options: Any) -> list[Any]:
        answers: list[Any] = []
        self.session.request(
            kind,
            msgspec.msgpack.encode(body),
            lambda reply, error: answers.append(error or reply),
            self.now_ms,
            **options,
        )
        self.settle()
        return answers

    def start(self, *runs: StartRun, workflow: str = "hello", **options: Any) -> StartBatch:
        batch = StartBatch(list(runs))
        self.session.start(workflow, 0, batch, self.now_ms, **options)
        self.settle()
        return batch


def a_run(value: Any = 1, key: str = "", watch: bool = True) -> StartRun:
    return StartRun("", encode_value(value), key, watch=watch)
