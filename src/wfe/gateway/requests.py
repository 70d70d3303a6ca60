"""What every request of the API is held to before its route sees it: no unknown query parameter, a body that is there.

A misspelt parameter is refused rather than ignored: a filter that does not count would list, or change, everything.
Webhooks, health checks and metrics are left alone: their senders add parameters of their own.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator
from typing import Any

from litestar import Request
from litestar.exceptions import InternalServerException
from litestar.handlers.base import BaseRouteHandler
from litestar.params import QueryParameter

from wfe.gateway.problems import BadRequest

API = "/api/v1"
OPENAPI = f"{API}/openapi"
TOO_DEEP = "the body is nested too deeply"


class ApiRequest(Request[Any, Any, Any]):
    """Litestar's request, whose body may be nested as deeply as it likes, or end before its end, without being a defect
    of ours."""

    async def json(self) -> Any:
        """The decoded body; 400 when it is nested without end."""
        try:
            return await super().json()
        except RecursionError:
            raise BadRequest(400, TOO_DEEP, pointer="#") from None

    async def stream(self) -> AsyncGenerator[bytes, None]:
        """The body as it comes; 400, which nobody hears, when the connection ends within it."""
        try:
            async for chunk in super().stream():
                yield chunk
        except InternalServerException as error:
            raise BadRequest(400, f"the body has no end: {error.detail}", pointer="#") from None


async def check_request(request: Request[Any, Any, Any]) -> None:
    """Litestar's hook before a handler; who asks has been let in by then."""
    path = request.url.path
    if not path.startswith(f"{API}/") or path == OPENAPI or path.startswith(f"{OPENAPI}/"):
        return
    handler = request.route_handler
    _check_query(request, handler)
    body = handler.parsed_fn_signature.parameters.get("data")
    if body is not None and not body.is_optional and not await request.body():
        raise BadRequest(400, "a JSON object is wanted, but the body is empty", pointer="#")


def _check_query(request: Request[Any, Any, Any], handler: BaseRouteHandler) -> None:
    known = _query_parameters(handler)
    for name in request.query_params:
        if name not in known:
            takes = f"it takes {', '.join(known)}" if known else "it takes none"
            raise BadRequest(400, f"this route has no query parameter {name[:100]!r}: {takes}", parameter=name[:100])


def _query_parameters(handler: BaseRouteHandler) -> list[str]:
    fields = handler.parsed_fn_signature.parameters.items()
    marked = [(name, field.kwarg_definition) for name, field in fields]
    return [mark.name or name for name, mark in marked if isinstance(mark, QueryParameter)]
