"""Who is known at the front door: identities that presented the token.

Pure data. Invariants: nobody is known without a verified hello; the principal is set here, by whoever verified the
token; the number of identities is bounded, and one that is forgotten merely has to say hello again.
"""

from __future__ import annotations

import hmac

from wfe.limits import COMMANDS_KNOWN_MAX, PEER_CHANGES_MAX, PEER_IDLE_MS, PEER_PROBE_MS, PEERS_MAX
from wfe.wire.frames import Kind
from wfe.wire.messages import Hello

PRINCIPAL = "token"
"""The principal of everybody who holds the server's token."""


class Peer:
    """An identity that said hello. ``worker``: its worker id, "" for a client.

    ``changes``: how its last commands on definitions were answered, by the number of the request. Such a command says
    what is to be so, and not after what: one that is sent again may arrive when somebody else has wished otherwise.
    """

    __slots__ = ("changes", "principal", "seen_ms", "worker")

    def __init__(self, principal: str, worker: str, seen_ms: int) -> None:
        self.principal, self.worker, self.seen_ms = principal, worker, seen_ms
        self.changes: dict[int, list[bytes]] = {}

    def changed(self, request: int, answer: list[bytes]) -> None:
        """A command on definitions was answered for good."""
        if not request:
            return  # it has no number, so nobody can send it again
        self.changes[request] = answer
        if len(self.changes) > PEER_CHANGES_MAX:
            del self.changes[next(iter(self.changes))]


class Commands:
    """How the last commands on definitions were answered, by the ids that their senders gave them: a sender whose
    connection broke comes back under another identity, and asks again."""

    def __init__(self) -> None:
        self._answers: dict[str, tuple[Kind, bytes]] = {}

    def answered(self, command_id: str, kind: Kind, body: bytes) -> None:
        """For good. Whoever gave no id cannot ask again."""
        if command_id:
            self._answers[command_id] = kind, body
            if len(self._answers) > COMMANDS_KNOWN_MAX:
                del self._answers[next(iter(self._answers))]

    def answer(self, command_id: str) -> tuple[Kind, bytes] | None:
        """What was said then; None: it is new."""
        return self._answers.get(command_id)


class Peers:
    """The known identities."""

    def __init__(self, token: str) -> None:
        self._token = token.encode()
        self._known: dict[bytes, Peer] = {}
        self._workers: dict[str, bytes] = {}

    def get(self, identity: bytes) -> Peer | None:
        return self._known.get(identity)

    def admit(self, identity: bytes, hello: Hello, now_ms: int) -> bool:
        """Takes a hello; False when the token is wrong (then nothing changes)."""
        if not hmac.compare_digest(hello.token.encode(), self._token):
            return False
        worker = (hello.peer or identity.hex()) if hello.role == "worker" else ""
        if worker and (other := self._workers.get(worker)) not in (None, identity):
            self._known.pop(other, None)
        before = self._known.pop(identity, None)
        peer = self._known[identity] = Peer(PRINCIPAL, worker, now_ms)
        if before is not None:
            peer.changes = before.changes
        if worker:
            self._workers[worker] = identity
        if len(self._known) > PEERS_MAX:
            self.forget(next((i for i, peer in self._known.items() if not peer.worker), identity))
        return True

    def forget(self, identity: bytes) -> str:
        """Forgets an identity; its worker id, or ""."""
        peer = self._known.pop(identity, None)
        if peer is None or not peer.worker:
            return ""
        self._workers.pop(peer.worker, None)
        return peer.worker

    def forget_worker(self, worker: str) -> None:
        """The worker's process is known to have ended."""
        if (identity := self._workers.pop(worker, None)) is not None:
            self._known.pop(identity, None)

    def workers(self) -> dict[str, bytes]:
        """Worker ids and their identities."""
        return self._workers

    def listeners(self, now_ms: int) -> list[bytes]:
        """Who hears unasked that a shard came or went: all workers, and clients that were active just now."""
        since_ms = now_ms - PEER_PROBE_MS
        return [i for i, peer in self._known.items() if peer.worker or peer.seen_ms >= since_ms]

    def expire(self, now_ms: int) -> None:
        """Forgets clients that were silent for long."""
        since_ms = now_ms - PEER_IDLE_MS
        for identity in [i for i, peer in self._known.items() if not peer.worker and peer.seen_ms < since_ms]:
            del self._known[identity]

    def __len__(self) -> int:
        return len(self._known)
