"""Large values by reference: what becomes one, where it is found again, and what stays as it is."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest
from msgspec import Raw

from wfe.limits import BLOB_BYTES_MIN
from wfe.model.blob import (
    CODE,
    REF_BYTES,
    compact,
    described,
    expand,
    may_refer,
    name_of,
    names_needed,
    ref_to,
    references_in,
    size_of,
    whole,
)

encode, decode = msgspec.msgpack.encode, msgspec.msgpack.decode
LARGE = "x" * BLOB_BYTES_MIN
OTHER = "y" * BLOB_BYTES_MIN


class Store(dict[bytes, Raw]):
    def take(self, name: bytes, data: Raw) -> bool:
        self[name] = Raw(bytes(data))
        return True


def stored(value: Any) -> tuple[Raw, Store]:
    store = Store()
    return compact(Raw(encode(value)), store.take), store


@pytest.mark.parametrize(
    ("value", "blobs"),
    [
        ("x" * 100, 0),
        (LARGE, 1),
        ({"doc": LARGE, "n": 1}, 1),
        ({"doc": LARGE, "again": LARGE}, 1),
        ({"doc": LARGE, "other": OTHER, "n": [1, 2]}, 2),
        ([LARGE, LARGE, OTHER, 3], 2),
        (list(range(50_000)), 1),
        ({"inner": {"deep": LARGE}}, 1),
        ({7: LARGE}, 1),
    ],
    ids=["small", "text", "member", "twice", "two", "elements", "list", "deep", "keys"],
)
def test_what_is_large_is_kept_once_and_found_again(value: Any, blobs: int):
    small, store = stored(value)
    assert len(store) == blobs
    assert len(small) < BLOB_BYTES_MIN
    assert decode(expand(small, store)) == value
    assert size_of(small, store) == len(encode(value))
    assert set(names_needed(small, store)) == set(store) == set(references_in(small))


def test_an_object_of_many_small_parts_beside_a_large_one_is_kept_as_a_whole():
    value = {"doc": LARGE, **{f"key{n}": "z" * 100 for n in range(1_000)}}
    small, store = stored(value)
    assert (len(small), len(store)) == (REF_BYTES, 1)
    assert decode(expand(small, store)) == value


def test_references_inside_blobs_are_followed():
    inner, store = stored(LARGE)
    outer = compact(Raw(encode([inner] * 3_000)), store.take)
    assert len(outer) == REF_BYTES
    assert set(names_needed(outer, store)) == set(store)
    assert size_of(outer, store) == len(encode([LARGE])) + 2 + 2_999 * len(encode(LARGE))
    three = compact(Raw(encode({"a": inner, "b": [inner, {"c": inner}]})), store.take)
    assert decode(expand(three, store)) == {"a": LARGE, "b": [LARGE, {"c": LARGE}]}


def test_only_what_the_caller_has_is_replaced():
    value = Raw(encode({"doc": LARGE, "other": OTHER}))
    known = name_of(encode(LARGE))
    partly = compact(value, lambda name, _: name == known)
    assert references_in(partly) == [known]
    assert decode(expand(partly, {known: Raw(encode(LARGE))})) == {"doc": LARGE, "other": OTHER}


def test_a_reference_to_nothing_stays_what_it_is():
    unknown = ref_to(b"n" * 20)
    blobs = {name_of(b"\x01"): Raw(b"\x01")}
    assert whole(unknown, blobs) is unknown
    assert expand(unknown, blobs) is unknown
    assert names_needed(unknown, blobs) == {}


def test_extension_values_of_others_pass_through():
    small, store = stored(LARGE)
    value = Raw(encode([msgspec.msgpack.Ext(5, b"theirs"), msgspec.msgpack.Ext(CODE, b"short"), small]))
    assert decode(expand(value, store)) == [
        msgspec.msgpack.Ext(5, b"theirs"),
        msgspec.msgpack.Ext(CODE, b"short"),
        LARGE,
    ]


def test_bytes_that_look_like_a_reference_are_none():
    small, store = stored(LARGE)
    value = [bytes(small), LARGE]
    both = compact(Raw(encode(value)), store.take)
    assert decode(expand(both, store)) == value
    assert len(references_in(Raw(encode(bytes(small))))) == 0


def test_a_history_shows_which_blob_it_is_and_how_large():
    small, _ = stored({"doc": LARGE, "n": 1})
    shown = decode(described(small))
    assert shown["n"] == 1
    assert shown["doc"] == {"blob": name_of(encode(LARGE))[:16].hex(), "size_bytes": len(encode(LARGE))}


def test_a_value_that_is_no_msgpack_is_kept_as_a_whole():
    broken = Raw(b"\xdf\xff\xff\xff\xff" + b"\xc1" * BLOB_BYTES_MIN)
    store = Store()
    assert bytes(expand(compact(broken, store.take), store)) == bytes(broken)


def test_only_what_is_as_long_as_a_reference_and_has_its_beginning_may_hold_one():
    ref = ref_to(name_of(encode(LARGE)))
    assert [may_refer(data) for data in (ref, Raw(encode({"a": ref})))] == [True, True]
    assert [may_refer(data) for data in (Raw(bytes(ref)[:-1]), Raw(encode("x" * REF_BYTES)))] == [False, False]
