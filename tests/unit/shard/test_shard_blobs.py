"""Large values at a shard: written once, sent once to a worker, back after a crash, gone when nothing needs them."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from support.shards import Host, decode, encode
from wfe.journal import schema
from wfe.journal.rows import blob_ops
from wfe.journal.verify import verify_store
from wfe.limits import BLOB_BYTES_MIN, BLOB_WINDOW_BYTES, MIB, TASK_INPUT_BYTES_MAX
from wfe.model.blob import name_of
from wfe.model.definition import Definition, Loop, Map, Set, SubWorkflow, Task, WaitSignal
from wfe.model.ids import partition_of
from wfe.ports import Op
from wfe.wire import messages as m
from wfe.wire.blobs import BlobWindow
from wfe.wire.frames import Kind, decode_header
from wfe.wire.rounds import ForkRun, RetryRun

DOC = "d" * MIB
TASKS: dict[str, Any] = {
    "size": lambda doc, **_: len(doc),
    "echo": lambda doc: doc,
    "make": lambda n: f"{n}:" * BLOB_BYTES_MIN,
}


def fan_out(count: int) -> Definition:
    body = (Task(id="t", task="size", with_={"doc": "${doc}"}),)
    nodes = (Map(id="m", items=str(count), do=body, max_parallel=count),)
    return Definition("fan", params={"doc": {}}, nodes=nodes, output="${size(m)}")


def host(*definitions: Definition, credit: int = 1_000, partitions: list[int] | None = None) -> Host:
    shard = Host(*definitions, tasks=TASKS, partitions=partitions or [0])
    shard.hello(credit=credit)
    return shard


def rows(shard: Host, table: int) -> list[tuple[bytes, bytes]]:
    return shard.disk.store("p0").range(table, b"", None, limit=10_000)


class Counting(list[Any]):
    """A socket that counts bytes."""

    size = 0
    blobs = 0

    def send(self, peer: bytes, parts: list[bytes]) -> bool:
        self.size += sum(map(len, parts))
        if decode_header(parts[0]).kind == Kind.DISPATCH:
            self.blobs += len(decode(parts[1], type=m.Dispatch).blobs)
        self.append((peer, parts))
        return True


def test_a_thousand_tasks_with_one_value_write_and_send_it_once():
    shard = host(fan_out(1_000))
    counting = shard.workers = shard.shard.core.workers = Counting()  # type: ignore[assignment]
    run_id = shard.start("fan", DOC).run_id
    shard.settle()
    assert decode(shard.outcomes[run_id].output) == 1_000
    assert counting.blobs == 1
    assert counting.size < 2 * len(DOC)
    assert shard.shard.core.counters["log_bytes"] < 2 * len(DOC)


def test_a_worker_that_says_hello_anew_is_sent_it_anew():
    shard = host(fan_out(3), credit=1)
    counting = shard.workers = shard.shard.core.workers = Counting()  # type: ignore[assignment]
    shard.start("fan", DOC)
    shard.turn()
    (first,) = shard.dispatched()
    shard.results([shard.execute(first)])
    shard.hello(credit=1)
    shard.turn()
    assert counting.blobs == 2
    assert len(shard.dispatched()) == 1


@pytest.mark.parametrize("stored", [False, True])
def test_after_a_crash_large_values_are_there(stored: bool):
    nodes = (
        Set(id="kept", value={"doc": "${doc}", "n": 1}),
        WaitSignal(id="s", signal="go"),
        Task(id="t", task="size", with_={"doc": "${kept.doc}"}),
    )
    shard = host(Definition("w", params={"doc": {}}, nodes=nodes, output={"size": "${t}", "doc": "${kept.doc}"}))
    run_id = shard.start("w", DOC).run_id
    shard.settle()
    if stored:
        shard.checkpoint()
        assert len(rows(shard, schema.BLOBS)) == 1
        assert sum(len(value) for _, value in rows(shard, schema.SNAPSHOTS)) < 2_000
    shard.crash()
    assert shard.disk_is_sound()
    assert decode(shard.get(run_id).input) == DOC
    shard.hello()
    shard.ask(Kind.SIGNAL, partition_of(run_id), m.SignalRun(run_id, "go", Raw(encode(None)), "e1"))
    shard.settle()
    assert decode(shard.get(run_id).output) == {"size": len(DOC), "doc": DOC}
    shard.checkpoint()
    shard.crash()
    assert decode(shard.get(run_id).output) == {"size": len(DOC), "doc": DOC}
    assert shard.disk_is_sound()


def test_a_run_that_left_memory_comes_back_with_its_large_values():
    nodes = (WaitSignal(id="s", signal="go"), Task(id="t", task="size", with_={"doc": "${doc}"}))
    shard = host(Definition("w", params={"doc": {}}, nodes=nodes, output="${t}"))
    shard.shard.core.settings.live_runs_max = 0
    run_id = shard.start("w", DOC).run_id
    shard.shard.core.watchers.pop(run_id)
    shard.settle()
    shard.checkpoint()
    assert run_id not in shard.shard.core.partitions[0].entries
    shard.ask(Kind.SIGNAL, partition_of(run_id), m.SignalRun(run_id, "go", Raw(encode(None)), "e1"))
    shard.settle()
    assert decode(shard.get(run_id).output) == len(DOC)


def test_what_nothing_refers_to_leaves_memory_and_disk():
    body = (
        Task(id="t", task="make", with_={"n": "${item}"}),
        Set(id="s", value="${size(t)}"),
        WaitSignal(id="g", signal="go"),
    )
    nodes = (Loop(id="l", items="[1,2,3,4]", do=body),)
    shard = host(Definition("w", params={"n": {}}, nodes=nodes, output="done"))
    run_id = shard.start("w", 1).run_id
    for event in range(4):
        shard.settle()
        shard.checkpoint()
        assert len(rows(shard, schema.BLOBS)) == 1
        assert len(shard.shard.core.partitions[0].entries[run_id].run.blobs) == 1
        assert shard.disk_is_sound()
        shard.ask(Kind.SIGNAL, 0, m.SignalRun(run_id, "go", Raw(encode(None)), f"e{event}"))
    shard.settle()
    shard.checkpoint()
    assert rows(shard, schema.BLOBS) == []
    assert shard.disk_is_sound()


def test_a_large_value_is_not_written_again_with_every_snapshot():
    body = (Task(id="t", task="size", with_={"doc": "${doc}"}), WaitSignal(id="g", signal="go"))
    nodes = (Loop(id="l", items="[1,2,3,4,5,6,7,8]", do=body),)
    shard = host(Definition("w", params={"doc": {}}, nodes=nodes))
    run_id = shard.start("w", DOC).run_id
    shard.settle()
    shard.checkpoint()
    written: list[Op] = []
    submit = shard.writer.submit

    def watch(partition: int, ops: list[Op], token: object) -> None:
        written.extend(ops)
        submit(partition, ops, token)

    shard.writer.submit = watch  # type: ignore[method-assign]
    for event in range(7):
        shard.ask(Kind.SIGNAL, 0, m.SignalRun(run_id, "go", Raw(encode(None)), f"e{event}"))
        shard.settle()
        shard.checkpoint()
    assert len(written) >= 14
    assert sum(len(op.value or b"") for op in written) < MIB // 10


def test_children_get_the_value_itself():
    child = Definition(
        "child", params={"doc": {}}, nodes=(Task(id="t", task="echo", with_={"doc": "${doc}"}),), output="${t}"
    )
    node = SubWorkflow(id="sub", workflow="child", with_={"doc": "${doc}"})
    parent = Definition("parent", params={"doc": {}}, nodes=(node,), output="${sub}")
    shard = host(parent, child, partitions=[0, 1, 2, 3])
    run_id = shard.start("parent", DOC).run_id
    shard.settle()
    assert decode(shard.outcomes[run_id].output) == DOC


def test_the_history_names_large_values():
    nodes = (Task(id="t", task="size", with_={"doc": "${doc}", "n": "${1 + 1}"}),)
    shard = host(Definition("w", params={"doc": {}}, nodes=nodes))
    run_id = shard.start("w", DOC).run_id
    shard.settle()
    page = shard.ask(Kind.HISTORY, 0, m.HistoryQuery(run_id, 1, 100), m.HistoryPage)
    opened = next(event for event in page.events if event.type == "TaskOpenedWith")
    given = decode(opened.data)["input"]
    assert given["doc"] == {"blob": name_of(encode(DOC))[:16].hex(), "size_bytes": len(encode(DOC))}


def test_arguments_that_are_too_large_together_fail_although_each_travels_by_reference():
    count = TASK_INPUT_BYTES_MAX // len(DOC) + 1
    names = {f"a{n}": "${doc}" for n in range(count)}
    shard = host(Definition("w", params={"doc": {}}, nodes=(Task(id="t", task="size", with_=names),)))
    run_id = shard.start("w", DOC).run_id
    shard.settle()
    assert shard.outcomes[run_id].error.type == "PayloadTooLarge"  # type: ignore[union-attr]


def test_a_fork_and_a_retry_take_large_values_along():
    nodes = (Task(id="t", task="flaky", with_={"doc": "${doc}"}), Set(id="s", value={"doc": "${doc}", "size": "${t}"}))
    shard = host(Definition("w", params={"doc": {}}, nodes=nodes, output="${s}"))
    broken = True

    def flaky(doc: str) -> int:
        if broken:
            raise ValueError("not yet")
        return len(doc)

    shard.tasks["flaky"] = flaky
    shard.hello()
    run_id = shard.start("w", DOC).run_id
    shard.settle()
    assert shard.outcomes.pop(run_id).status == "failed"
    shard.checkpoint()
    broken = False
    fork_id = shard.run_id()
    shard.ask(Kind.FORK, 0, ForkRun(run_id, fork_id, node="t"))
    shard.ask(Kind.RETRY, 0, RetryRun(run_id, "again"))
    shard.settle()
    for found in (run_id, fork_id):
        assert decode(shard.get(found).output) == {"doc": DOC, "size": len(DOC)}
        page = shard.ask(Kind.HISTORY, 0, m.HistoryQuery(found, 1, 100), m.HistoryPage)
        restored = next(event for event in page.events if event.type == "RunRestored")
        assert len(restored.data) < 500
    shard.checkpoint()
    shard.crash()
    for found in (run_id, fork_id):
        assert decode(shard.get(found).output) == {"doc": DOC, "size": len(DOC)}
    assert shard.disk_is_sound()


def test_verify_finds_blobs_that_are_missing_damaged_or_nobodys():
    shard = host(Definition("w", params={"doc": {}}, nodes=(WaitSignal(id="s", signal="go"),)))
    run_id = shard.start("w", DOC).run_id
    shard.settle()
    shard.checkpoint()
    store = shard.disk.store("p0")
    ((key, _),) = rows(shard, schema.BLOBS)
    name = key[-20:]
    store.commit([Op(schema.BLOBS, key, None)])
    assert any("missing or damaged" in finding.message for finding in verify_store(store))
    store.commit(blob_ops(run_id, {name: b"\x01"}, ()))
    assert any("another content" in finding.message for finding in verify_store(store))
    store.commit(blob_ops(run_id, {name: encode(DOC)}, ()))
    assert verify_store(store) == []
    other = shard.run_id()
    store.commit(blob_ops(other, {name: encode(DOC)}, ()))
    (finding,) = verify_store(store)
    assert "without a run" in finding.message
    assert other in finding.record


def test_both_ends_forget_the_same_blobs():
    shard_side: BlobWindow[None] = BlobWindow(10)
    worker_side: BlobWindow[Raw] = BlobWindow(10)
    for name, size in [(b"a", 4), (b"b", 4), (b"a", 4), (b"c", 4), (b"d", 40), (b"e", 1)]:
        shard_side.add(name, size, None)
        worker_side.add(name, size, Raw(b"\xc0"))
        assert list(shard_side.kept) == list(worker_side.kept)
    assert list(shard_side.kept) == [b"e"]
    assert BLOB_WINDOW_BYTES > 2 * TASK_INPUT_BYTES_MAX


def test_a_map_of_many_items_goes_on_after_a_crash_in_the_middle():
    count = 5_000
    body = (Task(id="t", task="size", with_={"doc": "${item}"}),)
    nodes = (Map(id="m", items="xs", do=body, max_parallel=200),)
    shard = host(Definition("wide", params={"xs": {}}, nodes=nodes, output="${m}"), credit=4_000)
    run_id = shard.start("wide", ["x" * (n % 7) for n in range(count)]).run_id
    for _ in range(12):
        shard.turn()
        shard.work()
    shard.checkpoint()
    entry = shard.shard.core.partitions[0].entries[run_id]
    assert 1_000 < len(shard.executions) < count
    assert sum(len(value) for _, value in rows(shard, schema.SNAPSHOTS)) < 30_000
    assert len(rows(shard, schema.BLOBS)) == len(entry.run.blobs)
    for _ in range(3):
        shard.crash()
        assert shard.disk_is_sound()
        shard.hello(credit=1_000)
        shard.now_ms += 2_000
        for _ in range(3):
            shard.turn()
            shard.work()
    while run_id not in shard.outcomes and shard.get(run_id).status == "running":
        shard.worker_frame(Kind.CREDIT, m.Credit(500, 1 << 20))
        shard.now_ms += 100
        shard.turn()
        shard.work()
    assert decode(shard.get(run_id).output) == [n % 7 for n in range(count)]
    shard.checkpoint()
    assert shard.disk_is_sound()
    assert len(rows(shard, schema.BLOBS)) <= 2
