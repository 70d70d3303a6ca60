"""Real ZeroMQ: what is lost is seen, what is too large is refused, and the loop misses no frame."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import uvloop
import zmq

from wfe.errors import ConfigError
from wfe.limits import DRAIN_FRAMES_MAX, FRAME_BYTES_MAX, FRAME_PARTS_MAX
from wfe.transport.aio import Attached
from wfe.transport.sockets import Dealer, Frame, Router

LOOPBACK = "tcp://127.0.0.1:0"


@pytest.fixture
def router() -> Iterator[Router]:
    socket = Router(LOOPBACK)
    yield socket
    socket.close(0)


@pytest.fixture
def dealer(router: Router) -> Iterator[Dealer]:
    socket = Dealer(router.endpoints[0])
    yield socket
    socket.close(0)


def send_when_connected(dealer: Dealer, parts: list[bytes]) -> None:
    """IMMEDIATE: nothing is taken before the connection stands."""
    while not dealer.send(b"", parts):
        dealer._socket.poll(5_000, zmq.POLLOUT)


def receive(socket: Router | Dealer, count: int = 1) -> list[Frame]:
    frames: list[Frame] = []
    while len(frames) < count:
        assert socket.poll(5_000), f"only {len(frames)} of {count} frames came"
        frames += socket.recv_many()
    return frames


def test_a_frame_travels_to_the_router_and_its_answer_back(router: Router, dealer: Dealer) -> None:
    send_when_connected(dealer, [b"header", b"body"])
    [(peer, parts)] = receive(router)
    assert (peer, parts) == (dealer.identity, [b"header", b"body"])
    assert router.send(peer, [b"answer"])
    assert receive(dealer) == [(b"", [b"answer"])]


STARVED = """
import os, resource, sys, threading
from wfe.transport.sockets import Dealer, Router
router = Router("ipc://" + sys.argv[1], "tcp://127.0.0.1:0")
limit = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.setrlimit(resource.RLIMIT_NOFILE, (os.dup(0) + 3, limit[1]))
router.mind_descriptors()
print("starved", flush=True)
sys.stdin.readline()
resource.setrlimit(resource.RLIMIT_NOFILE, limit)
router.mind_descriptors()
print(router.poll(20_000) and [parts for _, parts in router.recv_many()], flush=True)
"""


def test_a_router_without_descriptors_lives_and_takes_peers_once_there_are_some(tmp_path: Path) -> None:
    """ZeroMQ ends its process when it cannot accept a local connection, so the router takes its local address back."""
    address = str(tmp_path / "front")
    command = [sys.executable, "-c", STARVED, address]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        assert process.stdout.readline() == "starved\n"
        dealers = [Dealer(f"ipc://{address}") for _ in range(8)]
        assert not any(dealer.wait_connected(100) for dealer in dealers)
        assert process.poll() is None
        process.stdin.write("enough\n")
        process.stdin.flush()
        send_when_connected(dealers[0], [b"hello"])
        assert process.stdout.readline() == "[[b'hello']]\n"
        for dealer in dealers:
            dealer.close(0)
    assert process.returncode == 0


def test_a_frame_for_an_unknown_peer_is_answered_with_false_and_counted(router: Router) -> None:
    assert router.send(b"nobody", [b"header", b"body"]) is False
    assert router.dropped == 1


def test_a_frame_without_a_connection_is_answered_with_false(router: Router) -> None:
    lonely = Dealer("tcp://127.0.0.1:1")
    assert lonely.send(b"", [b"header", b"body"]) is False
    lonely.close(0)


def test_a_full_queue_is_answered_with_false_instead_of_a_silent_drop(router: Router, dealer: Dealer) -> None:
    send_when_connected(dealer, [b"hello"])
    [(peer, _)] = receive(router)
    sent = 0
    while router.send(peer, [b"x" * 1_000]):
        sent += 1
    received = len(receive(dealer, sent))
    assert received == sent
    assert router.dropped == 1


def test_a_frame_of_too_many_parts_arrives_empty_and_the_next_one_whole(router: Router, dealer: Dealer) -> None:
    send_when_connected(dealer, [b"x"] * 1_000)
    send_when_connected(dealer, [b"header", b"body"])
    assert [parts for _, parts in receive(router, 2)] == [[], [b"header", b"body"]]
    assert router.refused == 1


def test_the_most_parts_that_are_allowed_pass(router: Router, dealer: Dealer) -> None:
    parts = [b"x"] * (FRAME_PARTS_MAX - 1)
    send_when_connected(dealer, parts)
    assert receive(router) == [(dealer.identity, parts)]


def test_an_oversized_part_costs_its_sender_the_connection_and_nobody_else(router: Router, dealer: Dealer) -> None:
    other = Dealer(router.endpoints[0])
    send_when_connected(dealer, [b"x" * (FRAME_BYTES_MAX + 1)])
    send_when_connected(other, [b"header", b"body"])
    assert receive(router) == [(other.identity, [b"header", b"body"])]
    other.close(0)


def test_nobody_takes_over_an_identity_that_is_in_use(router: Router, dealer: Dealer) -> None:
    send_when_connected(dealer, [b"mine"])
    receive(router)
    thief = Dealer(router.endpoints[0], dealer.identity)
    thief.send(b"", [b"stolen"])
    assert router.send(dealer.identity, [b"answer"])
    assert receive(dealer) == [(b"", [b"answer"])]
    assert not thief.poll(100)
    thief.close(0)


def test_a_port_in_use_is_a_configuration_error_that_names_the_address(router: Router) -> None:
    with pytest.raises(ConfigError, match="in use"):
        Router(router.endpoints[0])


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
def test_the_loop_takes_bounded_turns_and_misses_nothing(router: Router, new_loop: object) -> None:
    count = 20 * DRAIN_FRAMES_MAX
    turns: list[int] = []
    answers: list[bytes] = []

    async def talk() -> None:
        loop = asyncio.get_running_loop()
        done = loop.create_future()

        def at_router(frames: list[Frame]) -> None:
            turns.append(len(frames))
            for peer, parts in frames:
                assert attached_router.send(peer, parts)

        def at_dealer(frames: list[Frame]) -> None:
            answers.extend(parts[0] for _, parts in frames)
            if len(answers) == count and not done.done():
                done.set_result(None)

        dealer = Dealer(router.endpoints[0])
        attached_router = Attached(loop, router, at_router)
        attached_dealer = Attached(loop, dealer, at_dealer)
        for i in range(count):
            while not attached_dealer.send(b"", [b"%d" % i]):
                await asyncio.sleep(0.001)
        await asyncio.wait_for(done, 20)
        attached_dealer.close()
        attached_router.close()
        assert attached_dealer.send(b"", [b"late"]) is False

    loop = new_loop()  # type: ignore[operator]
    try:
        loop.run_until_complete(talk())
    finally:
        loop.close()
    assert answers == [b"%d" % i for i in range(count)]
    assert max(turns) <= DRAIN_FRAMES_MAX
