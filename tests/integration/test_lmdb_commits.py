"""Commits of a real store: what goes on after a full disk, and what a process that was replaced may not write."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from wfe.errors import Fenced
from wfe.journal.catalogue import Catalogue
from wfe.lmdb.layout import open_catalogue
from wfe.lmdb.store import LmdbStore
from wfe.ports import Op

CATALOGUE_ON_A_FULL_DISK = """
import resource, sys
from pathlib import Path
from wfe.errors import DataFull
from wfe.journal.catalogue import Catalogue
from wfe.lmdb.layout import catalogue_path, open_catalogue
data = Path(sys.argv[1])
catalogue = Catalogue(open_catalogue(data), partitions=2, server_id="s")
size = (catalogue_path(data) / "data.mdb").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 8192, resource.RLIM_INFINITY))
try:
    catalogue.register("a" * 32, bytes(1 << 20), "large", None, 1)
except DataFull as error:
    print("no space" in str(error), catalogue.resolve("large"))
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
print(catalogue.register("a" * 32, bytes(1 << 20), "large", None, 1), catalogue.next_epoch())
"""


def test_after_a_deploy_that_met_a_full_disk_the_catalogue_takes_others_once_there_is_room(tmp_path: Path) -> None:
    command = [sys.executable, "-c", CATALOGUE_ON_A_FULL_DISK, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout.splitlines() == ["True None", "(1, True) 1"], done.stderr
    catalogue = Catalogue(open_catalogue(tmp_path))
    assert (catalogue.resolve("large"), catalogue.epoch) == (("a" * 32, 1), 1)
    assert catalogue.definition("a" * 32) == bytes(1 << 20)


def test_a_store_takes_no_step_of_a_process_that_was_replaced(tmp_path: Path) -> None:
    first = LmdbStore(tmp_path, tables=(1,), epoch=7)
    first.commit([Op(1, b"a", b"1")])
    first.close()
    second = LmdbStore(tmp_path, tables=(1,), epoch=8)
    second.commit([Op(1, b"a", b"2")])
    second.close()
    replaced = LmdbStore(tmp_path, tables=(1,), epoch=7)
    with pytest.raises(Fenced, match="epoch 8"):
        replaced.commit([Op(1, b"a", b"late")])
    assert replaced.get(1, b"a") == b"2"
    replaced.close()
    alone = LmdbStore(tmp_path, tables=(1,))
    alone.commit([Op(1, b"b", b"3")])
    assert alone.count(1) == 2
    alone.close()
