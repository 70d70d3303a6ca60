"""Links to workers: hello, credit, leases; what they end is taken by `results`, what they get is given by `dispatch`.

A lease is memory. Its fence is the attempt number: a result counts only for the open attempt. What a worker does not
hold after a new hello, or what it held when it was lost, is given out again under a new attempt number.
"""

from __future__ import annotations

import hmac
from collections.abc import Callable
from typing import Any

import msgspec

from wfe.errors import ProtocolError, Unauthorized, WfeError
from wfe.limits import CREDIT_TASKS_MAX, FRAME_MESSAGES_MAX, FRAME_MESSAGES_REFUSED, HEARTBEAT_MS, TASK_INPUT_BYTES_MAX
from wfe.model.command import TaskEnded
from wfe.model.malformed import MALFORMED
from wfe.model.policy import ErrorInfo
from wfe.observe import get_logger
from wfe.partition.entry import Entry, Lease
from wfe.shard.core import ShardCore, encode, error_reply
from wfe.shard.dispatch import Dispatcher
from wfe.shard.durable import runs_once
from wfe.shard.links import Link, believable, loss_of, nothing, place_of
from wfe.shard.loading import Loader
from wfe.shard.results import ResultTaker
from wfe.shard.turns import Turns
from wfe.wire.frames import Kind, decode_header, header
from wfe.wire.lending import Grants
from wfe.wire.messages import (
    Ack,
    Credit,
    KnownWorkers,
    Results,
    TaskRef,
    WorkerHeartbeat,
    WorkerHello,
    WorkerWelcome,
)

_log = get_logger("shard")
_RESULTS_ACK = header(Kind.RESULTS_ACK)


class Workers:
    """All workers of this shard."""

    def __init__(self, core: ShardCore, loader: Loader) -> None:
        self._core = core
        self._loader = loader
        self.turns = Turns(core, self.withdrawn)
        self._dispatcher = Dispatcher(core, self.turns)
        self.links: dict[bytes, Link] = {}
        self._by_worker: dict[str, Link] = {}
        self._acks = self._dispatcher.acks
        self._results = ResultTaker(core, loader, self.turns, self.links, self._by_worker, self._acks)
        self._cancels: dict[bytes, list[TaskRef]] = {}
        self._tick_ms = 0
        self.hellos: set[str] = set()
        """Workers that presented all they had since this shard's start: hello, then results, then credit."""
        self.kinds: dict[int, tuple[Any, Callable[[Link, Any, int], None]]] = {
            Kind.CREDIT: (msgspec.msgpack.Decoder(Credit).decode, self._on_credit),
            Kind.RESULTS: (msgspec.msgpack.Decoder(Results).decode, self._on_results),
            Kind.HEARTBEAT: (msgspec.msgpack.Decoder(WorkerHeartbeat).decode, self._on_heartbeat),
            Kind.RECALL: (nothing, self._on_recall),
            Kind.BYE: (nothing, self._on_bye),
            Kind.GRANT: (msgspec.msgpack.Decoder(Grants).decode, self.turns.pools.on_grant),
        }
        self._decode_hello = msgspec.msgpack.Decoder(WorkerHello).decode

    # ---- frames -----------------------------------------------------------------------------------------------------

    def on_frame(self, peer: bytes, parts: list[bytes], now_ms: int) -> None:
        """A frame from a worker. Malformed ones are answered and change nothing."""
        send = self._core.workers.send
        try:
            if len(parts) != 2:
                raise ProtocolError(f"a frame has a header and a body, not {len(parts)} parts")
            head = decode_header(parts[0])
            kind = head.kind
            if kind == Kind.WORKER_HELLO:
                self._on_hello(peer, head.request, self._decode_hello(parts[1]), now_ms)
                return
            link = self.links.get(peer)
            if link is None:
                send(peer, [header(Kind.REJECT), encode(None)])
                return
            if kind not in self.kinds:
                raise ProtocolError(f"a shard takes no frame of kind {kind} from a worker")
            decode, handler = self.kinds[kind]
            message = decode(parts[1])
        except MALFORMED as error:
            self._complain(peer, ProtocolError(f"malformed body: {error}"))
            return
        except WfeError as error:
            self._complain(peer, error)
            return
        link.heard_ms = now_ms
        handler(link, message, now_ms)

    def _complain(self, peer: bytes, error: WfeError) -> None:
        self._core.counters["worker_frames_refused"] += 1
        self._core.workers.send(peer, [header(Kind.ERROR), encode(error_reply(error))])

    def _on_hello(self, peer: bytes, request: int, hello: WorkerHello, now_ms: int) -> None:
        settings = self._core.settings
        if not hmac.compare_digest(hello.token.encode(), settings.token.encode()):
            error = error_reply(Unauthorized("wrong token: set WFE_TOKEN, or use the account that started the server"))
            welcome = WorkerWelcome(settings.epoch, settings.lease_ms, error)
            self._core.workers.send(peer, [header(Kind.WORKER_WELCOME, -1, request), encode(welcome)])
            return
        link = Link(peer, hello, now_ms)
        other = self.links.get(peer)
        if other is not None and other.worker != hello.worker:
            self._drop(other, now_ms, spent=True)  # whoever it was, nobody would miss it any more
        known = self._by_worker.pop(hello.worker, None)
        if known is not None:
            self.links.pop(known.peer, None)
            self.turns.pools.forget(known)
            link.unconfirmed = known.held | known.unconfirmed
        self._acks.pop(peer, None)  # it numbers the frames of a conversation that is over
        self.links[peer] = link
        self._by_worker[hello.worker] = link
        self.turns.homes.add(link)
        self.turns.pools.join(link)
        for ref in hello.held:
            self._claim(link, ref, now_ms)
        welcome = WorkerWelcome(settings.epoch, settings.lease_ms)
        self._core.workers.send(peer, [header(Kind.WORKER_WELCOME, -1, request), encode(welcome)])

    def _claim(self, link: Link, ref: TaskRef, now_ms: int) -> None:
        """A worker holds an attempt: lease it to that worker, or tell it that the attempt no longer counts."""
        partition = self._core.partition_for(ref.run_id)
        if partition is None:
            return

        def claim(found: object, later_ms: int) -> None:
            if self.links.get(link.peer) is not link:
                return
            if isinstance(found, Entry):
                key = place_of(found, ref)
                lease = found.leases.get(key)
                if found.run.open.get(key) == ref.attempt and (lease is None or lease.worker == link.worker):
                    if lease is None:
                        lease = found.leases[key] = Lease(found, key, ref.attempt, link.worker, later_ms)
                    link.unconfirmed.pop(lease, None)
                    link.held[lease] = None
                    return
            self._core.counters["claims_stale"] += 1
            self._cancels.setdefault(link.peer, []).append(ref)

        self._loader.run(partition, ref.run_id, claim, now_ms)

    def _on_credit(self, link: Link, credit: Credit, now_ms: int) -> None:
        if not believable(credit):
            self._complain(
                link.peer, ProtocolError(f"nobody lends credit of {credit.tasks} tasks, {credit.bytes} bytes")
            )
            return
        self._presented(link, now_ms)
        link.credit_tasks = min(link.credit_tasks + credit.tasks, CREDIT_TASKS_MAX)  # what is above it was told twice
        link.credit_bytes += credit.bytes
        link.told_ready = False

    def _presented(self, link: Link, now_ms: int) -> None:
        """The worker has presented all it has: what it did not name never reached it, or was lost on the way."""
        if not link.stale:
            self.hellos.add(link.worker)
        if not link.unconfirmed:
            return
        lost, link.unconfirmed = link.unconfirmed, {}
        for lease in lost:
            self._lost(lease, now_ms, spent=False)

    def _on_heartbeat(self, link: Link, beat: WorkerHeartbeat, now_ms: int) -> None:
        for task in beat.beats:
            lease = self._lease(task.ref)
            if lease is not None and lease.worker == link.worker:
                lease.previous = task.details.copy()
        self._presented(link, now_ms)  # one that wants no more work lends no credit
        self._dispatcher.tell_load(link)

    def _lease(self, ref: TaskRef) -> Lease | None:
        partition = self._core.partition_for(ref.run_id)
        entry = partition.entries.get(ref.run_id) if partition is not None else None
        if entry is None:
            return None
        lease = entry.leases.get(place_of(entry, ref))
        return lease if lease is not None and lease.attempt == ref.attempt else None

    def _on_recall(self, link: Link, _: object, now_ms: int) -> None:
        unused = Credit(link.credit_tasks, link.credit_bytes)
        link.credit_tasks = link.credit_bytes = 0
        self._core.workers.send(link.peer, [header(Kind.RETURNED), encode(unused)])

    def _on_bye(self, link: Link, _: object, now_ms: int) -> None:
        self._drop(link, now_ms, spent=False)

    # ---- results ----------------------------------------------------------------------------------------------------

    def _on_results(self, link: Link, message: Results, now_ms: int) -> None:
        if len(message.results) > FRAME_MESSAGES_REFUSED:
            self._complain(link.peer, ProtocolError(f"{len(message.results)} results in one frame"))
            return
        self._results.take(link, message, now_ms)

    @property
    def has_unsent(self) -> bool:
        """Whether there are tasks that could not be sent yet, or never can: the next batch says so."""
        return bool(self._dispatcher.oversize or self._dispatcher.unmarked)

    def settle_unsent(self, now_ms: int) -> None:
        """What must not run twice is written down before it leaves; what fits into no frame (arguments may each be
        small enough, but not together) fails."""
        self._dispatcher.mark(now_ms)
        tasks, self._dispatcher.oversize = self._dispatcher.oversize, []
        message = f"the arguments have more than {TASK_INPUT_BYTES_MAX} bytes together: pass paths or URLs instead"
        error = ErrorInfo("PayloadTooLarge", message, types=("PayloadTooLarge",), fatal=True)
        for entry, key, attempt in tasks:
            self.turns.apply(entry, now_ms, TaskEnded(key, attempt, 1, error=error))

    # ---- leases -----------------------------------------------------------------------------------------------------

    def withdrawn(self, lease: Lease) -> None:
        """An attempt no longer counts: tell the worker to stop it."""
        link = self._by_worker.get(lease.worker)
        if link is None:
            return
        link.held.pop(lease, None)
        link.unconfirmed.pop(lease, None)
        act, node = divmod(lease.key, lease.entry.plan.stride)
        ref = TaskRef(lease.entry.run.id, node, act, lease.attempt)
        self._cancels.setdefault(link.peer, []).append(ref)

    def _lost(self, lease: Lease, now_ms: int, *, spent: bool) -> None:
        """An attempt was lost with its worker."""
        entry, key = lease.entry, lease.key
        if entry.leases.get(key) is not lease:
            return
        del entry.leases[key]
        self._core.counters["tasks_lost" if spent else "tasks_returned"] += 1
        if spent and entry.run.trace:
            self._core.traces.attempt_lost(lease, now_ms)
        self.turns.apply(entry, now_ms, loss_of(lease, now_ms, spent=spent))

    def _drop(self, link: Link, now_ms: int, *, spent: bool) -> None:
        """A worker is gone. Those of its tasks that it had begun count as lost: the oldest, as many as it has slots."""
        self.links.pop(link.peer, None)
        if self._by_worker.get(link.worker) is link:
            del self._by_worker[link.worker]
        self.hellos.discard(link.worker)
        self._dispatcher.forget(link)
        self.turns.homes.remove(link.worker)
        self._acks.pop(link.peer, None)
        self._cancels.pop(link.peer, None)
        leases = [*link.unconfirmed, *link.held]
        for position, lease in enumerate(leases):
            # What must not run twice may have begun, whatever its position: coroutines are not bound by slots.
            self._lost(lease, now_ms, spent=(spent and position < link.slots) or runs_once(lease))

    def on_known_workers(self, known: KnownWorkers, now_ms: int) -> None:
        """The coordinator saw processes end."""
        for worker in known.gone:
            link = self._by_worker.get(worker)
            if link is not None:
                _log.warning("a worker is gone, its tasks are given out again", worker=worker, tasks=len(link.held))
                self._drop(link, now_ms, spent=True)

    def on_tick(self, now_ms: int) -> None:
        """Workers that were silent for longer than the lease have lost their tasks."""
        if now_ms - self._tick_ms < HEARTBEAT_MS // 4:
            return
        self._tick_ms = now_ms
        self.turns.homes.look()
        self.turns.pools.look()
        lease_ms = self._core.settings.lease_ms
        for link in list(self.links.values()):
            if now_ms - link.heard_ms > lease_ms:
                _log.warning("a worker was silent for too long, its tasks are given out again", worker=link.worker)
                self._drop(link, now_ms, spent=True)

    def renew(self, now_ms: int) -> None:
        """This process stood still itself: nobody's silence can be held against him."""
        for link in self.links.values():
            link.heard_ms = now_ms

    # ---- after the commit -------------------------------------------------------------------------------------------

    def after_commit(self, now_ms: int) -> None:
        """Send acknowledgements, cancellations and tasks."""
        send = self._core.workers.send
        if self._cancels:
            for peer, refs in self._cancels.items():
                for first in range(0, len(refs), FRAME_MESSAGES_MAX):
                    send(peer, [header(Kind.CANCEL_TASKS), encode(refs[first : first + FRAME_MESSAGES_MAX])])
            self._cancels.clear()
        if self._core.ready.size or self.turns.pools.has_grants:
            self._dispatcher.run(self.links.values(), now_ms)
        if self._acks:
            for peer, seq in self._acks.items():
                send(peer, [_RESULTS_ACK, encode(Ack(seq))])
            self._acks.clear()
