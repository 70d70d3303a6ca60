"""Waiting for sockets and for other threads at once."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from wfe.transport.sockets import Dealer, Router
from wfe.transport.waiter import Waiter

FOREVER_MS = 20_000


@pytest.fixture
def pair() -> Iterator[tuple[Router, Dealer, Waiter]]:
    router = Router("tcp://127.0.0.1:0")
    dealer = Dealer(router.endpoints[0])
    waiter = Waiter(router)
    yield router, dealer, waiter
    waiter.close()
    dealer.close(0)
    router.close(0)


def waits(waiter: Waiter, timeout_ms: int = FOREVER_MS) -> bool:
    """Whether something ended the wait before its time was over."""
    start = time.monotonic()
    waiter.wait(timeout_ms)
    return (time.monotonic() - start) * 1_000 < timeout_ms


def test_a_frame_ends_the_wait(pair: tuple[Router, Dealer, Waiter]) -> None:
    router, dealer, waiter = pair
    assert dealer.wait_connected(5_000)
    assert dealer.send(b"", [b"x"])
    assert waits(waiter)
    assert len(router.recv_many()) == 1


def test_a_wait_gives_the_sockets_that_have_frames(pair: tuple[Router, Dealer, Waiter]) -> None:
    router, dealer, _ = pair
    with closing(Waiter(router, dealer)) as both:
        assert both.wait(0) == []
        assert dealer.wait_connected(5_000)
        assert dealer.send(b"", [b"x"])
        assert both.wait(FOREVER_MS) == [router]
        ((peer, _),) = router.recv_many()
        assert both.wait(0) == []
        assert router.send(peer, [b"y"])
        assert both.wait(FOREVER_MS) == [dealer]


def test_frames_that_a_bounded_turn_left_behind_end_the_next_wait(pair: tuple[Router, Dealer, Waiter]) -> None:
    router, dealer, waiter = pair
    assert dealer.wait_connected(5_000)
    for _ in range(10):
        assert dealer.send(b"", [b"x"])
    received = 0
    while received < 10:
        assert waits(waiter)
        received += len(router.recv_many(3))


def test_a_wake_up_from_another_thread_ends_the_wait(pair: tuple[Router, Dealer, Waiter]) -> None:
    _, _, waiter = pair
    thread = threading.Thread(target=waiter.wake)
    thread.start()
    assert waits(waiter)
    thread.join()


def test_a_wake_up_before_the_wait_is_not_lost_and_many_count_as_one(pair: tuple[Router, Dealer, Waiter]) -> None:
    _, _, waiter = pair
    for _ in range(100_000):
        waiter.wake()
    rounds = 0
    while waits(waiter, 50 if rounds else FOREVER_MS):
        rounds += 1
    assert 1 <= rounds <= 100


def test_no_time_to_wait_is_no_wait(pair: tuple[Router, Dealer, Waiter]) -> None:
    _, _, waiter = pair
    waiter.wait(0)
    waiter.wait(-5)


def test_a_wake_after_the_end_touches_nothing(tmp_path: Path) -> None:
    """A thread may still read a store when its process ends: the number of the pipe may be another file's by then."""
    waiter = Waiter()
    waiter.close()
    with (
        (tmp_path / "other").open("wb", buffering=0) as other,
        (tmp_path / "another").open("wb", buffering=0) as another,
    ):
        waiter.wake()
        assert other.tell() == another.tell() == 0
    waiter.wake()
    waiter.close()
