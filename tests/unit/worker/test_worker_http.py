"""The task ``wfe.http`` against a real HTTP server on loopback."""

import base64
import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest

from wfe.errors import Fatal, RetryAfter
from wfe.worker import http as subject
from wfe.worker.failure import error_info
from wfe.worker.http import HttpError, HttpRefused, HttpRequest, HttpStatusError, http_call


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        """Silence."""

    def _answer(self, status: int, body: bytes, kind: str = "application/json", **headers: str) -> None:
        self.send_response(status)
        self.send_header("content-type", kind)
        self.send_header("content-length", str(len(body)))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)

    def _any(self) -> None:
        body = self.rfile.read(int(self.headers.get("content-length", 0)))
        url = urlsplit(self.path)
        seen = {
            "method": self.command,
            "path": url.path,
            "query": parse_qs(url.query),
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "body": body.decode(),
        }
        self.server.seen.append(seen)  # type: ignore[attr-defined]
        match url.path.split("/")[1]:
            case "status":
                self._answer(int(url.path.split("/")[2]), b'{"why": "told so"}', retry_after="7")
            case "text":
                self._answer(200, "grüße".encode("latin-1"), "text/plain; charset=latin-1")
            case "broken":
                self._answer(200, b"{no json")
            case "big":
                self._answer(200, b"x" * 5_000, "text/plain")
            case "to":
                self._answer(302, b"", location=parse_qs(url.query)["url"][0])
            case "loop":
                self._answer(302, b"", location="/loop")
            case "token":
                self._answer(200, json.dumps({"access_token": "t-1", "expires_in": 3600}).encode())
            case "slow":
                time.sleep(1)
                self._answer(200, b"{}")
            case _:
                self._answer(200, json.dumps(seen).encode())

    do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = _any


@pytest.fixture(scope="module")
def server() -> Iterator[ThreadingHTTPServer]:
    found = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    found.daemon_threads = True
    found.seen = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=found.serve_forever, daemon=True)
    thread.start()
    yield found
    found.shutdown()
    found.server_close()


@pytest.fixture
def base(server: ThreadingHTTPServer) -> str:
    server.seen.clear()  # type: ignore[attr-defined]
    return f"http://127.0.0.1:{server.server_port}"


def request(url: str, method: str = "GET", **options: Any) -> HttpRequest:
    return HttpRequest(method, url, allow_private=True, **options)


async def test_json_goes_out_and_comes_back(base: str) -> None:
    response = await http_call(request(f"{base}/x?a=1", "post", body={"n": 1}, query={"b": "2", "c": None}))
    assert response.status == 200
    assert response.body["method"] == "POST"
    assert response.body["query"] == {"a": ["1"], "b": ["2"]}
    assert json.loads(response.body["body"]) == {"n": 1}
    assert response.body["headers"]["content-type"] == "application/json"
    assert response.body["headers"]["host"] == base.removeprefix("http://")
    assert response.headers["content-type"] == "application/json"


async def test_text_goes_as_text_and_keeps_its_charset(base: str) -> None:
    response = await http_call(request(f"{base}/x", "PUT", body="plain", headers={"X-Number": 3}))
    assert response.body["body"] == "plain"
    assert response.body["headers"]["content-type"].startswith("text/plain")
    assert response.body["headers"]["x-number"] == "3"
    assert (await http_call(request(f"{base}/text"))).body == "grüße"
    assert (await http_call(request(f"{base}/broken"))).body == "{no json"


async def test_a_private_address_is_refused_unless_it_is_allowed(base: str) -> None:
    for url in (base, "http://localhost:1/", "http://[::1]:1/", "http://10.0.0.1/", "http://169.254.169.254/latest"):
        with pytest.raises(HttpRefused, match="not a public address"):
            await http_call(HttpRequest("GET", url))
    with pytest.raises(HttpRefused, match="not a public address"):
        await http_call(HttpRequest("GET", "http://[::ffff:127.0.0.1]:1/"))


async def test_a_redirect_into_a_private_network_is_refused(base: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(subject, "_is_public", lambda address: address == "127.0.0.1")
    port = base.rpartition(":")[2]
    with pytest.raises(HttpRefused, match=r"127\.0\.0\.2"):
        await http_call(HttpRequest("GET", f"{base}/to?url=http://127.0.0.2:{port}/secret"))


async def test_redirects_are_followed_and_credentials_stay_with_their_origin(base: str) -> None:
    port = base.rpartition(":")[2]
    auth = {"bearer": "s3cret"}
    response = await http_call(request(f"{base}/to?url=/here", auth=auth))
    assert response.body["headers"]["authorization"] == "Bearer s3cret"
    response = await http_call(request(f"{base}/to?url=http://localhost:{port}/there", auth=auth))
    assert response.body["path"] == "/there"
    assert "authorization" not in response.body["headers"]
    with pytest.raises(HttpRefused, match="redirects more than"):
        await http_call(request(f"{base}/loop"))


@pytest.mark.parametrize("status", [400, 404, 422])
async def test_a_status_that_no_retry_changes_is_fatal(base: str, status: int) -> None:
    with pytest.raises(HttpStatusError, match=f"answers {status}.*told so") as caught:
        await http_call(request(f"{base}/status/{status}", retry_status=[503]))
    assert isinstance(caught.value, Fatal)
    info = error_info(caught.value)
    assert info.type == "HttpStatusError"
    assert info.is_a("HttpError")
    assert info.fatal


async def test_a_status_to_retry_says_when(base: str) -> None:
    with pytest.raises(HttpStatusError) as caught:
        await http_call(request(f"{base}/status/503", retry_status=[503]))
    assert isinstance(caught.value, RetryAfter)
    info = error_info(caught.value)
    assert (info.type, info.retry_after_ms, info.fatal) == ("HttpStatusError", 7_000, False)


async def test_an_accepted_status_is_a_value(base: str) -> None:
    assert (await http_call(request(f"{base}/status/404", accept=[404]))).status == 404
    assert (await http_call(request(f"{base}/x", accept=[404]))).status == 200


async def test_an_answer_beyond_its_limit_is_refused(base: str) -> None:
    with pytest.raises(HttpRefused, match="more than 4096 bytes"):
        await http_call(request(f"{base}/big", response_bytes_max=4_096))


async def test_no_answer_in_time_and_no_server_are_errors_that_may_be_retried(base: str) -> None:
    with pytest.raises(HttpError, match="within 50 ms") as caught:
        await http_call(request(f"{base}/slow", timeout_ms=50))
    assert not isinstance(caught.value, Fatal)
    with pytest.raises(HttpError, match="ConnectError"):
        await http_call(request("http://127.0.0.1:1/"))
    with pytest.raises(HttpError, match="cannot be resolved"):
        await http_call(request("http://no-such-host.invalid/"))


async def test_every_kind_of_credential(base: str) -> None:
    basic = await http_call(request(f"{base}/x", auth={"basic": {"username": "u", "password": "p:w"}}))
    expected = "Basic " + base64.b64encode(b"u:p:w").decode()
    assert basic.body["headers"]["authorization"] == expected
    key = await http_call(request(f"{base}/x", auth={"api_key": {"header": "X-Key", "value": "k"}}))
    assert key.body["headers"]["x-key"] == "k"
    asked = await http_call(request(f"{base}/x", auth={"api_key": {"query": "key", "value": "k"}}))
    assert asked.body["query"] == {"key": ["k"]}


async def test_a_token_of_oauth2_is_fetched_once(server: ThreadingHTTPServer, base: str) -> None:
    auth = {"oauth2": {"token_url": f"{base}/token", "client_id": "me", "client_secret": "pw", "scope": "read"}}
    for _ in range(2):
        response = await http_call(request(f"{base}/x", auth=auth))
        assert response.body["headers"]["authorization"] == "Bearer t-1"
    asked = [seen for seen in server.seen if seen["path"] == "/token"]  # type: ignore[attr-defined]
    assert len(asked) == 1
    assert parse_qs(asked[0]["body"]) == {"grant_type": ["client_credentials"], "scope": ["read"]}


@pytest.mark.parametrize(
    ("auth", "what"),
    [("x", "auth is an object"), ({"magic": 1}, "not known"), ({"basic": {"username": "u"}}, "'password'")],
)
async def test_bad_credentials_are_refused(base: str, auth: Any, what: str) -> None:
    with pytest.raises(HttpRefused, match=what):
        await http_call(request(base, auth=auth))


@pytest.mark.parametrize("url", ["ftp://example.com/", "nonsense", "http://", "http://[::1"])
async def test_what_is_no_url_is_refused(url: str) -> None:
    with pytest.raises(HttpRefused):
        await http_call(request(url))
