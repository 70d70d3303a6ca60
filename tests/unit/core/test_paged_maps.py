"""Maps over many items: kept by the page, in linear time, with the same results as any other map."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
from msgspec import Raw, structs

from support.core_cases import define, task
from support.runs import RunDriver, decode, encode
from wfe.core.groups import item_of, length_of, number_in
from wfe.core.places import new_group
from wfe.limits import MAP_GROWN_MAX, MAP_ITEMS_MAX, MAP_PAGE_ITEMS, MAP_PARALLEL_MAX, PAYLOAD_BYTES_MAX
from wfe.model.blob import expand
from wfe.model.definition import Assign, BreakIf, Loop, Map, Set, Sleep, State, WaitSignal
from wfe.model.event import ItemsOpened, MapOpened
from wfe.partition.entry import Entry

PAGE = 4
INC = (task("t", "inc", x="${item}"),)


def some(x: int) -> int:
    if x % 5 == 3:
        raise ValueError(f"item {x}")
    return x * 10


TASKS: dict[str, Any] = {
    "inc": lambda x: x + 1,
    "some": some,
    "echo": lambda x: x,
    "long": lambda x: "v" * (PAYLOAD_BYTES_MAX // 8),
}


@pytest.fixture
def small_pages(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Pages of four items, so that few items are many pages."""
    for module in ("groups", "places", "nodes.maps"):
        monkeypatch.setattr(f"wfe.core.{module}.MAP_PAGE_ITEMS", PAGE)
    return


class Driver(RunDriver):
    @property
    def output(self) -> Any:
        assert self.run.status == "completed", (self.run.status, self.run.error)
        assert self.replayed() == self.run
        return decode(expand(self.run.output, self.run.blobs))


def drive(node: Map, items: Any, *, restart: bool = False, order: Any = None) -> Driver:
    driver = Driver(define(node, output="${m}"), items, TASKS, restart=restart)
    while driver.ready or driver.run.timers:
        if order is not None and driver.ready:
            driver.ready.sort(key=order)
        if not driver.step():
            break
    return driver


@pytest.mark.usefixtures("small_pages")
def test_maps_that_take_their_items_in_turn_get_their_own_whichever_page_was_read_last():
    run = Driver(define(Map(id="m", items="[]", do=INC)), None, TASKS).run
    lists = [[100 * number + item for item in range(3 * PAGE)] for number in range(2)]
    groups = [new_group(run, MapOpened(0, 0, 1, Raw(encode(items)))) for items in lists]
    for index in (0, 1, PAGE, 2 * PAGE + 1, PAGE + 1, 0):
        assert [decode(item_of(group, index, run.blobs)) for group in groups] == [items[index] for items in lists]


def test_a_map_of_more_items_than_a_page_gives_its_results_in_order():
    count = 2 * MAP_PAGE_ITEMS + 5
    run = drive(Map(id="m", items="n", do=INC), list(range(count)))
    assert run.output == list(range(1, count + 1))


def test_what_is_open_stays_bounded_and_the_snapshot_small():
    count = 3 * MAP_PAGE_ITEMS
    driver = Driver(define(Map(id="m", items="n", do=INC, max_parallel=50), output="${m}"), count, TASKS)
    sizes = []
    for step in range(count - 10):
        driver.execute_next()
        if step % 500 == 0:
            sizes.append(len(Entry(0, driver.run, driver.plan).snapshot()))
        (group,) = driver.run.groups.values()
        assert len(driver.run.open) <= 50
        assert len(group.results) < MAP_PAGE_ITEMS + 50
        assert group.items == []
    assert max(sizes) < 8_000
    assert driver.finish().output == list(range(1, count + 1))


def test_a_number_of_items_is_not_written_out():
    driver = Driver(define(Map(id="m", items="n", do=INC, max_parallel=10), output="${m}"), 5_000, TASKS)
    opened = next(event for event in driver.events if isinstance(event, MapOpened))
    assert len(opened.items) < 5
    assert driver.finish().output == list(range(1, 5_001))


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("count", [0, 1, PAGE, PAGE + 1, 4 * PAGE, 4 * PAGE + 3, 77])
def test_pages_of_any_fill_in_any_order_of_ends(count: int, reverse: bool, restart: bool):
    order = (lambda key: -key) if reverse else None
    run = drive(Map(id="m", items="n", do=INC, max_parallel=9), list(range(count)), restart=restart, order=order)
    assert run.output == list(range(1, count + 1))


@pytest.mark.usefixtures("small_pages")
def test_tolerated_failures_leave_holes_in_pages():
    node = Map(id="m", items="n", do=(task("t", "some", x="${item}"),), tolerate_count=50)
    value = drive(node, list(range(43))).output
    kept = [n for n in range(43) if n % 5 != 3]
    assert value["values"] == [n * 10 for n in kept]
    assert value["indexes"] == kept
    assert [error["index"] for error in value["errors"]] == [n for n in range(43) if n % 5 == 3]


@pytest.mark.usefixtures("small_pages")
def test_one_failure_too_many_fails_the_map():
    node = Map(id="m", items="n", do=(task("t", "some", x="${item}"),), tolerate_percent=19.0)
    assert drive(node, list(range(50))).run.status == "failed"
    node = structs.replace(node, tolerate_percent=20.0)
    assert drive(node, list(range(50))).run.status == "completed"


@pytest.mark.usefixtures("small_pages")
def test_bodies_of_several_nodes_and_maps_inside_maps():
    inner = Map(id="k", items="item", as_="one", do=(task("t", "inc", x="${one}"),), max_parallel=3)
    body = (Sleep(id="z", duration_ms=1), inner, Set(id="s", value="${size(k)}"))
    node = Map(id="m", items="n", do=body, output="${[s, k]}", max_parallel=5)
    items = [list(range(length)) for length in range(11)]
    assert drive(node, items).output == [[len(one), [x + 1 for x in one]] for one in items]


@pytest.mark.usefixtures("small_pages")
def test_expressions_of_the_body_see_their_item():
    node = Map(id="m", items="n", do=(task("t", "echo", x="${item.a + item.b}"),))
    items = [{"a": n, "b": 2 * n} for n in range(30)]
    assert drive(node, items).output == [3 * n for n in range(30)]


@pytest.mark.usefixtures("small_pages")
def test_items_and_results_may_be_large():
    items = [letter * 40_000 for letter in "abcabcabcab"]
    run = drive(Map(id="m", items="n", do=(task("t", "echo", x="${item}"),)), items)
    assert run.output == items
    assert sum(len(encode(event)) for event in run.events) < 3 * sum(map(len, items)) // 2


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("rest", ["cancel", "continue"])
def test_a_map_that_is_left_early_has_the_results_of_full_and_of_begun_pages(rest: Any):
    node = Map(id="m", items="n", do=INC, max_parallel=3, complete_after=10, rest=rest)
    run = drive(node, list(range(40)))
    assert run.output == list(range(1, 11))
    node = Map(id="m", items="n", do=INC, max_parallel=3, complete_when="done >= 7 && total == 40", rest=rest)
    run = drive(node, list(range(40)), order=lambda key: -key)
    assert len(run.output) == 7
    assert run.output == sorted(run.output)


def test_results_beyond_a_payload_are_refused_whatever_page_they_are_in(small_pages: None):
    run = drive(Map(id="m", items="n", do=(task("t", "long", x="${item}"),)), list(range(9))).run
    assert (run.status, run.error and run.error.type) == ("failed", "PayloadTooLarge")


def test_more_items_than_a_map_may_have_are_refused():
    run = drive(Map(id="m", items="n", do=INC), MAP_ITEMS_MAX + 1).run
    assert run.error is not None
    assert (run.error.type, str(MAP_ITEMS_MAX) in run.error.message) == ("expression", True)
    grows = Map(id="m", items="n", do=INC, grow="more")
    assert drive(grows, MAP_GROWN_MAX + 1).run.status == "failed"


def test_a_map_asks_for_no_more_than_so_many_items_at_once():
    node = Map(id="m", items="n", do=INC, max_parallel=MAP_ITEMS_MAX)
    driver = Driver(define(node), 3 * MAP_PARALLEL_MAX, TASKS)
    assert [event.upto for event in driver.events if isinstance(event, ItemsOpened)] == [MAP_PARALLEL_MAX]


@pytest.mark.parametrize("count", [0, 1, 15, 16, 65_535, 65_536])
def test_the_length_of_a_list_is_in_its_first_bytes(count: int):
    assert length_of(Raw(encode([None] * count))) == count
    assert number_in(Raw(encode([None] * count))) is None


@pytest.mark.parametrize("value", [0, 127, 128, 65_536, 2**40, -1, -33, -(2**40)])
def test_numbers_are_told_from_lists(value: int):
    assert number_in(Raw(encode(value))) == value
    assert length_of(Raw(encode(value))) is None
    for other in (None, True, "5", 5.0, {}):
        assert (number_in(Raw(encode(other))), length_of(Raw(encode(other)))) == (None, None)


def test_items_are_found_page_by_page(small_pages: None):
    driver = Driver(define(Map(id="m", items="n", do=INC, max_parallel=1)), [f"i{n}" for n in range(40)], TASKS)
    (group,) = driver.run.groups.values()
    assert len(group.pages) == 10
    assert [decode(item_of(group, n, driver.run.blobs)) for n in range(40)] == [f"i{n}" for n in range(40)]


@pytest.mark.usefixtures("small_pages")
@pytest.mark.parametrize("restart", [False, True])
@pytest.mark.parametrize("count", [0, 1, PAGE, PAGE + 1, 5 * PAGE + 2])
def test_loops_go_over_pages_too(count: int, restart: bool):
    total = State(id="s", value={"sum": 0})
    add = Assign(id="a", state="s", fields={"sum": "${s.sum + item.n}"})
    loop = Loop(id="l", items="n", do=(add, BreakIf(id="b", cond="item.n == 17")))
    items = [{"n": number} for number in range(count)]
    driver = Driver(define(total, loop, output="${s.sum}"), items, TASKS, restart=restart)
    assert driver.finish().output == sum(range(min(count, 18)))


def test_a_loop_over_many_items_keeps_its_snapshot_small():
    body = (WaitSignal(id="w", signal="go"),)
    driver = Driver(define(Loop(id="l", items="n", do=body, max_iterations=None)), list(range(20_000)), TASKS)
    for number in range(5):
        driver.signal("go", None, f"e{number}")
    assert driver.run.loops[driver.place("l")].iteration == 6
    assert len(Entry(0, driver.run, driver.plan).snapshot()) < 3_000


def test_more_items_than_a_loop_may_have_are_refused():
    loop = Loop(id="l", items="n", do=(Set(id="s", value=1),))
    run = Driver(define(loop), [None] * (MAP_ITEMS_MAX + 1), TASKS).run
    assert (run.status, run.error and run.error.type) == ("failed", "expression")
    assert Driver(define(loop), 5, TASKS).run.status == "failed"
