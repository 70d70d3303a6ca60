"""The composition root: the only room that builds adapters and wires rooms together.

``server`` starts an engine, ``roles`` are the entries of its child processes (``python -m wfe.bootstrap ROLE``),
``world`` holds their adapters, ``clients`` give a client its transport, ``oneshot`` runs one workflow in an engine of
its own, ``workers``, ``development`` and ``gateways`` are `wfe worker`, `wfe dev` and `wfe gateway`; through
``parents`` a child notices that its parent is gone. Names are loaded lazily: importing this package costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wfe.bootstrap.clients import aconnect, connect, open_client_link
    from wfe.bootstrap.development import develop
    from wfe.bootstrap.gateways import development_http, gateway
    from wfe.bootstrap.oneshot import LocalServer, run, run_app
    from wfe.bootstrap.parents import parent_watch
    from wfe.bootstrap.server import serve
    from wfe.bootstrap.workers import work

__all__ = [
    "LocalServer",
    "aconnect",
    "connect",
    "develop",
    "development_http",
    "gateway",
    "open_client_link",
    "parent_watch",
    "run",
    "run_app",
    "serve",
    "work",
]

_HOMES = {
    "LocalServer": "oneshot",
    "aconnect": "clients",
    "connect": "clients",
    "develop": "development",
    "development_http": "gateways",
    "gateway": "gateways",
    "open_client_link": "clients",
    "parent_watch": "parents",
    "run": "oneshot",
    "run_app": "oneshot",
    "serve": "server",
    "work": "workers",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from importlib import import_module

    value = getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
    globals()[name] = value
    return value
