"""Mail on the way: windows, patience that grows, and what waits at the receiver."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
from msgspec import Raw

from support.shard_cases import TASKS, chain, waiting
from support.shards import Host, decode, encode
from wfe.limits import MAIL_BYTES_MAX, MAIL_LETTERS_MAX, MAIL_RESEND_MAX_MS, MIB, REQUEST_RESEND_MS
from wfe.model.mail import ChildControl, ChildEnded, ChildStart
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
