"""What the coordinator's logic does to the world: `process` fills this seam for real, the simulator with fakes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from wfe.coordinator.child_options import ChildOptions


class Effects(Protocol):
    """Sends never block: False means that the peer is unknown, gone or has a full queue. Ends of children come back."""

    def send_front(self, peer: bytes, parts: list[bytes]) -> bool: ...

    def send_back(self, peer: bytes, parts: list[bytes]) -> bool: ...

    def spawn(self, name: str, options: ChildOptions) -> int:
        """Starts a child and returns its process id; OSError when the system refuses."""
        ...

    def terminate(self, name: str) -> None:
        """Asks a child to finish what it does and leave."""
        ...

    def kill(self, name: str) -> None:
        """Ends a child and what it started, at once."""
        ...


@dataclass(frozen=True, slots=True)
class Site:
    """Where this server is. ``runtime``: the directory of its socket files, "" where there are none.

    ``address`` is what people connect to; local workers use ``worker_address``, shards ``back_address``.
    """

    server: str
    token: str
    address: str
    worker_address: str
    back_address: str
    runtime: str = ""
    started_at_ms: int = 0
    http: str = ""
    """Where a browser finds the gateway, if there is one."""

    def shard_ipc(self, index: int, epoch: int) -> str:
        """A fresh name per start: nobody reaches a new shard through an old shard's connection."""
        return f"ipc://{self.runtime}/shard-{index}-{epoch}" if self.runtime else ""
