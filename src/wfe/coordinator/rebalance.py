"""Moves partitions between running shards, one at a time: `wfe rebalance`.

A state machine: a client's request, frames of shards, ends of shards and time come in. A move: nothing is routed to the
partition any more; its owner is told to YIELD and says HANDED once its store holds all of it and is closed; the new
owner is written into the catalogue, in one commit, and told to ADOPT; when it says ADOPTED, frames are routed there.
A shard that is silent or takes too long holds up nobody but its partition: before the commit that goes back to it,
after it the move is over for whoever asked, and the partition is served once its owner answers or has been replaced.

Invariants: the catalogue alone says who owns a partition, and it changes only after HANDED from the owner's present
process, or not at all; so whatever dies in between, the owner's next process recovers the partition from its store and
its own log. Nothing durable is kept of a rebalance itself: if the server stops, moves not begun are forgotten. No move
begins while a backup is made or shards are asked about definitions, nor the other way round.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Protocol

import msgspec

from wfe.coordinator.balance import plan, weights
from wfe.coordinator.topology import Shard, Topology
from wfe.errors import DataError, DataFull, ProtocolError, RebalanceError, Unavailable, WfeError
from wfe.limits import MOVE_PHASE_MS, MOVE_RESEND_MS, REBALANCE_OUTCOMES_MAX
from wfe.observe import get_logger
from wfe.wire.frames import Kind, header
from wfe.wire.messages import ErrorReply
from wfe.wire.rebalance import Adopt, Adopted, Handed, Move, Rebalance, RebalanceReport, Yield

ID_CHARS_MAX = 64
NEVER = 1 << 62
_encode = msgspec.msgpack.Encoder().encode
_decode_handed = msgspec.msgpack.Decoder(Handed).decode
_decode_adopted = msgspec.msgpack.Decoder(Adopted).decode
_log = get_logger("coordinator")


class Owners(Protocol):
    """What a move does to the catalogue (`journal.catalogue.Catalogue`)."""

    def assign(self, owners: dict[int, int]) -> None: ...

    def next_epoch(self) -> int: ...


class _Job:
    """One request's moves, of which the first that is neither moved nor failed is under way."""

    def __init__(self, id: str, moves: list[Move], now_ms: int) -> None:
        self.id, self.moves, self.begun_ms = id, moves, now_ms
        self.waiting = deque(moves)

    def report(self, phase: str, now_ms: int) -> RebalanceReport:
        return RebalanceReport(self.id, phase, list(self.moves), now_ms - self.begun_ms)


class _Step:
    """The move under way. ``order``: what the shard ``asked`` is told again and again. ``epoch``: for whoever is to
    adopt it, the new owner or, if that cannot be, the old one; ``to``: that one's shard. ``phase_ms``: since when that
    shard, or before that the old owner, is asked."""

    __slots__ = ("asked", "begun_ms", "due_ms", "epoch", "move", "number", "order", "phase_ms", "to")

    def __init__(self, move: Move, epoch: int, now_ms: int) -> None:
        self.move, self.epoch, self.begun_ms = move, epoch, now_ms
        self.number = self.due_ms = self.phase_ms = 0
        self.asked = b""
        self.order: list[bytes] = []
        self.to = move.target


class Rebalancing:
    """``blocked`` says why no move may begin now, or nothing. ``moved`` is called when a partition is served anew,
    ``tell`` when workers are to see that nobody has one."""

    def __init__(
        self,
        *,
        topology: Topology,
        send: Callable[[bytes, list[bytes]], bool],
        owners: Owners,
        blocked: Callable[[], str],
        moved: Callable[[Shard, int, int], None],
        tell: Callable[[int], None],
    ) -> None:
        self._topology, self._send, self._owners = topology, send, owners
        self._blocked, self._moved, self._tell = blocked, moved, tell
        self._job: _Job | None = None
        self._step: _Step | None = None
        self._strays: list[_Step] = []
        """Moves that nobody waits for any more: what is left is that their partition's owner takes it."""
        self._numbers = 0
        self._outcomes: dict[str, RebalanceReport] = {}
        self.stopping = False

    @property
    def active(self) -> bool:
        """Whether partitions are being moved."""
        return self._job is not None

    def weights(self, *, damped: bool = False) -> dict[int, float]:
        """What each partition is to its shard, as shards said last. See `balance.weights`."""
        loads = [load for shard in self._topology.shards if shard.stats for load in shard.stats.partitions]
        return weights(self._topology.partitions, loads, damped=damped)

    # ---- clients ----------------------------------------------------------------------------------------------------

    def request(self, wanted: Rebalance, now_ms: int) -> RebalanceReport:
        """Begins a rebalance, or says how the one with this id goes."""
        if not 1 <= len(wanted.id) <= ID_CHARS_MAX:
            raise ProtocolError(f"the id of a rebalance has 1 to {ID_CHARS_MAX} characters")
        if (outcome := self._outcomes.get(wanted.id)) is not None:
            return outcome
        if self._job is not None and self._job.id == wanted.id:
            return self._job.report("moving", now_ms)
        moves = self._planned(wanted)
        if wanted.dry_run:
            return RebalanceReport(wanted.id, "planned", moves)
        if self._job is not None:
            raise RebalanceError("partitions are being moved already; try again when that is done")
        if reason := self._blocked():
            raise RebalanceError(f"no partition is moved while {reason}; try again when that is done")
        job = self._job = _Job(wanted.id, moves, now_ms)
        _log.info("partitions are moved", moves=len(moves))
        self._next(now_ms)
        return self._outcomes[wanted.id] if self._job is None else job.report("moving", now_ms)

    def _planned(self, wanted: Rebalance) -> list[Move]:
        """The moves that are asked for, or those that even out the load. Partitions that are there already are left."""
        if self.stopping:
            raise Unavailable("the server is shutting down")
        topology = self._topology
        owners = dict(enumerate(topology.owners))
        moves = wanted.moves
        if moves:
            for partition, shard in moves:
                if partition not in owners:
                    raise RebalanceError(f"there is no partition {partition}; this server has {topology.partitions}")
                if not 0 <= shard < len(topology.shards):
                    raise RebalanceError(f"there is no shard {shard}; this server has {len(topology.shards)}")
            if len({partition for partition, _ in moves}) != len(moves):
                raise RebalanceError("a partition is to be moved to several shards")
        else:
            for each in topology.shards:
                if not each.serving:
                    raise Unavailable(f"shard {each.index} does not serve: wait for it, or name the moves")
            moves = plan(owners, range(len(topology.shards)), self.weights())
        return [Move(p, owners[p], target) for p, target in moves if owners[p] != target]

    # ---- moves ------------------------------------------------------------------------------------------------------

    def _next(self, now_ms: int) -> None:
        """Begins the next move that can be made."""
        job = self._job
        while job is not None and self._step is None:
            if not job.waiting:
                self._end(job, now_ms)
                return
            move = job.waiting.popleft()
            try:
                self._begin(move, now_ms)
            except WfeError as error:
                self._fail(move, error)

    def _begin(self, move: Move, now_ms: int) -> None:
        if self.stopping:
            raise Unavailable("the server is shutting down")
        shards = self._topology.shards
        if move.partition in self._topology.held:
            raise Unavailable(f"partition {move.partition} is on its way still, from an earlier move")
        for shard in (shards[move.source], shards[move.target]):
            if not shard.serving or shard.stalled(now_ms):
                raise Unavailable(f"shard {shard.index} does not {'answer' if shard.serving else 'serve'}")
        # Before anybody stops serving: the catalogue may have no room for it.
        step = self._step = _Step(move, self._owners.next_epoch(), now_ms)
        move.state = "leaving"
        self._topology.hold(move.partition)
        self._order(step, shards[move.source], Kind.YIELD, now_ms)

    def _order(self, step: _Step, shard: Shard, kind: Kind, now_ms: int) -> None:
        self._numbers += 1
        step.number, step.asked, step.phase_ms = self._numbers, shard.identity, now_ms
        partition = step.move.partition
        body = Adopt(step.number, partition, step.epoch) if kind is Kind.ADOPT else Yield(step.number, partition)
        step.order = [header(kind), _encode(body)]
        self._say(step, now_ms)

    def _say(self, step: _Step, now_ms: int) -> None:
        step.due_ms = now_ms + MOVE_RESEND_MS
        self._send(step.asked, step.order)

    def on_shard(self, shard: Shard, kind: int, body: bytes, now_ms: int) -> None:
        """HANDED or ADOPTED. Each may come late or again."""
        answer = _decode_handed(body) if kind == Kind.HANDED else _decode_adopted(body)
        for step in self._steps():
            if step.number != answer.number or step.asked != shard.identity:
                continue
            if kind == Kind.HANDED and step is self._step and step.move.state == "leaving":
                self._hand_over(step, now_ms)
            elif kind == Kind.ADOPTED and (step is not self._step or step.move.state == "arriving"):
                self._arrived(step, shard, now_ms)

    def _steps(self) -> list[_Step]:
        return self._strays if self._step is None else [self._step, *self._strays]

    def _hand_over(self, step: _Step, now_ms: int) -> None:
        """Nobody serves the partition and its store holds all of it: it gets its next owner."""
        move, topology = step.move, self._topology
        move.state = "arriving"
        target = topology.shards[move.target]
        try:
            if not target.serving:
                raise Unavailable(f"shard {target.index} ended before it could take partition {move.partition} over")
            self._owners.assign({move.partition: move.target})
        except (DataFull, Unavailable) as error:
            move.error = _reply(error)
            step.to, target = move.source, topology.shards[move.source]
        except DataError as error:
            # Perhaps it is written down, perhaps not, and nothing more can be: only a new start knows whose it is.
            self._step = None
            self._fail(move, error)
            self._next(now_ms)
            return
        self._hand_to(step, target, now_ms)

    def _hand_to(self, step: _Step, shard: Shard, now_ms: int) -> None:
        """The catalogue says that this shard is the owner: it is told to take the partition."""
        self._topology.pass_on(step.move.partition, step.to)
        if step.to == step.move.source:
            self._tell(now_ms)  # else workers would see no change in the end, and never present again what they have
        self._order(step, shard, Kind.ADOPT, now_ms)

    def _arrived(self, step: _Step, shard: Shard, now_ms: int) -> None:
        move = step.move
        self._topology.arrive(move.partition)
        self._over(step, now_ms)
        self._moved(shard, move.partition, now_ms)
        self._next(now_ms)

    def _over(self, step: _Step, now_ms: int) -> None:
        """The partition's owner has it, or will begin with it."""
        if step is self._step:
            self._done(step, now_ms)
        else:
            self._strays.remove(step)
            self._topology.settle(step.move.partition)
            _log.info("a partition is on no way any more", partition=step.move.partition, shard=step.to)

    def _done(self, step: _Step, now_ms: int) -> None:
        move, self._step = step.move, None
        self._topology.settle(move.partition)
        move.held_ms = now_ms - step.begun_ms
        move.state = "moved" if move.error is None else "failed"
        _log.info(
            "a partition has moved" if move.error is None else "a partition could not be moved",
            partition=move.partition, shard=step.to, held_ms=move.held_ms,
        )  # fmt: skip

    def _fail(self, move: Move, error: WfeError) -> None:
        move.state, move.error = "failed", _reply(error)
        _log.warning("a partition is not moved", partition=move.partition, reason=str(error))

    # ---- ends and time ----------------------------------------------------------------------------------------------

    def on_shard_gone(self, index: int, now_ms: int) -> None:
        """A shard's process has ended, and `Topology.ended` knows: its next one has what the catalogue says it owns."""
        for step in list(self._steps()):
            if step is self._step and step.move.state == "leaving":
                if index == step.move.source:
                    self._step = None
                    self._topology.settle(step.move.partition)
                    why = f"shard {index} ended while it wrote partition {step.move.partition} down"
                    self._fail(step.move, RebalanceError(why))
            elif index == step.to:
                self._over(step, now_ms)  # it is the owner: its next process begins with the partition
        self._next(now_ms)

    def on_tick(self, now_ms: int) -> None:
        """Repeats what was not answered, for as long as somebody waits for it or a partition depends on it."""
        step = self._step
        if step is not None and (why := self._hopeless(step, now_ms)):
            self._give_up(step, why, now_ms)
        for step in self._steps():
            if now_ms >= step.due_ms:
                self._say(step, now_ms)

    def _hopeless(self, step: _Step, now_ms: int) -> str:
        """Why nobody should wait for this move any longer, or nothing."""
        index = step.move.source if step.move.state == "leaving" else step.to
        if self._topology.shards[index].stalled(now_ms):
            return f"shard {index} does not answer"
        if now_ms - step.phase_ms >= MOVE_PHASE_MS:
            return f"shard {index} is not done within {MOVE_PHASE_MS // 1_000} s"
        return ""

    def _give_up(self, step: _Step, why: str, now_ms: int) -> None:
        """Before the new owner is written down the partition goes back; afterwards it is the new one's, whenever that
        can serve it. Either way the next move can begin: the shards go on hearing what to do with this one."""
        move, number = step.move, step.move.partition
        self._step = None
        self._strays.append(step)
        if move.state == "leaving":
            step.to = move.source
            self._fail(move, Unavailable(f"{why}: partition {number} stays with it"))
            self._hand_to(step, self._topology.shards[move.source], now_ms)
        elif step.to == move.source:
            self._fail(move, Unavailable(f"{why}: partition {number}, which could not be moved, goes back to it"))
        else:
            self._fail(move, Unavailable(f"{why}: partition {number} is its now, and is served once it does"))
            move.state = "unserved"
        move.held_ms = now_ms - step.begun_ms
        self._next(now_ms)

    def stop(self, now_ms: int) -> None:
        """The server shuts down: each shard leaves with what the catalogue says it owns."""
        self.stopping = True
        step, self._step = self._step, None
        self._strays.clear()
        if step is not None:
            self._fail(step.move, Unavailable("the server is shutting down"))
        self._next(now_ms)

    def _end(self, job: _Job, now_ms: int) -> None:
        self._job = None
        self._outcomes[job.id] = job.report("done", now_ms)
        while len(self._outcomes) > REBALANCE_OUTCOMES_MAX:
            del self._outcomes[next(iter(self._outcomes))]


def _reply(error: WfeError) -> ErrorReply:
    return ErrorReply(error.code, str(error))
