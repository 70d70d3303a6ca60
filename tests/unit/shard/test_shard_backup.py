"""A shard's part in a backup: what is held back, when it is quiet, what is cut; frames that are lost, late or twice."""

from __future__ import annotations

from typing import Any

import pytest

from support.shard_cases import chain, waiting
from support.shards import PARTITIONS, Host, decode, encode
from wfe.journal.log import ShardLog
from wfe.journal.store import PartitionStore
from wfe.journal.verify_mail import replay_records, stored_record, verify_mail
from wfe.limits import BACKUP_HOLD_MS, REQUEST_RESEND_MS
from wfe.model.definition import Definition, Task
from wfe.wire import messages as m
from wfe.wire.backups import Barrier, Release
from wfe.wire.frames import Kind, decode_header, header

FAR = 2
"""A partition of another shard."""


@pytest.fixture
def host() -> Host:
    made = Host(chain(), waiting(), tasks={"inc": lambda x: x + 1}, partitions=[0, 1])
    made.hello()
    return made


def tell(host: Host, kind: Kind, body: Any) -> None:
    host.shard.on_back([header(kind), encode(body)], host.now_ms)


def post(host: Host, number: int = 1) -> None:
    """Letters for a partition of another shard."""
    from wfe.model.mail import ChildControl

    for _ in range(number):
        host.shard.core.partitions[0].post(FAR, ChildControl("0" * 26, "cancel"))


def letters(host: Host) -> list[int]:
    """Numbers of the letters that left, in order, and forgets them."""
    found = [
        letter.seq
        for parts in host.mail
        if decode_header(parts[0]).kind == Kind.MAIL
        for letter in decode(parts[1], type=list[m.Mail])
    ]
    host.mail.clear()
    return found


def ack(host: Host, seq: int) -> None:
    tell(host, Kind.MAIL_ACK, [m.MailAck(0, FAR, seq)])


def kinds(host: Host) -> list[int]:
    """What the shard said of the backup since the last look."""
    found, host.backup[:] = [kind for kind, _ in host.backup], []
    return found


def quiet(host: Host, number: int = 1) -> None:
    tell(host, Kind.QUIESCE, Barrier(number))
    host.turn()
    assert kinds(host) == [Kind.QUIET]


def test_a_shard_without_mail_is_quiet_after_its_next_commit(host: Host) -> None:
    tell(host, Kind.QUIESCE, Barrier(1))
    assert kinds(host) == []
    host.turn()
    assert kinds(host) == [Kind.QUIET]


def test_a_shard_is_quiet_only_when_what_it_sent_is_settled(host: Host) -> None:
    post(host, 2)
    host.turn()
    assert letters(host) == [1, 2]
    tell(host, Kind.QUIESCE, Barrier(1))
    host.turn()
    ack(host, 1)
    host.turn()
    assert kinds(host) == []
    ack(host, 2)
    host.turn()
    assert kinds(host) == [Kind.QUIET]


def test_letters_of_the_batch_that_the_request_falls_into_still_go_and_later_ones_stay(host: Host) -> None:
    post(host)
    tell(host, Kind.QUIESCE, Barrier(1))
    host.turn()
    post(host)
    host.turn()
    assert letters(host) == [1]
    host.now_ms += REQUEST_RESEND_MS
    host.turn()
    assert letters(host) == [1], "what was not acknowledged is repeated, what is held is not"
    ack(host, 1)
    host.turn()
    assert kinds(host) == [Kind.QUIET]
    tell(host, Kind.RELEASE, Release(1, abandon=True))
    host.turn()
    assert letters(host) == [2]


def test_letters_that_an_earlier_process_may_have_sent_are_settled_first(host: Host) -> None:
    post(host)
    host.turn()
    host.crash()
    host.mail.clear()
    tell(host, Kind.QUIESCE, Barrier(1))
    host.turn()
    assert letters(host) == [1]
    assert kinds(host) == []
    ack(host, 1)
    host.turn()
    assert kinds(host) == [Kind.QUIET]


def test_mail_within_the_shard_and_runs_go_on_while_mail_is_held(host: Host) -> None:
    parent = Definition("parent", nodes=(Task(id="t", task="inc", with_={"x": 1}),), output="${t}")
    host.definitions["parent"] = parent
    quiet(host)
    run = host.start("parent").run_id
    host.settle()
    assert host.output(run) == 2


def test_no_checkpoint_step_is_submitted_until_the_snapshots_have_begun(host: Host) -> None:
    quiet(host)
    host.start("chain", 1)
    host.settle()
    tell(host, Kind.CUT, Barrier(1, "backup"))
    host.now_ms += 1_000
    host.turn()
    steps = host.shard.core.counters["checkpoint_steps"]
    host.start("chain", 1)
    host.settle()
    host.now_ms += 1_000
    host.turn()
    assert host.shard.core.counters["checkpoint_steps"] == steps
    assert host.copy()
    host.turn()
    assert kinds(host) == [Kind.CUT_BEGUN]
    host.now_ms += 1_000
    host.turn()
    assert host.shard.core.counters["checkpoint_steps"] > steps


def test_the_cut_waits_for_checkpoint_steps_in_flight(host: Host) -> None:
    host.start("chain", 1)
    host.settle()
    host.now_ms += 1_000
    host.shard.turn(host.now_ms)
    assert host.shard.checkpoints.in_flight
    tell(host, Kind.QUIESCE, Barrier(1))
    host.shard.turn(host.now_ms)
    tell(host, Kind.CUT, Barrier(1, "backup"))
    host.shard.turn(host.now_ms)
    assert not host.copy()
    host.turn()
    assert host.copy()


def finish(host: Host, number: int = 1) -> Any:
    """Cut, begin, copy; the shard's last word."""
    tell(host, Kind.CUT, Barrier(number, f"backup-{number}"))
    for _ in range(4):
        host.turn()
        host.copy()
    host.turn()
    assert host.backup[-1][0] == Kind.CUT_DONE
    return host.backup[-1][1]


def test_the_copies_hold_what_was_durable_when_the_snapshots_began(host: Host) -> None:
    host.start("chain", 1)
    host.settle()
    host.checkpoint()
    host.start("chain", 2)
    quiet(host)
    tell(host, Kind.CUT, Barrier(1, "backup"))
    host.turn()
    host.copy()
    before = host.shard.core.disk.log.position
    host.start("chain", 3)
    host.settle()
    host.copy()
    host.turn()
    done = host.backup[-1][1]
    assert [file.name for file in done.files] == ["partitions/000", "partitions/001", "logs/0"]
    assert done.error is None
    assert max(position for position, _ in host.disk.log("backup/logs/0").read(0)) == before
    log = ShardLog(host.disk.log("backup/logs/0"), host.epoch + 10)
    store = PartitionStore(host.disk.store("backup/partitions/000"), 0, PARTITIONS)
    assert len(list(log.replay())) + len(store.list_ended()) > 0


def test_mail_numbers_of_two_shards_agree_whenever_they_are_cut() -> None:
    near, far = (Host(chain(), partitions=owned) for owned in ([0, 1], [2, 3]))
    post(near, 3)
    hosts = (near, far)

    def carry() -> None:
        for _ in range(6):
            for here, there in ((near, far), (far, near)):
                here.turn()
                frames, here.mail[:] = list(here.mail), []
                for parts in frames:
                    there.shard.on_back(parts, there.now_ms)

    for host in hosts:
        tell(host, Kind.QUIESCE, Barrier(1))
    carry()
    assert [kinds(host) for host in hosts] == [[Kind.QUIET], [Kind.QUIET]]
    finish(near)
    post(near, 2)  # between the two cuts
    carry()
    finish(far)
    records = {}
    for host in hosts:
        for number in host.owned:
            record = stored_record(host.disk.store(f"backup-1/partitions/{number:03d}"))
            assert record is not None
            records[number] = record
        replay_records(host.disk.log("backup-1/logs/0"), records)
    assert verify_mail(records) == []
    assert records[FAR].taken == {0: 3}
    for host in hosts:
        tell(host, Kind.RELEASE, Release(1))
    carry()
    assert far.shard.core.partitions[FAR].record.taken == {0: 5}


# ---- frames that are lost, late, or come twice ----


def test_a_question_that_comes_again_is_answered_again(host: Host) -> None:
    quiet(host)
    tell(host, Kind.QUIESCE, Barrier(1))
    host.turn()
    assert kinds(host) == [Kind.QUIET]
    finish(host)
    kinds(host)
    tell(host, Kind.CUT, Barrier(1, "backup"))
    host.turn()
    assert kinds(host) == [Kind.CUT_DONE]


def test_a_late_question_of_a_backup_that_is_over_holds_nothing(host: Host) -> None:
    tell(host, Kind.RELEASE, Release(1, abandon=True))
    tell(host, Kind.QUIESCE, Barrier(1))
    host.turn()
    post(host)
    host.turn()
    assert (kinds(host), letters(host)) == ([], [1])


def test_a_late_release_of_an_earlier_backup_changes_nothing(host: Host) -> None:
    quiet(host, 1)
    quiet(host, 2)
    tell(host, Kind.RELEASE, Release(1, abandon=True))
    post(host)
    host.turn()
    assert letters(host) == []


def test_a_cut_without_having_been_quiet_is_not_made(host: Host) -> None:
    tell(host, Kind.CUT, Barrier(1, "backup"))
    host.turn()
    assert not host.copy()
    post(host)
    host.turn()
    ack(host, 0)
    tell(host, Kind.QUIESCE, Barrier(2))
    tell(host, Kind.CUT, Barrier(2, "backup"))
    host.turn()
    assert not host.copy()
    assert kinds(host) == []


def test_mail_goes_on_by_itself_when_the_coordinator_is_silent(host: Host) -> None:
    quiet(host)
    post(host)
    host.turn()
    host.now_ms += BACKUP_HOLD_MS
    host.turn()
    host.turn()
    assert letters(host) == [1]
    tell(host, Kind.CUT, Barrier(1, "backup"))
    host.turn()
    assert not host.copy(), "a shard whose patience ended is not cut any more"
    assert set(kinds(host)) == {Kind.CUT_DONE}


def test_an_abandoned_backup_stops_copying_and_the_next_one_works(host: Host) -> None:
    quiet(host, 1)
    tell(host, Kind.CUT, Barrier(1, "backup-1"))
    host.turn()
    tell(host, Kind.RELEASE, Release(1, abandon=True))
    while host.copy():
        host.turn()
    assert kinds(host) == []
    assert not host.shard.checkpoints.held
    quiet(host, 2)
    assert finish(host, 2).error is None


def test_a_full_disk_fails_the_backup_and_not_the_shard(host: Host) -> None:
    quiet(host)
    host.disk.plan("backup-1/partitions/001", "no_space")
    done = finish(host)
    assert done.error.code == "data_full"
    assert done.files == []
    host.start("chain", 1)
    host.settle()
    tell(host, Kind.RELEASE, Release(1, abandon=True))
    post(host)
    host.turn()
    assert letters(host) == [1]


def test_a_drain_ends_the_backup_and_is_not_held_up(host: Host) -> None:
    post(host)
    host.turn()
    tell(host, Kind.QUIESCE, Barrier(1))
    host.turn()
    tell(host, Kind.DRAIN, None)
    host.checkpoint()
    assert host.shard.drained
    assert kinds(host) == [Kind.CUT_DONE]
