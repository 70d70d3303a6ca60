"""What browsers see: the dashboard's files, and a page that documents the API, both without anything from elsewhere.

The API's page is written here from the OpenAPI document: no script, one style sheet of ours, so that it works offline
and under the same strict policy as the rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from pathlib import Path
from typing import Any

import msgspec
from litestar import MediaType, Request, Response, get
from litestar.handlers.base import BaseRouteHandler
from litestar.openapi.plugins import JsonRenderPlugin, OpenAPIRenderPlugin
from litestar.router import Router
from litestar.static_files import create_static_files_router

STATIC = Path(__file__).parent / "static"
_METHODS = ("get", "post", "put", "patch", "delete")


class DocumentationPage(OpenAPIRenderPlugin):
    """Renders the OpenAPI document as one page of HTML."""

    def __init__(self) -> None:
        super().__init__(path="/", media_type=MediaType.HTML)

    def render(self, request: Request[Any, Any, Any], openapi_schema: dict[str, Any]) -> bytes:
        return documentation(openapi_schema).encode()


OPENAPI_PAGES: Sequence[OpenAPIRenderPlugin] = (DocumentationPage(), JsonRenderPlugin(path="/openapi.json"))


def documentation(schema: dict[str, Any]) -> str:
    """The page: operations by their tags, then the documents."""
    body = "".join([*_operations(schema), "<h2>Documents</h2>", *_documents(schema)])
    title = escape(f"{schema['info']['title']} {schema['info']['version']}: HTTP API")
    about = escape(schema["info"].get("description", ""))
    return (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8"><title>{title}</title>'
        '<meta name="viewport" content="width=device-width"><link rel="stylesheet" href="/api.css"></head>'
        f"<body><main><h1>{title}</h1><p>{about} The same as "
        f'<a href="/api/v1/openapi/openapi.json">OpenAPI 3.1</a>.</p>{body}</main></body></html>'
    )


def _operations(schema: dict[str, Any]) -> Iterator[str]:
    by_tag: dict[str, list[str]] = {}
    for path, item in sorted(schema.get("paths", {}).items()):
        for method in _METHODS:
            if (operation := item.get(method)) is not None:
                tag = (operation.get("tags") or ["other"])[0]
                by_tag.setdefault(tag, []).append(_operation(method, path, operation))
    for tag, sections in by_tag.items():
        yield f"<h2>{escape(tag.capitalize())}</h2>"
        yield from sections


def _operation(method: str, path: str, operation: dict[str, Any]) -> str:
    parts = [
        f"<section><h3><code>{method.upper()} {escape(path)}</code></h3>",
        f"<p><strong>{escape(operation.get('summary', ''))}.</strong> {escape(operation.get('description') or '')}</p>",
    ]
    if parameters := operation.get("parameters"):
        rows = "".join(_parameter(each) for each in parameters)
        parts.append(f"<table><tr><th>Parameter<th>In<th>Type<th>What it is</tr>{rows}</table>")
    if content := operation.get("requestBody", {}).get("content"):
        kinds = ", ".join(f"{escape(kind)}: {_type(each.get('schema', {}))}" for kind, each in content.items())
        parts.append(f"<p>Body: {kinds}</p>")
    answers = ", ".join(
        f"{escape(status)}: {' or '.join(_type(each.get('schema', {})) for each in answer.get('content', {}).values())}"
        for status, answer in operation.get("responses", {}).items()
    )
    parts.append(f"<p>Answers: {answers}</p></section>")
    return "".join(parts)


def _parameter(each: dict[str, Any]) -> str:
    required = " (required)" if each.get("required") else ""
    return (
        f"<tr><td><code>{escape(each['name'])}</code>{required}<td>{escape(each['in'])}"
        f"<td>{_type(each.get('schema', {}))}<td>{escape(each.get('description') or '')}</tr>"
    )


def _documents(schema: dict[str, Any]) -> Iterator[str]:
    for name, found in sorted(schema.get("components", {}).get("schemas", {}).items()):
        fields = found.get("properties", {})
        required = found.get("required", [])
        rows = "".join(
            f"<tr><td><code>{escape(field)}</code>{'' if field in required else ' (optional)'}<td>{_type(kind)}</tr>"
            for field, kind in fields.items()
        )
        short = name.rpartition("_")[2]
        yield (
            f'<section><h3 id="{escape(short)}">{escape(short)}</h3>'
            f"<p>{escape(found.get('description') or '')}</p><table>{rows}</table></section>"
        )


def _type(schema: dict[str, Any]) -> str:
    if "$ref" in schema:
        name = escape(schema["$ref"].rpartition("/")[2].rpartition("_")[2])
        return f'<a href="#{name}">{name}</a>'
    for word in ("oneOf", "anyOf"):
        if word in schema:
            return " or ".join(_type(each) for each in schema[word])
    if "enum" in schema:
        return " ".join(f"<code>{escape(msgspec.json.encode(each).decode())}</code>" for each in schema["enum"])
    if schema.get("type") == "array":
        return f"list of {_type(schema.get('items', {}))}"
    kind = schema.get("type", "any")
    return escape(" or ".join(kind) if isinstance(kind, list) else str(kind))


@get("/api", include_in_schema=False, media_type=MediaType.HTML)
async def to_documentation() -> Response[None]:
    """A short way to the page."""
    return Response(None, status_code=303, headers={"location": "/api/v1/openapi"})


@get("/", include_in_schema=False)
async def to_documentation_from_root() -> Response[None]:
    """Where no dashboard is installed, the API's page is what there is."""
    return Response(None, status_code=303, headers={"location": "/api/v1/openapi"})


def routes(static: Path | None = None) -> list[BaseRouteHandler | Router]:
    """The dashboard at /, if its files are there."""
    where = static or STATIC
    found: list[BaseRouteHandler | Router] = [to_documentation]
    has_dashboard = (where / "index.html").is_file()
    if not has_dashboard:
        found.append(to_documentation_from_root)
    found.append(
        create_static_files_router(
            "/", [where], html_mode=has_dashboard, include_in_schema=False, cache_control=None, name="static"
        )
    )
    return found
