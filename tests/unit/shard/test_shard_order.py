"""In which order ready tasks leave: priority, then runs that are under way, then new ones, which do not starve."""

from __future__ import annotations

from support.shard_cases import TASKS, chain
from support.shards import Host
from wfe.model.definition import Definition, SubWorkflow
from wfe.partition.ready import NEW_EVERY, Item, ReadyQueue, rank_of
from wfe.wire import messages as m
from wfe.wire.frames import Kind

KIND = ("inc", 1)
ALL = frozenset([KIND])


def helping(shard: Host, tasks: int = 1) -> list[str]:
    """Runs of the tasks that leave for so much credit; their results are sent."""
    shard.worker_frame(Kind.CREDIT, m.Credit(tasks, 1 << 20))
    shard.turn()
    specs = shard.dispatched()
    shard.results([shard.execute(spec) for spec in specs])
    shard.turn()
    return [spec.run_id for spec in specs]


def test_a_server_with_too_much_to_do_ends_runs_instead_of_beginning_all() -> None:
    shard = Host(chain(3), tasks=TASKS)
    shard.hello(credit=0)
    runs = [shard.start("chain", 1).run_id for _ in range(10)]
    served = [run_id for _ in range(5) for run_id in helping(shard)]
    assert served == [runs[0]] * 3 + [runs[1]] * 2


def test_a_higher_priority_still_comes_first() -> None:
    shard = Host(chain(3), tasks=TASKS)
    shard.hello(credit=0)
    shard.start("chain", 1)
    helping(shard)
    urgent = shard.start("chain", 1, priority=1).run_id
    assert helping(shard) == [urgent]


def test_a_sub_workflow_is_no_new_run() -> None:
    parent = Definition("parent", params={"n": {}}, nodes=(SubWorkflow(id="s", workflow="chain", with_={"n": "${n}"}),))
    shard = Host(chain(3), parent, tasks=TASKS)
    shard.hello(credit=0)
    other = shard.start("chain", 1).run_id
    shard.start("parent", 1)
    for _ in range(5):
        shard.turn()
    served = [run_id for _ in range(3) for run_id in helping(shard)]
    assert other not in served


def test_items_of_a_map_stand_in_line_as_if_they_had_come_one_by_one() -> None:
    one_by_one, at_once = ReadyQueue(), ReadyQueue()
    runs = [object() for _ in range(3)]
    for number, run in enumerate(runs):
        for key in range(number, 40, 4):
            one_by_one.push(1, KIND, run, key)  # type: ignore[arg-type]
        at_once.extend(1, KIND, run, list(range(number, 40, 4)))  # type: ignore[arg-type]
    assert at_once.size == one_by_one.size == 30
    assert at_once.take(ALL, 25) + at_once.take(ALL, 25) == one_by_one.take(ALL, 25) + one_by_one.take(ALL, 25)
    assert at_once.size == 0


def test_every_eighth_helping_begins_with_a_new_run() -> None:
    queue = ReadyQueue()
    items: list[Item] = [(object(), number) for number in range(200)]  # type: ignore[misc]
    for entry, key in items[:100]:
        queue.push(rank_of(0, begun=True), KIND, entry, key)
    for entry, key in items[100:]:
        queue.push(rank_of(0, begun=False), KIND, entry, key)
    taken = [queue.take(ALL, 1)[0][1] for _ in range(2 * NEW_EVERY)]
    assert [key for key in taken if key >= 100] == [100, 101]
    assert taken[NEW_EVERY - 1] == 100
    assert queue.size == 200 - 2 * NEW_EVERY


def test_no_helping_prefers_a_new_run_to_a_higher_priority() -> None:
    queue = ReadyQueue()
    for number in range(NEW_EVERY):
        queue.push(rank_of(-1, begun=False), KIND, object(), 100 + number)  # type: ignore[arg-type]
        queue.push(rank_of(0, begun=True), KIND, object(), number)  # type: ignore[arg-type]
    assert [queue.take(ALL, 1)[0][1] for _ in range(NEW_EVERY)] == list(range(NEW_EVERY))
