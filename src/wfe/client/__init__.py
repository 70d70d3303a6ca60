"""The client room: one sans-IO session, one async client over it, and a thin sync face.

``session`` (with ``starts`` and ``watches``) is the protocol as a state machine: no clock, no socket, no loop; the
simulator drives it too. ``connection`` gives it a loop and a link; ``aclient``, ``runs`` and ``calls`` are what users
see; ``sync`` is the same with a loop in a background thread. The room imports no transport: whoever wires it
(`bootstrap`) passes a `LinkFactory`. Names are loaded lazily, so that importing the package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wfe.client.aclient import AsyncClient, aconnect_with
    from wfe.client.arguments import Args, args
    from wfe.client.connection import Link, LinkFactory
    from wfe.client.runs import AsyncRun
    from wfe.client.sync import Client, connect_with
    from wfe.client.sync_runs import Run
    from wfe.client.views import HistoryItem, RunInfo

__all__ = [
    "Args",
    "AsyncClient",
    "AsyncRun",
    "Client",
    "HistoryItem",
    "Link",
    "LinkFactory",
    "Run",
    "RunInfo",
    "aconnect_with",
    "args",
    "connect_with",
]

_HOMES = {
    "Args": "arguments",
    "AsyncClient": "aclient",
    "AsyncRun": "runs",
    "Client": "sync",
    "HistoryItem": "views",
    "Link": "connection",
    "LinkFactory": "connection",
    "Run": "sync",
    "RunInfo": "views",
    "aconnect_with": "aclient",
    "args": "arguments",
    "connect_with": "sync",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
