"""What people of the simulated world do to runs that went wrong, or on a whim: retry, skip, fork.

Part of a client. It looks at the auditor's books to find runs where that makes sense, and sometimes where it does not;
what comes of it is told to the auditor.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import Raw, msgpack

from wfe.errors import InvalidInput, RunClosed, WfeError
from wfe.model.definition import Approval, SubWorkflow
from wfe.model.ids import mint_run_id, partition_of
from wfe.sim.node import Violation
from wfe.sim.rounds import can_go_on, retry_is_refused
from wfe.wire.frames import Kind
from wfe.wire.messages import StartOutcome
from wfe.wire.rounds import ForkRun, RetryRun, SkipNode

if TYPE_CHECKING:
    from wfe.sim.clients import ClientNode
    from wfe.sim.ledger import RunBook

LOOKED_AT = 8
"""Runs that are looked at to find one for which an action makes sense."""
RANDOM_BITS = 70
_encode = msgpack.Encoder().encode
_decode_outcome = msgpack.Decoder(StartOutcome).decode


class Interventions:
    """``share``: of a client's acts, how many are of these kinds."""

    def __init__(self, client: ClientNode, share: float) -> None:
        self._client = client
        self._share = share
        self._random = client.world.chance(f"{client.name} intervenes")

    def act(self) -> None:
        """Now and then one of them."""
        if not self._client.world.expiry.began_ms and self._random.random() < self._share:
            self._random.choice((self._retry, self._retry, self._skip, self._fork))()

    def _some(self, wanted: str) -> RunBook | None:
        """A run with this status, if chance finds one; else any."""
        auditor, client = self._client.world.auditor, self._client
        books = [
            auditor.runs[run_id]
            for run_id in (self._random.choice(client.runs[-200:]) for _ in range(LOOKED_AT) if client.runs)
        ]
        books = [book for book in books if can_go_on(book)]
        return next((book for book in books if not wanted or book.status == wanted), books[0] if books else None)

    def _command(self) -> str:
        return f"{self._client.name}-{self._random.getrandbits(64):x}"

    def _retry(self) -> None:
        book = self._some("failed")
        if book is None:
            return
        command, seq = self._command(), book.seq

        def then(reply: bytes | None, error: WfeError | None) -> None:
            auditor = self._client.world.auditor
            if error is None:
                auditor.answers.control_answered(book.id, "retry", command)
                auditor.count("retries")
            elif not isinstance(error, RunClosed):
                raise Violation(f"retry of {book.id} is answered with {error!r}")
            elif book.seq == seq and book.status == "failed" and not retry_is_refused(book):
                raise book.fail(f"has failed, but may not be retried: {error!r}")

        self._client._request(Kind.RETRY, RetryRun(book.id, command), then, partition_of(book.id))

    def _skip(self) -> None:
        book = self._some("running")
        if book is None:
            return
        places = list({**book.open, **book.retrying, **book.sleeping, **book.awaited})
        calls = [i for i, node in enumerate(book.shape.nodes) if isinstance(node, SubWorkflow)]
        places += [(node, 0) for node in calls]
        if not places:
            return
        index, act = self._random.choice(places)
        if index >= len(book.shape.nodes) or (index, act) == book.handler:
            return
        node, command = book.shape.nodes[index], self._command()
        number = self._random.randint(0, 9)
        value: Any = {"approved": number > 2, "by": "nobody", "data": number} if isinstance(node, Approval) else number

        def then(reply: bytes | None, error: WfeError | None) -> None:
            auditor = self._client.world.auditor
            if error is None:
                auditor.answers.control_answered(book.id, "skip", command)
                auditor.count("skips")
            elif not isinstance(error, (RunClosed, InvalidInput)):
                raise Violation(f"skip of {node.id} of {book.id} is answered with {error!r}")

        asked = SkipNode(book.id, node.id, Raw(_encode(value)), command, act)
        self._client._request(Kind.SKIP, asked, then, partition_of(book.id))

    def _fork(self) -> None:
        book = self._some("")
        if book is None or self._client._enough():
            return
        client, partition = self._client, partition_of(book.id)
        new_id = mint_run_id(partition, client.world.schedule.now_us // 1_000, self._random.getrandbits(RANDOM_BITS))
        event = self._random.randint(1, book.seq)

        def then(reply: bytes | None, error: WfeError | None) -> None:
            auditor = client.world.auditor
            if error is None:
                assert reply is not None
                outcome = _decode_outcome(reply)
                auditor.answers.fork_answered(book, new_id, event, outcome)
                client.runs.append(new_id)
                client.follow(new_id)
            elif not isinstance(error, (RunClosed, InvalidInput)):
                raise Violation(f"fork of {book.id} from event {event} is answered with {error!r}")
            elif new_id in auditor.runs:
                raise Violation(f"fork {new_id} of {book.id} was refused ({error!r}), and runs")

        client._request(Kind.FORK, ForkRun(book.id, new_id, event=event), then, partition)
