"""Planted bugs: each replaces one production function by one that is subtly wrong. The simulation must notice.

``python tests/sim/mutants.py [--jobs N] [--seed N] [--only WORDS]`` tries all of them, or those whose names hold these
words, from this seed on, and says which were missed. In which worlds a bug can be seen at all says `mutants_worlds`.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from functools import partial
from itertools import islice
from multiprocessing import get_context
from typing import Any

from msgspec import Raw, structs
from mutants_durable import durable_patches
from mutants_expiry import expiry_patches
from mutants_kinds import kind_patches
from mutants_lines import line_patches
from mutants_moves import move_patches
from mutants_pools import pool_patches
from mutants_worlds import WHERE, seeds
from planting import always, around, no_match, nothing

from wfe.coordinator.peers import Commands
from wfe.coordinator.routing import FrontDoor
from wfe.core import advance, decide, evolve, faults
from wfe.core.nodes import blocks
from wfe.journal.log import ShardLog
from wfe.model.state import ENDED
from wfe.partition.entry import Entry
from wfe.partition.partition import Partition
from wfe.shard import checkpoints, loading, mailroom, recovery, run_rows, starts, workers
from wfe.shard import dispatch as dispatching
from wfe.shard.actor import Shard
from wfe.shard.links import Link
from wfe.sim.simulation import simulate
from wfe.wire.blobs import BlobWindow
from wfe.worker.actor import WorkerActor
from wfe.worker.credit import Order

SEEDS = 100
STEPS = 2_000
LEAST_CAUGHT = 0.95


# ---- commit, then act -----------------------------------------------------------------------------------------------


def _reply_first(commit: Any, shard: Shard, now_ms: int) -> Any:
    shard._leave()
    return commit(shard, now_ms)


def _dispatch_first(commit: Any, shard: Shard, now_ms: int) -> Any:
    shard.workers.after_commit(now_ms)
    return commit(shard, now_ms)


def _lose_batch(append: Any, log: ShardLog, chunks: Any) -> Any:
    return append(log, chunks[:-1] or chunks)


# ---- recovery and checkpoints ---------------------------------------------------------------------------------------


def _trim_too_far(trim: Any, self: checkpoints.Checkpoints) -> None:
    trim(self)
    self._core.disk.log.trim(self._core.disk.log.position)


def _snapshot_short(snapshot: Any, entry: Entry) -> bytes:
    entry.run.seq -= 1
    try:
        return snapshot(entry)  # type: ignore[no-any-return]
    finally:
        entry.run.seq += 1


def _forgets_batch(on_written: Any, self: Any, token: Any, error: Any, now_ms: int) -> None:
    kept = [(entry, entry.events) for entry, _ in token.entries]
    for entry, _ in kept:
        entry.events = []
    try:
        on_written(self, token, error, now_ms)
    finally:
        for entry, events in kept:
            entry.events = events


def _retries_lost(rebuild: Any, *arguments: Any) -> Any:
    state = rebuild(*arguments)
    state.failures.clear()
    return state


def _no_timers(arm: Any, self: Any, entry: Entry) -> None:
    kept, entry.run.timers = entry.run.timers, {}
    arm(self, entry)
    entry.run.timers = kept


def _chunk_short(open_run_ops: Any, row: Any, snapshot: bytes, chunks: Any) -> Any:
    return open_run_ops(row, snapshot, chunks[:-1])


# ---- deduplication --------------------------------------------------------------------------------------------------


def _stale_counts(task_result: Any, turn: Any, key: int, attempt: int, *rest: Any) -> Any:
    return task_result(turn, key, turn.run.open.get(key, attempt), *rest)


def _always_new(known_or_new: Any, self: Any, partition: Any, compiled: Any, wanted: Any, *rest: Any) -> None:
    *others, _found, now_ms = rest
    known_or_new(self, partition, compiled, wanted, *others, None, now_ms)


def _no_keys(
    key: Any, self: Any, partition: Any, namespace: str, workflow: str, name: str, then: Any, now: int
) -> None:
    then(None, now)


def _signals_again(signal: Any, turn: Any, name: str, payload: Raw, event_id: str) -> None:
    turn.run.commands.clear()
    signal(turn, name, payload, event_id)


def _mail_twice(accept: Any, record: Any, sender: int, seq: int) -> Any:
    return accept(record, sender, seq) or (True if seq == record.taken.get(sender) else accept(record, sender, seq))


def _mail_gap(accept: Any, record: Any, sender: int, seq: int) -> Any:
    verdict = accept(record, sender, seq)
    return True if verdict is None else verdict


def _settles_next(settle: Any, record: Any, receiver: int, seq: int) -> Any:
    return settle(record, receiver, seq + 1)


def _hello_keeps_acks(on_hello: Any, self: Any, peer: bytes, *rest: Any) -> None:
    owed = self._acks.get(peer)
    on_hello(self, peer, *rest)
    if owed is not None:
        self._acks[peer] = owed


def _dispatch_twice(on_dispatch: Any, self: WorkerActor, shard: Any, dispatch: Any, now_ms: int) -> None:
    shard.dispatch_seq = dispatch.seq - 1
    on_dispatch(self, shard, dispatch, now_ms)


# ---- liveness -------------------------------------------------------------------------------------------------------


def _no_ops(original: Any, *arguments: Any, **named: Any) -> list[Any]:
    return []


def _forgets_blob(add: Any, window: Any, name: bytes, size_bytes: int, content: Any) -> None:
    add(window, name, size_bytes, content)
    if content is not None and name[0] % 4 == 0:
        window.kept.pop(name)


def _never_recalls(plan: Any, *arguments: Any) -> list[Order]:
    return [Order(order.tasks, order.bytes) for order in plan(*arguments)]


def _keeps_leases(drop: Any, self: Any, link: Link, now_ms: int, *, spent: bool) -> None:
    link.held, link.unconfirmed = {}, {}
    drop(self, link, now_ms, spent=spent)


# ---- what a run means -----------------------------------------------------------------------------------------------


def _joins_early(complete: Any, run: Any, plan: Any, act: int, node: int, value: Any, enabled: Any) -> None:
    place = plan.nodes[node]
    frame = run.frames.get(act)
    if plan.scopes[place.scope].framed and place.last and frame.pending[place.block] == 2:
        frame.pending[place.block] = 1
    complete(run, plan, act, node, value, enabled)


def _one_more_attempt(delay: Any, policy: Any, failures: int, *rest: Any) -> Any:
    return delay(policy, failures - 1, *rest)


def _no_delay(delay: Any, *arguments: Any) -> Any:
    return None if delay(*arguments) is None else 0


def _reversed(map_value: Any, node: Any, group: Any) -> Any:
    results = dict(zip(group.results, reversed(list(group.results.values())), strict=True))
    return map_value(node, structs.replace(group, results=results))


def _negated(evaluate: Any, *arguments: Any) -> Any:
    value = evaluate(*arguments)
    return not value if isinstance(value, bool) else value


def _late_timer(timer_due: Any, turn: Any, timer: int) -> Any:
    return turn.run.timers.pop(timer, None) is not None


def _early(opening: Any, turn: Any, act: int, node: Any, sleep: Any) -> int:
    return turn.now_ms + (opening(turn, act, node, sleep) - turn.now_ms) // 2


def _constant_input(splice: Any, *arguments: Any) -> Raw:
    return Raw(b"\x81\xa1x\x07")


def _finishes_twice(end_run: Any, turn: Any, status: str, **named: Any) -> None:
    end_run(turn, status, **named)
    if status in ENDED and turn.run.seq % 7 == 0:
        end_run(turn, status, **named)


def _ignores_cancel(control: Any, turn: Any, action: str, command_id: str) -> None:
    if action != "cancel":
        control(turn, action, command_id)


def _commands_again(once: Any, self: Any, peer: Any, *rest: Any) -> Any:
    peer.changes.clear()
    self._commands = Commands()
    return once(self, peer, *rest)


def _patches() -> dict[str, Any]:
    rooms = durable_patches() | expiry_patches() | kind_patches() | line_patches() | move_patches() | pool_patches()
    return _engine_patches() | rooms


def _engine_patches() -> dict[str, Any]:
    from wfe.core.nodes import waits
    from wfe.worker import actor as worker_actor

    shard_workers = workers.Workers
    return {
        "replies leave before the commit": around(Shard, "commit", _reply_first),
        "tasks leave before the commit": around(Shard, "commit", _dispatch_first),
        "a chunk of a batch is not written": around(ShardLog, "append", _lose_batch),
        "the log is trimmed too far": around(checkpoints.Checkpoints, "_trim", _trim_too_far),
        "a snapshot is one event short": around(Entry, "snapshot", _snapshot_short),
        "a run leaves memory in the middle of a batch": around(checkpoints.Checkpoints, "on_written", _forgets_batch),
        "retry counters are lost when a run is loaded": around(loading, "rebuild", _retries_lost),
        "timers are lost in a restart": around(recovery.Recovery, "_arm", _no_timers),
        "history lacks its last chunk": around(run_rows, "open_run_ops", _chunk_short),
        "keys are not stored": around(checkpoints, "key_ops", _no_ops),
        "definitions are not stored": around(checkpoints, "definition_ops", _no_ops),
        "large values are not stored": around(run_rows, "blob_ops", _no_ops),
        "a worker has other large values than its shard thinks": around(BlobWindow, "add", _forgets_blob),
        "ended runs are not stored": around(run_rows, "ended_run_ops", _no_ops),
        "partition records are not stored": around(checkpoints, "record_ops", _no_ops),
        "results of other attempts count": around(decide, "task_result", _stale_counts),
        "a repeated start starts again": around(starts.Starts, "_known_or_new", _always_new),
        "keys name nothing": around(loading.Loader, "key", _no_keys),
        "commands on definitions count again": around(FrontDoor, "_once", _commands_again),
        "signals count twice": around(decide, "signal", _signals_again),
        "signals are acknowledged and dropped": around(decide, "signal", nothing),
        "a cancel is acknowledged and dropped": around(decide, "control", _ignores_cancel),
        "mail is taken twice": around(mailroom, "accept_mail", _mail_twice),
        "mail is taken out of order": around(mailroom, "accept_mail", _mail_gap),
        "mail is never sent again": around(mailroom.Mailroom, "on_tick", nothing),
        "mail is forgotten before it is taken": around(mailroom, "settle_mail", _settles_next),
        "results are acknowledged before they are decided": around(
            Link, "booked_seq", lambda original, link: link.results_seq
        ),
        "an old acknowledgement follows a hello": around(shard_workers, "_on_hello", _hello_keeps_acks),
        "workers take a dispatch twice": around(WorkerActor, "_on_dispatch", _dispatch_twice),
        "leases never expire": around(shard_workers, "_drop", _keeps_leases),
        "credit is never called back": around(worker_actor, "plan", _never_recalls),
        "a block ends one node early": around(evolve, "complete", _joins_early),
        "one attempt too many": around(decide, "retry_delay_ms", _one_more_attempt),
        "retries do not wait": around(decide, "retry_delay_ms", _no_delay),
        "results of a map change places": around(evolve, "map_value", _reversed),
        "the wrong arm of a choice": around(blocks, "evaluate_truth", _negated),
        "the wrong side of an if": around(advance, "evaluate_truth", always),
        "a catch takes every error": around(faults, "_takes", always),
        "a catch takes no error": around(faults, "_takes", no_match),
        "a map tolerates every failure": around(faults, "_tolerated", always),
        "timers fire without effect": around(decide, "timer_due", _late_timer),
        "a sleep is half as long": around(waits, "_due", _early),
        "tasks get another input": around(dispatching, "splice", _constant_input),
        "a run ends twice": around(faults, "end_run", _finishes_twice),
        "ended runs are forgotten at once": around(Partition, "remember_ended", nothing),
    }


MUTANTS = tuple(_patches())
assert set(WHERE) <= set(MUTANTS), "worlds of bugs that are none"


@contextmanager
def planted(name: str) -> Iterator[None]:
    """Production code with this bug."""
    with _patches()[name]:
        yield


def caught_by(name: str, first: int = 0) -> tuple[int, str]:
    """The first seed that notices the bug, and what it says; -1: none of them does."""
    with planted(name):
        for seed in islice(seeds(name, first), SEEDS):
            outcome = simulate(seed, STEPS, live_steps=60_000)
            if not outcome.ok:
                return seed, outcome.failure
    return -1, ""


def main(jobs: int, first: int, words: str) -> int:
    begun_s = time.perf_counter()
    missed = []
    names = [name for name in MUTANTS if words in name]
    with ProcessPoolExecutor(jobs, mp_context=get_context("spawn")) as pool:
        for name, (seed, failure) in zip(names, pool.map(partial(caught_by, first=first), names), strict=True):
            print(f"{'missed' if seed < 0 else f'seed {seed}':>8}  {name}  {failure[:100]}", flush=True)
            if seed < 0:
                missed.append(name)
    share = 1 - len(missed) / len(names)
    print(f"{len(names)} mutants, {share:.1%} caught in {time.perf_counter() - begun_s:.0f} s; missed: {missed}")
    return 0 if share >= LEAST_CAUGHT else 1


def _parsed() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Plants known bugs and says which the simulation misses.")
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", default="")
    return parser.parse_args()


if __name__ == "__main__":
    asked = _parsed()
    sys.exit(main(asked.jobs, asked.seed, asked.only))
