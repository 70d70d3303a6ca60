"""Messages by which people change the course of a run: retry, fork, skip; and looking at its past. See `messages`."""

from __future__ import annotations

from msgspec import Raw, Struct

NULL = Raw(b"\xc0")


class RetryRun(Struct, array_like=True):
    """A failed run goes on from what failed. ``command_id`` deduplicates."""

    run_id: str
    command_id: str


class SkipNode(Struct, array_like=True):
    """An open node ends with this value. ``activation`` -1: the only open one. A failed run is retried first."""

    run_id: str
    node: str
    value: Raw
    command_id: str
    activation: int = -1


class Change(Struct, array_like=True):
    """A value of a fork before it begins: ``input.amount``, or ``charge.id`` (the value of a node)."""

    path: str
    value: Raw


class ForkRun(Struct, array_like=True):
    """A new run from a point of ``run_id``: right before ``node`` first opened, or after ``event`` (from 1).

    ``new_run_id`` is minted by the client, in the partition of ``run_id``: a repetition names the same run.
    """

    run_id: str
    new_run_id: str
    node: str = ""
    event: int = 0
    changes: list[Change] = []
    tags: dict[str, str] = {}


class StateQuery(Struct, array_like=True):
    """A run as of one of its events (from 1; 0: now). ``recorded``: what a durable function would be re-run with, in
    place of what is open and has values."""

    run_id: str
    event: int = 0
    recorded: bool = False


class NodeState(Struct, array_like=True):
    """An open activation of a node, or a node whose value is kept. ``state``: open, waiting, retrying, done ..."""

    node: str
    activation: int
    state: str
    detail: str = ""
    attempt: int = 0
    due_ms: int = 0
    value: Raw = NULL


class RunPast(Struct, array_like=True):
    """The whole state of a run as of an event."""

    run_id: str
    event: int
    time_ms: int
    status: str
    round: int
    input: Raw
    nodes: list[NodeState] = []
    signals: dict[str, int] = {}
    """Buffered signals by name: how many."""
    output: Raw = NULL
    incident: str = ""
    record: bytes = b""
    """An encoded `DurableRecord`; empty: nobody asked, or it is a graph."""
    had: int = 0
    """Ends of calls that the function has had."""
