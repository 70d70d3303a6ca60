"""The simulated disk injects the faults it promises, at the place it promises, the same ones for the same seed."""

from __future__ import annotations

import pytest

from wfe.errors import DataError, DataFull
from wfe.ports import Op
from wfe.sim.chance import SeededRandom
from wfe.sim.disk import SimCrashed, SimDisk
from wfe.sim.threads import SimReader, SimWriter


@pytest.fixture
def disk() -> SimDisk:
    return SimDisk(SeededRandom(1))


def rows(disk: SimDisk) -> list[bytes]:
    return [key for key, _ in disk.store("store").range(1, b"", None, limit=99)]


def put(key: bytes) -> list[Op]:
    return [Op(1, key, b"value")]


@pytest.mark.parametrize(
    ("fault", "error", "kept"),
    [
        ("no_space", DataFull, []),
        ("no_space_after", DataFull, [b"a"]),
        ("error_before", DataError, []),
        ("error_after", DataError, [b"a"]),
        ("crash_before", SimCrashed, []),
        ("crash_after", SimCrashed, [b"a"]),
    ],
)
def test_each_fault_strikes_before_or_after_the_effect(
    disk: SimDisk, fault: str, error: type[BaseException], kept: list[bytes]
) -> None:
    store = disk.store("store")
    disk.plan("store", fault)  # type: ignore[arg-type]
    with pytest.raises(error):
        store.commit(put(b"a"))
    assert rows(disk) == kept
    with pytest.raises(DataError, match="must stop"):
        store.commit(put(b"b"))


def test_a_store_of_independent_commits_goes_on_when_there_is_room_again(disk: SimDisk) -> None:
    store = disk.store("store", independent=True)
    disk.plan("store", "no_space")
    disk.plan("store", "error_before")
    with pytest.raises(DataFull):
        store.commit(put(b"a"))
    with pytest.raises(DataError, match="Input/output"):
        store.commit(put(b"b"))
    with pytest.raises(DataError, match="must stop"):
        store.commit(put(b"c"))


def test_a_fault_can_be_planned_for_a_later_write(disk: SimDisk) -> None:
    store = disk.store("store")
    disk.plan_after(1, "error_before")
    store.commit(put(b"a"))
    with pytest.raises(DataError):
        store.commit(put(b"b"))
    disk.store("store").commit(put(b"c"))
    assert rows(disk) == [b"a", b"c"]


def test_handles_die_in_a_crash_and_files_do_not(disk: SimDisk) -> None:
    store, log = disk.store("store"), disk.log("log")
    log.fence(1)
    log.append(1, b"record")
    store.commit(put(b"a"))
    disk.crash()
    for use in (lambda: store.get(1, b"a"), lambda: store.commit(put(b"b")), lambda: log.append(2, b"x")):
        with pytest.raises(SimCrashed):
            use()
    assert rows(disk) == [b"a"]
    assert list(disk.log("log").read(0)) == [(1, b"record")]


def test_a_crash_of_one_process_leaves_the_others(disk: SimDisk) -> None:
    one, other = disk.store("one"), disk.store("other")
    disk.crash("one")
    other.commit(put(b"a"))
    with pytest.raises(SimCrashed):
        one.commit(put(b"a"))


def test_power_loss_undoes_only_the_latest_unsynced_writes() -> None:
    lost = set()
    for seed in range(20):
        disk = SimDisk(SeededRandom(seed), durability="os")
        store = disk.store("store")
        for key in (b"a", b"b", b"c"):
            store.commit(put(key))
        store.commit([Op(1, b"a", None)])
        disk.crash()
        lost.add(tuple(rows(disk)))
    assert lost == {(), (b"a",), (b"a", b"b"), (b"a", b"b", b"c"), (b"b", b"c")}


def test_without_power_loss_unsynced_writes_survive() -> None:
    disk = SimDisk(SeededRandom(1), durability="os")
    log = disk.log("log")
    log.fence(1)
    for position in range(1, 20):
        log.append(position, b"record")
    disk.crash(power_loss=False)
    disk.crash()
    assert disk.log("log").last() == 19


def test_power_loss_may_undo_appends_with_the_trims_they_carried() -> None:
    for seed in range(10):
        disk = SimDisk(SeededRandom(seed), durability="os")
        log = disk.log("log")
        log.fence(1)
        for position in range(1, 9):
            log.append(position, b"record")
            log.trim(position - 2)
        disk.crash()
        positions = [position for position, _ in disk.log("log").read(0)]
        assert positions == list(range(positions[0], positions[-1] + 1)) if positions else True
        assert disk.used_bytes() == sum(len(b"record") + 16 for _ in positions)


def test_a_full_disk_refuses_what_does_not_fit(disk: SimDisk) -> None:
    store = disk.store("store")
    store.commit(put(b"a"))
    disk.capacity_bytes = disk.used_bytes() + 10
    with pytest.raises(DataFull):
        store.commit(put(b"b"))
    disk.store("store").commit([Op(1, b"a", None)])
    assert disk.used_bytes() == 0


def test_equal_seeds_give_equal_faults() -> None:
    def outcome(seed: int) -> list[str]:
        disk = SimDisk(SeededRandom(seed), rates={"no_space": 0.2, "error_after": 0.2})
        seen = []
        for n in range(50):
            try:
                disk.store("store").commit(put(b"%d" % n))
            except DataError as error:
                seen.append(f"{n} {type(error).__name__}")
        return seen

    assert outcome(7) == outcome(7) != outcome(8)


def test_a_flipped_bit_changes_one_bit_of_one_value(disk: SimDisk) -> None:
    store = disk.store("store")
    assert disk.flip_bit("store") == ""
    store.commit([Op(1, b"a", b"\0\0"), Op(1, b"b", b"\0\0")])
    disk.flip_bit("store")
    values = b"".join(value for _, value in store.range(1, b"", None, limit=9))
    assert sum(byte.bit_count() for byte in values) == 1


def test_tearing_an_empty_log_does_nothing(disk: SimDisk) -> None:
    disk.log("log")
    assert disk.tear("log") == 0


def test_the_simulated_writer_reports_in_order_and_stops_at_the_first_failure(disk: SimDisk) -> None:
    seen: list[tuple[object, str]] = []
    writer = SimWriter({0: disk.store("store")}, lambda token, error: seen.append((token, type(error).__name__)))
    for token in range(4):
        writer.submit(0, put(b"%d" % token), token)
    assert writer.pending() == 4
    assert writer.step()
    disk.plan("store", "error_before")
    writer.close()
    assert seen == [(0, "NoneType"), (1, "DataError"), (2, "DataError"), (3, "DataError")]
    assert rows(disk) == [b"0"]
    assert not writer.step()


def test_the_simulated_reader_reports_results_and_errors(disk: SimDisk) -> None:
    seen: list[tuple[object, object, str]] = []
    reader = SimReader(lambda token, result, error: seen.append((token, result, type(error).__name__)))
    store = disk.store("store")
    store.commit(put(b"a"))

    def fail() -> object:
        raise DataError("no")

    reader.submit(lambda: store.get(1, b"a"), "a")
    reader.submit(fail, "b")
    assert seen == []
    reader.close()
    assert seen == [("a", b"value", "NoneType"), ("b", None, "DataError")]
