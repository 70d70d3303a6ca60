"""Which workflows a webhook starts: the current definitions whose triggers name it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from wfe.model.definition import Trigger

if TYPE_CHECKING:
    from wfe.gateway.state import Gateway


async def triggered_by(gateway: Gateway, name: str) -> list[tuple[str, int, Trigger]]:
    """(workflow, version, trigger) of every current definition that this webhook starts."""
    return [
        (found.workflow, found.version, trigger)
        for found in await gateway.client.definitions()
        if found.current and f"webhook:{name}" in found.triggers
        for trigger in (await gateway.definition_of(found.hash)).triggers
        if trigger.kind == "webhook" and trigger.webhook == name
    ]
