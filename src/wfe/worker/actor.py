"""The worker's protocol as a state machine: frames, results and ticks in; frames, starts and cancels out.

Touches no socket, clock or thread: the network and the runner are given to it, time is an argument (`sim` runs this
very class). Invariants: an attempt is started at most once, and its result is kept until the shard that gave it has
committed it; credit stays within its bounds (`credit.py`); whatever is lost, a hello makes both sides agree again.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable
from functools import partial

import msgspec

from wfe import observe
from wfe.errors import ProtocolError
from wfe.model.malformed import MALFORMED
from wfe.ports import TaskRunner
from wfe.wire.blobs import input_bytes, unpack
from wfe.wire.frames import Kind, decode_header, header
from wfe.wire.lending import Grants, ShardLoad
from wfe.wire.messages import (
    Ack,
    Dispatch,
    ErrorReply,
    ShardEndpoint,
    TaskBeat,
    TaskRef,
    TaskResult,
    Welcome,
    WorkerHello,
    WorkerWelcome,
)
from wfe.worker.credit import Pace, plan
from wfe.worker.identity import Greeting, Identity
from wfe.worker.isolation import Isolation
from wfe.worker.link import LinkState, ShardLink
from wfe.worker.network import Network
from wfe.worker.owners import follow_partitions
from wfe.worker.ration import Ration
from wfe.worker.task_logs import LineBuffer, LogSender

COORDINATOR = -1
"""The link to the coordinator; links to shards have the shard's index."""
_REFUSALS = ("unauthorized", "protocol")

_logger = observe.get_logger("wfe.worker")
_welcome = msgspec.msgpack.Decoder(Welcome).decode
_error = msgspec.msgpack.Decoder(ErrorReply).decode
_dispatch = msgspec.msgpack.Decoder(Dispatch).decode
_ack = msgspec.msgpack.Decoder(Ack).decode
_load = msgspec.msgpack.Decoder(ShardLoad).decode
_grants = msgspec.msgpack.Decoder(Grants).decode
_refs = msgspec.msgpack.Decoder(list[TaskRef]).decode
_shard_welcome = msgspec.msgpack.Decoder(WorkerWelcome).decode

Key = tuple[str, int, int, int]


class WorkerActor:
    """One worker process. `retire` before leaving: it lends no more and calls unused credit back."""

    def __init__(
        self, identity: Identity, network: Network, runner: TaskRunner, lines: LineBuffer | None = None
    ) -> None:
        self._identity, self._network, self._runner = identity, network, runner
        self._links: dict[int, ShardLink] = {}
        self._in_flight: dict[Key, tuple[ShardLink, int]] = {}
        """Attempts that are held, each with the link it came by and the size of its input."""
        self._held_bytes = 0
        self._isolation = Isolation()
        self._ration = Ration(identity.resources, identity.slots)
        self._lines = lines or LineBuffer()
        self._log_sender = LogSender(self._lines)
        self._server = ""
        self._pace = Pace()
        self._greeting = Greeting(identity, partial(network.send, COORDINATOR))
        self.welcomed = False
        """Whether the coordinator has ever accepted this worker."""
        self.connected = False
        self.refused: ErrorReply | None = None
        """Why the coordinator refuses this worker; only before it has ever accepted it."""
        self.retiring = False

    # ---- what the process adapter and the simulator call ----

    def on_frame(self, link: int, parts: list[bytes], now_ms: int) -> None:
        """A frame from the coordinator or from a shard. A malformed one costs a new hello, nothing else."""
        try:
            head = decode_header(parts[0])
            body = parts[1] if len(parts) > 1 else b""
            if link == COORDINATOR:
                self._on_coordinator(head.kind, body, now_ms)
            elif (shard := self._links.get(link)) is not None:
                self._on_shard(shard, head.kind, head.request, body, now_ms)
        except (ProtocolError, IndexError, *MALFORMED) as error:
            _logger.warning("malformed frame", link=link, error=str(error))
            if (shard := self._links.get(link)) is not None and shard.state is LinkState.OPEN:
                self._say_hello(shard, now_ms)

    def on_results(self, results: list[TaskResult], now_ms: int, beats: Iterable[TaskBeat] = ()) -> None:
        """Attempts ended. ``beats``: heartbeats of tasks that came before, so that they arrive before the results."""
        self.on_beats(beats)
        by_link: dict[ShardLink, list[TaskResult]] = {}
        in_flight, isolated, total_us = self._in_flight, self._isolation.taken, 0
        for result in results:
            key = (result.run_id, result.node, result.activation, result.attempt)
            held = in_flight.pop(key, None)
            if held is None:
                continue
            if isolated:
                self._isolation.drop(key)
            shard, size = held
            self._held_bytes -= size
            total_us += result.started_us
            batch = by_link.get(shard)
            if batch is None:
                by_link[shard] = [result]
            else:
                batch.append(result)
        if self._ration.held:
            self._ration.ended((r.run_id, r.node, r.activation, r.attempt) for r in results)
        self._pace.learn(max(1, len(results)), total_us)
        if self._lines.waiting:
            self._log_sender.before_results(self._links)
        for shard, batch in by_link.items():
            if shard.beats:
                shard.heartbeat(len(self._in_flight), now_ms, force=True)
            shard.report(batch, now_ms)
        self._start_alone(now_ms)
        self._lend(now_ms)

    def on_beats(self, beats: Iterable[TaskBeat]) -> None:
        """Heartbeats of tasks; they travel with the next heartbeat of the worker."""
        for beat in beats:
            ref = beat.ref
            key = (ref.run_id, ref.node, ref.activation, ref.attempt)
            held = self._in_flight.get(key)
            if held is not None:
                held[0].beats[key] = beat

    def on_tick(self, now_ms: int) -> None:
        """Call it every 100 ms or so."""
        self._greeting.on_tick(now_ms, connected=self.connected)
        for shard in self._links.values():
            if shard.hello_due(now_ms):
                if shard.silent(now_ms):  # the connection may be half dead, and still hold our identity at the shard
                    self._open(shard, now_ms)
                self._say_hello(shard, now_ms)
            shard.heartbeat(len(self._in_flight), now_ms)
        self._log_sender.on_tick(self._links)
        self._start_alone(now_ms)
        self._lend(now_ms)

    def retire(self, retiring: bool = True) -> None:
        """Takes no new tasks (or takes them again)."""
        self.retiring = retiring

    def leave(self) -> None:
        """Says goodbye; what is still held is given out again by the shards."""
        for shard in self._links.values():
            if shard.state is not LinkState.DOWN:
                shard.bye()
        self._network.send(COORDINATOR, [header(Kind.BYE), b""])

    @property
    def held(self) -> int:
        """Attempts that have not ended."""
        return len(self._in_flight)

    @property
    def settled(self) -> bool:
        """Nothing is held, lent or unacknowledged: the worker can leave without any loss."""
        lent = self._ration.granted or any(shard.credit_tasks for shard in self._links.values())
        return not (self._in_flight or lent or any(shard.unacknowledged() for shard in self._links.values()))

    @property
    def connecting(self) -> bool:
        """Whether the coordinator or a shard that serves has not welcomed this worker yet."""
        return not self.connected or any(shard.state is LinkState.HELLO for shard in self._links.values())

    @property
    def links(self) -> dict[int, ShardLink]:
        """For status and tests."""
        return self._links

    # ---- the coordinator ----

    def _on_coordinator(self, kind: int, body: bytes, now_ms: int) -> None:
        if kind == Kind.WELCOME:
            welcome = _welcome(body)
            self.welcomed = self.connected = True
            self.refused = None
            self._greeting.answered()
            if self._server and welcome.server != self._server:
                self._let_go()
            self._server = welcome.server
            self._on_topology(welcome.shards, now_ms)
        elif kind == Kind.ERROR:
            error = _error(body)
            if error.code == "unauthorized" and self.connected:
                # The identity outlived a coordinator: the new one wants a hello.
                self.connected = False
                self._greeting.again()
            elif not self.welcomed and error.code in _REFUSALS:
                self.refused = error
            else:
                _logger.warning("the coordinator answers with an error", code=error.code, message=error.message)

    def _let_go(self) -> None:
        """Another server answers at this address, perhaps one restored from a backup: what the former one gave is void
        there, although its runs may have the same ids.
        """
        _logger.warning("another server answers: the tasks of the former one are dropped", held=len(self._in_flight))
        for key in self._in_flight:
            if self._isolation.drop(key):
                self._ration.ended((key,))  # nobody will report it; whatever has begun uses what it needs to its end
            self._runner.cancel(TaskRef(*key))
        self._in_flight.clear()
        self._isolation.clear()
        self._held_bytes = 0
        for index in self._links:
            self._ration.void(index)
            self._network.close(index)
        self._links.clear()

    def _on_topology(self, shards: list[ShardEndpoint], now_ms: int) -> None:
        known = {shard.index for shard in shards}
        for endpoint in shards:
            if endpoint.index not in self._links:
                send = partial(self._network.send, endpoint.index)
                self._links[endpoint.index] = ShardLink(endpoint, send, home=False)
        changed = follow_partitions(self._links, self._in_flight, shards, now_ms)
        for index, link in list(self._links.items()):
            if index not in known:  # what it has given is kept: a server that starts may not know all its shards yet
                link.down()
                self._ration.void(index)
                if not link.unacknowledged() and all(holder is not link for holder, _ in self._in_flight.values()):
                    del self._links[index]
                    self._network.close(index)
        for place, endpoint in enumerate(sorted(shards, key=lambda shard: shard.index)):
            self._on_endpoint(endpoint, now_ms, home=place == self._identity.index % len(shards), changed=changed)
        self._lend(now_ms)

    def _on_endpoint(self, endpoint: ShardEndpoint, now_ms: int, *, home: bool, changed: Collection[ShardLink]) -> None:
        link = self._links[endpoint.index]
        link.home = home
        if not endpoint.up:
            link.down()
            self._ration.void(endpoint.index)
            return
        before, link.endpoint = link.endpoint, endpoint
        moved = link.opened_ms is None or (endpoint.ipc, endpoint.tcp) != (before.ipc, before.tcp)
        if moved:
            self._open(link, now_ms)
        if moved or link.state is LinkState.DOWN or endpoint.epoch > before.epoch or link in changed:
            self._say_hello(link, now_ms)
        else:
            endpoint.epoch = max(endpoint.epoch, before.epoch)  # the shard's own welcome was faster than this news

    def _open(self, link: ShardLink, now_ms: int) -> None:
        self._network.open(link.endpoint.index, link.endpoint)
        link.opened_ms = now_ms

    # ---- the shards ----

    def _on_shard(self, shard: ShardLink, kind: int, request: int, body: bytes, now_ms: int) -> None:
        shard.heard_ms = now_ms
        if kind == Kind.WORKER_WELCOME:
            self._on_shard_welcome(shard, request, _shard_welcome(body), now_ms)
        elif shard.state is not LinkState.OPEN:
            return  # belongs to a conversation that the hello has ended
        elif kind == Kind.DISPATCH:
            self._on_dispatch(shard, _dispatch(body), now_ms)
        elif kind == Kind.RESULTS_ACK:
            shard.acknowledged(_ack(body).seq, now_ms)
        elif kind == Kind.LOGS_ACK:
            self._log_sender.acknowledged(shard.endpoint.index, _ack(body).seq)
        elif kind == Kind.LOAD:
            load = _load(body)
            self._ration.wanted(shard.endpoint.index, load.wants)
            if not shard.loaded(load, now_ms) or self._ration.lost(shard.endpoint.index, now_ms):
                self._say_hello(shard, now_ms)
            else:
                self._lend(now_ms)
        elif kind == Kind.UNUSED:
            self._ration.unused(shard.endpoint.index, shard.unused(_grants(body)))
            self._lend(now_ms)
        elif kind == Kind.RETURNED:
            shard.returned()
            self._lend(now_ms)
        elif kind == Kind.CANCEL_TASKS:
            for ref in _refs(body):
                self._cancel((ref.run_id, ref.node, ref.activation, ref.attempt))
        elif kind == Kind.REJECT:
            self._say_hello(shard, now_ms)
        elif kind == Kind.ERROR:
            error = _error(body)
            _logger.warning(
                "a shard refuses a frame", shard=shard.endpoint.index, code=error.code, message=error.message
            )

    def _on_shard_welcome(self, shard: ShardLink, request: int, welcome: WorkerWelcome, now_ms: int) -> None:
        if welcome.error is not None:
            _logger.warning("a shard refuses this worker", shard=shard.endpoint.index, message=welcome.error.message)
        elif shard.state is not LinkState.DOWN and shard.welcome(request, welcome.epoch, now_ms):
            self._lend(now_ms)
            if not shard.credit_tasks:
                shard.finish_presenting()

    def _on_dispatch(self, shard: ShardLink, dispatch: Dispatch, now_ms: int) -> None:
        if dispatch.acked:
            shard.acknowledged(dispatch.acked, now_ms)
        if dispatch.seq != shard.dispatch_seq + 1:
            self._say_hello(shard, now_ms)
            return
        if self._isolation.active(now_ms):
            self._say_hello(shard, now_ms)  # not taken: what a hello does not name is given to somebody else
            return
        shard.dispatch_seq = dispatch.seq
        in_flight, start = self._in_flight, self._runner.start
        size_total, needs = 0, dispatch.needs
        unpack(dispatch.tasks, dispatch.blobs, shard.blobs)
        alone = dispatch.alone and len(dispatch.tasks) == 1  # several can't each be the only one
        for spec in dispatch.tasks:
            size = len(spec.input) if spec.blobs is None else input_bytes(spec)
            size_total += size
            key = (spec.run_id, spec.node, spec.activation, spec.attempt)
            if key not in in_flight:
                in_flight[key] = (shard, size)
                self._held_bytes += size
                if needs is not None:
                    self._ration.take(key, needs)
                if alone:
                    self._isolation.take(key, spec, now_ms)
                else:
                    start(spec)
        if needs is not None:
            self._ration.used(shard.endpoint.index, needs, len(dispatch.tasks))
        else:
            shard.dispatched(len(dispatch.tasks), size_total, now_ms)
        if alone:
            shard.returned()
            self._ration.void(shard.endpoint.index)
            self._start_alone(now_ms)
        self._lend(now_ms)

    def _start_alone(self, now_ms: int) -> None:
        spec = self._isolation.due(len(self._in_flight) - 1, now_ms)
        if spec is not None:
            self._runner.start(spec)

    def _cancel(self, key: Key) -> None:
        if key in self._in_flight:
            if self._isolation.drop(key):
                self._held_bytes -= self._in_flight.pop(key)[1]
                self._ration.ended((key,))
            else:
                self._runner.cancel(TaskRef(*key))
        elif not key[3]:  # no attempt: a function that its run does not need here any more
            self._runner.cancel(TaskRef(*key))

    def _say_hello(self, shard: ShardLink, now_ms: int) -> None:
        me = self._identity
        self._ration.void(shard.endpoint.index)
        held = [TaskRef(*key) for key, (link, _) in self._in_flight.items() if link is shard]
        shard.hello(
            WorkerHello(me.token, me.worker, me.tasks, me.slots, held, me.local, me.pid, me.labels, me.resources),
            now_ms,
        )

    # ---- credit ----

    def _lend(self, now_ms: int) -> None:
        links = [shard for shard in self._links.values() if shard.state is not LinkState.DOWN]
        if not links:
            return
        alone = self._isolation.active(now_ms)
        if self._ration.waiting and not self.retiring and not alone:
            able = [index for index, shard in self._links.items() if shard.state is LinkState.OPEN]
            for index, grants in self._ration.allot(able, now_ms).items():
                self._links[index].grant(grants)
        target = 0 if self.retiring or alone else self._pace.target(self._identity.slots)
        step = self._pace.step(target)
        free = target - len(self._in_flight)
        hungry = False
        for shard in links:
            free -= shard.credit_tasks
            hungry = hungry or shard.ready > 0
        if target and not hungry and -target < free < step:
            return  # nothing worth a message
        accounts = [shard.account() for shard in links]
        orders = plan(accounts, target, step, len(self._in_flight), self._held_bytes)
        for shard, order in zip(links, orders, strict=True):
            shard.carry_out(order, now_ms)
