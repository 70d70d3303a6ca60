"""Resources: opened once, when needed; closed in reverse order."""

from __future__ import annotations

import asyncio
import threading

import pytest

from wfe.worker.resources import close_async_resources, close_resources, resource


@pytest.fixture(autouse=True)
def _close():
    close_resources()
    yield
    close_resources()


def test_a_resource_is_opened_at_first_use_and_once_by_many_threads():
    opened = []

    @resource
    def pool():
        opened.append(threading.current_thread().name)
        yield object()

    assert not opened
    seen: list[object] = []
    threads = [threading.Thread(target=lambda: seen.append(pool())) for _ in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(opened) == 1
    assert len(set(seen)) == 1


def test_resources_close_in_reverse_order_and_open_again_afterwards():
    log = []

    @resource
    def connection():
        log.append("open connection")
        yield "connection"
        log.append("close connection")

    @resource
    def cursor():
        log.append("open cursor")
        yield connection() + "/cursor"
        log.append("close cursor")

    assert cursor() == "connection/cursor"
    close_resources()
    assert log == ["open cursor", "open connection", "close cursor", "close connection"]
    assert connection() == "connection"
    assert log[-1] == "open connection"


def test_a_resource_that_fails_to_open_is_tried_again():
    attempts = []

    @resource
    def flaky():
        attempts.append(1)
        if len(attempts) == 1:
            raise ConnectionError("not yet")
        yield "there"

    with pytest.raises(ConnectionError):
        flaky()
    assert flaky() == "there"


def test_a_resource_that_fails_to_close_does_not_keep_the_others_open(capsys):
    closed = []

    @resource
    def good():
        yield 1
        closed.append("good")

    @resource
    def bad():
        yield 2
        raise ValueError("stuck")

    assert good() + bad() == 3
    close_resources()
    assert closed == ["good"]


def test_misuse_is_named():
    with pytest.raises(TypeError, match="no generator function"):
        resource(lambda: 1)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match="parameters"):

        @resource  # type: ignore[call-overload]
        def parametrised(x):
            yield x

    @resource
    def needs_itself():
        yield needs_itself()

    with pytest.raises(RuntimeError, match="needs itself"):
        needs_itself()

    @resource
    def empty():
        if attempts:
            yield 1

    attempts: list[int] = []
    with pytest.raises(RuntimeError, match="without a yield"):
        empty()


async def test_an_asynchronous_resource_is_opened_once_even_if_who_asked_first_is_cancelled():
    log = []
    may_open = asyncio.Event()

    @resource
    async def session():
        log.append("open")
        await may_open.wait()
        yield "session"
        log.append("close")

    first, second = asyncio.create_task(session()), asyncio.create_task(session())
    await asyncio.sleep(0)
    first.cancel()
    may_open.set()
    assert await second == "session"
    assert await session() == "session"
    await close_async_resources()
    assert log == ["open", "close"]
