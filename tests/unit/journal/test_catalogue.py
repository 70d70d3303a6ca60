"""The coordinator's catalogue: versions, owners, epochs, and that all of it survives."""

from __future__ import annotations

import msgspec
import pytest

from wfe.errors import DataCorrupt, DataError, DataFull, VersionConflict
from wfe.journal import schema
from wfe.journal.catalogue import Catalogue, Listed
from wfe.journal.verify_store import verify_catalogue
from wfe.ports import Op
from wfe.sim.chance import SeededRandom
from wfe.sim.disk import Fault, SimDisk


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(SeededRandom(1))


def opened(disk: SimDisk, partitions: int = 8) -> Catalogue:
    return Catalogue(disk.store("catalogue"), partitions=partitions, server_id="server")


def test_partitions_and_id_are_fixed_when_the_catalogue_is_made(disk: SimDisk) -> None:
    opened(disk, 8)
    again = Catalogue(disk.store("catalogue"), partitions=64, server_id="another")
    assert (again.partitions, again.server_id) == (8, "server")


@pytest.mark.parametrize("partitions", [0, 1025])
def test_a_number_of_partitions_outside_the_run_ids_bits_is_refused(disk: SimDisk, partitions: int) -> None:
    with pytest.raises(ValueError, match="partitions must be"):
        opened(disk, partitions)


def test_the_server_counts_versions_up_when_the_graph_differs(disk: SimDisk) -> None:
    catalogue = opened(disk)
    assert catalogue.register("h1", b"{1}", "checkout", None, 10) == (1, True)
    assert catalogue.register("h2", b"{2}", "checkout", None, 20) == (2, True)
    assert catalogue.register("h2", b"{2}", "checkout", None, 30) == (2, False)
    assert catalogue.resolve("checkout") == ("h2", 2)
    assert catalogue.resolve("checkout", 1) == ("h1", 1)
    assert catalogue.resolve("checkout", 3) is None
    assert catalogue.resolve("refund") is None
    assert catalogue.definition("h1") == b"{1}"
    assert catalogue.definition("h9") is None


def test_an_older_graph_again_becomes_current_unchanged(disk: SimDisk) -> None:
    catalogue = opened(disk)
    catalogue.register("h1", b"{1}", "checkout", None, 10)
    catalogue.register("h2", b"{2}", "checkout", None, 20)
    assert catalogue.register("h1", b"{1}", "checkout", None, 30) == (1, False)
    assert opened(disk).resolve("checkout") == ("h1", 1)
    assert catalogue.register("h3", b"{3}", "checkout", None, 40) == (3, True)


def test_an_explicit_version_keeps_its_graph(disk: SimDisk) -> None:
    catalogue = opened(disk)
    assert catalogue.register("h1", b"{1}", "checkout", 7, 10) == (7, True)
    assert catalogue.register("h1", b"{1}", "checkout", 7, 10) == (7, False)
    with pytest.raises(VersionConflict, match="raise the version"):
        catalogue.register("h2", b"{2}", "checkout", 7, 20)
    assert catalogue.resolve("checkout") == ("h1", 7)
    assert catalogue.definition("h2") is None
    assert catalogue.register("h2", b"{2}", "checkout", None, 20) == (8, True)
    assert catalogue.register("h1", b"{1}", "checkout", 7, 30) == (7, False)
    assert catalogue.resolve("checkout") == ("h1", 7)


def test_in_development_a_changed_graph_takes_its_version_over(disk: SimDisk) -> None:
    catalogue = opened(disk)
    catalogue.register("h1", b"{1}", "checkout", 7, 10)
    assert catalogue.register("h2", b"{2}", "checkout", 7, 20, replace=True) == (7, True)
    assert catalogue.resolve("checkout", 7) == ("h2", 7)
    assert catalogue.definition("h1") == b"{1}", "runs that started with it still need it"


def test_a_check_changes_nothing(disk: SimDisk) -> None:
    catalogue = opened(disk)
    catalogue.register("h1", b"{1}", "checkout", None, 10)
    writes = disk.writes
    assert catalogue.plan("h2", "checkout", None) == (2, True)
    assert catalogue.plan("h1", "checkout", None) == (1, False)
    assert disk.writes == writes
    assert catalogue.resolve("checkout") == ("h1", 1)


def test_deprecation_tags_and_what_is_current_survive_a_crash(disk: SimDisk) -> None:
    catalogue = opened(disk)
    catalogue.register("h1", b"{1}", "checkout", None, 10)
    catalogue.register("h2", b"{2}", "checkout", None, 20)
    assert catalogue.deprecate("checkout", [1, 2], 30, "use checkout_2") == [1, 2]
    assert catalogue.deprecate("checkout", [1, 2], 40, "use checkout_2") == [], "the same again changes nothing"
    assert catalogue.deprecate("checkout", [2], 0) == [2]
    assert [catalogue.tag("checkout", "stable", 1), catalogue.tag("checkout", "stable", 1)] == [True, False]
    assert [catalogue.use("checkout", 1), catalogue.use("checkout", 1)] == [True, False]
    disk.crash()
    again = opened(disk)
    assert again.list() == [
        Listed("checkout", 2, "h2", 20, False),
        Listed("checkout", 1, "h1", 10, True, 30, "use checkout_2", ["stable"]),
    ]
    assert again.resolve("checkout") == ("h1", 1)


def test_a_server_that_starts_with_the_code_of_the_newest_deploy_leaves_what_was_made_current(disk: SimDisk) -> None:
    catalogue = opened(disk)
    catalogue.register("h1", b"{1}", "checkout", None, 10)
    catalogue.register("h2", b"{2}", "checkout", None, 20)
    catalogue.use("checkout", 1)
    disk.crash()
    started = opened(disk)
    assert started.register("h2", b"{2}", "checkout", None, 30, again=True) == (2, False)
    assert started.resolve("checkout") == ("h1", 1), "somebody went back to it"
    assert started.register("h2", b"{2}", "checkout", None, 40) == (2, False)
    assert started.resolve("checkout") == ("h2", 2), "a deploy that somebody asks for counts"
    assert started.register("h1", b"{1}", "checkout", None, 50, again=True) == (1, False)
    assert started.resolve("checkout") == ("h1", 1), "other code than at the last start"
    assert started.register("h3", b"{3}", "checkout", None, 60, again=True) == (3, True)
    assert started.resolve("checkout") == ("h3", 3)


def test_rows_that_were_written_before_there_were_tags_are_read(disk: SimDisk) -> None:
    opened(disk)
    old = msgspec.msgpack.encode(["checkout", 2, {1: ["h1", 10], 2: ["h2", 20]}])
    sealed = schema.seal(schema.CATALOGUE_WORKFLOWS, b"checkout", old)
    disk.store("catalogue").commit([Op(schema.CATALOGUE_WORKFLOWS, b"checkout", sealed)])
    assert opened(disk).list() == [Listed("checkout", 2, "h2", 20, True), Listed("checkout", 1, "h1", 10, False)]


def test_a_tag_stands_for_one_version_at_a_time(disk: SimDisk) -> None:
    catalogue = opened(disk)
    catalogue.register("h1", b"{1}", "checkout", None, 10)
    catalogue.register("h2", b"{2}", "checkout", None, 20)
    catalogue.tag("checkout", "stable", 1)
    catalogue.tag("checkout", "stable", 2)
    assert catalogue.tags("checkout") == {"stable": 2}
    assert [catalogue.tag("checkout", "stable", 0), catalogue.tag("checkout", "stable", 0)] == [True, False]
    assert catalogue.tags("checkout") == {}


def test_a_deleted_version_is_gone_and_its_number_is_not_given_to_another_graph(disk: SimDisk) -> None:
    catalogue = opened(disk)
    catalogue.register("h1", b"{1}", "checkout", None, 10)
    catalogue.register("h2", b"{2}", "checkout", None, 20)
    catalogue.tag("checkout", "old", 1)
    catalogue.delete("checkout", [1], 30)
    disk.crash()
    catalogue = opened(disk)
    assert catalogue.definition("h1") is None
    assert catalogue.resolve("checkout", 1) is None
    assert catalogue.is_deleted("checkout", 1)
    assert not catalogue.is_deleted("checkout", 2)
    assert catalogue.tags("checkout") == {}
    with pytest.raises(VersionConflict):
        catalogue.register("h3", b"{3}", "checkout", 1, 40)
    assert catalogue.register("h1", b"{1}", "checkout", None, 40) == (3, True), "the same graph again is a new version"
    assert catalogue.definition("h1") == b"{1}"


def test_the_current_version_goes_only_with_all_others(disk: SimDisk) -> None:
    catalogue = opened(disk)
    catalogue.register("h1", b"{1}", "checkout", None, 10)
    catalogue.register("h2", b"{2}", "checkout", None, 20)
    with pytest.raises(ValueError, match="current"):
        catalogue.delete("checkout", [2], 30)
    catalogue.delete("checkout", [1, 2], 30)
    assert catalogue.list() == []
    assert catalogue.resolve("checkout") is None
    assert catalogue.is_deleted("checkout", 0)
    assert verify_catalogue(disk.store("catalogue")) == []
    assert catalogue.register("h1", b"{1}", "checkout", None, 40) == (3, True)


def test_two_versions_of_one_graph_share_its_bytes_until_both_are_deleted(disk: SimDisk) -> None:
    catalogue = opened(disk)
    for version in (1, 2, 3):
        catalogue.register("h2" if version == 3 else "h1", b"{}", "checkout", version, 10)
    catalogue.delete("checkout", [1], 20)
    assert catalogue.definition("h1") == b"{}"
    assert verify_catalogue(disk.store("catalogue")) == []
    catalogue.delete("checkout", [2], 20)
    assert catalogue.definition("h1") is None


def test_everything_survives_a_crash(disk: SimDisk) -> None:
    catalogue = opened(disk)
    catalogue.register("h1", b"{1}", "checkout", None, 10)
    catalogue.register("h2", b"{2}", "checkout", None, 20)
    catalogue.register("h3", b"{3}", "näme" * 100, 3, 30)
    catalogue.assign({0: 0, 1: 1})
    epoch = catalogue.next_epoch()
    disk.crash()
    again = opened(disk)
    assert again.list() == [
        Listed("checkout", 2, "h2", 20, True),
        Listed("checkout", 1, "h1", 10, False),
        Listed("näme" * 100, 3, "h3", 30, True),
    ]
    assert again.owners() == {0: 0, 1: 1}
    assert again.next_epoch() > epoch


def test_a_partition_gets_a_new_epoch_with_each_new_owner_only(disk: SimDisk) -> None:
    catalogue = opened(disk)
    assert catalogue.owners() == {}
    assert catalogue.partition_epoch(0) == 0
    catalogue.assign({0: 0, 1: 0})
    catalogue.assign({0: 0, 1: 1})
    assert [catalogue.partition_epoch(p) for p in (0, 1)] == [1, 2]
    assert opened(disk).partition_epoch(1) == 2
    with pytest.raises(ValueError, match="no partition 8"):
        catalogue.assign({8: 0})


def test_an_assignment_that_changes_nothing_writes_nothing(disk: SimDisk) -> None:
    catalogue = opened(disk)
    catalogue.assign({0: 0})
    writes = disk.writes
    catalogue.assign({0: 0})
    assert disk.writes == writes


def test_a_failed_commit_leaves_memory_as_it_was(disk: SimDisk) -> None:
    catalogue = opened(disk)
    disk.plan("catalogue", "no_space")
    with pytest.raises(DataFull):
        catalogue.register("h1", b"{1}", "checkout", None, 10)
    assert catalogue.resolve("checkout") is None


def independent(disk: SimDisk) -> Catalogue:
    return Catalogue(disk.store("catalogue", independent=True), partitions=8, server_id="server")


def test_a_commit_that_found_no_room_and_took_effect_is_done(disk: SimDisk) -> None:
    catalogue = independent(disk)
    catalogue.assign(dict.fromkeys(range(8), 0))
    disk.plan("catalogue", "no_space_after")
    catalogue.assign({3: 1})
    assert catalogue.owners()[3] == 1
    disk.plan("catalogue", "no_space_after")
    assert catalogue.register("h1", b"{1}", "checkout", None, 10) == (1, True)
    assert (independent(disk).owners(), independent(disk).resolve("checkout")) == (catalogue.owners(), ("h1", 1))


def test_a_commit_that_found_no_room_before_its_effect_may_be_made_later(disk: SimDisk) -> None:
    catalogue = independent(disk)
    disk.plan("catalogue", "no_space")
    with pytest.raises(DataFull):
        catalogue.next_epoch()
    assert (catalogue.next_epoch(), independent(disk).epoch) == (1, 1)


@pytest.mark.parametrize("fault", ["no_space", "no_space_after", "error_before"])
def test_what_can_be_seen_and_not_be_made_durable_is_neither_done_nor_undone(disk: SimDisk, fault: Fault) -> None:
    catalogue = independent(disk)
    disk.plan("catalogue", "no_space_after")
    disk.plan("catalogue", fault)
    with pytest.raises(DataError, match="not known whether") as raised:
        catalogue.assign(dict.fromkeys(range(8), 0))
    assert not isinstance(raised.value, DataFull), "which would be taken for not done"


def test_each_change_is_one_commit(disk: SimDisk) -> None:
    catalogue = opened(disk)
    for change in (
        lambda: catalogue.register("h1", b"{1}", "checkout", None, 10),
        lambda: catalogue.assign(dict.fromkeys(range(8), 0)),
        catalogue.next_epoch,
    ):
        before = disk.writes
        change()
        assert disk.writes == before + 1


def test_damage_is_found_when_the_catalogue_is_opened(disk: SimDisk) -> None:
    opened(disk)
    assert disk.flip_bit("catalogue")
    with pytest.raises(DataCorrupt, match="catalogue_meta/server"):
        opened(disk)
