"""Alerts: the process beside a server that judges the rules of its configuration, and test messages by hand."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from wfe.config import ALERTS, read_table
from wfe.coordinator.child_options import AlerterOptions
from wfe.errors import ConfigError
from wfe.observe import configure
from wfe.secrets import mask_secrets

if TYPE_CHECKING:
    from wfe.client.aclient import AsyncClient
    from wfe.gateway.alerts.rules import Receiver


def run_alerter(options: AlerterOptions) -> int:
    """Judges until told to stop; the exit code."""
    from wfe.bootstrap.clients import open_client_link
    from wfe.bootstrap.world import new_loop
    from wfe.client.aclient import AsyncClient
    from wfe.gateway.alerts.rules import read_alerting
    from wfe.gateway.alerts.service import serve

    configure(options.log_level, options.log_format, mask=mask_secrets, process="alerter")

    def make_client() -> AsyncClient:
        return AsyncClient(open_client_link, options.connect, lambda: options.token)

    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(serve(read_alerting(options.alerts), make_client))


def send_test(rule: str, file: str | None) -> list[tuple[str, str]]:
    """Sends a test message to the receivers of a rule: (receiver, error or "") of each. ConfigError: no such rule."""
    from wfe.gateway.alerts.receivers import NotDelivered, deliver
    from wfe.gateway.alerts.rules import read_alerting
    from wfe.gateway.alerts.states import test_notice

    alerting = read_alerting(read_table(ALERTS, file=file))
    found = next((each for each in alerting.rules if each.name == rule), None)
    if found is None:
        known = ", ".join(each.name for each in alerting.rules) or "none: name the file with --config"
        raise ConfigError(f"there is no rule {rule!r}; there are {known}")
    notice = test_notice(found, time.time_ns() // 1_000_000)

    async def send(receiver: Receiver) -> tuple[str, str]:
        try:
            await deliver(receiver, notice, "")
        except NotDelivered as error:
            return receiver.name, str(error)
        return receiver.name, ""

    async def send_all() -> list[tuple[str, str]]:
        chosen = [each for each in alerting.receivers if not found.to or each.name in found.to]
        return await asyncio.gather(*map(send, chosen))

    return asyncio.run(send_all())
