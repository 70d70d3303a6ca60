"""Whether the server's own gateway listens: a fact that people are told only once it is one. Pure."""

from __future__ import annotations

from wfe.coordinator.supervision import Supervisor


class GatewayWatch:
    """``http``: where the gateway is to listen, "" for none. A gateway says hello when its socket listens."""

    def __init__(self, supervisor: Supervisor, http: str) -> None:
        self._supervisor, self._http = supervisor, http
        self._heard = ""

    def on_hello(self, peer: str) -> None:
        """A gateway, ours or another one, says that it listens."""
        if any(peer == f"gateway-{child.pid}" for child in self._supervisor.running("gateway")):
            self._heard = peer

    @property
    def http(self) -> str:
        """Where HTTP is served; "" as long as nobody listens there."""
        listens = any(self._heard == f"gateway-{child.pid}" for child in self._supervisor.running("gateway"))
        return self._http if listens else ""

    @property
    def settled(self) -> bool:
        """It listens, or has failed to, or there is to be none."""
        return bool(self.http) or all(child.restarts for child in self._supervisor.of("gateway"))
