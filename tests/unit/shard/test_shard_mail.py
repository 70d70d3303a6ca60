"""Mail on the way: windows, patience that grows, and what waits at the receiver."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from msgspec import Raw

from support.shard_cases import TASKS, chain, waiting
from support.shards import Host, decode, encode
from wfe.limits import MAIL_BYTES_MAX, MAIL_LETTERS_MAX, MAIL_RESEND_MAX_MS, MIB, REQUEST_RESEND_MS
from wfe.model.definition import Definition, SubWorkflow
from wfe.model.mail import ChildControl, ChildEnded, ChildStart, MailBody
from wfe.shard import loading
from wfe.wire import messages as m
from wfe.wire.frames import Kind, decode_header, header

FAR = 2
"""A partition of another shard."""


@pytest.fixture
def host() -> Host:
    made = Host(chain(), waiting(), tasks=TASKS, partitions=[0, 1])
    made.hello()
    return made


def tell(host: Host, kind: Kind, body: Any) -> None:
    host.shard.on_back([header(kind), encode(body)], host.now_ms)


def post(host: Host, number: int = 1, size_bytes: int = 0) -> None:
    """Letters for a partition of another shard."""
    for _ in range(number):
        host.shard.core.partitions[0].post(FAR, ChildEnded("0" * 26, 0, 0, "", "", Raw(encode("x" * size_bytes))))


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


def acks(host: Host) -> list[int]:
    found = [
        ack.seq
        for parts in host.mail
        if decode_header(parts[0]).kind == Kind.MAIL_ACK
        for ack in decode(parts[1], type=list[m.MailAck])
    ]
    host.mail.clear()
    return found


def ack(host: Host, seq: int) -> None:
    tell(host, Kind.MAIL_ACK, [m.MailAck(0, FAR, seq)])


def mail(seq: int, body: Any = None, receiver: int = 0) -> m.Mail:
    return m.Mail(FAR, receiver, 1, seq, Raw(encode(body or ChildControl("0" * 26, "cancel"))))


def resends(host: Host, duration_ms: int) -> list[int]:
    """When the first letter was sent again, counted from now."""
    begin_ms, found = host.now_ms, []
    while host.now_ms < begin_ms + duration_ms:
        host.now_ms += REQUEST_RESEND_MS // 4
        host.turn()
        if letters(host):
            found.append(host.now_ms - begin_ms)
    return found


def test_only_a_window_of_letters_is_on_the_way_and_acknowledgements_let_the_others_follow(host: Host):
    post(host, MAIL_LETTERS_MAX + 5)
    host.turn()
    assert letters(host) == list(range(1, MAIL_LETTERS_MAX + 1))
    ack(host, 3)
    host.turn()
    assert letters(host) == [MAIL_LETTERS_MAX + 1, MAIL_LETTERS_MAX + 2, MAIL_LETTERS_MAX + 3]
    ack(host, MAIL_LETTERS_MAX + 3)
    host.turn()
    assert letters(host) == [MAIL_LETTERS_MAX + 4, MAIL_LETTERS_MAX + 5]


def test_the_window_counts_bytes_too_and_one_letter_always_leaves(host: Host):
    post(host, 4, MAIL_BYTES_MAX // 2 - MIB)
    host.turn()
    assert letters(host) == [1, 2]
    ack(host, 1)
    host.turn()
    assert letters(host) == [3]


def test_what_nobody_acknowledges_is_sent_again_ever_more_rarely(host: Host):
    post(host)
    host.turn()
    assert letters(host) == [1]
    times = resends(host, 8 * MAIL_RESEND_MAX_MS)
    gaps = [later - earlier for earlier, later in pairwise([0, *times])]
    assert gaps[:4] == [REQUEST_RESEND_MS, 2 * REQUEST_RESEND_MS, 4 * REQUEST_RESEND_MS, 8 * REQUEST_RESEND_MS]
    assert set(gaps[4:]) == {MAIL_RESEND_MAX_MS}


def test_a_receiver_that_comes_back_is_sent_everything_at_once(host: Host):
    post(host, 2)
    host.turn()
    resends(host, 2 * MAIL_RESEND_MAX_MS)
    tell(host, Kind.SERVES, [1, FAR])
    host.turn()
    assert letters(host) == [1, 2]
    assert resends(host, REQUEST_RESEND_MS) == [REQUEST_RESEND_MS]


def test_acknowledged_letters_are_not_sent_again(host: Host):
    post(host, 3)
    host.turn()
    ack(host, 2)
    host.turn()
    letters(host)
    host.now_ms += REQUEST_RESEND_MS
    host.turn()
    assert letters(host) == [3]
    ack(host, 3)
    assert resends(host, MAIL_RESEND_MAX_MS) == []


def test_after_a_restart_everything_unacknowledged_is_sent(host: Host):
    post(host, 2)
    host.turn()
    host.crash()
    host.mail.clear()
    host.turn()
    assert letters(host) == [1, 2]


def test_letters_that_wait_for_a_definition_wait_once_however_often_they_come(host: Host):
    answer = host._resolve
    host._resolve = lambda question: None  # type: ignore[method-assign]
    start = ChildStart(host.run_id(0), "waiting", 0, Raw(encode({})), "default", parent="2" * 26)
    frame = [mail(1, start), mail(2), mail(3)]
    for _ in range(50):
        tell(host, Kind.MAIL, frame)
        host.turn()
    room = host.shard.mailroom
    assert [letter.seq for letter in room._lines[FAR, 0]] == [2, 3]
    tell(host, Kind.MAIL, [mail(5), mail(6)])
    assert len(room._lines[FAR, 0]) == 2, "a gap is the sender's to fill"
    host._resolve = answer  # type: ignore[method-assign]
    host.now_ms += REQUEST_RESEND_MS
    for _ in range(5):
        host.turn()
    assert acks(host)[-1] == 3
    assert not room._lines
    assert not room._busy
    tell(host, Kind.MAIL, frame)
    host.turn()
    assert acks(host) == [3]


class TestUnreadable:
    """A letter that nobody can read is stepped over, and whoever waits for it hears of that."""

    PARENT = Definition("parent", nodes=(SubWorkflow(id="sub", workflow="waiting"),))

    def take(self, host: Host, *bodies: Any) -> list[int]:
        begin = host.shard.core.partitions[0].record.taken.get(FAR, 0) + 1
        tell(host, Kind.MAIL, [mail(begin + i, body) for i, body in enumerate(bodies)])
        for _ in range(5):
            host.turn()
        return acks(host)

    @pytest.mark.parametrize(
        "body", ["no letter", [99, "x"], [3], [2, "no run", 0, 0, "child", 7], ChildControl("x" * 5000, "cancel")]
    )
    def test_those_behind_it_are_taken(self, host: Host, body: Any):
        run_id = host.start("waiting").run_id
        assert self.take(host, body, ChildControl(run_id, "cancel"))[-1] == 2
        assert host.get(run_id).status == "cancelled"
        assert host.shard.core.counters["mail_refused"] == 1

    def test_an_order_that_nobody_knows_is_refused(self, host: Host):
        run_id = host.start("waiting").run_id
        assert self.take(host, ChildControl(run_id, "dance"), ChildControl(run_id, "cancel"))[-1] == 2
        assert host.get(run_id).status == "cancelled"
        assert host.shard.core.counters["mail_refused"] == 1

    def test_the_parent_of_a_start_hears_that_it_failed(self, host: Host):
        parent = host.run_id(FAR)
        start = ChildStart(host.run_id(0), "waiting", 0, Raw(encode({})), "default", parent=parent, parent_node=4)
        fields = decode(encode(start))
        fields[3] = "no version"
        tell(host, Kind.MAIL, [mail(1, fields)])
        host.turn()
        (frame,) = (parts for parts in host.mail if decode_header(parts[0]).kind == Kind.MAIL)
        (letter,) = decode(frame[1], type=list[m.Mail])
        answer = decode(letter.body, type=MailBody)
        assert (answer.run_id, answer.node, answer.child, answer.status) == (parent, 4, start.run_id, "failed")
        assert answer.error.type == "Protocol"

    def test_a_parent_whose_childs_end_cannot_be_read_fails(self, host: Host):
        host.definitions["parent"] = self.PARENT
        run_id = host.start("parent").run_id
        child = next(w.detail for w in host.get(run_id).waiting_for)
        self.take(host, [2, run_id, 0, 0, child, 7])
        assert host.outcomes[run_id].error.type == "Protocol"


class TestDefinitionsThatDoNotCompile:
    def test_a_start_is_refused_with_the_reason_and_others_go_on(self, host: Host, monkeypatch: pytest.MonkeyPatch):
        real = loading.compile_plan

        def broken(definition: Definition, digest: str) -> Any:
            if definition.workflow == "chain":
                raise KeyError("a kind of a newer wfe")
            return real(definition, digest)

        monkeypatch.setattr(loading, "compile_plan", broken)
        assert host.start("chain", 1).error.code == "definition"
        assert host.start("waiting").created

    def test_a_child_fails_and_its_parent_hears_of_it(self, host: Host):
        host.definitions["parent"] = TestUnreadable.PARENT
        resolve = host._resolve

        def broken(question: m.Resolve) -> None:
            if question.workflow != "waiting":
                resolve(question)
            else:
                answer = m.Resolved(question.workflow, question.version, question.hash, "0" * 32, 1, b"{}")
                host.shard.on_back([header(Kind.RESOLVED), encode(answer)], host.now_ms)

        host._resolve = broken  # type: ignore[method-assign]
        parent, start = host.run_id(FAR), host.run_id(0)
        letter = ChildStart(start, "waiting", 0, Raw(encode({})), "default", parent=parent)
        tell(host, Kind.MAIL, [mail(1, letter)])
        for _ in range(3):
            host.turn()
        (frame,) = (parts for parts in host.mail if decode_header(parts[0]).kind == Kind.MAIL)
        answer = decode(decode(frame[1], type=list[m.Mail])[0].body, type=MailBody)
        assert (answer.run_id, answer.error.type) == (parent, "DefinitionError")
