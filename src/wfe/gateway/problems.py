"""Errors as problem+json (RFC 9457): which status each has, and a pointer to the field that is at fault.

Invariant: every exception becomes an answer; one that nobody expected is logged, and its text stays inside.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from litestar import Request, Response
from litestar.exceptions import HTTPException
from litestar.params import QueryParameter

from wfe.errors import (
    Busy,
    DefinitionDeprecated,
    DefinitionError,
    DefinitionInUse,
    Disconnected,
    ExpressionError,
    GraphError,
    InvalidInput,
    KeyConflict,
    PayloadTooLarge,
    RebalanceError,
    RequestError,
    RunClosed,
    Unauthorized,
    Unavailable,
    UnknownRun,
    UnknownTask,
    UnknownWorkflow,
    VersionConflict,
    WfeError,
)
from wfe.gateway.documents import FieldProblem, Problem
from wfe.gateway.signatures import BadSignature
from wfe.gateway.wording import plain_words
from wfe.limits import HOOK_BODY_BYTES_MAX, HTTP_BODY_BYTES_MAX
from wfe.model.malformed import MALFORMED
from wfe.observe import get_logger

MEDIA_TYPE = "application/problem+json"
AWAY_RETRY_S = 1.0
TOO_LARGE = f"a body has at most {HTTP_BODY_BYTES_MAX} bytes, that of a webhook {HOOK_BODY_BYTES_MAX}"
_log = get_logger("gateway")
_STATUS: tuple[tuple[type[Exception], int], ...] = (
    (UnknownRun, 404),
    (UnknownWorkflow, 404),
    (UnknownTask, 404),
    (InvalidInput, 422),
    (DefinitionError, 422),
    (GraphError, 422),
    (ExpressionError, 422),
    (VersionConflict, 409),
    (DefinitionDeprecated, 409),
    (DefinitionInUse, 409),
    (KeyConflict, 409),
    (RebalanceError, 409),
    (RunClosed, 409),
    (PayloadTooLarge, 413),
    (BadSignature, 401),
    # The server refused the gateway, not whoever asked the gateway.
    (Unauthorized, 502),
    (Busy, 503),
    (Unavailable, 503),
    (Disconnected, 503),
    (RequestError, 400),
    (WfeError, 500),
    (TimeoutError, 504),
)
_SEGMENT = re.compile(r"\.([^.\[\]]+)|\[(\d+)\]")


class BadRequest(WfeError):
    """A request that the gateway itself refuses, with a status of its own."""

    code = "bad_request"

    def __init__(self, status: int, message: str, *, pointer: str = "", parameter: str = "") -> None:
        self.status, self.pointer, self.parameter = status, pointer, parameter
        super().__init__(message)


def problem_of(error: Exception, types: Mapping[str, Any] | None = None) -> Problem:
    """The document of an error. ``types``: those of the route's body (``data``) and parameters."""
    if isinstance(error, HTTPException):
        return _of_framework(error, types or {})
    if isinstance(error, BadRequest):
        errors = [FieldProblem(detail=str(error), pointer=error.pointer, parameter=error.parameter)]
        return _problem(error.status, str(error), error.code, errors if error.pointer or error.parameter else [])
    status = next((status for kind, status in _STATUS if isinstance(error, kind)), 500)
    if status == 500:
        return _problem(500, "a defect of wfe: see the gateway's log", "internal")
    code = getattr(error, "code", "timeout")
    problem = _problem(status, str(error), code, _field_problems(error))
    if status == 503:
        problem.retry_after_s = error.retry_after_s if isinstance(error, Busy) else AWAY_RETRY_S
    return problem


def problem_response(request: Request[Any, Any, Any], error: Exception) -> Response[Problem]:
    """The handler of every exception."""
    problem = problem_of(error, _types_of(request))
    if request.method in ("GET", "HEAD"):  # there is no document to point into
        problem.errors = [_of_parameter(each, request.query_params) for each in problem.errors]
    if problem.status >= 500 and problem.status != 503:
        _log.error("a request failed", method=request.method, path=request.url.path, exc_info=error)
    headers = dict(getattr(error, "headers", None) or {})
    if problem.retry_after_s:
        headers["retry-after"] = str(max(1, round(problem.retry_after_s)))
    if problem.code == "unauthorized":
        headers["www-authenticate"] = 'Bearer realm="wfe"'
    return Response(problem, status_code=problem.status, media_type=MEDIA_TYPE, headers=headers)


def pointer_of(path: str, base: str = "") -> str:
    """A JSON pointer as a URI fragment from a path such as ``$.items[3].price`` or ``output.items[3]``."""
    parts = [name or index for name, index in _SEGMENT.findall(path if path.startswith("$") else f".{path}")]
    escaped = (part.replace("~", "~0").replace("/", "~1") for part in parts)
    return "#" + base + "".join(f"/{part}" for part in escaped)


def _problem(status: int, detail: str, code: str, errors: list[FieldProblem] | None = None) -> Problem:
    title = HTTPStatus(status).phrase
    return Problem(
        type=f"urn:wfe:problem:{code}", title=title, status=status, detail=detail, code=code, errors=errors or []
    )


def _of_parameter(problem: FieldProblem, given: Mapping[str, Any]) -> FieldProblem:
    """A problem of a request without a body: its field is a parameter, by the name that was given (one of ``tags`` is
    a ``tag``)."""
    name = problem.pointer.removeprefix("#/")
    if not name or name == problem.pointer or "/" in name:
        return problem
    return FieldProblem(detail=problem.detail, parameter=name if name in given else name.removesuffix("s"))


def _field_problems(error: Exception) -> list[FieldProblem]:
    if isinstance(error, InvalidInput):
        # Paths into a value begin with $: it is the request's input. Others name a field of the request itself.
        base = "/input" if error.path.startswith("$") else ""
        return [FieldProblem(detail=str(error), pointer=pointer_of(error.path, base))]
    if isinstance(error, DefinitionError):
        return [FieldProblem(detail=finding) for finding in error.findings]
    return []


def _types_of(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """By the name that requests give it; none where no route was found."""
    signature = getattr(request.scope.get("route_handler"), "parsed_fn_signature", None)
    fields = signature.parameters.items() if signature is not None else ()
    types: dict[str, Any] = {}
    for name, field in fields:
        mark = field.kwarg_definition
        types[(mark.name or name) if isinstance(mark, QueryParameter) else name] = field.annotation
    return types


def _of_framework(error: HTTPException, types: Mapping[str, Any]) -> Problem:
    """What Litestar refused: routes, methods, bodies and parameters."""
    status = error.status_code
    if status >= 500 and not isinstance(error.__cause__, MALFORMED):
        return _problem(status, "a defect of wfe: see the gateway's log", "internal")
    status = 400 if status >= 500 else status
    code = {401: "unauthorized", 403: "forbidden", 404: "no_such_page", 405: "method", 413: "payload_too_large"}
    extra = error.extra if isinstance(error.extra, list) else []
    errors = [_of_extra(item, types) for item in extra if isinstance(item, dict)]
    detail = "; ".join(each.detail for each in errors) or (TOO_LARGE if status == 413 else error.detail)
    return _problem(status, detail, code.get(status, "bad_request"), errors)


def _of_extra(item: dict[str, Any], types: Mapping[str, Any]) -> FieldProblem:
    key, source = str(item.get("key", "")), item.get("source", "")
    message = str(item.get("message", "cannot be read"))
    if source in ("query", "path", "header", "cookie"):
        words = plain_words(message, types[key]) if key in types else message
        return FieldProblem(detail=words, parameter=key)
    inside = key.removeprefix("data").removeprefix(".")
    words = plain_words(message, types["data"], inside) if "data" in types else message
    return FieldProblem(detail=words, pointer=pointer_of("$." + inside if inside else "$"))
