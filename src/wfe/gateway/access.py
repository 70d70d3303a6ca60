"""The door of the API: a guard for every route that tells or changes something, and the pages by which browsers log in.

A request comes in with ``Authorization: Bearer TOKEN``, or with a session's cookie. The cookie is not sent along from
other sites (SameSite=Strict); what it changes must also come from a page of this gateway (the Origin header).
"""

from __future__ import annotations

from typing import Any
from urllib.parse import urlsplit

from litestar import Request, Response
from litestar.connection import ASGIConnection
from litestar.datastructures import Cookie
from litestar.di import NamedDependency
from litestar.exceptions import NotAuthorizedException, PermissionDeniedException
from litestar.handlers.base import BaseRouteHandler
from litestar.params import FromQuery, JSONBody
from litestar.response import Redirect
from msgspec import Struct

from wfe.gateway.sessions import COOKIE
from wfe.gateway.state import Gateway
from wfe.gateway.verbs import get, post
from wfe.limits import SESSION_S

_READING = frozenset({"GET", "HEAD", "OPTIONS"})
_HOW = (
    "send the server's token as `Authorization: Bearer TOKEN` (the file `token` in its data directory), "
    "or open the URL that the gateway printed at its start"
)


def require_access(connection: ASGIConnection[Any, Any, Any, Any], _: BaseRouteHandler) -> None:
    """Litestar's guard. 401 without a token or session, 403 when a session is used from another site."""
    sessions = connection.app.state.gateway.sessions
    given = connection.headers.get("authorization", "")
    scheme, _space, token = given.partition(" ")
    if scheme.lower() == "bearer" and sessions.is_token(token.strip()):
        return
    if given or not sessions.is_session(connection.cookies.get(COOKIE, "")):
        raise NotAuthorizedException(detail=_HOW)
    if connection.scope.get("method") not in _READING and not _same_site(connection):
        raise PermissionDeniedException(detail="a session can only be used from the gateway's own pages")


def require_metrics_access(connection: ASGIConnection[Any, Any, Any, Any], handler: BaseRouteHandler) -> None:
    """The same, unless the options say that anybody may read metrics."""
    if not connection.app.state.gateway.options.metrics_open:
        require_access(connection, handler)


def _same_site(connection: ASGIConnection[Any, Any, Any, Any]) -> bool:
    origin = connection.headers.get("origin", "")
    return bool(origin) and urlsplit(origin).netloc == connection.headers.get("host", "")


class LogIn(Struct, forbid_unknown_fields=True):
    """The server's token."""

    token: str


class LoggedIn(Struct):
    """``authenticated``: this browser has a session."""

    authenticated: bool


@get("/login", include_in_schema=False)
async def log_in_by_code(
    gateway: NamedDependency[Gateway], request: Request[Any, Any, Any], code: FromQuery[str] = ""
) -> Redirect:
    """The printed URL: its code is exchanged for a cookie. Without a good code the dashboard asks for the token."""
    if gateway.sessions.take_code(code):
        return Redirect("/", status_code=303, cookies=[_cookie(gateway, request)])
    return Redirect("/", status_code=303)


@post("/api/v1/session", status_code=200, tags=["session"], summary="Log a browser in with the server's token")
async def log_in(
    gateway: NamedDependency[Gateway], request: Request[Any, Any, Any], data: JSONBody[LogIn]
) -> Response[LoggedIn]:
    """Gives a cookie that stands for the token."""
    if not gateway.sessions.is_token(data.token):
        raise NotAuthorizedException(detail="that is not the server's token")
    return Response(LoggedIn(True), cookies=[_cookie(gateway, request)])


@get("/api/v1/session", tags=["session"], summary="Whether this browser is logged in")
async def session(gateway: NamedDependency[Gateway], request: Request[Any, Any, Any]) -> LoggedIn:
    """Needs no session."""
    return LoggedIn(gateway.sessions.is_session(request.cookies.get(COOKIE, "")))


@post("/api/v1/session/end", status_code=200, tags=["session"], summary="Log this browser out")
async def log_out(gateway: NamedDependency[Gateway], request: Request[Any, Any, Any]) -> Response[LoggedIn]:
    """Takes the cookie from this browser, and ends its session here. At another gateway, or after a restart of this
    one, a copy of it is good until its time, or the token's, is over."""
    if request.headers.get("origin") and not _same_site(request):
        raise PermissionDeniedException(detail="another site's page logs nobody out")
    gateway.sessions.end(request.cookies.get(COOKIE, ""))
    gone = Cookie(key=COOKIE, value="", path="/", httponly=True, samesite="strict", max_age=0)
    return Response(LoggedIn(False), cookies=[gone])


def _cookie(gateway: Gateway, request: Request[Any, Any, Any]) -> Cookie:
    return Cookie(
        key=COOKIE,
        value=gateway.sessions.cookie(),
        path="/",
        max_age=SESSION_S,
        httponly=True,
        samesite="strict",
        secure=request.url.scheme == "https",
    )
