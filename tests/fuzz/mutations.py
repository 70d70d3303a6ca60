"""Hostile inputs made from valid ones: bytes that are turned, cut and doubled, and parts of a value that are replaced.

Pure: everything comes from the `Random` that is given, so an input is found again by its seed.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import msgspec

NASTY: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 1, 127, 128, 1024, 2**31, 2**53, 2**63 - 1, -(2**63), 2**64 - 1),
    *(0.5, -0.0, 1e308, float("inf"), float("nan")),
    *("", "\0", "x", "é\u2028😀", "0" * 26, "z" * 26, "A" * 600, "${", "${n}", "((((", "a.b[0]", "1e400"),
    *(b"", b"\xff\xfe", b"\xc1", [], {}, [[]], {"a": {}}, {"": None}, {"$ref": "#/types/A"}),
)
"""Values that stand at the edge of some type or bound."""
TOKENS = (
    *(b"\xff", b"\x00", b"\xc1", b"\xc0", b"\xdd\xff\xff\xff\xff", b"\xdf\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"),
    *(b"\xd6\xff\x00\x00\x00\x00", b"\xd4\x05\x00", b"\xcb\x7f\xf8\0\0\0\0\0\0", b"\xcf" + b"\xff" * 8, b"\x91" * 64),
    *(b"[", b"]", b"{", b"}", b"(", b")", b'"', b"'", b"\\", b":", b",", b"${", b"$${", b"&a ", b"*a", b"\n", b"\t"),
    *(b"!!x ", b"<<: ", b"- ", b"? ", b"9" * 40, b"9" * 5000, b"NaN", b"1e999", b"\\ud800", b"\xed\xa0\x80"),
    b"[" * 300,
)
PARTS_MAX = 3


def mutated_bytes(data: bytes, random: Random) -> bytes:
    """A few changes anywhere."""
    out = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(out))
        match random.randint(0, 6):
            case 0 if out:
                out[at % len(out)] = random.randint(0, 255)
            case 1 if out:
                out[at % len(out)] ^= 1 << random.randint(0, 7)
            case 2:
                out[at:at] = random.choice(TOKENS)
            case 3:
                del out[at : at + random.randint(1, 8)]
            case 4:
                out[at : at + random.randint(1, 8)] = random.choice(TOKENS)
            case 5:
                end = random.randint(at, min(len(out), at + 40))
                out[at:at] = out[at:end] * random.randint(1, 3)
            case _:
                del out[at:]
    return bytes(out)


def mutated_value(value: Any, random: Random) -> Any:
    """The value with one part replaced, removed, doubled or wrapped."""
    if isinstance(value, (list, tuple)) and value and random.random() < 0.85:
        items = list(value)
        at = random.randrange(len(items))
        match random.randint(0, 7):
            case 0:
                del items[at]
            case 1:
                items.insert(at, items[at])
            case 2:
                items.append(random.choice(NASTY))
            case _:
                items[at] = mutated_value(items[at], random)
        return items
    if isinstance(value, dict) and value and random.random() < 0.85:
        members = dict(value)
        key = random.choice(list(members))
        match random.randint(0, 7):
            case 0:
                del members[key]
            case 1:
                members[random.choice([x for x in NASTY if isinstance(x, str)])] = members[key]
            case _:
                members[key] = mutated_value(members[key], random)
        return members
    if random.random() < 0.1:
        for _ in range(random.choice([1, 3, 60, 150, 250])):
            value = [value] if random.random() < 0.5 else {"a": value}
        return value
    if isinstance(value, int) and random.random() < 0.3:
        return min(max(value + random.choice([-1, 1, 1000]), -(2**63)), 2**64 - 1)
    return random.choice(NASTY)


def mutated_by(decode: Callable[[bytes], Any], encode: Callable[[Any], bytes]) -> Callable[[bytes, Random], bytes]:
    """Mutates what is written in some codec: its value, mostly, and its bytes."""

    def mutate(data: bytes, random: Random) -> bytes:
        if random.random() < 0.7:
            try:
                value = decode(data)
                for _ in range(random.randint(1, 2)):
                    value = mutated_value(value, random)
                data = encode(value)
            except (ValueError, TypeError, RecursionError, OverflowError):
                return mutated_bytes(data, random)
            if random.random() < 0.8:
                return data
        return mutated_bytes(data, random)

    return mutate


mutated_msgpack = mutated_by(msgspec.msgpack.decode, msgspec.msgpack.encode)
mutated_json = mutated_by(msgspec.json.decode, msgspec.json.encode)


def join_parts(parts: list[bytes]) -> bytes:
    """Parts of a frame in one string of bytes, each but the last behind its length."""
    *heads, last = parts
    return bytes((len(heads),)) + b"".join(len(p).to_bytes(2, "big") + p for p in heads) + last


def split_parts(data: bytes) -> list[bytes]:
    """The parts of a frame; every string of bytes is one."""
    if not data:
        return []
    count, data = data[0] % (PARTS_MAX + 1), data[1:]
    parts = []
    for _ in range(count):
        size, data = int.from_bytes(data[:2], "big"), data[2:]
        parts.append(data[:size])
        data = data[size:]
    return [*parts, data]


def mutated_frame(data: bytes, random: Random) -> bytes:
    """A frame with a changed part, or changed as a whole."""
    parts = split_parts(data)
    if not parts or random.random() < 0.1:
        return mutated_bytes(data, random)
    at = random.randrange(len(parts)) if random.random() < 0.4 else len(parts) - 1
    parts[at] = mutated_msgpack(parts[at], random)
    return join_parts(parts)
