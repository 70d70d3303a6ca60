"""Reading the group of an open map: its items, how many there are and have ended, the value that they make together.

Pure, and it changes nothing: `places` does. A map of more than MAP_PAGE_ITEMS items is *paged*: its items are blobs of
a page each (or none at all, when they are the numbers from 0), and so are the results of a page once all of its items
have ended. So what the state holds of a map of a million items are names of pages, and the window of items that run.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

import msgspec
from msgspec import Raw

from wfe.limits import MAP_PAGE_ITEMS
from wfe.model.blob import Blobs, size_of, whole
from wfe.model.definition import Map
from wfe.model.state import Group, LoopState

_encode = msgspec.msgpack.Encoder().encode
_decode_number = msgspec.msgpack.Decoder(int).decode
_decode_items = msgspec.msgpack.Decoder(list[Raw]).decode
_PAGES_REMEMBERED = 32
_pages: dict[bytes, list[Raw]] = {}
"""Pages that were taken apart last, by the reference that names their content: a view, the same for everybody."""
_page_of_last: list[tuple[Raw | None, list[Raw]]] = [(None, [])]
"""That of the item that was asked for last, by its reference as an object: the next item is likely to be in it, too."""


def number_in(items: Raw) -> int | None:
    """The whole number that an encoded value is; None when it is none."""
    first = memoryview(items)[0]
    return _decode_number(items) if first < 0x80 or 0xCC <= first <= 0xD3 or first >= 0xE0 else None


def length_of(items: Raw) -> int | None:
    """How many elements an encoded array has, by its first bytes; None when it is none."""
    head = bytes(memoryview(items)[:5])
    if 0x90 <= head[0] < 0xA0:
        return head[0] & 0x0F
    if head[0] == 0xDC:
        return int.from_bytes(head[1:3], "big")
    return int.from_bytes(head[1:5], "big") if head[0] == 0xDD else None


def total_of(group: Group) -> int:
    """How many items there are."""
    return group.count or len(group.items)


def done_of(group: Group) -> int:
    """How many have ended with a result."""
    return group.done + len(group.results)


def item_of(group: Group | LoopState, index: int, blobs: Blobs) -> Raw:
    """One item of a map or a loop."""
    if not group.count:
        assert group.items is not None, "only loops over items have an item"
        return group.items[index]
    if not group.pages:
        return Raw(_encode(index))
    ref = group.pages[index // MAP_PAGE_ITEMS]
    found: list[Raw] = _page_of_last[0][1] if ref is _page_of_last[0][0] else _page(ref, blobs)
    return found[index % MAP_PAGE_ITEMS]


def page_range(group: Group, number: int) -> range:
    """The items of a page."""
    return range(number * MAP_PAGE_ITEMS, min((number + 1) * MAP_PAGE_ITEMS, group.count))


def values_bytes(group: Group, blobs: Blobs) -> int:
    """The size of all results together."""
    parts = [*group.results.values(), *group.collected.values()]
    return sum(size_of(part, blobs) if blobs else len(part) for part in parts)


def map_value(node: Map, group: Group, blobs: Blobs) -> Raw:
    """The value of a map: the results that there are, in item order."""
    values = _values(group, blobs)
    if node.tolerate_count is None and node.tolerate_percent is None:
        return values
    errors = [
        {
            "failed": True,
            "index": index,
            "type": error.type,
            "message": error.message,
            "node": error.node,
            "attempts": error.attempts,
        }
        for index, error in sorted(group.errors.items())
    ]
    return Raw(_encode({"values": values, "indexes": list(_indexes(group)), "errors": errors}))


def _values(group: Group, blobs: Blobs) -> Raw:
    if not group.count:
        return Raw(_encode([group.results[index] for index in sorted(group.results)]))
    parts: list[bytes] = []
    count = 0
    for number, page in _by_page(group):
        if number in group.collected:
            encoded = bytes(whole(group.collected[number], blobs))
            inside = length_of(Raw(encoded)) or 0
            parts.append(encoded[_head_bytes(inside) :])
            count += inside
        else:
            found = [bytes(group.results[index]) for index in page if index in group.results]
            parts += found
            count += len(found)
    return Raw(b"".join([struct.pack(">BI", 0xDD, count), *parts]))


def _indexes(group: Group) -> Iterator[int]:
    if not group.count:
        yield from sorted(group.results)
        return
    for number, page in _by_page(group):
        collected = number in group.collected
        yield from (index for index in page if (index not in group.errors if collected else index in group.results))


def _by_page(group: Group) -> Iterator[tuple[int, range]]:
    for number in range((group.next + MAP_PAGE_ITEMS - 1) // MAP_PAGE_ITEMS):
        yield number, page_range(group, number)


def _head_bytes(count: int) -> int:
    """How many bytes msgpack says the length of an array in."""
    return 1 if count < 16 else 3 if count < 1 << 16 else 5


def _page(ref: Raw, blobs: Blobs) -> list[Raw]:
    name = bytes(ref)
    found = _pages.get(name)
    if found is None:
        found = _decode_items(whole(ref, blobs))
        while len(_pages) >= _PAGES_REMEMBERED:
            _pages.pop(next(iter(_pages)), None)
        _pages[name] = found
    _page_of_last[0] = ref, found
    return found
