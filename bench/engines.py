"""An engine with the benchmarks' app for scripts of this directory, and what they ask of it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from pathlib import Path
from typing import Any, TypeVar

from wfe import bootstrap
from wfe.bootstrap.clients import open_client_link
from wfe.bootstrap.world import new_loop
from wfe.client.aclient import AsyncClient, aconnect_with
from wfe.client.bench.usage import Memory, Processes
from wfe.config import ServeOptions

T = TypeVar("T")
APP = "wfe.client.bench.app"


def server(data: str | Path, **options: Any) -> bootstrap.LocalServer:
    """A server with the benchmarks' tasks on this directory, as a context manager."""
    given = {"shards": 1, "workers": 1, "durability": "sync", "log_level": "error", "replace": True, **options}
    return bootstrap.LocalServer([APP], data=data, options=ServeOptions(**given))


def client_of(found: bootstrap.LocalServer, request_timeout_s: float | None = None) -> AsyncClient:
    """``request_timeout_s``: for how long it repeats what is refused as busy, if not for as long as others do."""
    if request_timeout_s is None:
        return bootstrap.aconnect(found.address, found.token)
    return aconnect_with(open_client_link, found.address, found.token, request_timeout_s=request_timeout_s)


def run(main: Coroutine[Any, Any, T]) -> T:
    """Runs a script's coroutine on the loop that wfe's own processes use."""
    with asyncio.Runner(loop_factory=new_loop) as runner:
        return runner.run(main)


async def memory(client: AsyncClient) -> Memory:
    """What the server's processes hold now."""
    return Processes.of(await client.status()).memory()
