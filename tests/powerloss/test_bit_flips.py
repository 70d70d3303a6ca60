"""One flipped bit anywhere in the files of a real shard: `wfe verify` names a record, or nothing has changed.

LMDB has no checksums of its own. Records carry ours, bound to their keys; what a flipped bit does to LMDB's pages is
found because records are missing or stand elsewhere. ``WFE_BIT_FLIPS`` sets how many bits are tried (default 250).
"""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lmdb
import pytest

from wfe.errors import DataCorrupt
from wfe.journal.catalogue import Catalogue
from wfe.lmdb.layout import open_catalogue, open_log

HERE = Path(__file__).parent
FLIPS = int(os.environ.get("WFE_BIT_FLIPS", "250"))
HEADER_BYTES, PAGE_BYTES = 168, 4_096
TRANSACTION_AT = 144
"""Where a header has the number of its transaction."""


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with runs that wait and runs that have ended, its files cut to the pages that LMDB uses."""
    data = tmp_path_factory.mktemp("flips") / "data"
    data.mkdir()
    subprocess.run([sys.executable, str(HERE / "workload.py"), str(data), "none"], check=True, timeout=120)
    store = open_catalogue(data)
    Catalogue(store, partitions=4, server_id="flips")
    store.close()
    for file in data.rglob("data.mdb"):
        env = lmdb.open(str(file.parent), readonly=True, lock=False, max_dbs=20)
        used_bytes = (env.info()["last_pgno"] + 1) * env.stat()["psize"]
        env.close()
        os.truncate(file, min(used_bytes, file.stat().st_size))
    return data


class Trier:
    """A process that tries flips; begun again when one ends it."""

    def __init__(self, base: Path, scratch: Path) -> None:
        self._command = [sys.executable, str(HERE / "flips.py"), str(base), str(scratch)]
        self._scratches = iter(range(10_000))
        self._process: Any = None

    def attempt(self, file: str, offset: int, bit: int) -> tuple[str, str]:
        """(what the checks say, what recovery makes of it)."""
        if self._process is None:
            command = [*self._command[:-1], f"{self._command[-1]}-{next(self._scratches)}"]
            self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self._process.stdin.write(json.dumps({"file": file, "offset": offset, "bit": bit}) + "\n")
        self._process.stdin.flush()
        said = [self._process.stdout.readline() for _ in range(2)]
        if not all(said):
            ended = self._process.wait()
            self._process = None
            assert ended < 0, "the process reports every other end"
            return "named" if not said[0] or json.loads(said[0])["findings"] else "silent", "ended"
        named = json.loads(said[0])["findings"]
        return "named" if named else "silent", json.loads(said[1])["recovered"].split()[0]

    def close(self) -> None:
        if self._process is not None:
            self._process.stdin.close()
            self._process.wait()


@pytest.fixture
def trier(base: Path, tmp_path: Path) -> Iterator[Trier]:
    trier = Trier(base, tmp_path / "scratch")
    yield trier
    trier.close()


def test_a_flipped_bit_is_named_by_verify_or_changes_nothing(base: Path, trier: Trier) -> None:
    chance = random.Random(20261121)
    sizes = {str(file.relative_to(base)): file.stat().st_size for file in base.rglob("data.mdb")}
    seen: Counter[tuple[str, str]] = Counter()
    for number in range(FLIPS):
        file = chance.choices(list(sizes), list(sizes.values()))[0]
        in_header = number % 4 == 0
        header = chance.choice((0, PAGE_BYTES)) + chance.randrange(HEADER_BYTES)
        verdict = trier.attempt(file, header if in_header else chance.randrange(sizes[file]), chance.randrange(8))
        seen[verdict] += 1
        assert verdict not in (("silent", "other"), ("silent", "ended")), (file, number)
    print(f"bit flips: {FLIPS} tried, {dict(seen)}")
    assert seen["silent", "same"]
    assert any(verdict == "named" for verdict, _ in seen)


@pytest.mark.parametrize("page", [0, 1])
def test_hardly_a_bit_of_a_transaction_number_brings_older_data_back(base: Path, tmp_path: Path, page: int) -> None:
    """The one with the weight of 2 may make an older number the next one: LMDB's headers hold nothing against that."""
    source = (base / "logs/0/data.mdb").read_bytes()
    place = tmp_path / "logs/0"
    place.mkdir(parents=True)
    unseen = []
    for number in range(64):
        damaged = bytearray(source)
        damaged[page * PAGE_BYTES + TRANSACTION_AT + number // 8] ^= 1 << number % 8
        (place / "data.mdb").write_bytes(damaged)
        try:
            open_log(tmp_path, 0, readonly=True).close()
        except DataCorrupt:
            continue
        unseen.append(number)
    assert unseen in ([], [1])
