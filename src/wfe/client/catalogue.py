"""Registered definitions: deploying and finding them, deprecation, tags, which is current, deletion. A part of the
client.

A workflow is named as everywhere: decorated, ``"name"``, ``"name@3"``, or ``"name@tag"``.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import msgspec

from wfe.client.calls import Target, definition_json, target_of
from wfe.client.connection import Connection
from wfe.client.replies import decoder_of
from wfe.errors import UnknownWorkflow
from wfe.model.definition import Definition
from wfe.wire.definitions import DefinitionChanged, DefinitionCommand
from wfe.wire.frames import Kind
from wfe.wire.messages import DefinitionFound, DefinitionQuery, Deploy, Deployed, DeployOutcome

DELETE_POLL_S = 0.02

_decode_changed = decoder_of(DefinitionChanged)
_decode_definitions = decoder_of(list[DefinitionFound])
_decode_deployed = decoder_of(DeployOutcome)
_decode_definition = decoder_of(DefinitionFound)


class Cataloguing:
    """Mixed into the client, which has the connection. Every command may be repeated: it changes nothing then."""

    def _open(self) -> Connection:
        raise NotImplementedError

    async def deploy(self, *workflows: Any, check: bool = False, replace: bool = False) -> list[Deployed]:
        """Registers definitions and makes them current. Takes decorated workflows, `Definition`s, or their JSON.

        ``check``: only says what would happen. DefinitionError (all findings), VersionConflict.
        """
        texts = [definition_json(workflow) for workflow in workflows]
        body = Deploy(texts, check, replace, secrets.token_hex(16))
        return _decode_deployed(await self._open().ask(Kind.DEPLOY, body)).deployed

    async def definitions(self) -> list[DefinitionFound]:
        """Every registered version of every workflow, without its graph."""
        return _decode_definitions(await self._open().ask(Kind.DEFINITION, DefinitionQuery()))

    async def definition(self, workflow: Any = "", *, version: int = 0, hash: str = "") -> Definition:
        """A registered definition by name (and version), or by hash. UnknownWorkflow."""
        name, version = await self.resolve_version(workflow, version) if workflow else ("", version)
        query = DefinitionQuery(name, version, hash)
        found = _decode_definition(await self._open().ask(Kind.DEFINITION, query))
        return msgspec.json.decode(found.definition, type=Definition)

    async def deprecate(self, workflow: Any, *, version: int = 0, note: str = "") -> list[int]:
        """No new runs of this version (without one: of any there is) any more; those that there are go on.

        Starts are refused with DefinitionDeprecated, which repeats the ``note``. Gives the versions that changed.
        """
        return (await self._define("deprecate", workflow, version, note=note)).versions

    async def undeprecate(self, workflow: Any, *, version: int = 0) -> list[int]:
        """Takes that back."""
        return (await self._define("undeprecate", workflow, version)).versions

    async def tag(self, workflow: Any, tag: str, *, version: int = 0) -> int:
        """Lets the tag stand for this version (without one: the current), and for no other one; gives the version."""
        name, version = await self.resolve_version(workflow, version)
        version = version or await self.version_of(name)
        await self._define("tag", name, version, tag=tag)
        return version

    async def untag(self, workflow: Any, tag: str) -> bool:
        """Takes the tag away; whether there was one."""
        return bool((await self._define("untag", workflow, 0, tag=tag)).versions)

    async def make_current(self, workflow: Any, *, version: int = 0) -> bool:
        """From now on starts without a version use this one; whether that is news."""
        return bool((await self._define("use", workflow, version)).versions)

    async def delete_definition(self, workflow: Any, *, version: int = 0) -> list[int]:
        """Forgets this version (without one: the workflow, with all its versions); gives those that are gone now.

        DefinitionInUse: a run that is kept or another definition refers to it. Unavailable: some shard cannot say.
        """
        name, version = await self.resolve_version(workflow, version)
        wanted = DefinitionCommand("delete", name, version, command_id=secrets.token_hex(16))
        while True:
            changed = _decode_changed(await self._open().ask(Kind.DEFINE, wanted, patient=False))
            if changed.done:
                return changed.versions
            await asyncio.sleep(DELETE_POLL_S)

    async def target(self, workflow: Any) -> Target:
        """What a caller wants to start. InvalidInput for what is no workflow, UnknownWorkflow for a tag without one."""
        if isinstance(workflow, str) and "@" in workflow:
            name, version = await self.resolve_version(workflow)
            return Target(name, version, None, Any)
        return target_of(workflow)

    async def resolve_version(self, workflow: Any, version: int = 0) -> tuple[str, int]:
        """The name and version (0: the current one) that a caller means; a tag is looked up. UnknownWorkflow."""
        text, at, tag = workflow.partition("@") if isinstance(workflow, str) else ("", "", "")
        if not at or tag.isdecimal() or not text:
            target = target_of(workflow)
            return target.name, version or target.version
        listed = _decode_definitions(await self._open().ask(Kind.DEFINITION, DefinitionQuery()))
        for found in listed:
            if found.workflow == text and tag in found.tags:
                return text, found.version
        tags = sorted({each for found in listed if found.workflow == text for each in found.tags})
        known = f"it has {', '.join(tags)}" if tags else "it has none"
        raise UnknownWorkflow(f"workflow {text!r} has no tag {tag!r}; {known}")

    async def version_of(self, workflow: Any) -> int:
        """The number of the version that a caller names; without any the current one. UnknownWorkflow."""
        name, version = await self.resolve_version(workflow)
        return _decode_definition(await self._open().ask(Kind.DEFINITION, DefinitionQuery(name, version))).version

    async def _define(
        self, action: str, workflow: Any, version: int, *, tag: str = "", note: str = ""
    ) -> DefinitionChanged:
        name, version = await self.resolve_version(workflow, version)
        wanted = DefinitionCommand(action, name, version, tag, note, secrets.token_hex(16))
        return _decode_changed(await self._open().ask(Kind.DEFINE, wanted))
