"""The worker's sockets as its logic sees them: `process` has real ones, the simulator and the test kit their own."""

from __future__ import annotations

from typing import Protocol

from wfe.wire.messages import ShardEndpoint


class Network(Protocol):
    """The worker's sockets. The link to the coordinator is open from the start."""

    def open(self, link: int, endpoint: ShardEndpoint) -> None:
        """Connects to a shard, with a fresh identity; an earlier connection of this link is closed."""
        ...

    def close(self, link: int) -> None:
        """The shard is no more: no connection to it is wanted, if there is one."""
        ...

    def send(self, link: int, parts: list[bytes]) -> bool:
        """Never blocks. False: the frame was dropped."""
        ...
