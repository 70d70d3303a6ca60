"""Litestar's `get` and `post` with what every route has in common: the problems that it may answer with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import litestar
from litestar.openapi.datastructures import ResponseSpec

from wfe.gateway.documents import Problem
from wfe.gateway.problems import MEDIA_TYPE

_TITLES = {
    400: "The request cannot be read.",
    401: "No token, session or signature.",
    403: "A session, used from another site.",
    404: "There is no such thing.",
    409: "A conflict, or too late.",
    413: "Too large.",
    422: "A field does not fit.",
    503: "The engine is busy or away: come back after Retry-After seconds.",
}
PROBLEMS = {
    status: ResponseSpec(Problem, description=title, media_type=MEDIA_TYPE, generate_examples=False)
    for status, title in _TITLES.items()
}


def get(path: str, **options: Any) -> Callable[[Any], Any]:
    """A route that changes nothing."""
    return litestar.get(path, **_with_problems(options))


def post(path: str, **options: Any) -> Callable[[Any], Any]:
    """A route that does something."""
    return litestar.post(path, **_with_problems(options))


def _with_problems(options: dict[str, Any]) -> dict[str, Any]:
    return {**options, "responses": {**PROBLEMS, **options.get("responses", {})}}
