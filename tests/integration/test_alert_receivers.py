"""Alerts reach real receivers: a webhook, a mail server, a command; dead and slow ones hold up nobody."""

from __future__ import annotations

import asyncio
import email
import email.policy
import json
import os
import re
import signal
import socket
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import psutil
import pytest
from msgspec import structs

from support.receivers import Hook, MailServer, hook
from wfe.bootstrap.world import new_loop
from wfe.gateway.alerts.delivery import QUEUE_MAX, Delivery, Mailbox, Send
from wfe.gateway.alerts.receivers import NotDelivered, deliver
from wfe.gateway.alerts.rules import Receiver, read_alerting
from wfe.gateway.alerts.states import Notice
from wfe.gateway.signatures import BadSignature, verify
from wfe.secrets import mask_secrets

SECRET = "whsec_c2VjcmV0IG9mIHRoZSBhbGVydHM="


def receiver(**keys: Any) -> Receiver:
    (found,) = read_alerting({"to": {"there": keys}}).receivers
    return found


def notice(number: int = 1, summary: str = "too many runs fail", kind: str = "firing") -> Notice:
    return Notice(
        f"alert_r_{number}", kind, "r", "critical", "pay", summary, "20 %", "above 5 %", 1_700_000_000_000,
        1_700_000_060_000, (),
    )  # fmt: skip


@pytest.fixture
def there() -> Iterator[Hook]:
    with hook() as made:
        yield made


async def test_a_webhook_is_signed_and_says_what_happens(there: Hook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ALERTS_SECRET", SECRET)
    await deliver(receiver(webhook=there.url, secret="ALERTS_SECRET"), notice(), "tcp://here")
    headers, body = there.next()
    verify(SECRET, headers, body, time.time())
    with pytest.raises(BadSignature):
        verify("another", headers, body, time.time())
    document = json.loads(body)
    assert document["type"] == "wfe.alert.firing"
    assert document["data"] == {
        "id": "alert_r_1",
        "rule": "r",
        "severity": "critical",
        "subject": "pay",
        "summary": "too many runs fail",
        "value": "20 %",
        "limit": "above 5 %",
        "since": "2023-11-14T22:13:20.000Z",
        "server": "tcp://here",
    }
    assert headers["webhook-id"] == "alert_r_1"
    assert SECRET not in mask_secrets(SECRET)


@pytest.mark.parametrize(("status", "is_final"), [(500, False), (404, False), (410, True), (302, False)])
async def test_answers_that_are_no_yes_are_errors_and_redirects_are_not_followed(
    there: Hook, status: int, is_final: bool
) -> None:
    there.answers = [status]
    with pytest.raises(NotDelivered, match=str(status)) as failed:
        await deliver(receiver(webhook=there.url), notice(), "")
    assert failed.value.is_final is is_final
    there.next()
    assert there.got == []


async def test_a_receiver_that_speaks_no_http_is_an_error_of_its_own() -> None:
    async def speak(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")  # all of it is read, or closing would cut off what is sent
        _, _, rest = head.lower().partition(b"content-length:")
        await reader.readexactly(int(rest.split()[0]))
        writer.write(b"220 this is a mail server\r\n")
        writer.close()

    async with await asyncio.start_server(speak, "127.0.0.1", 0) as server:
        to = receiver(webhook=f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/")
        with pytest.raises(NotDelivered, match="220 this is a mail server"):
            await deliver(to, notice(), "")


async def test_a_secret_that_there_is_not_is_said(there: Hook) -> None:
    with pytest.raises(NotDelivered, match="NOT_THERE") as failed:
        await deliver(receiver(webhook=there.url, secret="NOT_THERE"), notice(), "")
    assert failed.value.is_final


async def test_mail_reaches_everybody_in_lines_that_nothing_can_break() -> None:
    async with MailServer() as server:
        to = receiver(email=["ops@ours.example", "boss@ours.example"], smtp=server.url, **{"from": "wfe@ours.example"})
        await deliver(to, notice(summary="50 % of evil\nBcc: other@theirs.example\r\n fail"), "tcp://here")
    ((sender, recipients, data),) = server.mails
    assert (sender, recipients) == ("wfe@ours.example", ["ops@ours.example", "boss@ours.example"])
    mail = email.message_from_string(data, policy=email.policy.default)
    assert mail["Subject"] == "[wfe CRITICAL] 50 % of evil Bcc: other@theirs.example fail"
    assert mail["Bcc"] is None
    assert "limit:   above 5 %" in mail.get_content()
    assert mail["Message-ID"] == "<alert_r_1@ours.example>"


async def test_a_mail_server_that_refuses_somebody_or_is_not_there_is_an_error() -> None:
    async with MailServer(refuse="ops@ours.example") as server:
        to = receiver(email="ops@ours.example", smtp=server.url, **{"from": "wfe@ours.example"})
        with pytest.raises(NotDelivered, match="nobody of that name"):
            await deliver(to, notice(), "")
    with pytest.raises(NotDelivered, match=server_of(to)):
        await deliver(to, notice(), "")


def server_of(found: Receiver) -> str:
    return found.smtp.removeprefix("smtp://")


async def test_a_password_is_not_sent_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SMTP_PASSWORD", "hunter2hunter2")
    monkeypatch.setattr("wfe.gateway.alerts.receivers._LOOPBACK", ())
    async with MailServer() as server:
        login = {"from": "wfe@ours.example", "user": "wfe", "password": "SMTP_PASSWORD"}
        with pytest.raises(NotDelivered, match="offers no TLS"):
            await deliver(receiver(email="ops@ours.example", smtp=server.url, **login), notice(), "")
    assert server.mails == []


async def test_a_command_gets_its_notice_on_standard_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WFE_TOKEN", "not for commands")
    out = tmp_path / "out.json"
    code = "import os, sys; open(sys.argv[1], 'w').write(sys.stdin.read() + os.environ.get('WFE_TOKEN', ''))"
    await deliver(receiver(command=[sys.executable, "-c", code, str(out)]), notice(), "here")
    assert json.loads(out.read_text())["data"]["rule"] == "r"


async def test_commands_that_fail_hang_or_are_not_there_are_errors_and_leave_nothing(tmp_path: Path) -> None:
    fails = "import sys; sys.stderr.write('noise\\nno such team'); sys.exit(3)"
    with pytest.raises(NotDelivered, match="exits with 3: no such team"):
        await deliver(receiver(command=[sys.executable, "-c", fails]), notice(), "")
    with pytest.raises(NotDelivered, match="cannot be started"):
        await deliver(receiver(command=[str(tmp_path / "nothing")]), notice(), "")
    pid = tmp_path / "pid"
    child = f"import os, time; open({str(pid)!r}, 'w').write(str(os.getpid())); time.sleep(600)"
    hangs = f"import subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}])"
    with pytest.raises(NotDelivered, match="longer than 3 s"):
        await deliver(receiver(command=[sys.executable, "-c", hangs], timeout="3s"), notice(), "")
    async with asyncio.timeout(30):
        while not gone(int(pid.read_text())):
            await asyncio.sleep(0.01)


@pytest.mark.parametrize("loop_factory", [asyncio.new_event_loop, new_loop], ids=["asyncio", "uvloop"])
def test_a_command_has_ended_when_it_has_whatever_it_leaves_behind(loop_factory: Any) -> None:
    leaves = "import subprocess, sys; left = subprocess.Popen(['sleep', '600']); print(left.pid, file=sys.stderr)"
    to = receiver(command=[sys.executable, "-c", leaves + "; sys.exit(3)"], timeout="60s")
    with asyncio.Runner(loop_factory=loop_factory) as runner, pytest.raises(NotDelivered) as failed:
        runner.run(deliver(to, notice(), ""))
    said = re.fullmatch(r".* exits with 3: (\d+)", str(failed.value))
    assert said is not None, "not that it took too long"
    os.kill(int(said[1]), signal.SIGKILL)


def gone(pid: int) -> bool:
    return not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE


async def test_a_dead_receiver_holds_up_nobody_else(there: Hook) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # it accepts, and never answers
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/"
        receivers = read_alerting({"to": {"dead": {"webhook": url}, "alive": {"webhook": there.url}}}).receivers
        delivery = Delivery(receivers, lambda: 0)
        delivery.start()
        for number in range(3):
            delivery.say(notice(number), "")
        got = [json.loads((await asyncio.to_thread(there.next))[1])["data"]["id"] for _ in range(3)]
        assert got == ["alert_r_0", "alert_r_1", "alert_r_2"]
        dead, alive = delivery.views()
        async with asyncio.timeout(30):
            while alive.sent < 3:  # the last answer is on its way back
                await asyncio.sleep(0.01)
        assert (alive.sent, dead.sent, dead.waiting) == (3, 0, 2)
        await delivery.close()


class Sends:
    """A way to send that fails as often as it is told."""

    def __init__(self, failures: int = 0, *, final: bool = False) -> None:
        self.failures, self.final = failures, final
        self.sent: list[str] = []
        self.tries = 0

    async def __call__(self, to: Receiver, what: Notice, server: str) -> None:
        self.tries += 1
        if self.failures:
            self.failures -= 1
            raise NotDelivered("not now", is_final=self.final)
        self.sent.append(what.id)


async def box(
    sends: Send, count: int, *, notices: Sequence[Notice] = (), clock: Callable[[], int] = lambda: 0, **keys: Any
) -> Mailbox:
    """A receiver that was told so many notices, then these, and has done what it can."""
    pauses: list[float] = []

    async def pause(seconds: float) -> None:
        pauses.append(seconds)

    made = Mailbox(receiver(webhook="http://x/", **keys), clock, send=sends, pause=pause)
    for each in [*map(notice, range(count)), *notices]:
        made.put(each)
    task = asyncio.get_running_loop().create_task(made.serve())
    while made._wake.is_set():
        await asyncio.sleep(0)
    task.cancel()
    return made


async def test_a_notice_is_tried_again_and_then_given_up() -> None:
    sends = Sends(failures=2)
    assert ((await box(sends, 1)).view.sent, sends.tries) == (1, 3)
    sends = Sends(failures=5)
    view = (await box(sends, 2)).view
    assert (view.sent, view.failed, sends.tries) == (1, 1, 6)
    sends = Sends(failures=1, final=True)
    assert ((await box(sends, 1)).view.failed, sends.tries) == (1, 1)


class Defect:
    """A way to send that fails as nobody foresaw, once."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self._failed = False

    async def __call__(self, to: Receiver, what: Notice, server: str) -> None:
        if not self._failed:
            self._failed = True
            raise LookupError("nobody thought of this")
        self.sent.append(what.id)


async def test_a_delivery_that_fails_as_nobody_foresaw_ends_no_receiver() -> None:
    sends = Defect()
    view = (await box(sends, 2)).view
    assert (sends.sent, view.sent, view.failed, view.error) == (["alert_r_1"], 1, 1, "")


async def test_the_all_clear_of_what_was_left_out_is_left_out_too() -> None:
    sends = Sends()
    said, unsaid = notice(1), structs.replace(notice(2), subject="ship")
    made = await box(sends, 0, per_hour=1, notices=[said, unsaid, structs.replace(unsaid, kind="resolved")])
    assert (sends.sent, made.view.dropped, made.view.waiting) == (["alert_r_1"], 1, 0)


async def test_a_repeat_that_was_left_out_takes_no_all_clear_with_it() -> None:
    sends, hour = Sends(), iter([0, 1, 3_600_001])
    over = notice(3, kind="resolved")
    await box(sends, 0, per_hour=1, notices=[notice(1), notice(2), over], clock=lambda: next(hour))
    assert sends.sent == ["alert_r_1", "alert_r_3"]


async def test_an_hour_has_room_for_so_many_messages() -> None:
    sends = Sends()
    view = (await box(sends, 10, per_hour=3)).view
    assert (sends.sent, view.dropped) == (["alert_r_0", "alert_r_1", "alert_r_2"], 7)
    assert "more than 3 messages within an hour" in view.error


async def test_what_waits_is_bounded_and_the_newest_stay() -> None:
    sends = Sends()
    view = (await box(sends, QUEUE_MAX + 5, per_hour=10_000)).view
    assert (len(sends.sent), view.dropped, sends.sent[-1]) == (QUEUE_MAX, 5, f"alert_r_{QUEUE_MAX + 4}")
