"""One shard on a simulated disk, with a coordinator, a client and a worker that the test plays."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping
from typing import Any

import msgspec
from msgspec import Raw

from support.runs import error_of
from wfe.core.canonical import canonical, definition_hash
from wfe.journal.backup import ShardCopier
from wfe.journal.log import ShardLog
from wfe.journal.store import PartitionStore
from wfe.journal.verify import scan_log, verify_join, verify_store
from wfe.model.definition import Definition
from wfe.model.ids import mint_run_id, partition_of, partition_of_key
from wfe.shard.actor import Shard
from wfe.shard.core import Disk, Settings
from wfe.sim.chance import SeededRandom
from wfe.sim.disk import SimDisk
from wfe.sim.threads import SimReader, SimWriter
from wfe.wire import messages as m
from wfe.wire.backups import Barrier, CutDone
from wfe.wire.blobs import BlobWindow, input_of, unpack
from wfe.wire.definitions import Usage
from wfe.wire.frames import PROTOCOL, Header, Kind, decode_header, encode_header, header

encode = msgspec.msgpack.encode
decode = msgspec.msgpack.decode
PARTITIONS = 4
TOKEN = "token"
CLIENT = b"client"


class Outbox(list[tuple[bytes, list[bytes]]]):
    """A socket that only remembers what was sent."""

    def send(self, peer: bytes, parts: list[bytes]) -> bool:
        self.append((peer, parts))
        return True


class Host:
    """``definitions`` are known to the coordinator by name. ``now_ms`` moves only when the test says so."""

    def __init__(
        self,
        *definitions: Definition,
        tasks: Mapping[str, Callable[..., Any]] | None = None,
        partitions: list[int] | None = None,
        seed: int = 1,
        beside: Host | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        self.settings = dict(settings or {})
        self.index = 0 if beside is None else beside.index + 1
        self.disk = SimDisk(SeededRandom(seed)) if beside is None else beside.disk
        self.definitions = {d.workflow: d for d in definitions}
        self.tasks = dict(tasks or {})
        self.owned = list(range(PARTITIONS)) if partitions is None else partitions
        self.now_ms = 1_000_000_000
        self.epoch = 100 * self.index
        self.executions: list[tuple[str, str, int]] = []
        self.outcomes: dict[str, m.RunOutcome] = {}
        self.mail: list[list[bytes]] = []
        self.replies: list[tuple[int, Any]] = []
        self.backup: list[tuple[int, Any]] = []
        """What the shard told the coordinator about backups."""
        self.used: list[Usage] = []
        """What it told the coordinator about definitions that it keeps runs of."""
        self.moves: list[tuple[int, tuple[int, int]]] = []
        """What the shard told the coordinator about partitions that move: HANDED or ADOPTED, number and partition."""
        self._requests = itertools.count(1)
        self._random = itertools.count(1)
        self.boot()

    # ---- process ----------------------------------------------------------------------------------------------------

    def boot(self) -> None:
        """Start the shard process on what the disk holds."""
        self.epoch += 1
        self.back, self.workers = Outbox(), Outbox()
        self.completions: list[tuple[Any, ...]] = []
        raw = {number: self.disk.store(f"p{number}") for number in self.owned}
        self.writer = SimWriter(raw, lambda token, error: self.completions.append(("w", token, None, error)))
        self.reader = SimReader(lambda token, found, error: self.completions.append(("r", token, found, error)))
        stores = {number: PartitionStore(store, number, PARTITIONS) for number, store in raw.items()}
        log = self.disk.log(self.log_name)
        self.copying: SimReader | None = None
        copier = ShardCopier(
            self.index, log, raw, self._copy_thread, lambda *news: self.completions.append(("c", *news))
        )
        shard_log = ShardLog(log, self.epoch)
        disk = Disk(shard_log, stores, self.writer, self.reader, copier, raw, lambda n, _: self.disk.store(f"p{n}"))
        settings = Settings(self.index, self.epoch, PARTITIONS, TOKEN, **self.settings)
        self.shard = Shard(settings, disk, self.owned, self.back, self.workers, lambda: 0.5, self.now_ms)
        self.results_seq = 0
        self.blobs: dict[bytes, BlobWindow[Raw]] = {}

    @property
    def log_name(self) -> str:
        return f"log{self.index or ''}"

    def _copy_thread(self, done: Callable[..., None]) -> SimReader:
        self.copying = SimReader(done)
        return self.copying

    def copy(self) -> bool:
        """The copying thread takes one step: snapshots begin, or copies are made."""
        return self.copying is not None and self.copying.step()

    def crash(self) -> None:
        """kill -9 and start again, with the partitions that it has by now."""
        self.owned = sorted(self.shard.core.disk.stores)
        self.disk.crash(self.log_name, *(f"p{number}" for number in self.owned))
        self.boot()

    def turn(self) -> None:
        """One turn of the loop: threads, timers, commit, and the coordinator's and worker's answers."""
        while self.writer.step() or self.reader.step():
            pass
        completions, self.completions[:] = list(self.completions), []
        for kind, token, found, error in completions:
            if kind == "c":
                self.shard.on_copied(token, found, error)
            elif kind == "w":
                self.shard.on_written(token, error, self.now_ms)
            else:
                self.shard.on_read(token, found, error, self.now_ms)
        self.shard.turn(self.now_ms)
        self._answer_back()

    def settle(self, turns: int = 200) -> None:
        """Turn until nothing moves, with a worker that runs every task at once if one said hello."""
        quiet = 0
        for _ in range(turns):
            before = self.shard.core.counters["events"]
            self.turn()
            self.work()
            busy = self.completions or self.shard.has_work or self.writer.pending()
            quiet = 0 if busy or self.shard.core.counters["events"] != before else quiet + 1
            if quiet == 3:
                return

    def checkpoint(self) -> None:
        """Let everything reach the stores."""
        for _ in range(500):
            self.now_ms += 100
            self.turn()
            if self.shard.checkpoints.clean and not self.shard.checkpoints.tail_bytes:
                return
        raise AssertionError("the checkpoint never came to an end")

    def disk_is_sound(self) -> bool:
        """What `wfe verify` would say of log and stores, with the findings in the assertion."""
        held: dict[Any, int] = {}
        findings = [f for number in self.owned for f in verify_store(self.disk.store(f"p{number}"), held)]
        scan = scan_log(self.disk.log(self.log_name))
        findings += scan.findings + verify_join(scan, held, self.owned)
        assert not findings
        return True

    def _answer_back(self) -> None:
        frames, self.back[:] = list(self.back), []
        for _, parts in frames:
            if len(parts) == 3:
                self._client_frame(parts)
                continue
            kind = decode_header(parts[0]).kind
            if kind == Kind.RESOLVE:
                self._resolve(decode(parts[1], type=m.Resolve))
            elif kind in (Kind.MAIL, Kind.MAIL_ACK):
                self.mail.append(parts)
            elif kind == Kind.USED:
                self.used.append(decode(parts[1], type=Usage))
            elif kind in (Kind.HANDED, Kind.ADOPTED):
                self.moves.append((kind, tuple(decode(parts[1]))))
            elif kind in (Kind.QUIET, Kind.CUT_BEGUN, Kind.CUT_DONE):
                self.backup.append((kind, decode(parts[1], type=CutDone if kind == Kind.CUT_DONE else Barrier)))

    def _client_frame(self, parts: list[bytes]) -> None:
        head = decode_header(parts[1])
        if head.kind == Kind.OUTCOMES:
            for outcome in decode(parts[2], type=list[m.RunOutcome]):
                self.outcomes[outcome.run_id] = outcome
        else:
            self.replies.append((head.request, (head.kind, parts[2])))

    def _resolve(self, question: m.Resolve) -> None:
        found = self.definitions.get(question.workflow)
        for definition in self.definitions.values():
            if question.hash and definition_hash(definition) == question.hash:
                found = definition
        answer = m.Resolved(question.workflow, question.version, question.hash)
        if found is not None:
            answer.found_hash, answer.found_version = definition_hash(found), 1
            answer.definition = canonical(found)
        self.shard.on_back([header(Kind.RESOLVED), encode(answer)], self.now_ms)

    # ---- the client -------------------------------------------------------------------------------------------------

    def request(self, kind: Kind, partition: int, body: Any, *, workflow: str = "", refusal: str = "") -> int:
        number = next(self._requests)
        digest = definition_hash(self.definitions[workflow]) if workflow in self.definitions else "0" * 32
        head = Header(
            PROTOCOL, int(kind), partition, number, workflow, 1 if workflow else 0, digest if workflow else "",
            refusal=refusal,
        )  # fmt: skip
        self.shard.on_back([CLIENT, encode_header(head), encode(body)], self.now_ms)
        return number

    def reply(self, number: int, kind: Any = None) -> Any:
        """The reply to a request, or the `ErrorReply`; None when there is none yet."""
        for request, (reply_kind, body) in self.replies:
            if request == number:
                return decode(body, type=m.ErrorReply) if reply_kind == Kind.ERROR else decode(body, type=kind or Any)
        return None

    def ask(self, kind: Kind, partition: int, body: Any, answer: Any = None, *, workflow: str = "") -> Any:
        """A request whose answer is awaited."""
        number = self.request(kind, partition, body, workflow=workflow)
        for _ in range(20):
            self.turn()
            found = self.reply(number, answer)
            if found is not None or any(request == number for request, _ in self.replies):
                return found
        raise AssertionError(f"no answer to {kind!r}")

    def run_id(self, partition: int = 0) -> str:
        return mint_run_id(partition, self.now_ms, next(self._random))

    def start(
        self, workflow: str, value: Any = None, *, key: str = "", run_id: str = "", **rest: Any
    ) -> m.StartOutcome:
        partition = partition_of_key("default", workflow, key, PARTITIONS) if key else 0
        run_id = run_id or self.run_id(partition)
        wanted = m.StartRun(run_id, Raw(encode(value)), key=key, watch=True, **rest)
        found = self.ask(Kind.START, partition_of(run_id), [wanted], list[m.StartOutcome], workflow=workflow)
        return found[0] if isinstance(found, list) else m.StartOutcome(run_id, False, found)

    def get(self, run_id: str) -> m.RunView:
        found = self.ask(Kind.GET, partition_of(run_id), m.GetRun(run_id), m.RunView)
        return found

    def output(self, run_id: str) -> Any:
        outcome = self.outcomes[run_id]
        assert outcome.status == "completed", outcome
        return decode(outcome.output)

    # ---- the worker -------------------------------------------------------------------------------------------------

    def hello(
        self, peer: bytes = b"w1", *, held: list[m.TaskRef] | None = None, credit: int = 1000, **rest: Any
    ) -> None:
        kinds = [(name, 1) for name in self.tasks]
        message = m.WorkerHello(rest.pop("token", TOKEN), peer.decode(), kinds, 16, held or [], **rest)
        self.shard.on_worker(peer, [header(Kind.WORKER_HELLO), encode(message)], self.now_ms)
        self.results_seq = 0
        self.blobs.pop(peer, None)
        if credit:
            self.worker_frame(Kind.CREDIT, m.Credit(credit, 1 << 30), peer)

    def worker_frame(self, kind: Kind, body: Any, peer: bytes = b"w1") -> None:
        self.shard.on_worker(peer, [header(kind), encode(body)], self.now_ms)

    def dispatched(self) -> list[m.TaskSpec]:
        """Tasks that were sent to workers and not taken by the test yet."""
        specs: list[m.TaskSpec] = []
        rest = []
        for peer, parts in self.workers:
            if decode_header(parts[0]).kind == Kind.DISPATCH:
                frame = decode(parts[1], type=m.Dispatch)
                unpack(frame.tasks, frame.blobs, self.blobs.setdefault(peer, BlobWindow()))
                specs += frame.tasks
            else:
                rest.append((peer, parts))
        self.workers[:] = rest
        return specs

    def worker_kinds(self) -> list[int]:
        """Kinds of the frames that went to workers, dispatches that were taken excluded."""
        return [decode_header(parts[0]).kind for _, parts in self.workers]

    def work(self, peer: bytes = b"w1") -> int:
        """Run what was dispatched and send the results as one frame."""
        specs = self.dispatched()
        if specs:
            self.results([self.execute(spec) for spec in specs], peer)
        return len(specs)

    def execute(self, spec: m.TaskSpec) -> m.TaskResult:
        self.executions.append((spec.run_id, spec.node_id, spec.activation))
        place = (spec.run_id, spec.node, spec.activation, spec.attempt)
        try:
            value = self.tasks[spec.task](**decode(input_of(spec)))
        except Exception as error:  # noqa: BLE001  what a worker does with errors of tasks
            return m.TaskResult(*place, 1, m.NULL, error_of(error))
        return m.TaskResult(*place, 0, Raw(encode(value)))

    def results(self, results: list[m.TaskResult], peer: bytes = b"w1") -> None:
        self.results_seq += 1
        self.worker_frame(Kind.RESULTS, m.Results(self.results_seq, results), peer)
