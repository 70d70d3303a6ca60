"""The JSON of definitions and their versions; see `documents`, which has all the rest."""

from __future__ import annotations

from typing import Any

from msgspec import Struct


class Deployed(Struct):
    """What a definition became. ``changed`` false: this graph was registered already."""

    workflow: str
    version: int
    hash: str
    changed: bool
    new: bool


class DeployOutcome(Struct):
    """What a deploy did, or with ``check`` would do."""

    deployed: list[Deployed]
    check: bool


class DefinitionSummary(Struct):
    """A registered version of a workflow. ``current``: starts without a version use it.

    ``deprecated_at``: it takes no new runs since then, and ``note`` says why. ``triggers``: ``webhook:NAME``, ...
    """

    workflow: str
    version: int
    hash: str
    current: bool
    deployed_at: str | None
    deprecated_at: str | None
    note: str
    tags: list[str]
    triggers: list[str]


class VersionsChanged(Struct):
    """The versions of a workflow that are different now."""

    workflow: str
    versions: list[int]


class Obstacle(Struct):
    """Why a run could not go on with another version."""

    node: str | None
    reason: str


class BrokenRun(Struct):
    """A live run that a new version could not carry."""

    id: str
    version: int
    status: str
    key: str | None
    obstacles: list[Obstacle]


class DeployCheck(Struct):
    """What a deploy of one workflow would do. ``ok``: the new version could carry every live run."""

    workflow: str
    version: int
    hash: str
    changed: bool
    new: bool
    ok: bool
    runs_carried: int
    runs_broken: list[BrokenRun]
    more: bool
    incomplete: list[int]


class DeployChecks(Struct):
    """One per definition."""

    checks: list[DeployCheck]


class DefinitionList(Struct):
    """Registered versions."""

    definitions: list[DefinitionSummary]


class DefinitionDocument(DefinitionSummary):
    """A version with its graph in the JSON form, and the JSON Schema of its input."""

    description: str
    definition: Any
    input_schema: Any


class FoundProblem(Struct):
    """What validation found. ``severity``: error or warning. ``line``, ``column``: in a YAML body, from 1."""

    workflow: str | None
    node: str | None
    where: str | None
    line: int | None
    column: int | None
    message: str
    suggestion: str | None
    severity: str


class Validation(Struct):
    """``ok``: it could be deployed; there may still be warnings."""

    ok: bool
    workflows: list[str]
    findings: list[FoundProblem]
