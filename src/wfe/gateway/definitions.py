"""Routes of definitions: deploy, validate, list, get, draw, export. Bodies are YAML (several documents) or JSON."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Annotated, Any, Literal

import msgspec
from litestar import Request, Response
from litestar.di import NamedDependency
from litestar.openapi.datastructures import ResponseSpec
from litestar.params import FromPath, FromQuery, QueryParameter

from wfe.authoring.drawing import to_dot, to_mermaid, to_svg
from wfe.authoring.yaml_reader import PlacedFinding, Reading, read_text
from wfe.authoring.yaml_writer import write_yaml
from wfe.client.views import deployed_document, rfc3339
from wfe.core.canonical import decode
from wfe.core.schemas import input_schema
from wfe.core.validate import validate
from wfe.errors import DefinitionError, PayloadTooLarge, UnknownWorkflow
from wfe.gateway.definition_documents import (
    DefinitionDocument,
    DefinitionList,
    DefinitionSummary,
    DeployOutcome,
    FoundProblem,
    Validation,
)
from wfe.gateway.problems import BadRequest
from wfe.gateway.state import Gateway
from wfe.gateway.verbs import get, post
from wfe.limits import DEFINITION_BYTES_MAX, KIB
from wfe.model.malformed import MALFORMED
from wfe.wire.messages import DefinitionFound

INLINE_BYTES = 64 * KIB
"""Larger bodies are read on a thread, so that others are answered meanwhile."""
Version = Annotated[int, QueryParameter(ge=0, le=1 << 31, description="0: the current one.")]
_SVG_POLICY = "default-src 'none'; style-src 'unsafe-inline'; sandbox"
_DRAW = {"svg": to_svg, "dot": to_dot, "mermaid": to_mermaid, "yaml": write_yaml}
_DRAWN_TYPES = {
    "svg": "image/svg+xml",
    "dot": "text/vnd.graphviz",
    "mermaid": "text/plain; charset=utf-8",
    "yaml": "application/yaml",
    "json": "application/json",
}
_DRAWN = {
    200: ResponseSpec(Any, description="The definition in the wanted form.", media_type="*/*", generate_examples=False)
}


async def read_body(request: Request[Any, Any, Any]) -> Reading:
    """The definitions in a request's body, with everything that is to be said about them."""
    body = await request.body()
    if len(body) > DEFINITION_BYTES_MAX:
        raise PayloadTooLarge(f"{len(body)} bytes of definitions are above {DEFINITION_BYTES_MAX}")
    is_json = "json" in request.headers.get("content-type", "").partition(";")[0].lower()
    reading = _read(body, is_json) if len(body) <= INLINE_BYTES else await asyncio.to_thread(_read, body, is_json)
    if not reading.definitions and reading.ok:
        raise BadRequest(422, "the body holds no definition", pointer="#")
    return reading


def _read(body: bytes, is_json: bool) -> Reading:
    try:
        text = body.decode()
    except UnicodeDecodeError as error:
        raise BadRequest(400, f"the body is not UTF-8: {error}") from error
    if is_json and (reading := _read_exported(body)) is not None:
        return reading
    return read_text(text, "body.json" if is_json else "body")


def _read_exported(body: bytes) -> Reading | None:
    """The JSON form that `export` gives (a definition, or a list of them); None when it is the YAML form as JSON."""
    try:
        several = body.lstrip()[:1] == b"["
        raws = msgspec.json.decode(body, type=list[msgspec.Raw]) if several else [msgspec.Raw(body)]
        definitions = [decode(bytes(raw)) for raw in raws]
    except MALFORMED as error:
        if _is_exported(body):
            return Reading([], [PlacedFinding("body.json", 0, 0, str(error))])
        return None
    findings = [
        PlacedFinding(
            "body.json", 0, 0, found.message, found.suggestion, found.severity, each.workflow, found.node, found.where
        )
        for each in definitions
        for found in validate(each)
    ]
    return Reading(definitions, findings)


def _is_exported(body: bytes) -> bool:
    """Whether a text that is no definition was meant as an exported one: its nodes have the tag ``type``."""
    try:
        tree = msgspec.json.decode(body)
    except MALFORMED:
        return False
    nodes = tree.get("nodes") if isinstance(tree, dict) else None
    return isinstance(nodes, list) and any(isinstance(node, dict) and "type" in node for node in nodes)


@post(
    "/definitions",
    status_code=200,
    summary="Deploy definitions",
    description="The body is YAML (`application/yaml`, several documents allowed) or the JSON form of one definition "
    "or a list. All or none are registered. `check`: only says what would happen.",
)
async def deploy(
    gateway: NamedDependency[Gateway],
    request: Request[Any, Any, Any],
    check: FromQuery[bool] = False,
    replace: FromQuery[bool] = False,
) -> DeployOutcome:
    """Registers definitions and makes them current."""
    reading = await read_body(request)
    if not reading.ok:
        raise DefinitionError([_in_words(found) for found in reading.findings if found.severity == "error"])
    deployed = await gateway.client.deploy(*reading.definitions, check=check, replace=replace)
    documents = {"deployed": [deployed_document(each) for each in deployed], "check": check}
    return msgspec.convert(documents, DeployOutcome)


@post("/definitions/validate", status_code=200, summary="Check definitions without registering them")
async def check_definitions(request: Request[Any, Any, Any]) -> Validation:
    """All findings at once, warnings too. The body is as for a deploy."""
    reading = await read_body(request)
    findings = [
        FoundProblem(
            found.workflow,
            found.node,
            found.where or None,
            found.line or None,
            found.column or None,
            found.message,
            found.suggestion,
            found.severity,
        )
        for found in reading.findings
    ]
    return Validation(reading.ok, [definition.workflow for definition in reading.definitions], findings)


@get("/definitions", summary="List workflows")
async def list_definitions(gateway: NamedDependency[Gateway], all_versions: FromQuery[bool] = False) -> DefinitionList:
    """The current version of every workflow, or all versions."""
    found = await gateway.client.definitions()
    return DefinitionList([_summary(each) for each in found if all_versions or each.current])


@get("/definitions/{workflow:str}/versions", summary="List the versions of a workflow")
async def list_versions(gateway: NamedDependency[Gateway], workflow: FromPath[str]) -> DefinitionList:
    """Newest first."""
    found = [each for each in await gateway.client.definitions() if each.workflow == workflow]
    if not found:
        raise UnknownWorkflow(f"no workflow {workflow!r} is registered")
    found.sort(key=lambda each: each.version, reverse=True)
    return DefinitionList([_summary(each) for each in found])


@get("/definitions/{workflow:str}", summary="Get a definition", responses={304: ResponseSpec(None)})
async def get_definition(
    gateway: NamedDependency[Gateway], request: Request[Any, Any, Any], workflow: FromPath[str], version: Version = 0
) -> Response[DefinitionDocument | None]:
    """With its graph in the JSON form, and the schema of its input. The ETag is its hash."""
    found = await gateway.client.registered(workflow, version)
    return _cached(request, found.hash, lambda: _document(found))


@get("/definitions/{workflow:str}/export", summary="Export a definition, or draw it", responses=_DRAWN)
async def export_definition(
    gateway: NamedDependency[Gateway],
    request: Request[Any, Any, Any],
    workflow: FromPath[str],
    version: Version = 0,
    format: FromQuery[Literal["yaml", "json", "svg", "dot", "mermaid"]] = "yaml",
) -> Response[bytes | None]:
    """As YAML or JSON, which can be deployed again, or as a picture."""
    found = await gateway.client.registered(workflow, version)
    return _drawn(request, found.hash, format, found.definition)


@get("/runs/{run_id:str}/graph", summary="Draw the definition that a run executes", responses=_DRAWN)
async def draw_run(
    gateway: NamedDependency[Gateway],
    request: Request[Any, Any, Any],
    run_id: FromPath[str],
    format: FromQuery[Literal["yaml", "json", "svg", "dot", "mermaid"]] = "svg",
) -> Response[bytes | None]:
    """The version that it started with."""
    view = await gateway.client.view(run_id)
    definition = await gateway.definition_of(view.definition)
    return _drawn(request, view.definition, format, msgspec.json.encode(definition))


def _in_words(found: PlacedFinding) -> str:
    if found.line:
        return str(found)
    hint = f"; {found.suggestion}" if found.suggestion else ""
    place = ": ".join(filter(None, [found.workflow, found.where]))
    return f"{place + ': ' if place else ''}{found.message}{hint}"


def _summary(found: DefinitionFound) -> DefinitionSummary:
    return DefinitionSummary(
        found.workflow,
        found.version,
        found.hash,
        found.current,
        rfc3339(found.deployed_at),
        rfc3339(found.deprecated_at),
        found.note,
        found.tags,
        found.triggers,
    )


def _document(found: DefinitionFound) -> DefinitionDocument:
    definition = decode(found.definition)
    return DefinitionDocument(
        **msgspec.structs.asdict(_summary(found)),
        description=definition.description,
        definition=msgspec.json.decode(found.definition),
        input_schema=input_schema(definition),
    )


def _cached(
    request: Request[Any, Any, Any], tag: str, make: Callable[[], DefinitionDocument]
) -> Response[DefinitionDocument | None]:
    headers = {"etag": f'"{tag}"', "cache-control": "no-cache"}
    if _knows(request, tag):
        return Response(None, status_code=304, headers=headers)
    return Response(make(), headers=headers)


def _drawn(request: Request[Any, Any, Any], digest: str, form: str, definition: bytes) -> Response[bytes | None]:
    tag = f"{digest}-{form}"
    headers = {"etag": f'"{tag}"', "cache-control": "no-cache"}
    if _knows(request, tag):
        return Response(None, status_code=304, headers=headers)
    if form == "svg":
        headers["content-security-policy"] = _SVG_POLICY
    body = definition if form == "json" else _DRAW[form](decode(definition)).encode()
    return Response(body, media_type=_DRAWN_TYPES[form], headers=headers)


def _knows(request: Request[Any, Any, Any], tag: str) -> bool:
    given = [part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")]
    return "*" in given or f'"{tag}"' in given


ROUTES = [deploy, check_definitions, list_definitions, list_versions, get_definition, export_definition, draw_run]
