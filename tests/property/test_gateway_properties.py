"""Whatever is sent to any route: an answer that its OpenAPI document describes, and never a server error."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import Any
from urllib.parse import unquote

import msgspec
import pytest
import requests
import schemathesis
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from schemathesis.checks import not_a_server_error
from schemathesis.core import NotSet
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from support.http import Answer, HttpEnv, Reader

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance, response_schema_conformance]
YAML = """
workflow: open
params: {x: {}}
triggers: [{webhook: open, input: "${body}"}]
nodes: [{webhook: open, id: a}]
output: "${a}"
---
workflow: done
params: {x: {}}
nodes: [{set: "${x}", id: a}]
output: "${a}"
"""
POSTS = ("runs", "runs/bulk", "signals", "definitions", "definitions/validate", "session")
STREAMS = ("/api/v1/events", "/api/v1/runs/{run_id}/events", "/api/v1/runs/{run_id}/logs/events")


class World:
    """One engine for all examples: what they do to it is part of what is tried."""

    def __init__(self) -> None:
        self.http = HttpEnv(unsigned_hooks=["open"], metrics_open=True)
        http = self.http
        http.ask("POST", "/api/v1/definitions", body=YAML.encode(), headers={"content-type": "application/yaml"})
        starts = [{"workflow": name, "input": 1, "key": name} for name in ("open", "done")]
        self.runs = [http.post("/api/v1/runs", start).json()["id"] for start in starts]

    def send(self, case: Any, real: bool) -> Answer:
        path, headers = case.path, {str(k): str(v) for k, v in (case.headers or {}).items()}
        for name, value in (case.path_parameters or {}).items():
            known = {"run_id": self.runs[len(str(value)) % 2], "workflow": "open", "name": "open", "key": "done"}
            path = path.replace(f"{{{name}}}", known[name] if real else unquote(str(value)) or "x")
        query = {name: value for name, value in (case.query or {}).items() if value is not None}
        if case.path in STREAMS:
            reader = Reader(self.http, path, query=query, headers=without_token(headers))
            self.http.drive(asyncio.sleep(0.2))
            reader.leave()
            self.http.drive(asyncio.sleep(0.1))
            return Answer(reader.status, reader.head, b"".join(reader.chunks))
        body = b"" if isinstance(case.body, NotSet) else as_bytes(case.body)
        return self.http.ask(case.method, path, body=body, query=query, headers=without_token(headers))


def without_token(headers: dict[str, str]) -> dict[str, str]:
    """Random tokens would only ever find the door closed; texts that no HTTP header can hold are left out."""
    kept = {k: v for k, v in headers.items() if k.lower() not in ("authorization", "host", "content-length")}
    return {k: v for k, v in kept.items() if v.isascii()}


def as_bytes(body: Any) -> bytes:
    return body if isinstance(body, bytes) else body.encode() if isinstance(body, str) else msgspec.json.encode(body)


@pytest.fixture(scope="module")
def world() -> Iterator[World]:
    made = World()
    yield made
    made.http.env.close()


def operations() -> list[Any]:
    with HttpEnv() as http:
        schema = schemathesis.openapi.from_dict(http.app.openapi_schema.to_schema())
    return [found.ok() for found in schema.get_all_operations()]


def checked(case: Any, answer: Answer) -> None:
    request = requests.Request(case.method, "http://127.0.0.1:7780" + case.formatted_path).prepare()
    headers = {name: [value] for name, value in answer.headers.items()}
    response = schemathesis.Response(answer.status, headers, answer.body, request, 0.0, verify=False)
    case.validate_response(response, checks=CHECKS)
    if answer.status >= 400:
        assert answer.headers["content-type"] == "application/problem+json" or case.path == "/readyz", answer
        assert answer.json()["status"] == answer.status or case.path == "/readyz"


@pytest.mark.parametrize("operation", operations(), ids=lambda each: each.label)
def test_every_answer_is_as_described(operation: Any, world: World) -> None:
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(case=operation.as_strategy(), real=st.booleans())
    def sends(case: Any, real: bool) -> None:
        checked(case, world.send(case, real))

    sends()


@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
@given(
    body=st.one_of(
        st.binary(max_size=200),
        st.recursive(
            st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
            lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
        ).map(lambda value: msgspec.json.encode(value) if not _is_huge(value) else b"1e999"),
    ),
    path=st.sampled_from(["/hooks/open", *(f"/api/v1/{name}" for name in POSTS)]),
    kind=st.sampled_from(["application/json", "application/yaml", "text/plain", "", "multipart/form-data", "x"]),
)
def test_any_body_to_any_route_is_answered(world: World, body: bytes, path: str, kind: str) -> None:
    answer = world.http.ask("POST", path, body=body, headers={"content-type": kind})
    assert answer.status < 500, answer
    assert answer.json() is not None


def _is_huge(value: Any) -> bool:
    """Integers beyond 64 bits, which msgspec does not write."""
    if isinstance(value, dict):
        return any(map(_is_huge, value.values()))
    if isinstance(value, list):
        return any(map(_is_huge, value))
    return isinstance(value, int) and not -(1 << 63) <= value < 1 << 64
