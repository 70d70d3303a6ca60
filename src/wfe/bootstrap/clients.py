"""Clients over ZeroMQ: `wfe.connect` and `wfe.aconnect`."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from wfe.client.aclient import AsyncClient
    from wfe.client.connection import Link, OnFrames
    from wfe.client.sync import Client


def open_client_link(address: str, on_frames: OnFrames) -> Link:
    """A `client.connection.LinkFactory`: a dealer on the running loop. ConfigError when the address is none."""
    from wfe.transport.aio import Attached
    from wfe.transport.endpoints import parse_tcp
    from wfe.transport.sockets import Dealer

    endpoint = address if address.startswith("ipc://") else parse_tcp(address).text
    return Attached(asyncio.get_running_loop(), Dealer(endpoint), on_frames)


def connect(
    address: str | None = None,
    token: str | None = None,
    *,
    connect_timeout_s: float = 10.0,
    request_timeout_s: float = 30.0,
) -> Client:
    """A sync client. No ``address``: WFE_ADDRESS or the default. No ``token``: WFE_TOKEN or what the server left.

    ``request_timeout_s``: every call is answered within that time, if only by Busy, Unavailable or Disconnected;
    ``start_many`` goes on for as long as some of its runs are taken within it.
    """
    from wfe.client.sync import connect_with

    return connect_with(
        open_client_link, address, token, connect_timeout_s=connect_timeout_s, request_timeout_s=request_timeout_s
    )


def aconnect(
    address: str | None = None,
    token: str | None = None,
    *,
    connect_timeout_s: float = 10.0,
    request_timeout_s: float = 30.0,
) -> AsyncClient:
    """An async client; an async context manager. Arguments as in `connect`."""
    from wfe.client.aclient import aconnect_with

    return aconnect_with(
        open_client_link, address, token, connect_timeout_s=connect_timeout_s, request_timeout_s=request_timeout_s
    )
