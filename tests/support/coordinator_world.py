"""A coordinator in a world of lists: what it sends and starts is recorded, what fails is chosen."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec

from wfe.config import GatewayOptions, ServeOptions, ShardOptions, WorkerOptions
from wfe.coordinator.actor import Coordinator
from wfe.coordinator.effects import Site
from wfe.coordinator.moves import owners_for
from wfe.journal.backup import Manifest
from wfe.journal.catalogue import Catalogue
from wfe.model.definition import Definition, Set
from wfe.ports import Op
from wfe.wire.frames import PROTOCOL, Header, Kind, decode_header, encode_header, header
from wfe.wire.messages import Deploy, ErrorReply, Hello, ShardHello

TOKEN = "t" * 64
CLIENT, OTHER, WORKER = b"client-1", b"client-2", b"worker-1"
encode = msgspec.msgpack.encode


def decode(data: bytes, kind: Any) -> Any:
    return msgspec.msgpack.decode(data, type=kind)


class MemoryStore:
    """`ports.Store` in a dict."""

    def __init__(self) -> None:
        self.rows: dict[tuple[int, bytes], bytes] = {}

    def get(self, table: int, key: bytes) -> bytes | None:
        return self.rows.get((table, key))

    def range(
        self, table: int, start: bytes, stop: bytes | None, *, limit: int, reverse: bool = False
    ) -> list[tuple[bytes, bytes]]:
        found = [(k, v) for (t, k), v in self.rows.items() if t == table and k >= start and (stop is None or k < stop)]
        return sorted(found, reverse=reverse)[:limit]

    def commit(self, ops: Sequence[Op]) -> None:
        for op in ops:
            if op.value is None:
                self.rows.pop((op.table, op.key), None)
            else:
                self.rows[op.table, op.key] = op.value

    def size_bytes(self) -> int:
        return 0

    def close(self) -> None:
        pass


class FixedClock:
    def wall_ms(self) -> int:
        return 1_700_000_000_000


class CountingRandom:
    def __init__(self) -> None:
        self.count = 0

    def bits(self, count: int) -> int:
        self.count += 1
        return self.count


class FakeEffects:
    """Records; ``unreachable`` peers take nothing, ``refuse_spawn`` makes the system refuse new processes."""

    def __init__(self) -> None:
        self.front: list[tuple[bytes, list[bytes]]] = []
        self.back: list[tuple[bytes, list[bytes]]] = []
        self.spawned: list[tuple[str, ShardOptions | WorkerOptions]] = []
        self.terminated: list[str] = []
        self.killed: list[str] = []
        self.unreachable: set[bytes] = set()
        self.refuse_spawn = False

    def send_front(self, peer: bytes, parts: list[bytes]) -> bool:
        if peer in self.unreachable:
            return False
        self.front.append((peer, parts))
        return True

    def send_back(self, peer: bytes, parts: list[bytes]) -> bool:
        if peer in self.unreachable:
            return False
        self.back.append((peer, parts))
        return True

    def spawn(self, name: str, options: ShardOptions | WorkerOptions | GatewayOptions) -> int:
        if self.refuse_spawn:
            raise OSError("no more processes")
        self.spawned.append((name, options))
        return 1_000 + len(self.spawned)

    def terminate(self, name: str) -> None:
        self.terminated.append(name)

    def kill(self, name: str) -> None:
        self.killed.append(name)


class FakeArchive:
    """Records; the test says how things end."""

    def __init__(self) -> None:
        self.opened: list[tuple[int, str]] = []
        self.finished: list[tuple[int, str, Manifest]] = []

    def open(self, number: int, directory: str) -> None:
        self.opened.append((number, directory))

    def finish(self, number: int, directory: str, manifest: Manifest) -> None:
        self.finished.append((number, directory, manifest))

    def close(self) -> None:
        pass


class World:
    """A coordinator with its fakes, and the frames that clients, workers and shards would send."""

    def __init__(self, shards: int = 2, workers: int = 0, partitions: int = 4, http: str = "", otel: str = "") -> None:
        self.effects = FakeEffects()
        self.catalogue = Catalogue(MemoryStore(), partitions=partitions, server_id="server-1")
        self.catalogue.assign(owners_for(partitions, shards))
        self.now_ms = 1_000_000
        self.archive = FakeArchive()
        self.actor = Coordinator(
            options=ServeOptions(
                data="data", shards=shards, workers=workers, apps=["app.py"], http=http, otel=otel, otel_sample=0.5
            ),
            site=Site(
                *("server-1", TOKEN, "tcp://127.0.0.1:7700", "ipc://front", "ipc://back", "run"),
                http=http and f"http://{http}",
            ),
            catalogue=self.catalogue,
            effects=self.effects,
            clock=FixedClock(),
            random=CountingRandom(),
            archive=self.archive,
        )

    def start(self) -> World:
        self.actor.start(self.now_ms)
        return self

    def serving(self) -> World:
        """Started, and every shard has said hello."""
        self.start()
        for name, options in list(self.effects.spawned):
            if name.startswith("shard"):
                assert isinstance(options, ShardOptions)
                self.shard_hello(options)
        self.effects.back.clear()
        return self

    def shard_hello(self, options: ShardOptions) -> None:
        hello = ShardHello(options.index, options.epoch, 7, options.ipc, "tcp://127.0.0.1:1", options.partitions)
        self.from_shard(options.index, [header(Kind.SHARD_HELLO), encode(hello)], options.epoch)

    def last_options(self, name: str) -> Any:
        return [options for spawned, options in self.effects.spawned if spawned == name][-1]

    def identity(self, index: int) -> bytes:
        return b"shard-%d-%d" % (index, self.last_options(f"shard-{index}").epoch)

    def from_shard(self, index: int, parts: list[bytes], epoch: int | None = None) -> None:
        identity = b"shard-%d-%d" % (index, epoch) if epoch is not None else self.identity(index)
        self.actor.on_back(identity, parts, self.now_ms)

    def hello(self, peer: bytes = CLIENT, *, token: str = TOKEN, role: str = "client", worker: str = "") -> None:
        self.send(peer, Kind.HELLO, Hello(token, role, "test", worker))

    def send(self, peer: bytes, kind: Kind | int, body: Any = None, **fields: Any) -> None:
        head = encode_header(Header(PROTOCOL, int(kind), **fields))
        self.actor.on_front(peer, [head, body if isinstance(body, bytes) else encode(body)], self.now_ms)

    def deploy(self, *definitions: Definition) -> None:
        self.hello(b"deployer")
        self.send(b"deployer", Kind.DEPLOY, Deploy([msgspec.json.encode(d) for d in definitions]))
        assert self.answer(b"deployer")[0].kind == Kind.REPLY

    def answer(self, peer: bytes = CLIENT) -> tuple[Header, bytes]:
        """The last frame that a peer got."""
        parts = [parts for to, parts in self.effects.front if to == peer][-1]
        return decode_header(parts[0]), parts[1]

    def error(self, peer: bytes = CLIENT) -> ErrorReply:
        head, body = self.answer(peer)
        assert head.kind == Kind.ERROR, head
        reply: ErrorReply = decode(body, ErrorReply)
        return reply

    def pass_time(self, ms: int) -> None:
        self.now_ms += ms
        self.actor.on_tick(self.now_ms)


def constant(name: str, value: int = 1, version: int | None = None) -> Definition:
    """A workflow without tasks."""
    return Definition(name, version, nodes=(Set(id="answer", value=value),), output="${answer}")
