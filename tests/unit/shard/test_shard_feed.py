"""The feed of all runs' events: from now on, resumable, bounded, and free while nobody watches."""

from __future__ import annotations

from typing import Any

import pytest

from support.shard_cases import chain, host, waiting
from support.shards import Host
from wfe.limits import FEED_IDLE_MS, FEED_PAUSE_MS
from wfe.model.definition import Definition, Map, Set
from wfe.shard import feed as feed_module
from wfe.wire.feed import FeedPage, FeedQuery
from wfe.wire.frames import Kind


def first(shard: Host) -> FeedPage:
    """The place where the feed is now."""
    page: FeedPage = shard.ask(Kind.FEED, 0, FeedQuery(), FeedPage)
    return page


def after(shard: Host, page: FeedPage, **filters: Any) -> FeedPage:
    shard.now_ms += FEED_PAUSE_MS
    query = FeedQuery(page.cursor, page.epoch, **filters)
    found: FeedPage = shard.ask(Kind.FEED, 0, query, FeedPage)
    return found


def kinds(page: FeedPage) -> list[str]:
    return [found.event.type for found in page.events]


def test_it_begins_with_what_happens_next() -> None:
    shard = host()
    shard.start("waiting")
    page = first(shard)
    assert (page.events, page.missed) == ([], False)
    run_id = shard.start("waiting").run_id
    page = after(shard, page)
    assert {found.run_id for found in page.events} == {run_id}
    assert kinds(page)[0] == "RunStarted"
    assert [found.event.seq for found in page.events] == list(range(1, len(page.events) + 1))


def test_a_question_waits_until_there_is_something() -> None:
    shard = host()
    page = first(shard)
    number = shard.request(Kind.FEED, 0, FeedQuery(page.cursor, page.epoch))
    shard.now_ms += FEED_PAUSE_MS
    shard.turn()
    assert shard.reply(number, FeedPage) is None
    shard.start("waiting")
    shard.now_ms += FEED_PAUSE_MS
    shard.turn()
    assert kinds(shard.reply(number, FeedPage))[0] == "RunStarted"


def test_nothing_is_lost_between_two_questions() -> None:
    shard = host(chain(2), waiting())
    page = first(shard)
    seen: list[tuple[str, int]] = []
    for _ in range(5):
        shard.start("chain", 1)
        shard.settle()
        page = after(shard, page)
        assert not page.missed
        seen += [(found.run_id, found.event.seq) for found in page.events]
    assert len(seen) == len(set(seen))
    assert len({run_id for run_id, _ in seen}) == 5


def test_filters_leave_the_rest_out_and_move_the_cursor_on() -> None:
    shard = host(chain(1), waiting())
    page = first(shard)
    shard.start("waiting")
    other = after(shard, page, workflow="chain")
    assert (other.events, other.cursor > page.cursor) == ([], True)
    shard.start("chain", 1)
    shard.settle()
    ends = after(shard, other, types=["RunEnded"], workflow="chain")
    assert kinds(ends) == ["RunEnded"]


def test_a_reader_that_is_too_slow_is_told_so(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "FEED_BYTES_MAX", 200)
    shard = host()
    page = first(shard)
    for _ in range(10):
        shard.start("waiting")
        shard.turn()
    late = after(shard, page)
    assert (late.missed, late.events) == (True, [])
    shard.start("waiting")
    assert not after(shard, late).missed


def test_a_restart_and_a_cursor_from_nowhere_are_missed_events() -> None:
    shard = host()
    page = first(shard)
    shard.crash()
    assert after(shard, page).missed
    now = first(shard)
    assert after(shard, FeedPage(0, now.epoch, now.cursor + 1_000)).missed


def test_nothing_is_kept_once_nobody_asks_any_more() -> None:
    shard = host()
    page = first(shard)
    shard.now_ms += FEED_IDLE_MS
    shard.turn()
    assert not shard.shard.feed.watched
    shard.start("waiting")
    assert after(shard, page).missed


def test_a_turn_with_very_many_events_is_cut(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "FEED_PAGE_EVENTS", 20)
    many = Definition(
        "many",
        nodes=(Map(id="all", items="[1,2,3,4,5,6,7,8,9,10,11,12,13,14,15,16]", do=(Set(id="a", value="${item}"),)),),
    )
    shard = host(many)
    page = first(shard)
    shard.start("many")
    shard.settle()
    page = after(shard, page)
    assert len(page.events) == 20
    assert page.missed


def test_large_data_is_left_out() -> None:
    shard = host(Definition("large", params={"x": {}}, nodes=(Set(id="a", value="${x}"),)))
    page = first(shard)
    shard.start("large", "y" * 10_000)
    shard.settle()
    events = after(shard, page).events
    assert events[0].event.type == "RunStarted"
    assert bytes(events[0].event.data) == b"\xc0"


def test_many_readers_are_answered_in_turn() -> None:
    shard = host()
    page = first(shard)
    numbers = [shard.request(Kind.FEED, 0, FeedQuery(page.cursor, page.epoch)) for _ in range(5)]
    shard.start("waiting")
    answered: list[int] = []
    for _ in range(4):
        shard.now_ms += FEED_PAUSE_MS
        shard.turn()
        answered.append(sum(shard.reply(number, FeedPage) is not None for number in numbers))
    assert answered == [2, 4, 5, 5]


def test_whoever_must_make_room_for_another_reader_is_told_to_come_back(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "FEED_READERS_MAX", 2)
    shard = host()
    page = first(shard)
    numbers = [shard.request(Kind.FEED, 0, FeedQuery(page.cursor, page.epoch)) for _ in range(3)]
    shard.turn()
    error = shard.reply(numbers[0])
    assert (error.code, error.retry_after_ms > 0) == ("busy", True)
    shard.start("waiting")
    shard.now_ms += FEED_PAUSE_MS
    shard.turn()
    assert all(shard.reply(number, FeedPage).events for number in numbers[1:])


def test_decoded_events_are_kept_for_a_bounded_part_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(feed_module, "FEED_DECODED_BYTES_MAX", 1_000)
    shard = host()
    page = first(shard)
    for _ in range(50):
        shard.start("waiting")
    assert len(after(shard, page).events) >= 50
    feed = shard.shard.feed
    decoded = [chunk for chunk in feed._ring if chunk.decoded is not None]
    assert 0 < sum(len(chunk.data) for chunk in decoded) <= 1_000
    assert len(decoded) < len(feed._ring)
    assert len(after(shard, page).events) >= 50, "what was let go of is decoded again"
