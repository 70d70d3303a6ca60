"""Sealed, typed rows above the `Store` port: what a partition's store and the catalogue have in common. Reads only."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, TypeVar

from msgspec.msgpack import Decoder

from wfe.errors import DataCorrupt
from wfe.journal.schema import name_of, unseal
from wfe.model.malformed import MALFORMED
from wfe.ports import Store

PAGE_ROWS: Final = 256
"""Rows that one range read of a scan takes; a long read transaction would keep LMDB from reusing pages."""

_Row = TypeVar("_Row")


class Tables:
    """Reads rows and verifies their seals. Every method may raise `DataCorrupt`, `DataFormat` or `DataError`."""

    def __init__(self, store: Store) -> None:
        self.store = store

    def payload(self, table: int, key: bytes) -> bytes | None:
        """A row's payload, undecoded."""
        value = self.store.get(table, key)
        return None if value is None else unseal(table, key, value)

    def row(self, decoder: Decoder[_Row], table: int, key: bytes) -> _Row | None:
        """One row, decoded."""
        value = self.store.get(table, key)
        return None if value is None else decode_row(decoder, table, key, value)

    def rows(self, decoder: Decoder[_Row], table: int) -> Iterator[tuple[bytes, _Row]]:
        """All rows of a table, in the order of their keys."""
        for key, value in self.sealed(table):
            yield key, decode_row(decoder, table, key, value)

    def sealed(self, table: int, start: bytes = b"", stop: bytes | None = None) -> Iterator[tuple[bytes, bytes]]:
        """Keys and sealed values of a table in order, a page at a time; rows may change between the pages."""
        while page := self.store.range(table, start, stop, limit=PAGE_ROWS):
            yield from page
            start = page[-1][0] + b"\0"


def decode_row(decoder: Decoder[_Row], table: int, key: bytes, value: bytes) -> _Row:
    """The row of a sealed value. A good checksum around bytes that do not decode means that it was written wrong."""
    payload = unseal(table, key, value)
    try:
        return decoder.decode(payload)
    except MALFORMED as error:
        raise DataCorrupt(f"a stored record does not decode: {error}", name_of(table, key)) from error
