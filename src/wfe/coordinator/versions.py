"""Commands on registered versions: deprecate, tag, make current, delete. A state machine, as all of the coordinator.

Everything but a deletion is one commit of the catalogue. A deletion asks all shards first whether they keep a run of
the definition; a client repeats its command until it is done. Invariants: nothing is deleted while any shard has not
answered or any answer names a run; while shards are asked no new run of these versions begins (starts are told to come
again, questions of shards by name are left unanswered: they repeat them).
"""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from wfe.coordinator.deploys import Deploys
from wfe.coordinator.topology import Shard, Topology
from wfe.core.checks import name_problem
from wfe.errors import Busy, DefinitionInUse, InvalidInput, ProtocolError, Unavailable, WfeError
from wfe.journal.catalogue import Catalogue
from wfe.limits import (
    BACKUP_OUTCOMES_MAX,
    BUSY_RETRY_MS,
    DEFINITION_TAGS_MAX,
    ERROR_MESSAGE_CHARS_MAX,
    NAME_CHARS_MAX,
    USAGE_ANSWER_MS,
)
from wfe.model.definition import StartWorkflow, SubWorkflow, walk
from wfe.wire.definitions import DefinitionChanged, DefinitionCommand, Usage, UsageQuestion
from wfe.wire.frames import Kind, header

_encode = msgspec.msgpack.Encoder().encode
_decode_usage = msgspec.msgpack.Decoder(Usage).decode


class _Removal:
    """Versions of a workflow that are to be deleted once no shard says that it keeps runs of them."""

    __slots__ = ("awaited", "due_ms", "hashes", "number", "versions", "wall_ms", "workflow")

    def __init__(self, number: int, workflow: str, versions: dict[int, str], due_ms: int, wall_ms: int) -> None:
        self.number, self.workflow, self.due_ms, self.wall_ms = number, workflow, due_ms, wall_ms
        self.versions = sorted(versions)
        self.hashes = sorted(set(versions.values()))
        self.awaited: set[bytes] = set()


class Versions:
    """``send`` takes a frame to a shard. ``moving``: whether partitions are on their way between shards."""

    def __init__(
        self,
        catalogue: Catalogue,
        deploys: Deploys,
        topology: Topology,
        send: Callable[[bytes, list[bytes]], bool],
        moving: Callable[[], bool],
    ) -> None:
        self._moving = moving
        self._catalogue, self._deploys, self._topology, self._send = catalogue, deploys, topology, send
        self._removals: dict[str, _Removal] = {}
        self._outcomes: dict[str, DefinitionChanged | WfeError] = {}
        self._numbers = 0

    @property
    def asking(self) -> bool:
        """Whether shards are being asked which runs they keep."""
        return bool(self._removals)

    # ---- clients ----------------------------------------------------------------------------------------------------

    def command(self, wanted: DefinitionCommand, wall_ms: int, now_ms: int) -> DefinitionChanged:
        """Does what is wanted, or says that shards are still being asked. UnknownWorkflow, DefinitionInUse, ..."""
        if wanted.action == "delete":
            return self._delete(wanted, wall_ms, now_ms)
        if len(wanted.note) > ERROR_MESSAGE_CHARS_MAX:
            raise InvalidInput(f"a note has at most {ERROR_MESSAGE_CHARS_MAX} characters", "note")
        name = wanted.workflow
        match wanted.action:
            case "deprecate" | "undeprecate":
                since_ms, note = (wall_ms, wanted.note) if wanted.action == "deprecate" else (0, "")
                return DefinitionChanged(name, self._catalogue.deprecate(name, self._these(wanted), since_ms, note))
            case "tag" | "untag":
                return self._tag(wanted)
            case "use":
                [version] = self._these(wanted, one=True)
                return DefinitionChanged(name, [version] if self._catalogue.use(name, version) else [])
        raise ProtocolError(f"there is no command {wanted.action[:NAME_CHARS_MAX]!r} on definitions")

    def _these(self, wanted: DefinitionCommand, *, one: bool = False) -> dict[int, str]:
        """The versions that a command is about, with their hashes. ``one``: without a number it is the current one."""
        known = {number: row.hash for number, row in self._catalogue.versions(wanted.workflow).items()}
        if not known or wanted.version or one:
            digest, version = self._deploys.found(wanted.workflow, wanted.version)
            return {version: digest}
        return known

    def _tag(self, wanted: DefinitionCommand) -> DefinitionChanged:
        problem = name_problem(wanted.tag)
        if problem is not None:
            raise InvalidInput(f"a tag: {problem}", "tag")
        name = wanted.workflow
        [version] = self._these(wanted, one=True)
        tags = self._catalogue.tags(name)
        if wanted.action == "untag":
            before = [tags[wanted.tag]] if wanted.tag in tags else []
            self._catalogue.tag(name, wanted.tag, 0)
            return DefinitionChanged(name, before)
        if wanted.tag not in tags and len(tags) >= DEFINITION_TAGS_MAX:
            raise InvalidInput(f"workflow {name!r} has {len(tags)} tags, that is the limit", "tag")
        return DefinitionChanged(name, [version] if self._catalogue.tag(name, wanted.tag, version) else [])

    # ---- deleting ---------------------------------------------------------------------------------------------------

    def _delete(self, wanted: DefinitionCommand, wall_ms: int, now_ms: int) -> DefinitionChanged:
        if not 1 <= len(wanted.command_id) <= NAME_CHARS_MAX:
            raise ProtocolError(f"a command's id has 1 to {NAME_CHARS_MAX} characters")
        outcome = self._outcomes.get(wanted.command_id)
        if isinstance(outcome, WfeError):
            raise type(outcome)(str(outcome))
        if outcome is not None:
            return outcome
        if wanted.command_id not in self._removals:
            if self._catalogue.is_deleted(wanted.workflow, wanted.version):
                return DefinitionChanged(wanted.workflow, [])
            self._begin(wanted, wall_ms, now_ms)
        return DefinitionChanged(wanted.workflow, [], done=False)

    def _begin(self, wanted: DefinitionCommand, wall_ms: int, now_ms: int) -> None:
        if self._moving():
            raise Busy("partitions are being moved: nobody knows yet which runs they keep", BUSY_RETRY_MS / 1000)
        versions = self._these(wanted)
        self._check_references(wanted.workflow, set(versions))
        if [shard for shard in self._topology.shards if not shard.serving]:
            raise Unavailable("not every shard serves, so nobody knows whether runs of it are kept: see `wfe status`")
        self._numbers += 1
        removal = _Removal(self._numbers, wanted.workflow, versions, now_ms + USAGE_ANSWER_MS, wall_ms)
        removal.awaited = {shard.identity for shard in self._topology.shards}
        self._removals[wanted.command_id] = removal
        frame = [header(Kind.USAGE), _encode(UsageQuestion(removal.number, removal.hashes))]
        for shard in self._topology.shards:
            if not self._send(shard.identity, frame):
                del self._removals[wanted.command_id]
                raise Busy("a shard's queue is full", BUSY_RETRY_MS / 1000)

    def _check_references(self, name: str, versions: set[int]) -> None:
        """The current version stays while there are others, and so does what other definitions call."""
        listed = self._catalogue.list()
        current = next((each.version for each in listed if each.name == name and each.current), 0)
        kept = {each.version for each in listed if each.name == name} - versions
        if current in versions and kept:
            raise DefinitionInUse(
                f"version {current} of workflow {name!r} is the current one: make another one current first, or delete "
                "the workflow with all its versions"
            )
        for each in listed:
            if each.name == name and each.version in versions:
                continue
            definition = self._deploys.read(each.hash)
            for node in walk(definition.nodes if definition else ()):
                if not isinstance(node, (SubWorkflow, StartWorkflow)) or node.workflow != name:
                    continue
                if node.version in versions or (node.version is None and not kept):
                    raise DefinitionInUse(
                        f"workflow {each.name!r} (version {each.version}) starts workflow {name!r} in its node "
                        f"{node.id!r}"
                    )

    def holds_back(self, workflow: str, version: int) -> bool:
        """Whether new runs of this version (0: the current one) have to wait, for it may be deleted now."""
        if not self._removals:
            return False
        found = self._catalogue.resolve(workflow, version)
        return found is not None and any(
            removal.workflow == workflow and found[1] in removal.versions for removal in self._removals.values()
        )

    # ---- shards and time --------------------------------------------------------------------------------------------

    def on_usage(self, shard: Shard, body: bytes) -> None:
        """A shard's answer; one that comes late or again changes nothing."""
        usage = _decode_usage(body)
        for command, removal in list(self._removals.items()):
            if removal.number != usage.number or shard.identity not in removal.awaited:
                continue
            removal.awaited.discard(shard.identity)
            if usage.runs:
                run_id = next(iter(usage.runs.values()))
                named = f"run {run_id}" if run_id else "a run that starts"
                self._ended(command, DefinitionInUse(f"{named} refers to workflow {removal.workflow!r}: it is kept"))
            elif not removal.awaited:
                self._delete_now(command, removal)

    def _delete_now(self, command: str, removal: _Removal) -> None:
        """No shard keeps a run. What was deployed or made current while they were asked counts, too."""
        try:
            self._check_references(removal.workflow, set(removal.versions))
        except DefinitionInUse as error:
            self._ended(command, error)
            return
        self._catalogue.delete(removal.workflow, removal.versions, removal.wall_ms)
        self._ended(command, DefinitionChanged(removal.workflow, removal.versions))

    def on_shard_gone(self, identity: bytes) -> None:
        """What a shard that ended would have said is not known."""
        for command, removal in list(self._removals.items()):
            if identity in removal.awaited:
                self._ended(command, Unavailable("a shard ended before it said whether it keeps runs: try again"))

    def on_tick(self, now_ms: int) -> None:
        """Gives up what takes too long, so that starts do not wait for ever."""
        for command, removal in list(self._removals.items()):
            if now_ms >= removal.due_ms:
                self._ended(command, Unavailable("a shard does not say whether it keeps runs: try again"))

    def _ended(self, command: str, outcome: DefinitionChanged | WfeError) -> None:
        """The removal is over; its outcome is kept for a client that asks again."""
        self._removals.pop(command, None)
        self._outcomes[command] = outcome
        while len(self._outcomes) > BACKUP_OUTCOMES_MAX:
            del self._outcomes[next(iter(self._outcomes))]
