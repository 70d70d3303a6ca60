"""Retry, skip, fork and the state at an event, on a shard: through checkpoints, evictions and crashes."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec import Raw

from support.shards import Host, decode, encode
from wfe.core import rounds as core_rounds
from wfe.core.turn import Turn
from wfe.model.definition import Definition, Fail, Map, Sleep, Task, WaitSignal
from wfe.model.event import RunQuarantined
from wfe.model.ids import mint_run_id, partition_of
from wfe.wire import messages as m
from wfe.wire.frames import Kind
from wfe.wire.rounds import Change, ForkRun, RetryRun, RunPast, SkipNode, StateQuery

FLOW = Definition(
    "flow",
    params={"x": {}},
    nodes=(
        Task(id="first", task="double", with_={"x": "${x}"}),
        Sleep(id="nap", duration_ms=50),
        Task(id="second", task="fragile", with_={"x": "${first}"}),
    ),
    output="${second}",
)
BIG = Definition(
    "big",
    params={"x": {}},
    nodes=(
        Map(id="many", items="${x}".strip("${}"), do=(Task(id="one", task="double", with_={"x": "${item}"}),)),
        Task(id="second", task="fragile", with_={"x": 1}),
    ),
    output="${many}",
)
DOOMED = Definition(
    "doomed",
    params={"x": {}},
    nodes=(Task(id="first", task="double", with_={"x": "${x}"}), Fail(id="no", error="Boom", message="always")),
)
WAITING = Definition("waiting", nodes=(WaitSignal(id="go", signal="go"),), output="${go}")


class Fragile:
    def __init__(self) -> None:
        self.works = False

    def __call__(self, x: Any) -> Any:
        if not self.works:
            raise OSError("down")
        return x


def world() -> tuple[Host, Fragile]:
    fragile = Fragile()
    shard = Host(FLOW, BIG, DOOMED, WAITING, tasks={"double": lambda x: x * 2, "fragile": fragile})
    shard.hello()
    return shard, fragile


def finish(shard: Host) -> None:
    shard.settle()
    shard.now_ms += 100
    shard.settle()


def ask(shard: Host, kind: Kind, body: Any, answer: Any = None) -> Any:
    return shard.ask(kind, partition_of(body.run_id), body, answer)


def code(reply: Any) -> str:
    return reply.code if isinstance(reply, m.ErrorReply) else ""


def retry(shard: Host, run_id: str, command: str = "c1") -> str:
    return code(ask(shard, Kind.RETRY, RetryRun(run_id, command)))


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "in the store"])
@pytest.mark.parametrize("crash", [False, True], ids=["", "crash"])
@pytest.mark.parametrize(("workflow", "value", "result"), [("flow", 3, 6), ("big", list(range(900)), None)])
def test_a_failed_run_goes_on(stored: bool, crash: bool, workflow: str, value: Any, result: Any) -> None:
    shard, fragile = world()
    run_id = shard.start(workflow, value).run_id
    finish(shard)
    assert shard.get(run_id).status == "failed"
    if stored:
        shard.checkpoint()
    if crash:
        shard.crash()
        shard.hello()
    fragile.works = True
    assert retry(shard, run_id) == ""
    assert retry(shard, run_id) == "", "a repetition gets the same answer"
    assert retry(shard, run_id, "c2") == "run_closed"
    if crash:
        shard.crash()
        shard.hello()
        shard.now_ms += 2_000
    finish(shard)
    view = shard.get(run_id)
    assert view.status == "completed"
    if result is not None:
        assert decode(view.output) == result
    assert [name for _, name, _ in shard.executions].count("first") <= 1
    shard.checkpoint()
    shard.crash()
    again = shard.get(run_id)
    assert (again.status, again.events) == ("completed", view.events)
    history = shard.ask(Kind.HISTORY, 0, m.HistoryQuery(run_id, 0, 10_000, False), m.HistoryPage)
    assert [event.seq for event in history.events] == list(range(1, view.events + 1))
    assert shard.disk_is_sound()


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "in the store"])
def test_a_run_whose_retry_fails_at_once_may_be_retried_again(stored: bool) -> None:
    shard, _ = world()
    run_id = shard.start("doomed", 3).run_id
    finish(shard)
    for number in range(1, 4):
        if stored:
            shard.checkpoint()
        assert retry(shard, run_id, f"c{number}") == ""
        finish(shard)
        view = shard.get(run_id)
        assert (view.status, view.error.type, view.error.node) == ("failed", "Boom", "no")
        assert last_event(shard, run_id) == "RunEnded"
    assert [name for _, name, _ in shard.executions] == ["first"]


def test_a_skip_that_ends_its_run_is_no_part_of_what_comes_after_the_end() -> None:
    shard, fragile = world()
    run_id = shard.start("flow", 3).run_id
    finish(shard)
    fragile.works = True
    assert code(ask(shard, Kind.SKIP, SkipNode(run_id, "second", Raw(encode(8)), "s1"))) == ""
    finish(shard)
    assert (shard.get(run_id).status, decode(shard.get(run_id).output)) == ("completed", 8)
    assert last_event(shard, run_id) == "RunEnded"
    assert code(ask(shard, Kind.SKIP, SkipNode(run_id, "second", Raw(encode(8)), "s1"))) == "", "a repetition"


@pytest.mark.parametrize("stored", [False, True], ids=["in memory", "in the store"])
def test_a_fork_that_is_asked_for_twice_at_once_begins_once(stored: bool) -> None:
    shard, fragile = world()
    fragile.works = True
    run_id = shard.start("flow", 3).run_id
    finish(shard)
    if stored:
        shard.checkpoint()
    fork_id = mint_run_id(partition_of(run_id), 1, 7)
    wanted = ForkRun(run_id, fork_id, node="nap")
    numbers = [shard.request(Kind.FORK, partition_of(run_id), wanted) for _ in range(2)]
    shard.settle()
    answers = [shard.reply(number, m.StartOutcome) for number in numbers]
    assert sorted((answer.run_id, answer.created) for answer in answers) == [(fork_id, False), (fork_id, True)]
    finish(shard)
    assert shard.get(fork_id).status == "completed"
    history = shard.ask(Kind.HISTORY, 0, m.HistoryQuery(fork_id, 0, 10_000, False), m.HistoryPage)
    assert [event.seq for event in history.events] == list(range(1, shard.get(fork_id).events + 1))
    assert [event.type for event in history.events].count("RunStarted") == 1


def test_a_fork_that_is_asked_for_twice_begins_once_though_it_has_left_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    shard, _ = world()
    run_id = shard.start("waiting", {}).run_id
    assert code(ask(shard, Kind.SKIP, SkipNode(run_id, "go", Raw(encode(1)), "s1"))) == ""
    shard.checkpoint()
    wanted = ForkRun(run_id, mint_run_id(partition_of(run_id), 1, 7), event=1)
    numbers = [shard.request(Kind.FORK, partition_of(run_id), wanted) for _ in range(2)]
    report, histories = shard.reader._done, list[Any]()

    def second_history_later(token: Any, found: Any, error: Any) -> None:
        if hasattr(found, "spilled") and hasattr(found, "chunks"):
            histories.append((token, found, error))
            if len(histories) == 2:
                return
        report(token, found, error)

    with monkeypatch.context() as patch:
        patch.setattr(shard.reader, "_done", second_history_later)
        patch.setattr(shard.shard.core.settings, "live_runs_max", 0)
        shard.settle()
        shard.checkpoint()
    assert wanted.new_run_id not in shard.shard.core.partitions[partition_of(run_id)].entries
    report(*histories[1])
    shard.settle()
    answers = [shard.reply(number, m.StartOutcome) for number in numbers]
    assert [(answer.run_id, answer.created) for answer in answers] == [(wanted.new_run_id, n == 0) for n in range(2)]


def asked_while_nothing_is_read(shard: Host, kind: Kind, body: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """A request whose reading of the history is under way, and is done while the store was as it is now."""
    number = shard.request(kind, partition_of(body.run_id), body)
    done: list[Any] = []
    with monkeypatch.context() as patch:
        patch.setattr(shard.reader, "_done", lambda *result: done.append(result))
        assert shard.reader.step()
        shard.settle()
        shard.checkpoint()
    for result in done:
        shard.reader._done(*result)
    return number


def test_a_skip_of_a_run_that_leaves_memory_meanwhile_is_not_lost(monkeypatch: pytest.MonkeyPatch) -> None:
    shard, _ = world()
    run_id = shard.start("waiting", {}).run_id
    shard.settle()
    shard.shard.core.settings.live_runs_max = 0
    wanted = SkipNode(run_id, "go", Raw(encode("nobody")), "s1")
    number = asked_while_nothing_is_read(shard, Kind.SKIP, wanted, monkeypatch)
    partition = shard.shard.core.partitions[partition_of(run_id)]
    assert run_id not in partition.entries
    shard.settle()
    assert code(shard.reply(number)) == "busy"
    shard.shard.core.settings.live_runs_max = 100
    assert code(ask(shard, Kind.SKIP, wanted)) == ""
    finish(shard)
    assert (shard.get(run_id).status, decode(shard.get(run_id).output)) == ("completed", "nobody")
    shard.checkpoint()
    assert shard.disk_is_sound()


def test_a_history_that_moves_into_the_store_while_it_is_read_is_read_again(monkeypatch: pytest.MonkeyPatch) -> None:
    shard, _ = world()
    with monkeypatch.context() as patch:
        patch.setattr(shard.writer, "step", lambda: False)
        run_id = shard.start("waiting", {}).run_id
    number = asked_while_nothing_is_read(shard, Kind.STATE, StateQuery(run_id), monkeypatch)
    assert not shard.shard.core.partitions[partition_of(run_id)].entries[run_id].chunks
    shard.settle()
    assert code(shard.reply(number, RunPast)) == "busy"
    assert ask(shard, Kind.STATE, StateQuery(run_id), RunPast).event == shard.get(run_id).events


def last_event(shard: Host, run_id: str) -> str:
    history = shard.ask(Kind.HISTORY, 0, m.HistoryQuery(run_id, 0, 10_000, False), m.HistoryPage)
    return str(history.events[-1].type)


def test_a_retried_run_is_open_again_on_disk_before_it_ends() -> None:
    shard, _ = world()
    run_id = shard.start("flow", 3).run_id
    finish(shard)
    shard.checkpoint()
    assert retry(shard, run_id) == ""
    finish(shard)
    shard.checkpoint()
    shard.crash()
    shard.hello()
    assert shard.get(run_id).status == "failed"
    assert retry(shard, run_id, "c2") == ""
    assert shard.get(run_id).status in ("running", "pending", "waiting")
    shard.checkpoint()
    shard.crash()
    assert shard.get(run_id).status in ("running", "pending", "waiting")
    page = shard.ask(Kind.LIST, 0, m.ListRuns("", "", "", {}, 10), m.RunPage)
    assert [run.id for run in page.runs] == [run_id]
    assert shard.disk_is_sound()


def test_only_failed_runs_are_retried() -> None:
    shard, fragile = world()
    fragile.works = True
    run_id = shard.start("flow", 3).run_id
    finish(shard)
    assert retry(shard, run_id) == "run_closed"
    assert retry(shard, mint_run_id(0, 1, 1)) == "unknown_run"


def test_an_open_node_is_skipped_and_a_failed_one_after_its_retry() -> None:
    shard, _ = world()
    run_id = shard.start("waiting").run_id
    shard.settle()
    skip = SkipNode(run_id, "go", Raw(encode({"a": 1})), "s1")
    assert code(ask(shard, Kind.SKIP, skip)) == ""
    assert code(ask(shard, Kind.SKIP, skip)) == ""
    assert decode(shard.get(run_id).output) == {"a": 1}

    failed = shard.start("flow", 3).run_id
    finish(shard)
    shard.checkpoint()
    assert code(ask(shard, Kind.SKIP, SkipNode(failed, "first", Raw(encode(1)), "s2"))) == "invalid_input"
    assert shard.get(failed).status == "failed", "what is refused leaves the run as it was"
    assert code(ask(shard, Kind.SKIP, SkipNode(failed, "second", Raw(encode(7)), "s3"))) == ""
    assert decode(shard.get(failed).output) == 7


def test_a_fork_is_a_run_of_its_own_and_its_start_is_idempotent() -> None:
    shard, fragile = world()
    run_id = shard.start("flow", 3, key="k").run_id
    finish(shard)
    shard.checkpoint()
    fragile.works = True
    fork_id = mint_run_id(partition_of(run_id), shard.now_ms, 99)
    wanted = ForkRun(run_id, fork_id, node="second", changes=[Change("first", Raw(encode(50)))], tags={"a": "b"})
    assert ask(shard, Kind.FORK, wanted, m.StartOutcome).created
    assert not ask(shard, Kind.FORK, wanted, m.StartOutcome).created
    shard.crash()
    shard.hello()
    shard.now_ms += 2_000
    finish(shard)
    fork = shard.get(fork_id)
    assert (fork.status, decode(fork.output), fork.key, fork.tags) == ("completed", 50, "", {"a": "b"})
    assert shard.get(run_id).status == "failed"
    assert code(ask(shard, Kind.FORK, ForkRun(run_id, mint_run_id(0, 1, 5), node="nope"))) == "invalid_input"
    shard.checkpoint()
    assert shard.disk_is_sound()


def test_the_state_at_every_event_can_be_seen() -> None:
    shard, fragile = world()
    fragile.works = True
    run_id = shard.start("flow", 3).run_id
    finish(shard)
    shard.checkpoint()
    total = shard.get(run_id).events
    states = [ask(shard, Kind.STATE, StateQuery(run_id, n), RunPast) for n in range(1, total + 1)]
    assert states[-1].status == "completed"
    assert decode(states[-1].output) == 6
    assert {state.status for state in states[:-1]} == {"running"}
    napping = [state for state in states if any(node.node == "nap" for node in state.nodes)]
    assert napping
    assert {node.node: decode(node.value) for node in napping[0].nodes if node.state == "done"} == {"first": 6}
    assert ask(shard, Kind.STATE, StateQuery(run_id), RunPast).event == total
    assert code(ask(shard, Kind.STATE, StateQuery(run_id, total + 1))) == "invalid_input"


@pytest.mark.parametrize("where", ["memory", "one row", "rows of its own"])
@pytest.mark.parametrize("kind", [Kind.RETRY, Kind.SKIP])
def test_an_ended_run_whose_next_round_meets_a_defect_stays_as_it_was(
    kind: Kind, where: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    shard, fragile = world()
    run_id = shard.start(*(("flow", 3) if where == "rows of its own" else ("big", [1, 2]))).run_id
    if where == "rows of its own":
        shard.turn()
        shard.checkpoint()
    finish(shard)
    if where != "memory":
        shard.checkpoint()
        assert shard.shard.core.disk.stores[0].ended(run_id).spilled == (where == "rows of its own")
    before = (shard.shard.core.live_runs, shard.shard.core.open_runs, shard.get(run_id))
    assert before[2].status == "failed"

    def broken(turn: Turn, *_: Any) -> None:
        turn.emit(RunQuarantined(turn.now_ms, "half of it"))
        raise IndexError("a defect")

    with monkeypatch.context() as patched:
        patched.setattr(core_rounds, "retry", broken)
        wanted = RetryRun(run_id, "c1") if kind is Kind.RETRY else SkipNode(run_id, "second", Raw(encode(7)), "c1")
        assert "defect" in ask(shard, kind, wanted).message
    assert (shard.shard.core.live_runs, shard.shard.core.open_runs, shard.get(run_id)) == before
    shard.crash()
    assert shard.get(run_id) == before[2]
    shard.hello()
    fragile.works = True
    assert retry(shard, run_id, "c2") == ""
    finish(shard)
    assert shard.get(run_id).status == "completed"
    shard.checkpoint()
    assert shard.disk_is_sound()
