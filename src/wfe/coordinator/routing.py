"""The front door: who may speak, and which shard a frame goes to. Bodies for shards are passed on undecoded.

Invariants: a frame is answered, passed on, or refused with a typed error, whatever its bytes are; what the sender wrote
into ``principal`` and ``definition`` of a header is replaced here; no frame of one peer costs another peer anything.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

import msgspec

from wfe.coordinator.deploys import Deploys
from wfe.coordinator.effects import Effects
from wfe.coordinator.peers import Commands, Peer, Peers
from wfe.coordinator.replies import error_reply, reply
from wfe.coordinator.topology import Topology
from wfe.coordinator.versions import Versions
from wfe.errors import Busy, DataError, DataFull, ProtocolError, Unauthorized, Unavailable, WfeError
from wfe.limits import BUSY_RETRY_MS, NAME_CHARS_MAX, UNAVAILABLE_RETRY_MS
from wfe.model.malformed import MALFORMED
from wfe.ports import Clock
from wfe.wire.alerts import AlertsState
from wfe.wire.backups import Backup, BackupReport
from wfe.wire.definitions import DefinitionChanged, DefinitionCommand
from wfe.wire.frames import PROTOCOL, Header, Kind, decode_header, encode_header, header
from wfe.wire.messages import DefinitionQuery, Deploy, DeployOutcome, Hello, ServerStatus, Welcome
from wfe.wire.rebalance import Rebalance, RebalanceReport

_ROUTED = frozenset(
    int(kind)
    for kind in (
        *(Kind.START, Kind.AWAIT, Kind.GET, Kind.FIND),
        *(Kind.HISTORY, Kind.LIST, Kind.SIGNAL, Kind.CONTROL),
        *(Kind.RETRY, Kind.SKIP, Kind.FORK, Kind.STATE, Kind.APPROVALS, Kind.CARRY, Kind.WHY, Kind.LOCK, Kind.FEED),
        *(Kind.LOGS,),
        *(Kind.TRACES, Kind.AWAITERS),
    )
)
_hello = msgspec.msgpack.Decoder(Hello)
_deploy = msgspec.msgpack.Decoder(Deploy)
_alerts = msgspec.msgpack.Decoder(AlertsState)
_backup = msgspec.msgpack.Decoder(Backup)
_rebalance = msgspec.msgpack.Decoder(Rebalance)
_query = msgspec.msgpack.Decoder(DefinitionQuery)
_command = msgspec.msgpack.Decoder(DefinitionCommand)

_Body = TypeVar("_Body")


class FrontDoor:
    """Handles the frames of clients and workers. ``on_workers`` is called when a worker came or went, ``on_gateway``
    when a gateway says that it listens."""

    def __init__(
        self,
        *,
        effects: Effects,
        clock: Clock,
        peers: Peers,
        topology: Topology,
        deploys: Deploys,
        versions: Versions,
        welcome: Callable[[], list[bytes]],
        status: Callable[[int], ServerStatus],
        on_workers: Callable[[], None],
        on_gateway: Callable[[str], None],
        backup: Callable[[Backup, int], BackupReport],
        rebalance: Callable[[Rebalance, int], RebalanceReport],
    ) -> None:
        self._effects, self._clock = effects, clock
        self._peers, self._topology, self._deploys, self._versions = peers, topology, deploys, versions
        self._welcome, self._status, self._on_workers = welcome, status, on_workers
        self._backup, self._rebalance = backup, rebalance
        self._on_gateway = on_gateway
        self._commands = Commands()
        self.alerts = AlertsState()
        """What whoever judges alerts told last."""
        self.draining = False
        self.refused = 0
        """Frames that were answered with an error by the front door itself."""

    def on_frame(self, identity: bytes, parts: list[bytes], now_ms: int) -> None:
        """One frame of a client or worker."""
        request = 0
        try:
            if len(parts) != 2:
                raise ProtocolError("a frame has two parts, a header and a body")
            head = decode_header(parts[0])
            request = head.request
            answer = self._handle(identity, head, parts[1], now_ms)
        except WfeError as error:
            retry_after_ms = UNAVAILABLE_RETRY_MS if isinstance(error, Unavailable) else 0
            self.refused += 1
            answer = error_reply(request, error, retry_after_ms)
        if answer is not None:
            self._effects.send_front(identity, answer)

    def _handle(self, identity: bytes, head: Header, body: bytes, now_ms: int) -> list[bytes] | None:
        if head.kind == Kind.HELLO:
            return self._on_hello(identity, head, body, now_ms)
        peer = self._peers.get(identity)
        if peer is None:
            raise Unauthorized("say hello first, with the server's token (WFE_TOKEN, or the account that started it)")
        peer.seen_ms = now_ms
        if head.kind in _ROUTED:
            self._route(identity, peer, head, body)
            return None
        if head.kind in (Kind.DEPLOY, Kind.DEFINE):
            return self._once(peer, head, body, now_ms)
        return self._answer(identity, head, body, now_ms)

    def _route(self, identity: bytes, peer: Peer, head: Header, body: bytes) -> None:
        """Hands a frame to the shard of its partition, with what only the coordinator may say in its header."""
        if not 0 <= head.partition < self._topology.partitions:
            raise ProtocolError(f"there is no partition {head.partition}; this server has {self._topology.partitions}")
        definition, version, refusal = "", head.version, ""
        if head.kind == Kind.START:
            if self.draining:
                raise Unavailable("the server is shutting down")
            definition, version, refusal = self._deploys.resolve_start(head.workflow, head.version)
            if self._versions.holds_back(head.workflow, version):
                raise Busy(f"version {version} of {head.workflow!r} may be deleted this moment", BUSY_RETRY_MS / 1000)
        shard = self._topology.routes[head.partition]
        if shard is None:
            owner = self._topology.shards[self._topology.owners[head.partition]]
            what = f"shard {owner.index} {'is down' if owner.state == 'down' else 'starts'}"
            if head.partition in self._topology.held:
                what = "it moves between shards"
            raise Unavailable(f"partition {head.partition} is not served at the moment: {what}")
        stamped = Header(
            PROTOCOL, head.kind, head.partition, head.request, head.workflow, version, definition, peer.principal,
            refusal,
        )  # fmt: skip
        if not self._effects.send_back(shard, [identity, encode_header(stamped), body]):
            raise Busy("the shard's queue is full", BUSY_RETRY_MS / 1000)

    def _on_hello(self, identity: bytes, head: Header, body: bytes, now_ms: int) -> list[bytes]:
        hello = _decoded(_hello, body)
        if len(hello.peer) > NAME_CHARS_MAX:
            raise ProtocolError(f"a worker's id has at most {NAME_CHARS_MAX} characters")
        before = len(self._peers.workers())
        if not self._peers.admit(identity, hello, now_ms):
            raise Unauthorized(
                "the token is wrong: set WFE_TOKEN to the content of the file `token` in the server's data directory, "
                "or use the account that started the server"
            )
        if len(self._peers.workers()) != before:
            self._on_workers()
        if hello.role != "worker" and hello.peer:
            self._on_gateway(hello.peer)
        welcome = self._welcome()
        return [encode_header(Header(PROTOCOL, int(Kind.WELCOME), request=head.request)), welcome[1]]

    def _once(self, peer: Peer, head: Header, body: bytes, now_ms: int) -> list[bytes]:
        """A command on definitions; one that came before is answered as it was then."""
        known = peer.changes.get(head.request)
        if known is not None:
            return known
        command_id, kind = "", Kind.REPLY
        try:
            wanted = _decoded(_deploy, body) if head.kind == Kind.DEPLOY else _decoded(_command, body)
            command_id = _id_of(wanted)
            if (told := self._commands.answer(command_id)) is not None:
                return [header(told[0], request=head.request), told[1]]
            answer = reply(head.request, self._change(wanted, now_ms))
        except (Busy, Unavailable, DataError, DataFull):
            raise  # nothing came of it, or nobody knows: it may be tried again
        except WfeError as error:
            self.refused += 1
            kind, answer = Kind.ERROR, error_reply(head.request, error)
        peer.changed(head.request, answer)
        self._commands.answered(command_id, kind, answer[1])
        return answer

    def _change(self, wanted: Deploy | DefinitionCommand, now_ms: int) -> DeployOutcome | DefinitionChanged:
        wall_ms = self._clock.wall_ms()
        if isinstance(wanted, Deploy):
            return self._deploys.deploy(wanted, wall_ms)
        return self._versions.command(wanted, wall_ms, now_ms)

    def _answer(self, identity: bytes, head: Header, body: bytes, now_ms: int) -> list[bytes] | None:
        """Everything that the coordinator answers itself."""
        match head.kind:
            case Kind.PING:
                return reply(head.request, None)
            case Kind.STATUS:
                return reply(head.request, self._status(now_ms))
            case Kind.DEFINITION:
                return reply(head.request, self._deploys.find(_decoded(_query, body)))
            case Kind.BACKUP:
                return reply(head.request, self._backup(_decoded(_backup, body), now_ms))
            case Kind.REBALANCE:
                return reply(head.request, self._rebalance(_decoded(_rebalance, body), now_ms))
            case Kind.ALERTS:
                return reply(head.request, self.alerts)
            case Kind.TELL_ALERTS:
                self.alerts = _decoded(_alerts, body)
                return reply(head.request, None)
            case Kind.HEARTBEAT:
                return None
            case Kind.BYE:
                if self._peers.forget(identity):
                    self._on_workers()
                return None
        raise ProtocolError(f"frames of kind {head.kind} are not spoken here")


def welcome_frame(server: str, topology: Topology, time_ms: int, payload_bytes_max: int, lease_ms: int) -> list[bytes]:
    """WELCOME, unasked: what peers need to know of the server."""
    body = Welcome(server, topology.partitions, time_ms, topology.endpoints(), payload_bytes_max, lease_ms)
    return [encode_header(Header(PROTOCOL, int(Kind.WELCOME))), msgspec.msgpack.encode(body)]


def _id_of(wanted: Deploy | DefinitionCommand) -> str:
    """The id under which it comes again; "": it has none, or its answer is not for good."""
    if len(wanted.command_id) > NAME_CHARS_MAX:
        raise ProtocolError(f"a command's id has at most {NAME_CHARS_MAX} characters")
    transient = wanted.check if isinstance(wanted, Deploy) else wanted.action == "delete"
    return "" if transient else wanted.command_id


def _decoded(decoder: msgspec.msgpack.Decoder[_Body], body: bytes) -> _Body:
    try:
        return decoder.decode(body)
    except MALFORMED as error:
        raise ProtocolError(f"malformed frame body: {error}") from error
