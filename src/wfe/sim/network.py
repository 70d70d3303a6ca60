"""A simulated network: routers that are bound to addresses, dealers that connect to them, frames that travel.

Sockets look like those of `transport` (`send(peer, parts)`; False: nobody there). A connection keeps the order of its
frames, for TCP and pipes do; between connections there is none, and a double may come much later, for whoever passes
frames on may do so twice. A connection can break, and then what was under way is lost and the dealer connects again
under its identity. Invariants: all chance comes from one generator; nothing is delivered to a closed socket.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from random import Random

from wfe.sim.schedule import Schedule
from wfe.sim.trace import Trace

Deliver = Callable[[bytes, list[bytes]], None]
CONNECT_US = (200, 3_000)
RECONNECT_US = (50_000, 400_000)
LATE_MAX_US = 4_000_000


@dataclass(slots=True)
class Weather:
    """What frames meet. Probabilities per frame; delays in microseconds."""

    loss: float = 0.0
    duplicate: float = 0.0
    spike: float = 0.0
    delay_min_us: int = 20
    delay_max_us: int = 400
    spike_max_us: int = 2_000_000


class Network:
    """``cut``: (from host, to host) pairs between which nothing passes, one way."""

    def __init__(self, schedule: Schedule, trace: Trace, random: Random) -> None:
        self._schedule, self._trace, self._random = schedule, trace, random
        self._routers: dict[str, Router] = {}
        self._dealers: dict[str, list[Dealer]] = {}
        self.weather = Weather()
        self.cut: set[tuple[str, str]] = set()
        self.late_address = ""
        """Doubles of frames to or from this address may come much later."""

    def bind(self, host: str, address: str, deliver: Deliver) -> Router:
        """A router at an address; dealers that wait for it connect."""
        assert address not in self._routers, f"{address} is bound already"
        router = self._routers[address] = Router(self, host, address, deliver)
        for dealer in self._dealers.get(address, ()):
            self._connect_later(dealer, CONNECT_US)
        return router

    def connect(self, host: str, address: str, identity: bytes, deliver: Deliver, *, tame: bool = False) -> Dealer:
        """A dealer. ``tame``: its frames are never lost or doubled while the connection lasts."""
        dealer = Dealer(self, host, address, identity, deliver, tame)
        self._dealers.setdefault(address, []).append(dealer)
        if address in self._routers:
            self._connect_later(dealer, CONNECT_US)
        return dealer

    def connections(self, *, tame: bool = False) -> list[Connection]:
        """Those that are up now and that faults may touch; ``tame``: those that only lose nothing, too."""
        found = []
        for dealers in self._dealers.values():
            found += [d.connection for d in dealers if d.connection is not None and (tame or not d.tame)]
        return found

    def break_connection(self, connection: Connection) -> None:
        """What is under way is lost, the dealer connects again after a while."""
        dealer = connection.dealer
        self._drop(connection)
        self._connect_later(dealer, RECONNECT_US)

    def _connect_later(self, dealer: Dealer, range_us: tuple[int, int]) -> None:
        self._schedule.after(self._random.randint(*range_us), self._connected, dealer)

    def _connected(self, dealer: Dealer) -> None:
        router = self._routers.get(dealer.address)
        if dealer.closed or dealer.connection is not None or router is None:
            return
        taken = router.peers.get(dealer.identity)
        assert taken is None, "identities are fresh"
        self._trace.step(self._schedule.now_us, f"connect {dealer.host} {router.host}")
        connection = Connection(dealer, router)
        dealer.connection = router.peers[dealer.identity] = connection

    def _drop(self, connection: Connection) -> None:
        connection.up = False
        connection.dealer.connection = None
        connection.router.peers.pop(connection.dealer.identity, None)

    def _close_router(self, router: Router) -> None:
        del self._routers[router.address]
        for connection in list(router.peers.values()):
            self._drop(connection)
            connection.back_words = self._random.random() < 0.5

    def _close_dealer(self, dealer: Dealer) -> None:
        dealer.closed = True
        self._dealers[dealer.address].remove(dealer)
        if (connection := dealer.connection) is not None:
            self._drop(connection)
            connection.out_words = self._random.random() < 0.5

    def transmit(self, connection: Connection, outward: bool, parts: list[bytes]) -> bool:
        """Send a frame from the dealer to the router (``outward``) or back."""
        random, weather, now_us = self._random.random, self.weather, self._schedule.now_us
        tame = connection.dealer.tame
        source, target = connection.dealer.host, connection.router.host
        if not outward:
            source, target = target, source
        if connection.full and outward in connection.full:
            return False
        if self.cut and (source, target) in self.cut:
            return True
        copies = 1
        if not tame:
            if weather.loss and random() < weather.loss:
                return True
            if weather.duplicate and random() < weather.duplicate:
                copies = 2
        for copy in range(copies):
            span_us = weather.delay_max_us - weather.delay_min_us
            due_us = now_us + weather.delay_min_us + int(random() * span_us)
            if weather.spike and random() < weather.spike:
                due_us += int(random() * weather.spike_max_us)
            if copy and connection.router.address == self.late_address and random() < 0.3:
                due_us += int(random() * LATE_MAX_US)  # whoever passed it on did so twice, and slowly
            elif outward:
                connection.out_us = due_us = max(due_us, connection.out_us)
            else:
                connection.back_us = due_us = max(due_us, connection.back_us)
            self._schedule.at(due_us, self._arrive, connection, outward, parts)
        return True

    def _arrive(self, connection: Connection, outward: bool, parts: list[bytes]) -> None:
        dealer, router = connection.dealer, connection.router
        if not connection.up:
            # The kernel still delivers what a process had sent before it died, if it comes to that.
            closed = self._routers.get(router.address) is not router if outward else dealer.closed
            if closed or not (connection.out_words if outward else connection.back_words):
                return
        if outward:
            self._trace.step(self._schedule.now_us, f"{dealer.host} > {router.host}", parts)
            router.deliver(dealer.identity, parts)
        else:
            self._trace.step(self._schedule.now_us, f"{router.host} > {dealer.host}", parts)
            dealer.deliver(b"", parts)


class Connection:
    """One dealer's connection to one router. ``out_us``, ``back_us``: when the last frame of each way arrives.

    ``out_words``, ``back_words``: what was under way when the dealer's or the router's process died still arrives.
    ``full``: directions (outward or not) whose queue is full, so that sending says so.
    """

    __slots__ = ("back_us", "back_words", "dealer", "full", "out_us", "out_words", "router", "up")

    def __init__(self, dealer: Dealer, router: Router) -> None:
        self.dealer, self.router = dealer, router
        self.up = True
        self.full: set[bool] = set()
        self.out_us = self.back_us = 0
        self.out_words = self.back_words = False


class Router:
    """A bound socket. ``peers``: connections by identity."""

    def __init__(self, network: Network, host: str, address: str, deliver: Deliver) -> None:
        self._network = network
        self.host, self.address, self.deliver = host, address, deliver
        self.peers: dict[bytes, Connection] = {}

    def send(self, peer: bytes, parts: list[bytes]) -> bool:
        connection = self.peers.get(peer)
        return connection is not None and self._network.transmit(connection, False, parts)

    def close(self) -> None:
        self._network._close_router(self)


class Dealer:
    """A socket that connects to one address."""

    def __init__(
        self, network: Network, host: str, address: str, identity: bytes, deliver: Deliver, tame: bool
    ) -> None:
        self._network = network
        self.host, self.address, self.identity, self.deliver, self.tame = host, address, identity, deliver, tame
        self.connection: Connection | None = None
        self.closed = False

    def send(self, peer: bytes, parts: list[bytes]) -> bool:
        return self.connection is not None and self._network.transmit(self.connection, True, parts)

    def close(self) -> None:
        if not self.closed:
            self._network._close_dealer(self)
