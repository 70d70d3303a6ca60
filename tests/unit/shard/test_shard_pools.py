"""Labels and resources: a shard gives a task only to a worker that has what the task asks for."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from support.durable import Function, ScriptedWorker, durable, task
from support.durable import decode as raw_value
from support.shards import Host, decode, encode
from wfe.model.definition import Definition, Task
from wfe.model.durable import TASK_PREFIX
from wfe.model.ids import partition_of
from wfe.model.needs import Needs, needs_of
from wfe.shard import pools
from wfe.wire import messages as m
from wfe.wire.frames import Kind, decode_header, header
from wfe.wire.lending import Grants, Want
from wfe.wire.why import Cause, RunWhy


def inc(x: int) -> int:
    return x + 1


TASKS = {"inc": inc}
GPU = needs_of((), {"gpu": 1})
GPU_AND_LABEL = needs_of(["fast"], {"gpu": 1})
assert GPU is not None
assert GPU_AND_LABEL is not None


class DurableHost(Host):
    """Its workers run one scripted function, and its tasks."""

    def __init__(self, function: Callable[..., Function]) -> None:
        name = function.__name__
        self.scripted = ScriptedWorker({name: function})
        super().__init__(durable("order", name=name), tasks={**TASKS, TASK_PREFIX + name: None})  # type: ignore[dict-item]

    def execute(self, spec: m.TaskSpec) -> m.TaskResult:
        return self.scripted.run(spec) if spec.durable else super().execute(spec)


def asking(name: str, *labels: str, priority: int = 0, redeliver: bool = True, **resources: float) -> Definition:
    node = Task(
        id="a", task="inc", with_={"x": 1}, labels=labels, resources=resources, redeliver=redeliver, priority=priority
    )
    return Definition(name, nodes=(node,), output="${a}")


def host(*definitions: Definition) -> Host:
    return Host(*definitions, tasks=TASKS)


def told(shard: Host, kind: Kind, type_: Any) -> list[tuple[bytes, Any]]:
    """What workers were told of this kind since the last look."""
    found, rest = [], []
    for peer, parts in shard.workers:
        if decode_header(parts[0]).kind == kind:
            found.append((peer, decode(parts[1], type=type_)))
        else:
            rest.append((peer, parts))
    shard.workers[:] = rest
    return found


def wants(shard: Host) -> list[tuple[bytes, list[Want]]]:
    return [(peer, load.wants) for peer, load in told(shard, Kind.LOAD, m.ShardLoad)]


def unused(shard: Host) -> list[tuple[bytes, list[Want]]]:
    return [(peer, grants.tasks) for peer, grants in told(shard, Kind.UNUSED, Grants)]


def grant(shard: Host, needs: Needs, count: int, peer: bytes = b"w1") -> None:
    link = shard.shard.workers.links[peer]
    shard.worker_frame(Kind.GRANT, Grants(link.grants_seq + 1, [Want(needs, count)]), peer)
    shard.turn()


def cause(shard: Host, run_id: str) -> Cause:
    (found,) = shard.ask(Kind.WHY, partition_of(run_id), m.GetRun(run_id), RunWhy).causes
    return found


# ---- labels


def test_a_task_with_a_label_waits_for_a_worker_that_has_it():
    shard = host(asking("labelled", "gpu", "zone=eu"))
    shard.hello(b"w1", labels={"gpu": ""})
    shard.hello(b"w2", labels={"gpu": "", "zone": "us"})
    run_id = shard.start("labelled").run_id
    assert shard.dispatched() == []
    shard.hello(b"w3", labels={"gpu": "", "zone": "eu"})
    shard.turn()
    assert shard.work(b"w3") == 1
    shard.settle()
    assert shard.output(run_id) == 2


def test_a_worker_for_everything_gets_tasks_of_all_labels_and_resources():
    shard = host(asking("labelled", "gpu", tape=2))
    shard.hello(labels={"*": ""}, resources={"*": 1})
    shard.start("labelled")
    ((_, asked),) = wants(shard)
    grant(shard, asked[0].needs, 1)
    assert len(shard.dispatched()) == 1


def test_tasks_that_ask_for_nothing_pass_those_that_wait():
    shard = host(asking("labelled", "gpu"), asking("plain"))
    shard.hello()
    for _ in range(20):
        shard.start("labelled")
        shard.start("plain")
    assert len(shard.dispatched()) == 20


# ---- resources


def test_a_task_with_resources_leaves_only_on_a_grant_and_uses_no_credit():
    shard = host(asking("greedy", gpu=1))
    shard.hello(credit=0, resources={"gpu": 2_000})
    for _ in range(3):
        shard.start("greedy")
    assert shard.dispatched() == []
    assert wants(shard)[-1] == (b"w1", [Want(GPU, 1)]), "told once, as soon as there is one"
    grant(shard, GPU, 2)
    frames = [decode(parts[1], type=m.Dispatch) for _, parts in shard.workers if parts[0] == header(Kind.DISPATCH)]
    assert [(len(frame.tasks), frame.needs) for frame in frames] == [(2, GPU)]
    assert wants(shard)[-1] == (b"w1", [Want(GPU, 1)])


def test_credit_alone_moves_no_task_that_needs_resources():
    shard = host(asking("greedy", gpu=1))
    shard.hello(credit=100, resources={"gpu": 1_000})
    shard.start("greedy")
    assert shard.dispatched() == []


def test_a_worker_without_enough_is_not_even_asked():
    shard = host(asking("greedy", gpu=2))
    shard.hello(b"w1", resources={"gpu": 1_000})
    shard.hello(b"w2")
    shard.start("greedy")
    assert [asked for _, asked in wants(shard) if asked] == []


def test_a_grant_that_comes_twice_counts_once():
    shard = host(asking("greedy", gpu=1))
    shard.hello(credit=0, resources={"gpu": 1_000})
    for _ in range(2):
        shard.start("greedy")
    for _ in range(2):
        shard.worker_frame(Kind.GRANT, Grants(1, [Want(GPU, 1)]))
        shard.turn()
    assert len(shard.dispatched()) == 1


def test_what_is_granted_in_vain_is_given_back_at_once():
    shard = host(asking("greedy", gpu=1))
    for peer in (b"w1", b"w2"):
        shard.hello(peer, credit=0, resources={"gpu": 1_000})
    shard.start("greedy")
    assert {peer for peer, asked in wants(shard) if asked} == {b"w1", b"w2"}
    grant(shard, GPU, 1, b"w1")
    grant(shard, GPU, 1, b"w2")
    assert len(shard.dispatched()) == 1
    assert unused(shard) == [(b"w2", [Want(GPU, 1)])]
    grant(shard, GPU, 1, b"w2")
    assert unused(shard) == [(b"w2", [Want(GPU, 1)])], "also when nothing at all waits"


def test_a_worker_hears_that_nothing_waits_for_its_resources_any_more():
    shard = host(asking("greedy", gpu=1), asking("plain"))
    for peer in (b"w1", b"w2"):
        shard.hello(peer, credit=0, resources={"gpu": 1_000})
    shard.start("greedy")
    shard.start("plain")
    wants(shard)
    grant(shard, GPU, 1, b"w1")
    assert (b"w2", []) in wants(shard)


def test_higher_priority_comes_first_among_tasks_that_need_resources():
    shard = host(asking("low", gpu=1), asking("high", gpu=1))
    shard.hello(credit=0, resources={"gpu": 1_000})
    shard.start("low")
    high = shard.start("high", priority=5).run_id
    grant(shard, GPU, 1)
    assert [spec.run_id for spec in shard.dispatched()] == [high]


def test_a_lost_worker_takes_no_grant_along():
    shard = host(asking("greedy", gpu=1))
    shard.hello(credit=0, resources={"gpu": 1_000})
    run_id = shard.start("greedy").run_id
    grant(shard, GPU, 1)
    assert len(shard.dispatched()) == 1
    shard.hello(credit=0, resources={"gpu": 1_000})  # it holds nothing of it
    shard.worker_frame(Kind.CREDIT, m.Credit(0, 0))
    shard.turn()
    assert shard.dispatched() == []
    grant(shard, GPU, 1)
    shard.work()
    shard.settle()
    assert shard.output(run_id) == 2


def test_a_task_that_must_not_run_twice_leaves_on_the_next_grant_once_that_is_written():
    shard = host(asking("once", gpu=1, redeliver=False))
    shard.hello(credit=0, resources={"gpu": 1_000})
    run_id = shard.start("once").run_id
    for _ in range(3):
        grant(shard, GPU, 1)
    assert shard.work() == 1
    shard.settle()
    assert shard.output(run_id) == 2


def test_suspects_are_asked_for_one_at_a_time_and_leave_alone():
    shard = host(asking("deadly", gpu=1))
    runs = [shard.start("deadly").run_id for _ in range(2)]
    for number in range(2):
        peer = b"w%d" % number
        shard.hello(peer, credit=0, resources={"gpu": 4_000})
        shard.turn()
        grant(shard, GPU, 2, peer)
        assert len(shard.dispatched()) == 2
        shard.shard.on_back([header(Kind.WORKERS), _gone(peer)], shard.now_ms)
    shard.hello(b"w3", credit=0, resources={"gpu": 4_000})
    shard.turn()
    shard.workers.clear()
    grant(shard, GPU, 2, b"w3")
    frames = [decode(parts[1], type=m.Dispatch) for _, parts in shard.workers if parts[0] == header(Kind.DISPATCH)]
    assert [(len(frame.tasks), frame.alone) for frame in frames] == [(1, True)]
    wants(shard)
    grant(shard, GPU, 1, b"w3")
    assert unused(shard)[-1] == (b"w3", [Want(GPU, 1)]), "the other one is not for this worker yet"
    assert [asked for _, asked in wants(shard) if asked] == []
    shard.work(b"w3")
    shard.turn()
    grant(shard, GPU, 1, b"w3")
    shard.work(b"w3")
    shard.settle()
    assert [shard.output(run_id) for run_id in runs] == [2, 2]


def _gone(worker: bytes) -> bytes:
    return encode(m.KnownWorkers([], [worker.decode()]))


# ---- why


def test_a_label_that_no_worker_has_is_named():
    shard = host(asking("labelled", "gpu", "zone=eu"))
    shard.hello(b"w1", labels={"gpu": ""})
    shard.hello(b"w2")
    found = cause(shard, shard.start("labelled").run_id)
    assert (found.reason, found.missing, found.workers) == ("labels", ["zone=eu"], 2)


def test_everything_that_a_task_asks_for_is_named_whatever_is_missing():
    shard = host(asking("greedy", "gpu", gpu=1, memory=8_000_000_000))
    for labels, reason in ((None, "no_workers"), ({}, "labels"), ({"gpu": ""}, "resources")):
        if labels is not None:
            shard.hello(b"w1", labels=labels)
        found = cause(shard, shard.start("greedy").run_id)
        assert (found.reason, found.labels, found.resources) == (reason, ["gpu"], ["gpu=1", "memory=8GB"])


def test_a_resource_of_which_no_worker_has_enough_is_named():
    shard = host(asking("greedy", "gpu", gpu=2, memory=2_000_000_000))
    shard.hello(b"w1", labels={"gpu": ""}, resources={"gpu": 1_000, "memory": 8_000_000_000_000})
    shard.hello(b"w2", resources={"gpu": 8_000, "memory": 8_000_000_000_000})
    found = cause(shard, shard.start("greedy").run_id)
    assert (found.reason, found.missing) == ("resources", ["gpu=2"])


def test_resources_that_others_use_are_named_with_their_runs():
    shard = host(asking("greedy", gpu=1), asking("plain"))
    shard.hello(credit=5, resources={"gpu": 1_000})
    first, second = (shard.start("greedy").run_id for _ in range(2))
    shard.start("plain")
    assert cause(shard, first).reason == "soon"
    grant(shard, GPU, 1)
    found = cause(shard, second)
    assert (found.reason, found.missing) == ("taken", ["gpu=1"])
    assert [place.partition("/")[0] for place in found.by] == [first]


def test_a_durable_functions_task_goes_to_a_worker_that_has_what_it_asks_for():
    def function(order: int) -> Function:
        ended = yield [task(0, "inc", needs=GPU_AND_LABEL, x=order)]
        return raw_value(ended.value)

    shard = DurableHost(function)
    shard.hello(b"w1", labels={"fast": ""})
    run_id = shard.start("function", 1).run_id
    shard.settle()
    found = cause(shard, run_id)
    assert (found.reason, found.missing) == ("resources", ["gpu=1"])
    shard.hello(b"w2", labels={"fast": ""}, resources={"gpu": 1_000})
    shard.turn()
    grant(shard, GPU_AND_LABEL, 1, b"w2")
    shard.work(b"w2")
    shard.settle()
    assert shard.output(run_id) == 2


def test_amounts_that_single_calls_asked_for_are_forgotten_once_nobody_waits_for_them(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pools, "KINDS_MAX", 3)
    amounts = [needs_of((), {"gpu": number / 1_000}) for number in range(1, 9)]

    def function(order: int) -> Function:
        for seq, needs in enumerate([*amounts, amounts[0]]):
            yield [task(seq, "inc", needs=needs, x=order)]
        return order

    shard = DurableHost(function)
    known = shard.shard.workers.turns.pools
    known._look_at = 3
    shard.hello(b"w1", credit=50, resources={"gpu": 1_000})
    run_id = shard.start("function", 1).run_id
    for needs in [*amounts, amounts[0]]:
        shard.work(b"w1")
        shard.settle()
        assert needs is not None
        grant(shard, needs, 1)
        shard.work(b"w1")
        shard.settle()
        shard.now_ms += 1_000
        shard.turn()
        assert len(known.rationed) <= 3
        assert len(shard.shard.workers.links[b"w1"].rationed) <= 3
    shard.work(b"w1")
    shard.settle()
    assert shard.output(run_id) == 1
