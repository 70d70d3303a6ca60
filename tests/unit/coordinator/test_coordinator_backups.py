"""The barrier across shards: its order, what is refused, and what becomes of it when shards end or frames are lost."""

from __future__ import annotations

from typing import Any

import pytest

from support.coordinator_world import CLIENT, World, decode, encode
from wfe.errors import DataError, DataFull
from wfe.journal.backup import decode_manifest, encode_manifest, places_of
from wfe.limits import BACKUP_BARRIER_MS, BACKUP_COPY_MS, BACKUP_RESEND_MS
from wfe.wire.backups import Backup, BackupReport, Barrier, CopiedFile, CutDone, Release
from wfe.wire.frames import Kind, decode_header, header
from wfe.wire.messages import ErrorReply, Mail

DIRECTORY = "/backups/1"
PLACES = {0: ["partitions/000", "partitions/002", "logs/0"], 1: ["partitions/001", "partitions/003", "logs/1"]}


class Backing(World):
    """Two shards that serve, and a client that asks for backups."""

    def __init__(self) -> None:
        super().__init__(shards=2, partitions=4)
        self.serving()
        self.hello()

    def ask(self, id: str = "a", directory: str = DIRECTORY) -> None:
        self.send(CLIENT, Kind.BACKUP, Backup(id, directory))

    def report(self) -> BackupReport:
        head, body = self.answer()
        assert head.kind == Kind.REPLY, decode(body, ErrorReply)
        found: BackupReport = decode(body, BackupReport)
        return found

    def refusal(self, id: str = "a") -> ErrorReply:
        """What the client hears of its backup."""
        self.ask(id)
        return self.error()

    def told(self) -> list[tuple[int, int, Any]]:
        """(shard, kind, body) of what shards were told since the last look, without news of workers."""
        found = []
        for peer, parts in self.effects.back:
            kind = decode_header(parts[0]).kind
            if kind in (Kind.QUIESCE, Kind.CUT, Kind.RELEASE):
                body = decode(parts[1], Release if kind == Kind.RELEASE else Barrier)
                found.append((int(peer.split(b"-")[1]), kind, body))
        self.effects.back.clear()
        return found

    def opened(self, number: int = 1) -> None:
        self.actor.backups.on_archived(number, None, None, self.now_ms)

    def say(self, shard: int, kind: Kind, number: int = 1) -> None:
        self.from_shard(shard, [header(kind), encode(Barrier(number))])

    def copied(self, shard: int, number: int = 1, error: ErrorReply | None = None) -> None:
        files = [CopiedFile(place, 10, "d" * 64) for place in PLACES[shard]]
        self.from_shard(shard, [header(Kind.CUT_DONE), encode(CutDone(number, [] if error else files, error))])

    def exit(self, shard: int) -> None:
        self.actor.on_child_exit(f"shard-{shard}", -9, self.now_ms)

    def until(self, phase: str) -> Backing:
        """A backup that has come so far."""
        self.ask()
        if phase != "opening":
            self.opened()
        if phase in ("cutting", "copying", "closing"):
            self.say(0, Kind.QUIET)
            self.say(1, Kind.QUIET)
        if phase in ("copying", "closing"):
            self.say(0, Kind.CUT_BEGUN)
            self.say(1, Kind.CUT_BEGUN)
        if phase == "closing":
            self.copied(0)
            self.copied(1)
        self.ask()
        assert self.report().phase == phase
        self.told()
        return self


@pytest.fixture
def world() -> Backing:
    return Backing()


def kinds(told: list[tuple[int, int, Any]]) -> list[tuple[int, int]]:
    return [(shard, kind) for shard, kind, _ in told]


def test_each_step_begins_when_all_shards_have_done_the_one_before(world: Backing) -> None:
    world.ask()
    assert world.archive.opened == [(1, DIRECTORY)]
    assert world.told() == []
    world.opened()
    assert kinds(world.told()) == [(0, Kind.QUIESCE), (1, Kind.QUIESCE)]
    world.say(0, Kind.QUIET)
    assert world.told() == []
    world.say(1, Kind.QUIET)
    assert world.told() == [(0, Kind.CUT, Barrier(1, DIRECTORY)), (1, Kind.CUT, Barrier(1, DIRECTORY))]
    world.say(1, Kind.CUT_BEGUN)
    assert world.told() == [], "mail stays where it is until the last shard is cut"
    world.say(0, Kind.CUT_BEGUN)
    assert world.told() == [(0, Kind.RELEASE, Release(1)), (1, Kind.RELEASE, Release(1))]
    world.copied(0)
    assert world.archive.finished == []
    world.copied(1)
    ((number, directory, manifest),) = world.archive.finished
    assert (number, directory) == (1, DIRECTORY)
    manifest.files.append(CopiedFile("catalogue", 5, "c" * 64))
    assert sorted(file.name for file in manifest.files) == sorted(places_of(manifest))
    assert (manifest.server, manifest.partitions, manifest.epoch) == ("server-1", 4, 2)
    assert decode_manifest(encode_manifest(manifest)).files == manifest.files
    world.actor.backups.on_archived(1, manifest, None, world.now_ms)
    world.ask()
    report = world.report()
    assert (report.phase, report.files, report.size_bytes) == ("done", 7, 65)


def test_a_copy_that_was_quicker_than_its_own_news_counts_as_begun(world: Backing) -> None:
    world.until("cutting")
    world.copied(0)
    world.say(1, Kind.CUT_BEGUN)
    assert {kind for _, kind in kinds(world.told())} == {Kind.RELEASE}


def test_a_second_backup_at_the_same_time_is_refused(world: Backing) -> None:
    world.until("copying")
    assert world.refusal("b").code == "backup"
    assert len(world.archive.opened) == 1


def test_the_same_id_never_begins_another_backup(world: Backing) -> None:
    world.until("closing")
    world.actor.backups.on_archived(1, None, DataFull("no room"), world.now_ms)
    for _ in range(2):
        assert world.refusal() == ErrorReply("data_full", "no room")
    assert len(world.archive.opened) == 1


@pytest.mark.parametrize("directory", ["backups", "", "."])
def test_a_path_that_is_not_absolute_is_refused(world: Backing, directory: str) -> None:
    world.ask(directory=directory)
    assert world.error().code == "data"


def test_a_shard_that_does_not_serve_is_named(world: Backing) -> None:
    world.exit(1)
    refusal = world.refusal()
    assert (refusal.code, "shard 1" in refusal.message) == ("unavailable", True)


def test_a_directory_that_cannot_be_used_touches_no_shard(world: Backing) -> None:
    world.until("opening")
    world.actor.backups.on_archived(1, None, DataError("not empty"), world.now_ms)
    assert world.refusal().code == "data"
    assert world.told() == []


@pytest.mark.parametrize("phase", ["quiescing", "cutting", "copying"])
def test_a_shard_that_ends_in_the_middle_ends_the_backup_and_mail_goes_on(world: Backing, phase: str) -> None:
    world.until(phase)
    world.exit(1)
    assert (0, Kind.RELEASE, Release(1, True)) in world.told()
    refusal = world.refusal()
    assert (refusal.code, "shard 1 ended" in refusal.message) == ("backup", True)
    world.shard_hello(world.last_options("shard-1"))
    world.ask("b", "/backups/2")
    assert world.report().phase == "opening"


def test_a_shard_that_ends_after_its_part_is_done_changes_nothing(world: Backing) -> None:
    world.until("copying")
    world.copied(1)
    world.exit(1)
    world.copied(0)
    ((_, _, manifest),) = world.archive.finished
    assert [shard.epoch for shard in manifest.shards] == [1, 2]


@pytest.mark.parametrize("phase", ["opening", "quiescing", "cutting"])
def test_a_barrier_that_takes_too_long_is_given_up(world: Backing, phase: str) -> None:
    world.until(phase)
    world.pass_time(BACKUP_BARRIER_MS)
    releases = [body for _, kind, body in world.told() if kind == Kind.RELEASE]
    assert releases == ([] if phase == "opening" else [Release(1, True)] * 2)
    assert world.refusal().code == "backup"


def test_copying_may_take_longer_but_not_forever(world: Backing) -> None:
    world.until("copying")
    world.pass_time(BACKUP_COPY_MS - 1)
    world.hello()
    world.ask()
    assert world.report().phase == "copying"
    world.pass_time(1)
    assert world.refusal().code == "backup"


def test_time_is_looked_at_before_a_letter_of_a_shard_that_lost_patience_passes(world: Backing) -> None:
    world.until("cutting")
    world.say(0, Kind.CUT_BEGUN)
    world.now_ms += BACKUP_BARRIER_MS
    world.from_shard(0, [header(Kind.MAIL, 1), encode([Mail(0, 1, 1, 1, encode("x"))])])
    world.say(1, Kind.CUT_BEGUN)
    assert world.refusal().code == "backup"


def test_an_error_of_one_shard_keeps_its_type_and_ends_the_backup(world: Backing) -> None:
    world.until("copying")
    world.copied(1, error=ErrorReply("data_full", "no space left"))
    assert world.refusal() == ErrorReply("data_full", "shard 1: no space left")
    assert {body.abandon for _, kind, body in world.told() if kind == Kind.RELEASE} == {True}


@pytest.mark.parametrize(("phase", "step"), [("quiescing", Kind.QUIESCE), ("cutting", Kind.CUT), ("copying", Kind.CUT)])
def test_what_a_shard_did_not_answer_is_asked_again(world: Backing, phase: str, step: Kind) -> None:
    world.until(phase)
    answers = {"quiescing": Kind.QUIET, "cutting": Kind.CUT_BEGUN}
    if phase == "copying":
        world.copied(0)
    else:
        world.say(0, answers[phase])
    world.told()
    world.pass_time(BACKUP_RESEND_MS)
    assert (1, step) in kinds(world.told())


def test_frames_that_come_twice_or_too_early_change_nothing(world: Backing) -> None:
    world.until("quiescing")
    for kind in (Kind.CUT_BEGUN, Kind.QUIET, Kind.QUIET):
        world.say(0, kind)
    world.copied(1)
    assert world.told() == []
    world.ask()
    assert world.report().phase == "quiescing"


def test_a_shard_that_still_works_on_a_backup_that_is_over_is_released(world: Backing) -> None:
    world.until("quiescing")
    world.exit(1)
    world.told()
    world.say(0, Kind.QUIET)
    assert world.told() == [(0, Kind.RELEASE, Release(1, True))]


def test_a_lost_release_is_made_good_when_the_shard_speaks_again(world: Backing) -> None:
    world.until("copying")
    world.say(0, Kind.CUT_BEGUN)
    assert world.told() == [(0, Kind.RELEASE, Release(1, False))]


def test_a_drain_gives_the_backup_up(world: Backing) -> None:
    world.until("copying")
    world.actor.drain(world.now_ms)
    assert (0, Kind.RELEASE, Release(1, True)) in world.told()
    assert world.refusal("a").code == "backup"
    assert world.refusal("b").code == "unavailable"


def test_news_of_the_archive_for_a_backup_that_was_given_up_is_ignored(world: Backing) -> None:
    world.until("opening")
    world.pass_time(BACKUP_BARRIER_MS)
    world.opened()
    assert world.told() == []
