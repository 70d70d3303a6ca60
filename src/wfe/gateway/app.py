"""The ASGI application: all routes, who may use them, what errors look like, and the headers that every answer has."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from litestar import Litestar, Router
from litestar.config.cors import CORSConfig
from litestar.datastructures import State
from litestar.di import Provide
from litestar.exceptions import HTTPException
from litestar.openapi import OpenAPIConfig
from litestar.openapi.spec import Components, SecurityScheme
from litestar.types import Message, Scope

from wfe.gateway import (
    access,
    catalogue,
    commands,
    definitions,
    hooks,
    metrics,
    operations,
    pages,
    runs,
    streams,
    task_logs,
)
from wfe.gateway.problems import problem_response
from wfe.gateway.requests import API, OPENAPI, ApiRequest, check_request
from wfe.gateway.sessions import COOKIE
from wfe.gateway.state import Gateway
from wfe.limits import HTTP_BODY_BYTES_MAX

POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    "font-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
)
HEADERS = {
    "content-security-policy": POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}

_HEADERS = [(name.encode(), value.encode()) for name, value in HEADERS.items()]


def make_app(gateway: Gateway, static: Path | None = None) -> Litestar:
    """The application around a gateway; its lifespan connects and disconnects. ``static``: the dashboard's files."""
    guarded = [access.require_access]
    of_runs = [*runs.ROUTES, *commands.ROUTES, *streams.ROUTES, *task_logs.ROUTES]
    routers = [
        Router(API, route_handlers=of_runs, guards=guarded, tags=["runs"]),
        Router(API, route_handlers=[*definitions.ROUTES, *catalogue.ROUTES], guards=guarded, tags=["definitions"]),
        Router(API, route_handlers=operations.ROUTES, guards=guarded, tags=["operations"]),
    ]
    doors = [access.log_in_by_code, access.log_in, access.session, access.log_out]

    @asynccontextmanager
    async def connected(_: Litestar) -> AsyncIterator[None]:
        await gateway.start()
        try:
            yield
        finally:
            await gateway.stop()

    def the_gateway() -> Gateway:
        return gateway

    return Litestar(
        [*routers, *doors, *operations.OPEN_ROUTES, *hooks.ROUTES, *metrics.ROUTES, *pages.routes(static)],
        dependencies={"gateway": Provide(the_gateway, sync_to_thread=False)},
        exception_handlers={HTTPException: problem_response, Exception: problem_response},
        lifespan=[connected],
        openapi_config=_openapi(),
        request_max_body_size=HTTP_BODY_BYTES_MAX,
        request_class=ApiRequest,
        before_request=check_request,
        before_send=[_add_headers],
        cors_config=CORSConfig(allow_origins=gateway.options.cors) if gateway.options.cors else None,
        state=State({"gateway": gateway}),
        logging_config=None,
    )


async def _add_headers(message: Message, _: Scope) -> None:
    """Errors and files, too, leave with the headers that keep a browser safe."""
    if message["type"] == "http.response.start":
        headers = list(message["headers"])
        present = {name.lower() for name, _value in headers}
        message["headers"] = headers + [pair for pair in _HEADERS if pair[0] not in present]


def _openapi() -> OpenAPIConfig:
    from wfe.coordinator.status import VERSION

    bearer = SecurityScheme(type="http", scheme="bearer", description="The server's token.")
    cookie = SecurityScheme(type="apiKey", name=COOKIE, security_scheme_in="cookie", description="A session.")
    security: list[dict[str, list[Any]]] = [{"token": []}, {"session": []}]
    return OpenAPIConfig(
        title="wfe",
        version=VERSION,
        description="A durable workflow engine. Errors are problem+json (RFC 9457).",
        use_handler_docstrings=True,
        components=Components(security_schemes={"token": bearer, "session": cookie}),
        security=security,
        path=OPENAPI,
        render_plugins=pages.OPENAPI_PAGES,
    )
