"""The coordinator's logic as a state machine: frames, ends of children and time come in; effects go out.

Knows no socket, process or clock of its own, so that the simulator runs it as it is. Front frames go to `routing`;
this module speaks with the shards, starts and restarts children in order (shards first, local workers once every shard
serves or is down), and drains the engine: workers finish first, then shards checkpoint. Invariants: a shard is started
under a new epoch, durable in the catalogue before its process exists; an earlier process of a shard is not heard.
"""

from __future__ import annotations

import msgspec

from wfe.config import ServeOptions
from wfe.coordinator.backups import Backups
from wfe.coordinator.child_options import (
    ChildOptions,
    alerter_options,
    gateway_options,
    shard_options,
    tracer_options,
    worker_options,
)
from wfe.coordinator.deploys import Deploys
from wfe.coordinator.effects import Effects, Site
from wfe.coordinator.gateway_watch import GatewayWatch
from wfe.coordinator.peers import Peers
from wfe.coordinator.rebalance import Rebalancing
from wfe.coordinator.routing import FrontDoor, welcome_frame
from wfe.coordinator.status import VERSION, server_status
from wfe.coordinator.supervision import Child, ChildState, Supervisor
from wfe.coordinator.topology import Shard, Topology
from wfe.coordinator.versions import Versions
from wfe.errors import DataError, ProtocolError
from wfe.journal.backup import Archive
from wfe.journal.catalogue import Catalogue
from wfe.limits import DRAIN_MS, HEARTBEAT_MS, PAYLOAD_BYTES_MAX, PEER_PROBE_MS
from wfe.model.malformed import MALFORMED
from wfe.observe import get_logger
from wfe.ports import Clock, Random
from wfe.wire.frames import Header, Kind, decode_header, header
from wfe.wire.messages import KnownWorkers, Resolve, ServerStatus, ShardHello, ShardStats

_encode = msgspec.msgpack.Encoder().encode
_shard_hello = msgspec.msgpack.Decoder(ShardHello)
_shard_stats = msgspec.msgpack.Decoder(ShardStats)
_resolve = msgspec.msgpack.Decoder(Resolve)
_log = get_logger("coordinator")


class Coordinator:
    """One engine's parent. Call `start`, then `on_front`, `on_back`, `on_child_exit`, `on_tick` as things happen.

    ``done`` turns true when a drain has ended and every child is gone.
    """

    def __init__(
        self,
        *,
        options: ServeOptions,
        site: Site,
        catalogue: Catalogue,
        effects: Effects,
        clock: Clock,
        random: Random,
        archive: Archive | None = None,
    ) -> None:
        self.options, self.site = options, site
        self._catalogue, self._effects, self._clock, self._random = catalogue, effects, clock, random
        self.topology = Topology(catalogue.owners(), options.shards)
        self.peers = Peers(site.token)
        self.deploys = Deploys(catalogue)
        self.versions = Versions(catalogue, self.deploys, self.topology, effects.send_back, self._is_moving)
        children = [Child("shard", i) for i in range(options.shards)]
        children += [Child("worker", i) for i in range(options.workers)]
        children += [Child("gateway", 0)] if options.http else []
        children += [Child("tracer", 0)] if options.otel else []
        children += [Child("alerter", 0)] if options.alerts.get("rules") else []
        self.supervisor = Supervisor(children, self._spawn)
        self.gateway = GatewayWatch(self.supervisor, site.http)
        self.backups = Backups(
            topology=self.topology,
            send=effects.send_back,
            server=catalogue,
            wall_ms=clock.wall_ms,
            software=VERSION,
            archive=archive,
            moving=self._is_moving,
        )
        self.rebalancing = Rebalancing(
            topology=self.topology,
            send=effects.send_back,
            owners=catalogue,
            blocked=self._no_moves,
            moved=self._on_moved,
            tell=self._tell_peers,
        )
        self.front = FrontDoor(
            effects=effects,
            clock=clock,
            peers=self.peers,
            topology=self.topology,
            deploys=self.deploys,
            versions=self.versions,
            welcome=self._welcome,
            status=self.status,
            on_workers=self._tell_workers,
            on_gateway=self.gateway.on_hello,
            backup=self.backups.request,
            rebalance=self.rebalancing.request,
        )
        self.draining = False
        self.done = False
        self.unheard = 0
        """Frames on the back socket that no present shard sent, or that could not be read."""
        self._workers_started = False
        self._drain_due_ms = 0
        self._probe_due_ms = 0

    # ---- what happens -----------------------------------------------------------------------------------------------

    def start(self, now_ms: int) -> None:
        """Starts the shards and who watches them; the workers follow."""
        self._probe_due_ms = now_ms + PEER_PROBE_MS
        for role in ("shard", "gateway", "tracer", "alerter"):
            for child in self.supervisor.of(role):
                self.supervisor.start(child, now_ms)
        self._start_workers(now_ms)

    def on_front(self, peer: bytes, parts: list[bytes], now_ms: int) -> None:
        """A frame of a client or worker."""
        self.front.on_frame(peer, parts, now_ms)

    def on_back(self, peer: bytes, parts: list[bytes], now_ms: int) -> None:
        """A frame of a shard: an answer for a client (three parts), or for the coordinator or another shard (two)."""
        shard = self.topology.of_identity(peer)
        if shard is None:
            self.unheard += 1
            return
        if len(parts) == 3 and parts[0]:
            self._effects.send_front(parts[0], parts[1:])
            return
        try:
            head = decode_header(parts[-2] if len(parts) in (2, 3) else b"")
            self._on_shard(shard, head, parts[-2:], now_ms)
        except (ProtocolError, *MALFORMED) as error:
            self.unheard += 1
            _log.error("a shard sent a frame that cannot be read", shard=shard.index, reason=str(error))

    def on_child_exit(self, name: str, code: int, now_ms: int) -> None:
        """A child's process ended and was waited for. ``code`` below zero: the signal that ended it."""
        child = self.supervisor.children[name]
        pid, worker = child.pid, child.worker
        self.supervisor.exited(child, code, now_ms)
        if not self.supervisor.stopping:
            _log.warning("a child ended", child=name, pid=pid, code=code, state=str(child.state))
        if child.role == "shard":
            self.backups.on_shard_gone(child.index)
            self.versions.on_shard_gone(self.topology.shards[child.index].identity)
            self.topology.ended(child.index, down=child.state is ChildState.DOWN)
            self.rebalancing.on_shard_gone(child.index, now_ms)
            self._tell_peers(now_ms)
        elif worker:
            child.worker = ""
            self.peers.forget_worker(worker)
            self._tell_workers(gone=[worker])
        if child.state is ChildState.DOWN:
            _log.error("a child is down: it ended too often in too short a time", child=name, restarts=child.restarts)
        if self.draining:
            self._go_on_draining(now_ms)
        else:
            self.supervisor.tick(now_ms)
            self._start_workers(now_ms)

    def on_tick(self, now_ms: int) -> None:
        """Time has passed: restarts that are due, workers that left in silence, what takes too long."""
        self.backups.on_tick(now_ms)
        self.versions.on_tick(now_ms)
        self.rebalancing.on_tick(now_ms)
        if self.draining:
            if now_ms >= self._drain_due_ms and not self.done:
                self._drain_is_over(now_ms)
            return
        self.supervisor.tick(now_ms)
        if now_ms >= self._probe_due_ms:
            self._probe_due_ms = now_ms + PEER_PROBE_MS
            self._probe(now_ms)

    def on_overrun(self, name: str) -> None:
        """A local worker is stuck in a task past its time limit: replace the process. Not counted as a failure."""
        child = self.supervisor.children[name]
        if child.state is ChildState.RUNNING and not child.planned:
            child.planned = True
            _log.warning("a worker is stuck beyond a task's time limit and is replaced", child=name, pid=child.pid)
            self._effects.kill(name)

    def drain(self, now_ms: int) -> None:
        """Stops in order: no new runs, local workers finish what they run, shards checkpoint and leave."""
        if self.draining:
            return
        self.draining = self.front.draining = True
        self.backups.stop()
        self.rebalancing.stop(now_ms)
        self.supervisor.stop()
        self._drain_due_ms = now_ms + DRAIN_MS + 2 * HEARTBEAT_MS
        for role in ("worker", "gateway", "alerter"):
            for child in self.supervisor.running(role):
                self._effects.terminate(child.name)
        self._go_on_draining(now_ms)

    def stop_now(self) -> None:
        """Ends every child at once; nothing that was acknowledged is lost."""
        self.draining = self.front.draining = True
        self.supervisor.stop()
        for child in self.supervisor.running():
            self._effects.kill(child.name)
        self.done = not self.supervisor.running()

    # ---- what others ask --------------------------------------------------------------------------------------------

    def status(self, now_ms: int) -> ServerStatus:
        return server_status(self, self._catalogue.server_id, now_ms)

    def all_settled(self) -> bool:
        """Whether every shard serves or is down: the engine is as ready as it gets."""
        return all(shard.serving or shard.state == "down" for shard in self.topology.shards)

    def ready(self) -> bool:
        """`all_settled`, and the gateway listens, if there is one (or has failed to)."""
        return self.all_settled() and self.gateway.settled

    # ---- shards -----------------------------------------------------------------------------------------------------

    def _on_shard(self, shard: Shard, head: Header, frame: list[bytes], now_ms: int) -> None:
        shard.heard_ms = now_ms
        if now_ms >= self.backups.due_ms:
            self.backups.look(now_ms)
        match head.kind:
            case Kind.SHARD_STATS:
                shard.stats = _shard_stats.decode(frame[1])
            case Kind.MAIL | Kind.MAIL_ACK:
                self._forward(head.partition, frame)
            case Kind.RESOLVE:
                question = _resolve.decode(frame[1])
                if not self.versions.holds_back(question.workflow, question.version):
                    answer = [header(Kind.RESOLVED, request=head.request), _encode(self.deploys.resolve(question))]
                    self._effects.send_back(shard.identity, answer)
            case Kind.USED:
                self.versions.on_usage(shard, frame[1])
            case Kind.SHARD_HELLO:
                self._on_shard_hello(shard, _shard_hello.decode(frame[1]), now_ms)
            case Kind.QUIET | Kind.CUT_BEGUN | Kind.CUT_DONE:
                self.backups.on_shard(shard, head.kind, frame[1], now_ms)
            case Kind.HANDED | Kind.ADOPTED:
                self.rebalancing.on_shard(shard, head.kind, frame[1], now_ms)
            case Kind.DRAINED:
                pass  # its process ends by itself; the end is what counts
            case _:
                raise ProtocolError(f"frames of kind {head.kind} are not expected from a shard")

    def _on_shard_hello(self, shard: Shard, hello: ShardHello, now_ms: int) -> None:
        if (hello.index, hello.epoch) != (shard.index, shard.epoch):
            raise ProtocolError(f"shard {shard.index} of epoch {shard.epoch} calls itself {hello.index}, {hello.epoch}")
        first = not shard.serving
        if self.draining:
            return
        self.topology.serves(shard, hello, now_ms)
        self._effects.send_back(shard.identity, self._known_workers([]))
        if first:
            _log.info("a shard serves", shard=shard.index, epoch=shard.epoch, recovery_ms=hello.recovery_ms)
            self._tell_peers(now_ms)
            self._tell_senders(shard, shard.partitions)
            self._start_workers(now_ms)

    # ---- partitions that move ---------------------------------------------------------------------------------------

    def _is_moving(self) -> bool:
        return self.rebalancing.active or bool(self.topology.held)

    def _no_moves(self) -> str:
        if self.backups.active:
            return "a backup is made"
        return "versions are being deleted" if self.versions.asking else ""

    def _on_moved(self, shard: Shard, partition: int, now_ms: int) -> None:
        """A partition is served by this shard now: workers take what they hold of it there, clients ask again."""
        if not self.draining:
            self._tell_peers(now_ms)
            self._tell_senders(shard, [partition])

    def _tell_senders(self, shard: Shard, partitions: list[int]) -> None:
        """Mail for these was dropped while nobody served them: the other shards send it again at once."""
        frame = [header(Kind.SERVES), _encode(partitions)]
        for other in self.topology.serving():
            if other is not shard:
                self._effects.send_back(other.identity, frame)

    def _forward(self, partition: int, frame: list[bytes]) -> None:
        """Mail goes to the shard of its partition. What cannot be passed on is dropped: its sender repeats it."""
        if 0 <= partition < self.topology.partitions and (route := self.topology.routes[partition]) is not None:
            self._effects.send_back(route, frame)

    # ---- children ---------------------------------------------------------------------------------------------------

    def _start_workers(self, now_ms: int) -> None:
        if not self._workers_started and self.all_settled():
            self._workers_started = True
            for child in self.supervisor.of("worker"):
                self.supervisor.start(child, now_ms)

    def _spawn(self, child: Child) -> int:
        try:
            return self._effects.spawn(child.name, self._options_of(child))
        except (DataError, OSError) as error:
            _log.error("a child cannot be started", child=child.name, reason=str(error))
            raise ChildProcessError(str(error)) from error

    def _options_of(self, child: Child) -> ChildOptions:
        options, site = self.options, self.site
        match child.role:
            case "shard":
                epoch = self._catalogue.next_epoch()
                self.topology.started(child.index, epoch)
                partitions = self.topology.shards[child.index].partitions
                server, total = self._catalogue.server_id, self.topology.partitions
                return shard_options(options, site, server, child.index, epoch, partitions, total)
            case "worker":
                child.worker = f"local-{child.index}-{self._random.bits(48):012x}"
                return worker_options(options, site, child.index, child.worker)
            case "tracer":
                return tracer_options(options, site)
            case "alerter":
                return alerter_options(options, site)
        return gateway_options(options, site)

    # ---- drain ------------------------------------------------------------------------------------------------------

    def _go_on_draining(self, now_ms: int) -> None:
        if self.supervisor.running("worker"):
            return
        if not self.supervisor.running():
            self.done = True
            return
        waiting = [shard for shard in self.topology.shards if not shard.draining]
        if waiting:
            self._drain_due_ms = now_ms + DRAIN_MS
            for child in self.supervisor.running("tracer"):  # it has seen what the workers finished
                self._effects.terminate(child.name)
        for shard in waiting:
            served = shard.serving
            self.topology.withdraw(shard)
            child = self.supervisor.children[f"shard-{shard.index}"]
            if child.state is not ChildState.RUNNING:
                continue
            if not (served and self._effects.send_back(shard.identity, [header(Kind.DRAIN), b"\xc0"])):
                # Still recovering, or unreachable: it has acknowledged nothing that is not on disk.
                self._effects.kill(child.name)

    def _drain_is_over(self, now_ms: int) -> None:
        """The present phase of the drain took too long: end those that it waits for."""
        late = self.supervisor.running("worker") or self.supervisor.running()
        self._drain_due_ms = now_ms + DRAIN_MS
        for child in late:
            _log.warning("a child does not leave in time and is ended", child=child.name, pid=child.pid)
            self._effects.kill(child.name)

    # ---- peers ------------------------------------------------------------------------------------------------------

    def _welcome(self) -> list[bytes]:
        return welcome_frame(
            self._catalogue.server_id,
            self.topology,
            self._clock.wall_ms(),
            PAYLOAD_BYTES_MAX,
            self.options.lease_ms,
        )

    def _tell_peers(self, now_ms: int) -> None:
        """A shard came or went: workers connect to it or let go of it, clients repeat what it did not answer."""
        frame = self._welcome()
        for identity in self.peers.listeners(now_ms):
            self._effects.send_front(identity, frame)

    def _known_workers(self, gone: list[str]) -> list[bytes]:
        return [header(Kind.WORKERS), _encode(KnownWorkers(sorted(self.peers.workers()), gone))]

    def _tell_workers(self, gone: list[str] | None = None) -> None:
        """Tells the shards which workers there are, and which processes are known to have ended."""
        frame = self._known_workers(gone or [])
        for shard in self.topology.serving():
            self._effects.send_back(shard.identity, frame)

    def _probe(self, now_ms: int) -> None:
        """Forgets peers that are gone: a remote worker whose connection broke cannot be sent to any more."""
        self.peers.expire(now_ms)
        frame = self._welcome()
        lost = [i for i in list(self.peers.workers().values()) if not self._effects.send_front(i, frame)]
        for identity in lost:
            self.peers.forget(identity)
        if lost:
            self._tell_workers()
