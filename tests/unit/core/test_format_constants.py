"""Numbers by which evolve decides: they are part of what is on disk, and may not change without its format."""

from __future__ import annotations

from msgspec import Raw

from support.core_cases import define, task
from support.runs import RunDriver
from wfe.core.values import encode
from wfe.limits import BLOB_BYTES_MIN, MAP_PAGE_ITEMS
from wfe.model.definition import Map


def kept(value: str) -> int:
    """Blobs of a run with that input."""
    return len(RunDriver(define(task("t", "inc", x="${n}")), value, {"inc": len}).run.blobs)


def test_the_numbers_are_those_of_the_format():
    assert (BLOB_BYTES_MIN, MAP_PAGE_ITEMS) == (32_768, 1_024)


def test_a_value_of_32_kib_is_kept_apart_and_a_smaller_one_is_not():
    largest = "x" * (32_768 - len(encode("x" * 32_767)) + 32_767 - 1)
    assert len(encode(largest)) == 32_767
    assert (kept(largest), kept(largest + "x")) == (0, 1)


def test_a_map_of_1025_items_is_paged_and_a_smaller_one_is_not():
    def pages(count: int) -> int:
        node = Map(id="m", items="n", do=(task("t", "inc", x="${item}"),), max_parallel=1)
        driver = RunDriver(define(node), list(range(count)), {"inc": lambda x: x})
        (group,) = driver.run.groups.values()
        assert all(isinstance(page, Raw) for page in group.pages)
        return len(group.pages)

    assert (pages(1_024), pages(1_025)) == (0, 2)
