"""Large values by reference: a value of BLOB_BYTES_MIN and more is kept once by its content, elsewhere stands its name.

Pure. A reference is a msgpack extension value, so it may stand wherever a value may, at any depth, and a decoder that
is given the blobs finds them there. A *name* is the digest of the content, whether that holds references itself, and
its size in bytes. What does not fit this (an unknown name, an extension value of somebody else) is left as it is.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from hashlib import blake2b
from typing import Any

import msgspec
from msgspec import Raw

from wfe.limits import BLOB_BYTES_MIN, PAYLOAD_BYTES_MAX
from wfe.model.malformed import MALFORMED

Blobs = Mapping[bytes, Raw]
CODE = 0x57
DIGEST_BYTES = 16
NAME_BYTES = DIGEST_BYTES + 4
_HEAD = bytes((0xC7, NAME_BYTES, CODE))
REF_BYTES = len(_HEAD) + NAME_BYTES
_HOLDS = DIGEST_BYTES
"""Place in a name of the byte that is 1 when the content holds references; the size follows in three bytes."""
_encode = msgspec.msgpack.Encoder().encode
_decode_members = msgspec.msgpack.Decoder(dict[str, Raw]).decode
_decode_items = msgspec.msgpack.Decoder(list[Raw]).decode
assert PAYLOAD_BYTES_MAX < 1 << 24, "sizes have three bytes"


def name_of(data: bytes | Raw) -> bytes:
    """The name of a content."""
    holds = b"\1" if names_in(data) else b"\0"
    return blake2b(data, digest_size=DIGEST_BYTES).digest() + holds + len(data).to_bytes(3, "big")


def ref_to(name: bytes) -> Raw:
    """The value that stands for the blob of this name."""
    return Raw(_HEAD + name)


def may_refer(data: bytes | Raw) -> bool:
    """Whether an encoded value may hold a reference."""
    return len(data) >= REF_BYTES and _HEAD in bytes(data)


def names_in(data: bytes | Raw) -> list[bytes]:
    """Names of the references in an encoded value. Chance may add one that is none: look it up among the blobs."""
    encoded = bytes(data)
    found = []
    at = encoded.find(_HEAD)
    while at >= 0:
        name = encoded[at + len(_HEAD) : at + REF_BYTES]
        if len(name) == NAME_BYTES:
            found.append(name)
        at = encoded.find(_HEAD, at + 1)
    return found


def references_in(data: bytes | Raw) -> list[bytes]:
    """As `names_in`, for certain: by decoding the value. May raise one of `MALFORMED`."""
    found: list[bytes] = []

    def note(code: int, name: memoryview) -> None:
        if code == CODE and len(name) == NAME_BYTES:
            found.append(bytes(name))

    msgspec.msgpack.decode(data, ext_hook=note)
    return found


def names_needed(data: bytes | Raw, blobs: Blobs) -> dict[bytes, None]:
    """Names of all blobs that a value consists of, those inside other blobs included, each once."""
    found: dict[bytes, None] = {}
    todo = names_in(data)
    while todo:
        name = todo.pop()
        if name in blobs and name not in found:
            found[name] = None
            if name[_HOLDS]:
                todo += names_in(blobs[name])
    return found


def size_of(data: bytes | Raw, blobs: Blobs) -> int:
    """How large a value is with its blobs in place."""
    total = len(data)
    for name in names_in(data) if blobs else ():
        if name in blobs:
            total += (size_of(blobs[name], blobs) if name[_HOLDS] else len(blobs[name])) - REF_BYTES
    return total


def whole(data: Raw, blobs: Blobs) -> Raw:
    """The value itself where a reference stands; references inside it stay."""
    if len(data) != REF_BYTES or not blobs:
        return data
    encoded = bytes(data)
    return blobs.get(encoded[len(_HEAD) :], data) if encoded.startswith(_HEAD) else data


def expand(data: Raw, blobs: Blobs) -> Raw:
    """The value with all its blobs in place: what clients, other runs and tasks get."""
    if not blobs:
        return data
    found = whole(data, blobs)
    plain = found is not data and not bytes(data)[len(_HEAD) + _HOLDS]
    if plain or not any(name in blobs for name in names_in(found)):
        return found

    def resolve(code: int, name: memoryview) -> Any:
        blob = blobs.get(bytes(name)) if code == CODE else None
        if blob is None:
            return msgspec.msgpack.Ext(code, bytes(name))
        return expand(blob, blobs) if name[_HOLDS] else blob

    try:
        return Raw(_encode(msgspec.msgpack.decode(found, ext_hook=resolve)))
    except MALFORMED:
        return found


def described(data: Raw) -> Raw:
    """The value with words for its references, ``{blob, size_bytes}``: how a history shows them."""
    if not names_in(data):
        return data

    def words(code: int, name: memoryview) -> Any:
        if code != CODE or len(name) != NAME_BYTES:
            return msgspec.msgpack.Ext(code, bytes(name))
        digest, size = bytes(name[:DIGEST_BYTES]), bytes(name[_HOLDS + 1 :])
        return {"blob": digest.hex(), "size_bytes": int.from_bytes(size, "big")}

    try:
        return Raw(_encode(msgspec.msgpack.decode(data, ext_hook=words)))
    except MALFORMED:
        return data


def compact(data: Raw, stored: Callable[[bytes, Raw], bool]) -> Raw:
    """The value with references for its large parts: members of an object, elements of a list, or all of it.

    ``stored`` is told the name and content of each and says whether a reference to it may be used.
    """
    if len(data) < BLOB_BYTES_MIN:
        return data
    return _compact_parts(data, stored) or _one(data, stored)


def _compact_parts(data: Raw, stored: Callable[[bytes, Raw], bool]) -> Raw | None:
    """With its large parts replaced; None when that does not make it small."""
    first = memoryview(data)[0]
    try:
        if 0x80 <= first < 0x90 or first in (0xDE, 0xDF):
            members = _decode_members(data)
            if not _mostly_large(members.values(), len(data)):
                return None
            return Raw(_encode({key: _part(part, stored) for key, part in members.items()}))
        if 0x90 <= first < 0xA0 or first in (0xDC, 0xDD):
            items = _decode_items(data)
            return Raw(_encode([_part(item, stored) for item in items])) if _mostly_large(items, len(data)) else None
    except MALFORMED:
        return None  # keys that are no text
    return None


def _mostly_large(parts: Iterable[Raw], size: int) -> bool:
    return size - sum(len(part) for part in parts if len(part) >= BLOB_BYTES_MIN) < BLOB_BYTES_MIN


def _part(part: Raw, stored: Callable[[bytes, Raw], bool]) -> Raw:
    return part if len(part) < BLOB_BYTES_MIN else _one(part, stored)


def _one(data: Raw, stored: Callable[[bytes, Raw], bool]) -> Raw:
    name = name_of(data)
    return ref_to(name) if stored(name, data) else data
