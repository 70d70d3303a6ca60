"""The engine's own task ``wfe.http``: one HTTP call of a workflow, made by a worker.

May touch the network, through httpx2. Invariants: a name is resolved once per connection, every address it resolves to
is checked, and the connection goes to that address, so that no answer of a name server reaches a private network; each
hop of a redirect is checked anew, and credentials stay with the origin they were meant for; a body is read no further
than its limit.
"""

from __future__ import annotations

import asyncio
import ipaddress
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec

from wfe.errors import Fatal, RetryAfter
from wfe.model.registered import RegisteredTask
from wfe.worker.context import context

if TYPE_CHECKING:
    import httpx2

REDIRECTS_MAX = 5
TOKEN_MARGIN_S = 30.0
"""A token of OAuth 2 is renewed this long before it ends."""
RETRY_AFTER_MAX_S = 3_600


class HttpError(Exception):
    """The call failed: no connection, no answer in time, or a status that is not accepted."""


class HttpStatusError(HttpError):
    """An answer with a status that the node does not accept. The message has the status and the body's beginning."""


class HttpRefused(Fatal):
    """The request itself is at fault: a bad URL, a private address, an answer beyond its limit. Never retried."""


class HttpRequest(msgspec.Struct, forbid_unknown_fields=True):
    """What a node asks for; `model.nodes.Http` says what the fields mean. ``body``: text goes as it is, else JSON."""

    method: str
    url: str
    headers: dict[str, Any] = {}
    query: dict[str, Any] = {}
    body: Any = msgspec.UNSET
    auth: Any = None
    timeout_ms: int = 30_000
    retry_status: list[int] = []
    accept: list[int] = []
    response_bytes_max: int = 1_048_576
    allow_private: bool = False


class HttpResponse(msgspec.Struct):
    """``body``: decoded JSON when the answer says that it is JSON, else text. Header names are in lower case."""

    status: int
    headers: dict[str, str]
    body: Any


@dataclass(frozen=True, slots=True)
class _Target:
    """Where to connect: the URL with its host replaced by an address that was checked."""

    url: httpx2.URL
    pinned: httpx2.URL
    host_header: str
    server_name: str


async def http_call(request: HttpRequest) -> HttpResponse:
    """Makes the call, follows redirects, reads the answer."""
    import httpx2

    limit = httpx2.Timeout(request.timeout_ms / 1000)
    try:
        async with asyncio.timeout(request.timeout_ms / 1000), _client(limit) as client:
            headers = _with_trace(await _authorised(client, request))
            response = await _follow(client, request, headers)
    except TimeoutError as error:
        raise HttpError(f"no answer from {request.url} within {request.timeout_ms} ms") from error
    except httpx2.InvalidURL as error:
        raise HttpRefused(f"{request.url!r} is no URL: {error}") from error
    except (httpx2.UnsupportedProtocol, httpx2.LocalProtocolError) as error:
        raise HttpRefused(f"{request.method} {request.url}: {error}") from error
    except httpx2.HTTPError as error:
        raise HttpError(f"{request.method} {request.url}: {type(error).__name__}: {error}") from error
    _check_status(request, response)
    return response


def _with_trace(headers: dict[str, str]) -> dict[str, str]:
    """The attempt's trace context goes along, unless the node sets one itself."""
    traceparent = context().traceparent
    if not traceparent or any(name.lower() == "traceparent" for name in headers):
        return headers
    return {**headers, "traceparent": traceparent}


def _client(timeout: httpx2.Timeout) -> httpx2.AsyncClient:
    """A client of its own per call: proxies and cookies of the environment are not the workflow's business."""
    import httpx2

    return httpx2.AsyncClient(timeout=timeout, trust_env=False, follow_redirects=False)


async def _follow(client: httpx2.AsyncClient, request: HttpRequest, headers: dict[str, str]) -> HttpResponse:
    import httpx2

    url = httpx2.URL(request.url)
    query = {name: value for name, value in request.query.items() if value is not None}
    if query:
        url = url.copy_merge_params(query)
    method, content = request.method.upper(), _content(request, headers)
    for _ in range(REDIRECTS_MAX + 1):
        target = await _resolve(url, allow_private=request.allow_private)
        sent = client.build_request(
            method,
            target.pinned,
            headers={**headers, "host": target.host_header},
            content=content,
            extensions={"sni_hostname": target.server_name},
        )
        answer = await client.send(sent, stream=True)
        try:
            if not answer.has_redirect_location:
                return await _read(request, answer)
            following = url.join(answer.headers["location"])
        finally:
            await answer.aclose()
        if (following.scheme, following.host, following.port) != (url.scheme, url.host, url.port):
            headers = {k: v for k, v in headers.items() if k.lower() not in _credentials(request)}
        if answer.status_code == 303 or (answer.status_code in (301, 302) and method == "POST"):
            method, content = ("HEAD" if method == "HEAD" else "GET"), None
            headers = {k: v for k, v in headers.items() if not k.lower().startswith("content-")}
        url = following
    raise HttpRefused(f"{request.url} redirects more than {REDIRECTS_MAX} times")


def _credentials(request: HttpRequest) -> set[str]:
    """Names of headers that belong to one origin only."""
    named = {"authorization", "cookie", "proxy-authorization"}
    if isinstance(request.auth, dict) and isinstance(key := request.auth.get("api_key"), dict):
        named.add(str(key.get("header", "")).lower())
    return named


def _content(request: HttpRequest, headers: dict[str, str]) -> bytes | None:
    if request.body is msgspec.UNSET:
        return None
    has_type = any(name.lower() == "content-type" for name in headers)
    if isinstance(request.body, str):
        if not has_type:
            headers["content-type"] = "text/plain; charset=utf-8"
        return request.body.encode()
    if not has_type:
        headers["content-type"] = "application/json"
    return msgspec.json.encode(request.body)


async def _read(request: HttpRequest, answer: httpx2.Response) -> HttpResponse:
    """Reads the body as far as it may go."""
    data = bytearray()
    async for part in answer.aiter_bytes():
        data += part
        if len(data) > request.response_bytes_max:
            raise HttpRefused(
                f"{request.url} answers with more than {request.response_bytes_max} bytes: raise response_bytes_max, "
                "or fetch it in a task that stores it elsewhere"
            )
    kind = answer.headers.get("content-type", "").partition(";")[0].strip().lower()
    text = bytes(data).decode(answer.charset_encoding or "utf-8", "replace")
    body: Any = text
    if kind == "application/json" or kind.endswith("+json"):
        try:
            body = msgspec.json.decode(bytes(data)) if data else None
        except (msgspec.DecodeError, RecursionError):
            body = text  # whoever named it JSON was wrong; the workflow may still look at it
    return HttpResponse(answer.status_code, dict(answer.headers.items()), body)


def _check_status(request: HttpRequest, response: HttpResponse) -> None:
    status = response.status
    if status < 400 or status in request.accept:
        return
    told = response.body if isinstance(response.body, str) else msgspec.json.encode(response.body).decode()
    message = f"{request.method.upper()} {request.url} answers {status}: {told[:500]}"
    if status not in request.retry_status:
        raise _Final(message)
    after = response.headers.get("retry-after", "").strip()
    if after.isascii() and after.isdecimal():
        raise _Later(f"{min(int(after), RETRY_AFTER_MAX_S)}s", message)
    raise HttpStatusError(message)


class _Final(HttpStatusError, Fatal):
    """A status that no retry changes."""


class _Later(RetryAfter, HttpStatusError):
    """A status with which the server says when to come back."""


_Final.__name__ = _Final.__qualname__ = "HttpStatusError"
_Later.__name__ = _Later.__qualname__ = "HttpStatusError"


# ---- addresses ------------------------------------------------------------------------------------------------------


async def _resolve(url: httpx2.URL, *, allow_private: bool) -> _Target:
    """Resolves the host once and pins the connection to what was checked."""
    if url.scheme not in ("http", "https") or not url.host:
        raise HttpRefused(f"{url} is no http or https URL")
    port = url.port or (443 if url.scheme == "https" else 80)
    loop = asyncio.get_running_loop()
    try:
        found = await loop.getaddrinfo(url.host, port, type=socket.SOCK_STREAM)
    except OSError as error:
        raise HttpError(f"the name {url.host!r} cannot be resolved: {error}") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not allow_private:
        for address in addresses:
            if not _is_public(address):
                raise HttpRefused(
                    f"{url.host} is at {address}, which is not a public address: set allow_private on the node if "
                    "that is meant"
                )
    if not addresses:
        raise HttpError(f"the name {url.host!r} has no address")
    pinned = url.copy_with(host=addresses[0])
    return _Target(url, pinned, url.netloc.decode("ascii"), url.host)


def _is_public(address: str) -> bool:
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address) and (inner := ip.ipv4_mapped or ip.sixtofour):
        ip = inner
    return ip.is_global and not ip.is_multicast


# ---- credentials ----------------------------------------------------------------------------------------------------

_tokens: dict[bytes, tuple[str, float]] = {}
"""Tokens of OAuth 2 by request for them: (token, monotonic time of its end). A worker's own, never persisted."""


async def _authorised(client: httpx2.AsyncClient, request: HttpRequest) -> dict[str, str]:
    """The headers, with credentials."""
    headers = {name: str(value) for name, value in request.headers.items() if value is not None}
    if request.auth is None:
        return headers
    if not isinstance(request.auth, dict) or len(request.auth) != 1:
        raise HttpRefused("auth is an object with one of basic, bearer, api_key, oauth2")
    ((kind, value),) = request.auth.items()
    if kind == "bearer":
        headers["authorization"] = f"Bearer {value}"
    elif kind == "basic":
        import base64

        pair = f"{_part(value, 'username')}:{_part(value, 'password')}".encode()
        headers["authorization"] = "Basic " + base64.b64encode(pair).decode()
    elif kind == "api_key":
        if isinstance(value, dict) and "query" in value:
            request.query[str(value["query"])] = _part(value, "value")
        else:
            headers[_part(value, "header")] = _part(value, "value")
    elif kind == "oauth2":
        headers["authorization"] = f"Bearer {await _token(client, request, value)}"
    else:
        raise HttpRefused(f"auth {kind!r} is not known: basic, bearer, api_key or oauth2")
    return headers


def _part(value: Any, name: str) -> str:
    found = value.get(name) if isinstance(value, dict) else None
    if not isinstance(found, str):
        raise HttpRefused(f"auth lacks the text {name!r}")
    return found


async def _token(client: httpx2.AsyncClient, request: HttpRequest, value: Any) -> str:
    """A token by the client credentials grant (RFC 6749, section 4.4)."""
    form = {"grant_type": "client_credentials"}
    if isinstance(value, dict) and isinstance(value.get("scope"), str):
        form["scope"] = value["scope"]
    key = msgspec.json.encode([value], order="deterministic")
    known = _tokens.get(key)
    if known is not None and known[1] > time.monotonic():
        return known[0]
    import httpx2

    target = await _resolve(httpx2.URL(_part(value, "token_url")), allow_private=request.allow_private)
    answer = await client.post(
        target.pinned,
        data=form,
        headers={"host": target.host_header, "accept": "application/json"},
        auth=(_part(value, "client_id"), _part(value, "client_secret")),
        extensions={"sni_hostname": target.server_name},
    )
    try:
        told = msgspec.json.decode(answer.content)
        token, seconds = told["access_token"], told.get("expires_in", 0)
    except (msgspec.DecodeError, KeyError, TypeError, AttributeError) as error:
        raise HttpError(f"{target.url} gives no token: status {answer.status_code}") from error
    if not isinstance(token, str):
        raise HttpError(f"{target.url} gives a token that is no text")
    if isinstance(seconds, (int, float)) and seconds > TOKEN_MARGIN_S:
        _tokens[key] = (token, time.monotonic() + seconds - TOKEN_MARGIN_S)
    return token


HTTP_TASK = RegisteredTask(
    name="wfe.http",
    version=1,
    function=http_call,
    is_async=True,
    module=__name__,
    qualname="http_call",
    file=__file__,
    line=http_call.__code__.co_firstlineno,
)
