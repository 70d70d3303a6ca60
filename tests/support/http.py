"""A gateway in the test's process: `wfe.testing.Env` behind the real ASGI application, asked without a socket."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any
from urllib.parse import quote, urlencode

import msgspec

from wfe.config import GatewayOptions
from wfe.gateway.app import make_app
from wfe.gateway.state import Gateway
from wfe.testing import Env

TOKEN = "a-token-of-sixteen-characters"
NOW_S = 1_800_000_000.0


class Answer:
    """A response: ``status``, ``headers`` (lower case), ``body``."""

    def __init__(self, status: int, headers: list[tuple[bytes, bytes]], body: bytes) -> None:
        self.status, self.body = status, body
        self.headers: dict[str, str] = {}
        self.cookies: list[str] = []
        for name, value in headers:
            self.headers[name.decode().lower()] = value.decode("latin-1")
            if name.lower() == b"set-cookie":
                self.cookies.append(value.decode("latin-1"))

    def json(self) -> Any:
        return msgspec.json.decode(self.body)

    @property
    def text(self) -> str:
        return self.body.decode()

    def __repr__(self) -> str:
        return f"<{self.status} {self.body[:500]!r}>"


class HttpEnv:
    """``env``: the engine; ``gateway``: what its handlers share. Requests carry the token unless told otherwise."""

    def __init__(self, env: Env | None = None, **options: Any) -> None:
        self.env = env or Env()
        self.now_s = NOW_S
        self.gateway = Gateway(lambda: self.env.client, GatewayOptions(token=TOKEN, **options), lambda: self.now_s)
        self.app = make_app(self.gateway)

    def __enter__(self) -> HttpEnv:
        return self

    def __exit__(self, *_: object) -> None:
        self.env.close()

    def drive(self, work: Any) -> Any:
        return self.env._drive(work)

    def get(self, path: str, **options: Any) -> Answer:
        return self.ask("GET", path, **options)

    def post(self, path: str, document: Any = None, **options: Any) -> Answer:
        if document is not None:
            options.setdefault("body", msgspec.json.encode(document))
        return self.ask("POST", path, **options)

    def ask(self, method: str, path: str, **options: Any) -> Answer:
        return self.drive(self.answer(method, path, **options))

    async def answer(
        self,
        method: str,
        path: str,
        *,
        body: bytes = b"",
        query: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        token: str | None = TOKEN,
        raw_query: bytes = b"",
    ) -> Answer:
        """One request, to its end."""
        started: list[Any] = []
        chunks: list[bytes] = []

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                started.append(message)
            elif message["type"] == "http.response.body":
                chunks.append(bytes(message.get("body", b"")))

        await self.app(scope_of(method, path, body, query, headers, token, raw_query), receiver(body), send)
        return Answer(started[0]["status"], list(started[0]["headers"]), b"".join(chunks))


class Reader:
    """A browser that reads a stream: ``chunks`` as they came. It takes nothing while ``paused``."""

    def __init__(self, http: HttpEnv, path: str, *, token: str | None = TOKEN, **given: Any) -> None:
        self.chunks: list[bytes] = []
        self.status = 0
        self.head: list[tuple[bytes, bytes]] = []
        self._taking = asyncio.Event()
        self._taking.set()
        self._gone = asyncio.Event()
        scope = scope_of("GET", path, b"", given.get("query"), given.get("headers"), token)
        self.task: asyncio.Task[None] = http.env._world.loop.create_task(http.app(scope, self._receive, self._send))
        self._asked = False

    async def _send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status, self.head = message["status"], list(message["headers"])
            return
        await self._taking.wait()
        self.chunks.append(bytes(message.get("body", b"")))

    async def _receive(self) -> Any:
        if not self._asked:
            self._asked = True
            return {"type": "http.request", "body": b"", "more_body": False}
        await self._gone.wait()
        return {"type": "http.disconnect"}

    def pause(self) -> None:
        self._taking.clear()

    def leave(self) -> None:
        self._gone.set()

    @property
    def events(self) -> list[dict[str, str]]:
        """The events so far, by field; comments are left out."""
        found = []
        for block in b"".join(self.chunks).decode().split("\n\n"):
            fields = dict(line.split(": ", 1) for line in block.split("\n") if line and not line.startswith(":"))
            if fields:
                found.append(fields)
        return found


def scope_of(
    method: str,
    path: str,
    body: bytes,
    query: Mapping[str, Any] | None,
    headers: Mapping[str, str] | None,
    token: str | None,
    raw_query: bytes = b"",
) -> Any:
    """An ASGI scope, as uvicorn would make it."""
    given = {"host": "127.0.0.1:7780", "content-length": str(len(body))}
    if body:
        given["content-type"] = "application/json"
    if token is not None:
        given["authorization"] = f"Bearer {token}"
    given.update({name.lower(): value for name, value in (headers or {}).items()})
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": method,
        "scheme": "http",
        "path": path,
        "raw_path": quote(path).encode(),
        "query_string": raw_query or urlencode(query or {}, doseq=True).encode(),
        "root_path": "",
        "headers": [(name.encode("latin-1"), value.encode("latin-1")) for name, value in given.items()],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 7780),
        "state": {},
        "extensions": {},
    }


def receiver(body: bytes) -> Any:
    """The ASGI side that gives the body, and then stays connected for good."""
    messages = [{"type": "http.request", "body": body, "more_body": False}]

    async def receive() -> Any:
        if messages:
            return messages.pop(0)
        return await asyncio.get_running_loop().create_future()

    return receive
