"""People of the simulated world who make versions current, deprecate, tag and delete them; and what the auditor knows.

`CatalogueBook` is told of every command and its answer. While nothing else is under way for a workflow, what was
answered is what a list must show; a version whose deletion was answered has no run and gets none.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from msgspec import msgpack

from wfe.core.canonical import decode, definition_hash
from wfe.errors import DataError, DataFull, DefinitionInUse, InvalidInput, UnknownWorkflow, WfeError
from wfe.sim.network import LATE_MAX_US
from wfe.sim.node import Violation
from wfe.wire.definitions import DefinitionChanged, DefinitionCommand
from wfe.wire.frames import Kind
from wfe.wire.messages import DefinitionFound, DefinitionQuery, Deploy, DeployOutcome

if TYPE_CHECKING:
    from wfe.sim.clients import ClientNode
    from wfe.sim.world import World

ACTIONS = ("list", "list", "list", "use", "use", "deprecate", "undeprecate", "undeprecate", "tag", "untag", "delete")
TAGS = ("stable", "canary")
ASK_AGAIN_US = 50_000
Fact = tuple[str, int | str]
"""``("current", "")``, ``("deprecated", version)``, ``("gone", version)`` or ``("tag", name)``."""
_decode_changed = msgpack.Decoder(DefinitionChanged).decode
_decode_deployed = msgpack.Decoder(DeployOutcome).decode
_decode_list = msgpack.Decoder(list[DefinitionFound]).decode


class CatalogueBook:
    """What is known of each workflow's versions. Commands without an answer may still come to pass, at any time."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._asked: Counter[str] = Counter()
        self._open: Counter[str] = Counter()
        self._mingled: Counter[str] = Counter()
        self._facts: dict[str, tuple[int, dict[Fact, object]]] = {}
        self._sure_us = 0
        self.deleted: set[str] = set()
        """Hashes of definitions that were deleted, and not deployed again since."""
        self._deploying: Counter[str] = Counter()
        self.ever_deprecated: set[str] = set()

    def ask(self, workflow: str) -> int:
        """A command on this workflow is on its way: its number."""
        self._asked[workflow] += 1
        self._open[workflow] += 1
        if self._open[workflow] > 1:
            self._mingled[workflow] = self._asked[workflow]
        return self._asked[workflow]

    def answered(self, workflow: str, number: int, facts: dict[Fact, object]) -> None:
        """It was done, or (without facts) refused."""
        self._open[workflow] -= 1
        if self._open[workflow] or self._asked[workflow] != number:
            return
        if self._mingled[workflow] == number:  # it was asked while another was on its way: nobody knows which was last
            self._facts[workflow] = (number, {})
            return
        before, known = self._facts.get(workflow, (0, {}))
        self._facts[workflow] = (number, {**(known if before == number - 1 else {}), **facts})

    def restarted(self, deployed: Iterable[bytes]) -> None:
        """An engine starts, and deploys these. What it was asked before it ended may come late, and it has forgotten
        that it did that already."""
        if self._asked:
            self._sure_us = self._world.schedule.now_us + LATE_MAX_US
        for body in deployed:
            definition = decode(body)
            self.answered(definition.workflow, self.ask(definition.workflow), {})
            self._facts.pop(definition.workflow, None)
            self.deleted.discard(definition_hash(definition))

    def known(self, workflow: str) -> dict[Fact, object]:
        """What is certain at this moment."""
        if self._world.schedule.now_us < self._sure_us:
            return {}
        number, facts = self._facts.get(workflow, (0, {}))
        return dict(facts) if number == self._asked[workflow] and not self._open[workflow] else {}

    def deploying(self, digest: str) -> None:
        """A deploy is on its way."""
        self._deploying[digest] += 1
        self.deleted.discard(digest)

    def deployed(self, digest: str) -> None:
        """It was answered. One that never is may bring the definition back at any time."""
        self._deploying[digest] -= 1

    def gone(self, found: DefinitionFound) -> None:
        """The deletion of a version was answered."""
        runs = self._world.auditor.runs.values()
        kept = [run.id for run in runs if run.started.definition == found.hash]
        if kept and not all(self._world.expiry.may_be_gone(run_id) for run_id in kept):
            raise Violation(f"{found.workflow}@{found.version} is deleted, there are runs of it: {kept[:3]}")
        if not self._deploying[found.hash]:
            self.deleted.add(found.hash)

    def listed(self, before: dict[str, dict[Fact, object]], found: list[DefinitionFound]) -> None:
        """A list shows what was certain when it was asked for and is so still."""
        for workflow, facts in before.items():
            now = self.known(workflow)
            versions = {each.version: each for each in found if each.workflow == workflow}
            for (what, name), value in facts.items():
                if value is None or now.get((what, name)) != value:
                    continue
                shown = _shown(what, name, versions)
                if shown != value and not (what == "deprecated" and name not in versions):
                    raise Violation(f"{workflow}: {what} {name} is {value}, a list shows {shown}: {found}")
        self._world.auditor.count("catalogues_listed")


def _shown(what: str, name: int | str, versions: dict[int, DefinitionFound]) -> object:
    """What a list says of a fact."""
    match what:
        case "current":
            return next((version for version, each in versions.items() if each.current), 0)
        case "deprecated":
            return name in versions and bool(versions[int(name)].deprecated_at)
        case "gone":
            return name not in versions
        case _:
            return next((version for version, each in versions.items() if name in each.tags), 0)


class Cataloguing:
    """A client's part."""

    def __init__(self, client: ClientNode, share: float) -> None:
        self._client = client
        self._share = share
        self._random = client.world.chance(f"{client.name} catalogues")
        self._known: list[DefinitionFound] = []

    @property
    def _book(self) -> CatalogueBook:
        return self._client.world.catalogue

    def act(self) -> None:
        """Now and then something."""
        if self._client.world.expiry.began_ms or self._random.random() >= self._share:
            return
        action = self._random.choice(ACTIONS)
        if action == "list" or not self._known:
            self._list()
        else:
            self._command(action, self._random.choice(self._known))

    def _is_unsure(self, error: WfeError | None) -> bool:
        """Whether the simulated disk failed: what was asked for may have come to pass."""
        broken = self._client.world.engine.broken
        return isinstance(error, (DataError, DataFull)) and (bool(broken) or "simulated" in str(error))

    def _list(self) -> None:
        before = {name: self._book.known(name) for name in self._client.world.program.names}

        def then(reply: bytes | None, error: WfeError | None) -> None:
            if reply is None:
                raise Violation(f"a list of definitions is answered with {error!r}")
            self._known = _decode_list(reply)
            self._book.listed(before, self._known)

        self._client._request(Kind.DEFINITION, DefinitionQuery(), then, -1)

    def deploy(self, body: bytes) -> None:
        """Registers a definition."""
        definition = decode(body)
        name, book = definition.workflow, self._book
        number, digest = book.ask(name), definition_hash(definition)
        book.deploying(digest)

        def then(reply: bytes | None, error: WfeError | None) -> None:
            if self._is_unsure(error):
                return
            if reply is None:
                raise Violation(f"a deploy is answered with {error!r}")
            version = _decode_deployed(reply).deployed[0].version
            book.deployed(digest)
            book.answered(name, number, {("current", ""): version})

        self._client._request(Kind.DEPLOY, Deploy([body], command_id=self._command_id()), then, -1)

    def _command_id(self) -> str:
        return f"{self._client.name}-{self._random.getrandbits(64):x}"

    def _command(self, action: str, of: DefinitionFound) -> None:
        tag = self._random.choice(TAGS) if "tag" in action else ""
        wanted = DefinitionCommand(action, of.workflow, of.version, tag, command_id=self._command_id())
        if action == "deprecate":
            self._book.ever_deprecated.add(of.workflow)
        self._ask(wanted, of, self._book.ask(of.workflow))

    def _ask(self, wanted: DefinitionCommand, of: DefinitionFound, number: int) -> None:
        def then(reply: bytes | None, error: WfeError | None) -> None:
            if self._is_unsure(error):
                return None
            if isinstance(error, (UnknownWorkflow, DefinitionInUse, InvalidInput)):
                return self._book.answered(of.workflow, number, {})
            if reply is None:
                raise Violation(f"{wanted} is answered with {error!r}")
            changed = _decode_changed(reply)
            if not changed.done:
                return self._client.after(ASK_AGAIN_US, "ask again", self._ask, wanted, of, number)
            self._book.answered(of.workflow, number, self._facts_of(wanted))
            if wanted.action == "delete" and wanted.version in changed.versions:
                self._book.gone(of)
            self._client.world.auditor.count(f"definitions_{wanted.action}")
            return None

        self._client._request(Kind.DEFINE, wanted, then, -1)

    def _facts_of(self, wanted: DefinitionCommand) -> dict[Fact, Any]:
        match wanted.action:
            case "use":
                return {("current", ""): wanted.version}
            case "deprecate" | "undeprecate":
                return {("deprecated", wanted.version): wanted.action == "deprecate"}
            case "tag":
                return {("tag", wanted.tag): wanted.version}
            case "untag":
                return {("tag", wanted.tag): 0}
            case _:
                # Its tags go with it; and the current version, if it was the only one.
                return {("gone", wanted.version): True, ("current", ""): None, **{("tag", tag): None for tag in TAGS}}
