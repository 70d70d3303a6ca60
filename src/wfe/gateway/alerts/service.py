"""The loop around the rules: asks the server for its status, judges, has notices delivered, tells what it knows.

What fires is told to the coordinator after each look, for `wfe alerts` and the dashboard, and asked for at the start:
so a process that comes after this one announces nothing twice.
"""

from __future__ import annotations

import asyncio
import signal
import sys
import time
from collections.abc import Callable

from wfe.client.aclient import AsyncClient
from wfe.errors import Disconnected, WfeError
from wfe.gateway.alerts.conditions import Judge
from wfe.gateway.alerts.delivery import Delivery
from wfe.gateway.alerts.rules import Alerting
from wfe.gateway.alerts.samples import Totals
from wfe.gateway.alerts.states import States
from wfe.observe import get_logger
from wfe.wire.alerts import AlertsState
from wfe.wire.messages import ServerStatus

ANSWER_S = 5.0
"""A server that takes longer to say its status does not answer."""
_log = get_logger("alerts")


class Alerts:
    """``now_ms``: the wall clock."""

    def __init__(self, alerting: Alerting, delivery: Delivery, now_ms: Callable[[], int]) -> None:
        self._delivery, self._now_ms = delivery, now_ms
        self._rules = [(Judge(rule), States(rule)) for rule in alerting.rules]
        self._totals = Totals()
        self._server = ""

    def restore(self, state: AlertsState) -> None:
        """What an earlier process has announced."""
        for _, states in self._rules:
            states.restore(state.alerts)

    def look(self, status: ServerStatus | None) -> AlertsState:
        """One answer of the server, or none: judges the rules, hands over what is to be said."""
        now_ms = self._now_ms()
        if status is not None:
            self._server = status.address or status.server
            self._totals.add(status)
        views = []
        for judge, states in self._rules:
            for notice in states.judge(now_ms, judge.values(now_ms, status, self._totals)):
                _log.info("alert", rule=notice.rule, kind=notice.kind, summary=notice.summary)
                self._delivery.say(notice, self._server)
            views += states.views()
        return AlertsState(now_ms, views, self._delivery.views())


async def serve(alerting: Alerting, make_client: Callable[[], AsyncClient]) -> int:
    """Until SIGTERM or SIGINT; the exit code."""
    delivery = Delivery(alerting.receivers, _wall_ms)
    alerts = Alerts(alerting, delivery, _wall_ms)
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        if sys.platform == "win32":
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(stopped.set))
        else:
            loop.add_signal_handler(number, stopped.set)
    delivery.start()
    client = make_client()
    restored = False
    while not stopped.is_set():
        try:
            async with asyncio.timeout(ANSWER_S):
                await client.open()
                if not restored:
                    alerts.restore(await client.alerts())
                    restored = True
                status: ServerStatus | None = await client.status()
        except (Disconnected, OSError):  # no answer in time, too, and no descriptors for a socket
            status = None
        except WfeError as error:
            _log.error("the server refuses the alerts", reason=str(error))
            status = None
            await client.close()
            client = make_client()
        state = alerts.look(status)
        if status is not None:
            await _tell(client, state)
        try:
            await asyncio.wait_for(stopped.wait(), alerting.every_ms / 1000)
        except TimeoutError:
            continue
    await delivery.close()
    await client.close()
    return 0


async def _tell(client: AsyncClient, state: AlertsState) -> None:
    try:
        async with asyncio.timeout(ANSWER_S):
            await client.tell_alerts(state)
    except (WfeError, TimeoutError) as error:
        _log.warning("the server does not take what the alerts know", reason=str(error))


def _wall_ms() -> int:
    return time.time_ns() // 1_000_000
