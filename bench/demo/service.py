"""The flaky HTTP service: it refuses some calls, and answers some others only after hanging up once.

What fails is fixed by path and order, so that two demos see the same failures. Calls with a key that was served before
get the same answer and change nothing: what an idempotent service does.
"""

from __future__ import annotations

import json
import sys
import threading
from collections import Counter
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from zlib import crc32


class FlakyService:
    """Served from a thread of this process until `close`. ``ledger``: (path, order) -> the bodies that were applied."""

    def __init__(self) -> None:
        self.ledger: dict[tuple[str, str], list[dict[str, object]]] = {}
        self.calls = self.refused = self.hung_up = 0
        self._tries: Counter[str] = Counter()
        self._answers: dict[str, str] = {}
        self._lock = threading.Lock()
        self._holds: dict[str, tuple[int, threading.Event]] = {}
        self._server = _Server(("127.0.0.1", 0), _handler(self))
        self.address = f"127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, name="service", daemon=True).start()

    def close(self) -> None:
        for path in list(self._holds):
            self.release(path)
        self._server.shutdown()
        self._server.server_close()

    def applied(self, path: str) -> int:
        """How many orders this path has been applied to."""
        with self._lock:
            return sum(1 for where, _ in self.ledger if where == path)

    def hold(self, path: str, enough: int) -> None:
        """Calls that come once this path was applied ``enough`` times are answered after `release`."""
        with self._lock:
            self._holds[path] = enough, threading.Event()

    def release(self, path: str) -> None:
        with self._lock:
            _, released = self._holds.pop(path)
        released.set()

    def wait_if_held(self, path: str) -> None:
        with self._lock:
            enough, released = self._holds.get(path, (0, None))
            held = released is not None and sum(1 for where, _ in self.ledger if where == path) >= enough
        if held and released is not None:
            released.wait()

    def serve(self, path: str, key: str, body: dict[str, object]) -> str | None:
        """The answer; None: refuse with 503. ConnectionAbortedError: hang up, after having done it."""
        order = str(body["order"])
        dice = crc32(f"{path}{order}".encode()) % 10
        with self._lock:
            self.calls += 1
            self._tries[key] += 1
            first, second = self._tries[key] == 1, self._tries[key] == 2
            if (dice <= 2 and first) or (dice == 0 and second):
                self.refused += 1
                return None
            if key not in self._answers:
                self.ledger.setdefault((path, order), []).append(body)
                self._answers[key] = answer_for(path, order)
            if dice == 9 and first:
                self.hung_up += 1
                raise ConnectionAbortedError
            return self._answers[key]


def answer_for(path: str, order: str) -> str:
    """What the service answers once it has done what it was asked for."""
    return f"{path.strip('/')}-{order}-{crc32(f'{path}{order}'.encode()):08x}"


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256

    def handle_error(self, request: object, client_address: object) -> None:
        """A caller that was killed hangs up in the middle: that is the point of this demo, not an error to show."""
        if not isinstance(sys.exc_info()[1], ConnectionError):
            super().handle_error(request, client_address)  # type: ignore[arg-type]


def _handler(service: FlakyService) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            service.wait_if_held(self.path)
            try:
                answer = service.serve(self.path, self.headers["Idempotency-Key"], body)
            except ConnectionAbortedError:
                self.close_connection = True
                return
            self.send_response(200 if answer is not None else 503)
            text = (answer or "try again").encode()
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            self.wfile.write(text)

        def log_message(self, format: str, *args: object) -> None:
            """The demo counts; it does not print every call."""

    return Handler
