"""What is known of alerts: told to the coordinator by the process that judges them, asked for by clients."""

from __future__ import annotations

from msgspec import Struct


class AlertView(Struct, array_like=True):
    """A rule's subject that is not fine, or a rule whose subjects all are. ``state``: ok, pending, firing.

    ``since_ms``: the condition holds since then; ``fired_ms``: it was announced then; ``said_ms``: last said again.
    """

    rule: str
    when: str
    severity: str
    state: str
    subject: str = ""
    value: str = ""
    limit: str = ""
    since_ms: int = 0
    fired_ms: int = 0
    said_ms: int = 0
    raw: float = 0.0
    summary: str = ""
    to: list[str] = []


class ReceiverView(Struct, array_like=True):
    """Who is told. ``error``: of the last message, "" when it arrived; ``dropped``: left out for its hourly bound."""

    name: str
    kind: str
    sent: int = 0
    failed: int = 0
    dropped: int = 0
    waiting: int = 0
    error: str = ""


class AlertsState(Struct, array_like=True):
    """``at_ms``: when the rules were judged last; 0: nobody judges any."""

    at_ms: int = 0
    alerts: list[AlertView] = []
    receivers: list[ReceiverView] = []
