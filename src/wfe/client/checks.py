"""Whether a deploy would break live runs: what `wfe deploy --check` asks. A part of the client.

Every partition is asked on its own."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from typing import Any

import msgspec

from wfe.client.calls import definition_json
from wfe.client.connection import Connection
from wfe.client.listing import LIST_TIMEOUT_S
from wfe.client.replies import decoder_of
from wfe.client.views import deployed_document
from wfe.errors import Disconnected, Unavailable
from wfe.limits import LIST_LIMIT_DEFAULT
from wfe.wire.definitions import CarryPage, CarryQuery, CarryVerdict
from wfe.wire.frames import Kind
from wfe.wire.messages import Deploy, Deployed, DeployOutcome

_decode_page = decoder_of(CarryPage)
_decode_deployed = decoder_of(DeployOutcome)


@dataclass(frozen=True, slots=True)
class DeployCheck:
    """What a deploy of one workflow would do. ``runs``: live runs of other versions that the new one could not carry.

    ``carried``: how many it could. ``more``: not all that it could not carry are listed; ``incomplete``: partitions
    that could not be asked. The runs keep their version either way: a deploy changes none of them.
    """

    deployed: Deployed
    runs: list[CarryVerdict] = field(default_factory=list)
    carried: int = 0
    more: bool = False
    incomplete: list[int] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether the new version could carry every live run."""
        return not self.runs and not self.incomplete


class Checking:
    """Mixed into the client, which has the connection."""

    def _open(self) -> Connection:
        raise NotImplementedError

    async def check(self, *workflows: Any, limit: int = LIST_LIMIT_DEFAULT) -> list[DeployCheck]:
        """What a deploy of these would do, and which live runs of older versions the new ones could not carry.

        At most ``limit`` such runs are listed for each. DefinitionError, VersionConflict: as a deploy would be refused.
        """
        texts = [definition_json(workflow) for workflow in workflows]
        outcome = _decode_deployed(await self._open().ask(Kind.DEPLOY, Deploy(texts, True)))
        return [await self._checked(each, text, limit) for each, text in zip(outcome.deployed, texts, strict=True)]

    async def _checked(self, deployed: Deployed, text: bytes, limit: int) -> DeployCheck:
        if deployed.new:
            return DeployCheck(deployed)
        connection = self._open()
        query = CarryQuery(deployed.workflow, text, deployed.hash)
        partitions = range(connection.welcome.partitions)
        answers = await asyncio.gather(*(_of_partition(connection, number, query, limit) for number in partitions))
        told = [answer for answer in answers if answer is not None]
        broken = sorted((verdict for verdicts, _, _ in told for verdict in verdicts), key=lambda each: each.run_id[2:])
        return DeployCheck(
            deployed,
            broken[:limit],
            sum(carried for _, carried, _ in told),
            len(broken) > limit or any(more for _, _, more in told),
            [number for number, answer in zip(partitions, answers, strict=True) if answer is None],
        )


async def _of_partition(
    connection: Connection, partition: int, query: CarryQuery, limit: int
) -> tuple[list[CarryVerdict], int, bool] | None:
    """Runs that cannot be carried, how many can, and whether there is more; None: it cannot be asked now."""
    broken: list[CarryVerdict] = []
    carried = 0
    while True:
        try:
            reply = await connection.ask(
                Kind.CARRY, query, partition=partition, timeout_s=LIST_TIMEOUT_S, patient=False
            )
        except (Unavailable, Disconnected):
            return None
        page = _decode_page(reply)
        broken += [verdict for verdict in page.verdicts if verdict.obstacles]
        carried += sum(not verdict.obstacles for verdict in page.verdicts)
        if not page.more or len(broken) > limit:
            return broken, carried, page.more
        query = msgspec.structs.replace(query, after=page.after)


def check_document(check: DeployCheck) -> dict[str, Any]:
    """The JSON form."""
    return {
        **deployed_document(check.deployed),
        "ok": check.ok,
        "runs_carried": check.carried,
        "runs_broken": [
            {
                "id": verdict.run_id,
                "version": verdict.version,
                "status": verdict.status,
                "key": verdict.key or None,
                "obstacles": [{"node": each.node or None, "reason": each.reason} for each in verdict.obstacles],
            }
            for verdict in check.runs
        ],
        "more": check.more,
        "incomplete": check.incomplete,
    }
