"""Lists and looks at many runs: complete, in order, each run once, whatever is in memory and what in the stores."""

from __future__ import annotations

from typing import Any

import pytest
from msgspec.structs import replace

from support.shard_cases import TASKS, chain, host, waiting
from support.shards import Host
from wfe.core.canonical import canonical, definition_hash
from wfe.limits import BUDGET_LOOK_MS
from wfe.shard import listing
from wfe.wire import messages as m
from wfe.wire.definitions import CarryPage, CarryQuery
from wfe.wire.frames import Kind


@pytest.fixture
def shard(monkeypatch: pytest.MonkeyPatch) -> tuple[Host, list[str]]:
    """Runs that ended, runs that wait on disk, runs that wait in memory; all of partition 0."""
    monkeypatch.setattr(listing, "PAGE_ROWS_MIN", 2)
    made = Host(chain(), waiting(), tasks=TASKS, partitions=[0])
    made.hello()
    made.shard.core.settings.live_runs_max = 0
    ids = [made.start("waiting").run_id for _ in range(4)]
    ids += [made.start("chain", 1).run_id for _ in range(5)]
    made.settle()
    made.checkpoint()
    made.shard.core.settings.live_runs_max = 100
    ids += [made.start("waiting").run_id for _ in range(6)]
    made.turn()
    return made, ids


def all_pages(shard: Host, limit: int, **query: Any) -> list[m.RunView]:
    found: list[m.RunView] = []
    after = ""
    while True:
        page = shard.ask(Kind.LIST, 0, m.ListRuns(limit=limit, after=after, **query), m.RunPage)
        found += page.runs
        if not page.more:
            return found
        assert len(page.runs) == limit
        after = page.runs[-1].id


@pytest.mark.parametrize("limit", [1, 2, 4, 50])
def test_pages_have_every_run_once_newest_first(shard: tuple[Host, list[str]], limit: int) -> None:
    host, ids = shard
    assert [view.id for view in all_pages(host, limit)] == sorted(ids, reverse=True)


@pytest.mark.parametrize(
    ("query", "count"),
    [
        ({"workflow": "chain"}, 5),
        ({"workflow": "waiting"}, 10),
        ({"status": "waiting"}, 10),
        ({"status": "completed"}, 5),
        ({"workflow": "chain", "status": "waiting"}, 0),
        ({"key": "nobody"}, 0),
        ({"tags": {"a": "b"}}, 0),
    ],
)
def test_lists_show_what_was_asked_for(shard: tuple[Host, list[str]], query: dict[str, Any], count: int) -> None:
    views = all_pages(shard[0], 3, **query)
    assert len(views) == count
    assert all(getattr(view, name) == value for view in views for name, value in query.items())


@pytest.mark.parametrize("limit", [1, 2, 3, 50])
def test_every_live_run_is_judged_once_however_small_the_pages(shard: tuple[Host, list[str]], limit: int) -> None:
    host, ids = shard
    other = replace(waiting(), output=5)
    judged: list[str] = []
    after, more = "", True
    while more:
        query = CarryQuery("waiting", canonical(other), definition_hash(other), after=after, limit=limit)
        page = host.ask(Kind.CARRY, 0, query, CarryPage)
        judged += [verdict.run_id for verdict in page.verdicts]
        more, after = page.more, page.after
    assert judged == sorted([*ids[:4], *ids[9:]])


def test_a_run_that_ends_while_a_page_is_read_does_not_end_the_pages() -> None:
    shard = host(waiting())
    ids = sorted(shard.start("waiting").run_id for _ in range(6))
    ids = [run_id for run_id in ids if shard.shard.core.partition_for(run_id).number == 0]
    other = replace(waiting(), output=5)
    query = CarryQuery("waiting", canonical(other), definition_hash(other), limit=len(ids) - 2)
    number = shard.request(Kind.CARRY, 0, query)
    for run_id in ids[: len(ids) - 1]:
        shard.shard.core.partitions[0].entries[run_id].run.status = "cancelled"
    for _ in range(3):
        shard.turn()
    page = shard.reply(number, CarryPage)
    assert page.verdicts == []
    assert page.more
    rest = shard.ask(Kind.CARRY, 0, replace(query, after=page.after), CarryPage)
    assert [verdict.run_id for verdict in rest.verdicts] == ids[-1:]


def test_a_slow_disk_is_asked_for_its_budget_once_at_a_time() -> None:
    shard = host()
    shard.shard.core.settings.disk_budget_bytes = 1 << 40
    for _ in range(5):
        shard.now_ms += BUDGET_LOOK_MS
        shard.shard.budget.on_tick(shard.now_ms)
    assert shard.shard.loader.waiting == 1
    shard.turn()
    shard.now_ms += BUDGET_LOOK_MS
    shard.shard.budget.on_tick(shard.now_ms)
    assert shard.shard.loader.waiting == 1
