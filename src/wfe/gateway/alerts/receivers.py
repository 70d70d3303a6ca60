"""How a notice is handed over: to a webhook, to a mail server, to a command. One attempt; `delivery` tries again.

Each takes at most the receiver's time limit. Invariants: secrets are read when they are needed and travel in no notice;
a webhook is signed as Standard Webhooks says and is not led elsewhere by a redirect; a command gets its notice on
standard input, no shell in between, and does not outlive its time limit (what it leaves behind when it ends may); a
password is sent over TLS only.
"""

from __future__ import annotations

import asyncio
import http.client
import os
import signal
import smtplib
import ssl
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from email.message import EmailMessage
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit

import msgspec

from wfe.client.views import rfc3339, time_of_ms
from wfe.errors import WfeError
from wfe.gateway.alerts.rules import Receiver
from wfe.gateway.alerts.states import Notice
from wfe.gateway.signatures import sign
from wfe.secrets import read_secret

ERROR_CHARS_MAX = 500
LAST_WORDS_S = 0.5
_LOOPBACK = ("localhost", "127.0.0.1", "::1")
_WITHHELD = ("WFE_TOKEN",)


class NotDelivered(WfeError):
    """A receiver did not take a notice. ``is_final``: it never will."""

    code = "not_delivered"

    def __init__(self, message: str, *, is_final: bool = False) -> None:
        super().__init__(message[:ERROR_CHARS_MAX])
        self.is_final = is_final


def notice_document(notice: Notice, server: str) -> dict[str, Any]:
    """A notice as webhooks and commands get it (the envelope of Standard Webhooks)."""
    return {
        "type": f"wfe.alert.{notice.kind}",
        "timestamp": rfc3339(notice.at_ms),
        "data": {
            "id": notice.id,
            "rule": notice.rule,
            "severity": notice.severity,
            "subject": notice.subject,
            "summary": notice.summary,
            "value": notice.value,
            "limit": notice.limit,
            "since": rfc3339(notice.since_ms),
            "server": server,
        },
    }


async def deliver(receiver: Receiver, notice: Notice, server: str) -> None:
    """One attempt. NotDelivered says why it failed."""
    body = msgspec.json.encode(notice_document(notice, server))
    timeout_s = receiver.timeout_ms / 1000
    try:
        if receiver.kind == "webhook":
            await _in_thread(lambda: _post(receiver, notice, body), timeout_s)
        elif receiver.kind == "email":
            await _in_thread(lambda: _mail(receiver, notice, server), timeout_s)
        else:
            await _run(receiver, body, timeout_s)
    except TimeoutError:
        raise NotDelivered(f"it took longer than {timeout_s:g} s") from None


async def _in_thread(work: Callable[[], None], timeout_s: float) -> None:
    """A thread of its own, which holds up neither others nor the end of this process. Its sockets have the same limit;
    this one counts for all that it does."""
    loop = asyncio.get_running_loop()
    done: asyncio.Future[None] = loop.create_future()

    def settle(error: Exception | None) -> None:
        if done.done():
            return
        if error is None:
            done.set_result(None)
        else:
            done.set_exception(error)

    def run() -> None:
        try:
            work()
        except Exception as error:  # noqa: BLE001  it is raised where it is waited for
            outcome: Exception | None = error
        else:
            outcome = None
        with suppress(RuntimeError):  # the loop has closed: nobody waits any more
            loop.call_soon_threadsafe(settle, outcome)

    threading.Thread(target=run, name="wfe-deliver", daemon=True).start()
    async with asyncio.timeout(timeout_s):
        await done


# ---- webhooks -------------------------------------------------------------------------------------------------------


class _NoRedirects(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any, **__: Any) -> None:
        return None


def _post(receiver: Receiver, notice: Notice, body: bytes) -> None:
    headers = {"content-type": "application/json", "user-agent": "wfe", "webhook-id": notice.id}
    headers["webhook-timestamp"] = stamp = str(int(time.time()))
    if receiver.secret:
        headers["webhook-signature"] = sign(_secret(receiver.secret), notice.id, stamp, body)
    request = urllib.request.Request(receiver.url, body, headers, method="POST")
    opener = urllib.request.build_opener(_NoRedirects)
    try:
        with opener.open(request, timeout=receiver.timeout_ms / 1000) as answer:
            answer.read(1_000)
    except urllib.error.HTTPError as error:
        error.close()
        gone = error.code == 410
        raise NotDelivered(f"{receiver.url} answers {error.code} {error.reason}", is_final=gone) from None
    except http.client.HTTPException as error:
        raise NotDelivered(f"{receiver.url} does not answer as HTTP: {error or type(error).__name__}") from None
    except (OSError, ValueError) as error:
        raise NotDelivered(f"{receiver.url} cannot be reached: {error}") from None


# ---- mail -----------------------------------------------------------------------------------------------------------


def mail_of(receiver: Receiver, notice: Notice, server: str) -> EmailMessage:
    """The message: everything that comes from a workflow's name or a rule is one line."""
    mail = EmailMessage()
    mark = {"firing": notice.severity.upper(), "resolved": "over", "test": "test"}[notice.kind]
    mail["Subject"] = _one_line(f"[wfe {mark}] {notice.summary}")[:200]
    mail["From"], mail["To"] = receiver.sender, ", ".join(receiver.to)
    moment = time_of_ms(notice.at_ms)
    assert moment is not None
    mail["Date"] = format_datetime(moment)
    mail["Message-ID"] = f"<{notice.id}@{receiver.sender.rpartition('@')[2]}>"
    lines = [
        ("what", notice.summary),
        ("state", notice.kind),
        ("value", notice.value),
        ("limit", notice.limit),
        ("since", rfc3339(notice.since_ms) or ""),
        ("rule", notice.rule),
        ("server", server),
    ]
    mail.set_content("".join(f"{name + ':':8} {_one_line(text)}\n" for name, text in lines if text))
    return mail


def _mail(receiver: Receiver, notice: Notice, server: str) -> None:
    parts = urlsplit(receiver.smtp)
    host, timeout_s = parts.hostname or "", receiver.timeout_ms / 1000
    context = ssl.create_default_context()
    try:
        if parts.scheme == "smtps":
            connection: smtplib.SMTP = smtplib.SMTP_SSL(host, parts.port or 465, timeout=timeout_s, context=context)
        else:
            connection = smtplib.SMTP(host, parts.port or 25, timeout=timeout_s)
        with connection:
            connection.ehlo_or_helo_if_needed()
            secure = parts.scheme == "smtps"
            if not secure and connection.has_extn("starttls"):
                connection.starttls(context=context)
                secure = True
            if receiver.user:
                if not secure and host not in _LOOPBACK:
                    raise NotDelivered(f"{receiver.smtp} offers no TLS, so the password is not sent", is_final=True)
                connection.login(receiver.user, _secret(receiver.password))
            refused = connection.send_message(mail_of(receiver, notice, server))
    except (OSError, smtplib.SMTPException, ValueError) as error:
        raise NotDelivered(f"{receiver.smtp}: {error}") from None
    if refused:
        raise NotDelivered(f"{receiver.smtp} refuses {', '.join(refused)}")


def _one_line(text: str) -> str:
    return " ".join("".join(each if each.isprintable() else " " for each in text).split())


# ---- commands -------------------------------------------------------------------------------------------------------


class _LastWords(asyncio.Protocol):
    """The end of what a command says on standard error, whatever the length."""

    def __init__(self) -> None:
        self.tail = b""
        self.ended = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        self.tail = (self.tail + data)[-4_000:]

    def connection_lost(self, exc: Exception | None) -> None:
        self.ended.set()


@asynccontextmanager
async def _last_words() -> AsyncIterator[tuple[int, _LastWords]]:
    """A pipe for standard error, and what comes through it. One of our own: asyncio waits for its pipes to close, and
    what a command leaves in the background may hold this one open long after the command has ended."""
    reading, writing = os.pipe()
    transport, words = await asyncio.get_running_loop().connect_read_pipe(_LastWords, os.fdopen(reading, "rb", 0))
    try:
        yield writing, words
    finally:
        transport.close()


async def _run(receiver: Receiver, body: bytes, timeout_s: float) -> None:
    environment = {name: value for name, value in os.environ.items() if name not in _WITHHELD}
    async with _last_words() as (stderr, words):
        try:
            process = await asyncio.create_subprocess_exec(
                *receiver.command,
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.DEVNULL,
                stderr=stderr,
                env=environment,
                start_new_session=True,
            )
        except (OSError, ValueError) as error:
            raise NotDelivered(f"{receiver.command[0]} cannot be started: {error}") from None
        finally:
            os.close(stderr)
        try:
            async with asyncio.timeout(timeout_s):
                await _hand_over(process, body)
        finally:
            if process.returncode is None:
                with suppress(ProcessLookupError):
                    if sys.platform == "win32":  # there are no groups of processes to be killed
                        process.kill()
                    else:
                        os.killpg(process.pid, signal.SIGKILL)
                await process.wait()
        if process.returncode:
            with suppress(TimeoutError):
                await asyncio.wait_for(words.ended.wait(), LAST_WORDS_S)
            text = words.tail.decode("utf-8", "replace").strip().splitlines()
            last = f": {text[-1]}" if text else ""
            raise NotDelivered(f"{receiver.command[0]} exits with {process.returncode}{last}")


async def _hand_over(process: asyncio.subprocess.Process, body: bytes) -> None:
    assert process.stdin is not None
    with suppress(BrokenPipeError, ConnectionResetError):  # it need not read its input
        process.stdin.write(body)
        await process.stdin.drain()
    process.stdin.close()
    await process.wait()


def _secret(name: str) -> str:
    try:
        return read_secret(name)
    except WfeError as error:
        raise NotDelivered(str(error), is_final=True) from None
