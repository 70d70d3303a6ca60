"""Which workflows a webhook starts: the current definitions' triggers, without asking for a graph twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wfe.model.definition import Trigger

if TYPE_CHECKING:
    from wfe.gateway.state import Gateway


class Triggers:
    """Which current definitions a webhook starts: read anew from the server's list, graphs only once each."""

    def __init__(self) -> None:
        self._of: dict[str, tuple[Trigger, ...]] = {}
        """By a definition's hash."""

    async def named(self, gateway: Gateway, name: str) -> list[tuple[str, int, Trigger]]:
        """(workflow, version, trigger) of every current definition that this webhook starts."""
        current = [each for each in await gateway.client.definitions() if each.current]
        known, self._of = self._of, {}
        for each in current:
            found = known.get(each.hash)
            if found is None:
                found = (await gateway.definition_of(each.hash)).triggers
            self._of[each.hash] = found
        return [
            (each.workflow, each.version, trigger)
            for each in current
            for trigger in self._of[each.hash]
            if trigger.kind == "webhook" and trigger.webhook == name
        ]
