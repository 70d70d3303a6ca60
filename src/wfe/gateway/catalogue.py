"""Routes that look into definitions and look after their versions: processed graphs, differences, tags, deprecation."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec
from litestar import Request
from litestar.di import NamedDependency
from litestar.params import FromPath, JSONBody, QueryParameter
from msgspec import Struct

from wfe.client.checks import check_document
from wfe.core.study import Differences, ProcessedGraph
from wfe.errors import DefinitionError
from wfe.gateway.definition_documents import DeployChecks, VersionsChanged
from wfe.gateway.definitions import Version, read_body
from wfe.gateway.problems import BadRequest
from wfe.gateway.state import Gateway
from wfe.gateway.verbs import get, post
from wfe.limits import LIST_LIMIT_DEFAULT, NAME_CHARS_MAX, STUDIED_RUNS_MAX

PATHS_MAX = 100
CHECKED_MAX = 1_000
Name = Annotated[str, msgspec.Meta(min_length=1, max_length=NAME_CHARS_MAX)]
VersionField = Annotated[int, msgspec.Meta(ge=0, le=1 << 31)]
Runs = Annotated[
    int, QueryParameter(ge=0, le=STUDIED_RUNS_MAX, description="Times are those of so many completed runs.")
]
Paths = Annotated[int, QueryParameter(ge=0, le=PATHS_MAX, description="Ways through it that are listed.")]


class VersionRequest(Struct, forbid_unknown_fields=True):
    """``version`` 0: all of them (deprecate, delete), or the current one (use)."""

    version: VersionField = 0
    note: Annotated[str, msgspec.Meta(max_length=NAME_CHARS_MAX)] = ""


class TagRequest(Struct, forbid_unknown_fields=True):
    """A name that stands for a version. ``version`` 0: the current one."""

    tag: Name
    version: VersionField = 0


@get("/definitions/{workflow:str}/processed", summary="Get the processed graph of a workflow")
async def processed(
    gateway: NamedDependency[Gateway],
    workflow: FromPath[str],
    version: Version = 0,
    runs: Runs = 20,
    paths: Paths = 10,
) -> ProcessedGraph:
    """Roots, leaves, branches, parallel groups, levels, ways through it, and its critical path by recorded times."""
    named = f"{workflow}@{version}" if version else workflow
    return await gateway.client.graph(named, runs=runs, paths=paths)


@get("/runs/{run_id:str}/processed", summary="Get the processed graph of a run")
async def processed_run(gateway: NamedDependency[Gateway], run_id: FromPath[str], paths: Paths = 10) -> ProcessedGraph:
    """Of the version that it executes, with the times of this run."""
    handle = gateway.client.handle(run_id)
    return await gateway.client.graph(handle.id, paths=paths)


@get("/definitions/{workflow:str}/diff", summary="Compare two versions of a workflow")
async def compare(
    gateway: NamedDependency[Gateway],
    workflow: FromPath[str],
    old: Annotated[int, QueryParameter(ge=1, le=1 << 31)],
    new: Version = 0,
) -> Differences:
    """Nodes, edges, inputs and policies that were added, removed or changed. ``new`` 0: the current version."""
    return await gateway.client.diff(f"{workflow}@{old}", f"{workflow}@{new}" if new else workflow)


@post("/definitions/check", status_code=200, summary="Say which live runs new versions could not carry")
async def check(
    gateway: NamedDependency[Gateway],
    request: Request[Any, Any, Any],
    limit: Annotated[int, QueryParameter(ge=1, le=CHECKED_MAX)] = LIST_LIMIT_DEFAULT,
) -> DeployChecks:
    """Changes nothing. The body is as for a deploy; runs keep their version when it is deployed, either way."""
    reading = await read_body(request)
    if not reading.ok:
        raise DefinitionError([str(found) for found in reading.findings if found.severity == "error"])
    found = await gateway.client.check(*reading.definitions, limit=limit)
    return msgspec.convert({"checks": [check_document(each) for each in found]}, DeployChecks)


@post("/definitions/{workflow:str}/deprecate", status_code=200, summary="Take no new runs of a version")
async def deprecate(
    gateway: NamedDependency[Gateway], workflow: FromPath[str], data: JSONBody[VersionRequest]
) -> VersionsChanged:
    """Runs that there are go on. Starts are refused with the note."""
    changed = await gateway.client.deprecate(_plain(workflow), version=data.version, note=data.note)
    return VersionsChanged(workflow, changed)


@post("/definitions/{workflow:str}/undeprecate", status_code=200, summary="Take new runs again")
async def undeprecate(
    gateway: NamedDependency[Gateway], workflow: FromPath[str], data: JSONBody[VersionRequest]
) -> VersionsChanged:
    """Takes a deprecation back."""
    return VersionsChanged(workflow, await gateway.client.undeprecate(_plain(workflow), version=data.version))


@post("/definitions/{workflow:str}/tag", status_code=200, summary="Let a tag stand for a version")
async def tag(
    gateway: NamedDependency[Gateway], workflow: FromPath[str], data: JSONBody[TagRequest]
) -> VersionsChanged:
    """And for no other one."""
    return VersionsChanged(workflow, [await gateway.client.tag(_plain(workflow), data.tag, version=data.version)])


@post("/definitions/{workflow:str}/untag", status_code=200, summary="Take a tag away")
async def untag(
    gateway: NamedDependency[Gateway], workflow: FromPath[str], data: JSONBody[TagRequest]
) -> VersionsChanged:
    """Starts that name it are refused from then on."""
    found = await gateway.client.resolve_version(f"{_plain(workflow)}@{data.tag}")
    await gateway.client.untag(workflow, data.tag)
    return VersionsChanged(workflow, [found[1]])


@post("/definitions/{workflow:str}/use", status_code=200, summary="Make a version the current one")
async def use(
    gateway: NamedDependency[Gateway], workflow: FromPath[str], data: JSONBody[VersionRequest]
) -> VersionsChanged:
    """Starts without a version use it."""
    if not data.version:
        raise BadRequest(422, "say which version", pointer="#/version")
    changed = await gateway.client.make_current(_plain(workflow), version=data.version)
    return VersionsChanged(workflow, [data.version] if changed else [])


@post("/definitions/{workflow:str}/delete", status_code=200, summary="Forget a version that nothing refers to")
async def delete(
    gateway: NamedDependency[Gateway], workflow: FromPath[str], data: JSONBody[VersionRequest]
) -> VersionsChanged:
    """409 while a run that is kept or another definition refers to it."""
    return VersionsChanged(workflow, await gateway.client.delete_definition(_plain(workflow), version=data.version))


def _plain(workflow: str) -> str:
    """A path names a workflow and nothing else: its version is a field."""
    if "@" in workflow:
        raise BadRequest(422, "name the workflow alone; its version is a field of the body", parameter="workflow")
    return workflow


ROUTES = [processed, processed_run, compare, check, deprecate, undeprecate, tag, untag, use, delete]
