"""What is known of alerts: asked for by clients, told by the process that judges them. A part of the client."""

from __future__ import annotations

from typing import Any

from wfe.client.connection import Connection
from wfe.client.replies import decoder_of
from wfe.client.views import rfc3339
from wfe.wire.alerts import AlertsState
from wfe.wire.frames import Kind

_decode = decoder_of(AlertsState)


class Alerted:
    """Mixed into the client, which has the connection."""

    def _open(self) -> Connection:
        raise NotImplementedError

    async def alerts(self) -> AlertsState:
        """The rules of the server's configuration and what they say; ``at_ms`` 0: nobody judges any."""
        return _decode(await self._open().ask(Kind.ALERTS, None))

    async def tell_alerts(self, state: AlertsState) -> None:
        """For the process that judges them."""
        await self._open().ask(Kind.TELL_ALERTS, state)


def alerts_document(state: AlertsState) -> dict[str, Any]:
    """As JSON shows it."""
    return {
        "at": rfc3339(state.at_ms),
        "alerts": [
            {
                "rule": alert.rule,
                "when": alert.when,
                "severity": alert.severity,
                "state": alert.state,
                "subject": alert.subject,
                "summary": alert.summary,
                "value": alert.value,
                "limit": alert.limit,
                "since": rfc3339(alert.since_ms),
                "fired_at": rfc3339(alert.fired_ms),
                "said_at": rfc3339(alert.said_ms),
                "to": alert.to,
            }
            for alert in state.alerts
        ],
        "receivers": [
            {
                "name": receiver.name,
                "kind": receiver.kind,
                "sent": receiver.sent,
                "failed": receiver.failed,
                "dropped": receiver.dropped,
                "waiting": receiver.waiting,
                "error": receiver.error or None,
            }
            for receiver in state.receivers
        ],
    }
