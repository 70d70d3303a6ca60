"""Definitions at the front door: read, validate and register what is deployed; answer questions about it.

A deploy is all or nothing as far as refusals go: every definition is read, validated and planned before the first one
is registered. Errors are the author's (`DefinitionError` with all findings) or the caller's (`VersionConflict`).
"""

from __future__ import annotations

import msgspec

from wfe.core.canonical import canonical, decode, definition_hash
from wfe.core.findings import did_you_mean
from wfe.core.validate import validate
from wfe.errors import DefinitionError, PayloadTooLarge, UnknownWorkflow
from wfe.journal.catalogue import Catalogue, Listed
from wfe.limits import DEFINITION_BYTES_MAX, DEPLOY_DEFINITIONS_MAX, NAME_CHARS_MAX
from wfe.model.definition import Definition
from wfe.model.malformed import MALFORMED
from wfe.wire.messages import DefinitionFound, DefinitionQuery, Deploy, Deployed, DeployOutcome, Resolve, Resolved


class Deploys:
    """The catalogue as frames see it."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue
        self._triggers: dict[str, list[str]] = {}
        """By hash: reading a definition takes longer than all else in a list."""

    def deploy(self, request: Deploy, wall_ms: int, *, again: bool = False) -> DeployOutcome:
        """Registers definitions and makes them current; ``check``: only says what would happen.

        ``again``: a server starts, and deploys what it is given at every start: a graph that the newest deploy brought
        already leaves the current version as it is, for somebody may have gone back to another one since.
        """
        if len(request.definitions) > DEPLOY_DEFINITIONS_MAX:
            raise PayloadTooLarge(f"at most {DEPLOY_DEFINITIONS_MAX} definitions in one deploy; send several")
        definitions = _read(request.definitions)
        outcomes = []
        for definition in definitions:
            digest = definition_hash(definition)
            version, changed = self._catalogue.plan(digest, definition.workflow, definition.version, request.replace)
            new = self._catalogue.resolve(definition.workflow) is None
            outcomes.append(Deployed(definition.workflow, version, digest, changed, new))
        if not request.check:
            for definition, outcome in zip(definitions, outcomes, strict=True):
                self._catalogue.register(
                    outcome.hash,
                    canonical(definition),
                    definition.workflow,
                    definition.version,
                    wall_ms,
                    request.replace,
                    again,
                )
        return DeployOutcome(outcomes)

    def found(self, workflow: str, version: int) -> tuple[str, int]:
        """``(hash, version)`` of a name and version (0: the current one). UnknownWorkflow."""
        found = self._catalogue.resolve(workflow, version)
        if found is None:
            raise self._unknown(workflow, version)
        return found

    def resolve_start(self, workflow: str, version: int) -> tuple[str, int, str]:
        """The same for a start from outside, and why the version takes no new runs ("": it does)."""
        digest, number = self.found(workflow, version)
        if not self._catalogue.is_deprecated(workflow, number):
            return digest, number, ""
        versions = self._catalogue.versions(workflow)
        others = [other for other, each in versions.items() if not each.deprecated_at]
        way = f"; start {workflow}@{others[-1]}" if others else ""
        why = f": {note}" if (note := versions[number].note) else ""
        return digest, number, f"version {number} of workflow {workflow!r} is deprecated{why}{way}"

    def resolve(self, question: Resolve) -> Resolved:
        """Answers a shard; an unknown name or hash is an answer, too (an empty ``found_hash``)."""
        answer = Resolved(question.workflow, question.version, question.hash)
        if question.hash:
            found, answer.found_version = question.hash, question.version
        else:
            found, answer.found_version = self._catalogue.resolve(question.workflow, question.version) or ("", 0)
        definition = self._catalogue.definition(found) if found else None
        if definition is not None:
            answer.found_hash, answer.definition = found, definition
        return answer

    def find(self, query: DefinitionQuery) -> DefinitionFound | list[DefinitionFound]:
        """One definition by hash, or by name and version; without either the list of all, without their graphs."""
        if query.hash:
            return self._by_hash(query.hash)
        if not query.workflow:
            return [self._summary(listed) for listed in self._catalogue.list()]
        digest, version = self.found(query.workflow, query.version)
        listed = next(x for x in self._catalogue.list() if (x.name, x.version) == (query.workflow, version))
        return msgspec.structs.replace(self._summary(listed), definition=self._catalogue.definition(digest) or b"")

    def count(self) -> int:
        """Workflows, by name."""
        return len({listed.name for listed in self._catalogue.list()})

    def _by_hash(self, digest: str) -> DefinitionFound:
        definition = self._catalogue.definition(digest)
        if definition is None:
            raise UnknownWorkflow(f"no definition with the hash {digest} is registered")
        listed = next((x for x in self._catalogue.list() if x.hash == digest), None)
        if listed is None:
            # Its version was taken over by another graph (development mode); runs of it still name it by hash.
            return DefinitionFound(decode(definition).workflow, 0, digest, definition, False)
        return msgspec.structs.replace(self._summary(listed), definition=definition)

    def read(self, digest: str) -> Definition | None:
        """A registered definition; None when it is not there, or another version of wfe wrote what this one cannot
        read."""
        try:
            return decode(self._catalogue.definition(digest) or b"")
        except MALFORMED:
            return None

    def _summary(self, listed: Listed) -> DefinitionFound:
        if listed.hash not in self._triggers:
            definition = self.read(listed.hash)
            self._triggers[listed.hash] = [trigger.label for trigger in definition.triggers] if definition else []
        return DefinitionFound(
            listed.name,
            listed.version,
            listed.hash,
            b"",
            listed.current,
            listed.deployed_at,
            listed.deprecated_at,
            listed.note,
            listed.tags,
            self._triggers[listed.hash],
        )

    def _unknown(self, workflow: str, version: int) -> UnknownWorkflow:
        listed = self._catalogue.list()
        versions = sorted(x.version for x in listed if x.name == workflow)
        if not versions:
            name = workflow[:NAME_CHARS_MAX]
            hint = did_you_mean(name, {x.name for x in listed})
            hint = f" ({hint})" if hint else ""
            gone = (
                "is registered any more: it was deleted" if self._catalogue.is_deleted(workflow, 0) else "is registered"
            )
            return UnknownWorkflow(f"no workflow {name!r} {gone}{hint}; deploy it first (`wfe deploy APP`)")
        known = ", ".join(str(known) for known in versions)
        return UnknownWorkflow(f"workflow {workflow!r} has no version {version}; it has {known}")


def _read(raw: list[bytes]) -> list[Definition]:
    definitions: list[Definition] = []
    findings: list[str] = []
    for position, data in enumerate(raw):
        if len(data) > DEFINITION_BYTES_MAX:
            findings.append(f"definition {position + 1}: {len(data)} bytes are above {DEFINITION_BYTES_MAX}")
            continue
        try:
            definition = decode(data)
        except MALFORMED as error:
            findings.append(f"definition {position + 1}: {error}")
            continue
        definitions.append(definition)
        findings += [f"{definition.workflow}: {f}" for f in validate(definition) if f.severity == "error"]
    names = [definition.workflow for definition in definitions]
    findings += [f"{name}: deployed twice in one request" for name in sorted({n for n in names if names.count(n) > 1})]
    if findings:
        raise DefinitionError(findings)
    return definitions
