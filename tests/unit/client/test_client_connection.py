"""A client's link to a server that does not answer, and a system that has no descriptors for a fresh one."""

from __future__ import annotations

import asyncio
import errno
from contextlib import suppress

import pytest

from wfe.client import connection
from wfe.client.connection import Connection, OnFrames
from wfe.errors import Disconnected
from wfe.wire.frames import Kind


class Link:
    """Takes nothing."""

    closed = False

    def send(self, peer: bytes, parts: list[bytes]) -> bool:
        return True

    def close(self) -> None:
        self.closed = True


async def test_a_link_that_cannot_be_replaced_for_want_of_descriptors_is_replaced_later(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(connection, "RELINK_MS", 20)
    links: list[Link | None] = []
    replaced = asyncio.Event()

    def open_link(address: str, on_frames: OnFrames) -> Link:
        links.append(None if len(links) in (1, 2) else Link())
        if links[-1] is None:
            raise OSError(errno.EMFILE, "Too many open files")
        if len(links) > 1:
            replaced.set()
        return links[-1]

    made = Connection(open_link, "tcp://nowhere", lambda: "", fixed_token=False, software="test")
    asking = asyncio.create_task(made.ask(Kind.STATUS))
    await asyncio.wait_for(replaced.wait(), 60)
    first, *refused, last = links[:4]
    assert refused == [None, None]
    assert first is not None
    assert last is not None
    assert (first.closed, last.closed) == (True, False)
    made.close()
    with suppress(Disconnected):
        await asking
