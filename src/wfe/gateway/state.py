"""What the handlers share: the connected client, the options, who may come in, and how many streams there are.

One `Gateway` per process (or per test); it travels into handlers as the dependency ``gateway``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import suppress

from wfe.client.aclient import AsyncClient
from wfe.config import GatewayOptions
from wfe.errors import Disconnected, WfeError
from wfe.gateway.sessions import Sessions
from wfe.gateway.slots import Slots
from wfe.limits import DEFINITIONS_CACHED_MAX, STREAMS_MAX
from wfe.model.definition import Definition
from wfe.observe import get_logger

HOOKS_REMEMBERED_MAX = 10_000
RETRY_S = 0.5
LOOK_S = 5.0
_log = get_logger("gateway")


class Gateway:
    """``wall_s``: the wall clock in seconds, for times in signatures and sessions."""

    def __init__(
        self, make_client: Callable[[], AsyncClient], options: GatewayOptions, wall_s: Callable[[], float]
    ) -> None:
        self._make_client = make_client
        self.client = make_client()
        self.options = options
        self.wall_s = wall_s
        self.sessions = Sessions(options.token, wall_s)
        self.streams = Slots(STREAMS_MAX)
        self.taken_hooks: dict[str, str] = {}
        """Ids of webhooks that found their run by correlation, lately, and that run's."""
        self._definitions: dict[str, Definition] = {}
        self._keeper: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Connects in the background, and again whenever the server has become another one."""
        self._keeper = asyncio.get_running_loop().create_task(self._keep_connected())

    async def stop(self) -> None:
        """Disconnects."""
        if self._keeper is not None:
            self._keeper.cancel()
            with suppress(asyncio.CancelledError):
                await self._keeper
        await self.client.close()

    def remember_hook(self, identity: str, run_id: str) -> None:
        """For a message that comes again."""
        if len(self.taken_hooks) >= HOOKS_REMEMBERED_MAX:
            del self.taken_hooks[next(iter(self.taken_hooks))]
        self.taken_hooks[identity] = run_id

    async def definition_of(self, digest: str) -> Definition:
        """A definition by its hash; it never changes, so it is kept."""
        found = self._definitions.get(digest)
        if found is None:
            found = await self.client.definition(hash=digest)
            if len(self._definitions) >= DEFINITIONS_CACHED_MAX:
                del self._definitions[next(iter(self._definitions))]
            self._definitions[digest] = found
        return found

    async def _keep_connected(self) -> None:
        while True:
            try:
                await self.client.open()
                await self.client.status()
            except (Disconnected, OSError) as error:  # OSError: no descriptors for a socket
                _log.warning("the server cannot be reached", reason=str(error))
                await asyncio.sleep(RETRY_S)
            except WfeError as error:
                # A refused token, or another version: only a fresh connection can be admitted again.
                _log.error("the server refuses this gateway", reason=str(error))
                await self.client.close()
                self.client = self._make_client()
                await asyncio.sleep(LOOK_S)
            else:
                await asyncio.sleep(LOOK_S)
