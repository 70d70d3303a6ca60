"""Who alerts are sent to, on the loopback: a webhook receiver and a mail server that remember what came."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Hook(ThreadingHTTPServer):
    """``answers``: the statuses of the next requests, then 204. ``got``: (headers, body) of each; ``came`` counts."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.answers: list[int] = []
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.came = threading.Semaphore(0)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/alerts"

    def next(self, timeout_s: float = 30) -> tuple[dict[str, str], bytes]:
        """The next message, in the order of arrival."""
        assert self.came.acquire(timeout=timeout_s), "no message came"
        return self.got.pop(0)


class _Handler(BaseHTTPRequestHandler):
    server: Hook

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.server.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
        status = self.server.answers.pop(0) if self.server.answers else 204
        self.send_response(status)
        if status == 302:
            self.send_header("location", self.server.url)
        self.end_headers()
        self.server.came.release()

    def log_message(self, *_: Any) -> None:
        """Nothing is printed."""


@contextmanager
def hook() -> Iterator[Hook]:
    with Hook() as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield server
        server.shutdown()


class MailServer:
    """As much of SMTP (RFC 5321) as a client needs. ``mails``: (sender, recipients, message) of each."""

    def __init__(self, refuse: str = "") -> None:
        self.mails: list[tuple[str, list[str], str]] = []
        self._refuse = refuse
        self._server: asyncio.Server | None = None

    async def __aenter__(self) -> MailServer:
        self._server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._server is not None
        self._server.close()
        await self._server.wait_closed()

    @property
    def url(self) -> str:
        assert self._server is not None
        return f"smtp://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        def say(text: str) -> None:
            writer.write(f"{text}\r\n".encode())

        say("220 here")
        sender, recipients = "", []
        while line := (await reader.readline()).decode().strip():
            verb = line[:4].upper()
            if verb == "EHLO":
                say("250 here")
            elif verb == "MAIL":
                sender, recipients = line.partition("<")[2].partition(">")[0], []
                say("250 ok")
            elif verb == "RCPT":
                address = line.partition("<")[2].partition(">")[0]
                recipients.append(address)
                say("550 nobody of that name" if address == self._refuse else "250 ok")
            elif verb == "DATA":
                say("354 go on")
                data = (await reader.readuntil(b"\r\n.\r\n")).decode()
                self.mails.append((sender, recipients, data))
                say("250 taken")
            elif verb == "QUIT":
                say("221 bye")
                break
            else:
                say("502 what?")
            await writer.drain()
        writer.close()
