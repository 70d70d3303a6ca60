"""What tasks print and log, on its way from a worker to the shard of its run, and from there to who reads it.

Invariants: lines are no transitions: a frame of them may be lost, and one that comes twice is recognised by its number,
as long as the shard's process lives; workers send what is not acknowledged again to the next one.
A shard passes lines on without decoding them; `dropped` says how many are missing in front of a batch.
"""

from __future__ import annotations

from msgspec import Raw, Struct

EMPTY = Raw(b"\x90")
"""No lines."""


class LogLine(Struct, array_like=True, gc=False):
    """One line, masked. ``time_ms``: the worker's clock, since 1970. ``level``: debug info warning error critical.

    ``logger``: who says it, ``wfe.print`` for what was printed.
    """

    time_ms: int
    level: str
    text: str
    logger: str = ""
    trace: str = ""


class LogBatch(Struct, array_like=True, gc=False):
    """Lines of one attempt, in their order: ``lines`` is an encoded list of `LogLine`, ``count`` of them.

    ``node`` is the id of the node, ``dropped`` counts lines in front of these that found no room.
    """

    run_id: str
    node: str
    activation: int
    attempt: int
    count: int
    lines: Raw = EMPTY
    dropped: int = 0


class LogFrame(Struct, array_like=True):
    """``seq`` counts a worker's frames, to all shards together."""

    seq: int
    batches: list[LogBatch]


class StoredBatch(Struct, array_like=True, gc=False):
    """A batch as it is kept, without its run. ``number``: its place in the log; later ones have higher ones."""

    number: int
    node: str
    activation: int
    attempt: int
    count: int
    lines: Raw = EMPTY
    dropped: int = 0


class LogQuery(Struct, array_like=True):
    """Lines of a run behind the place ``after``. ``node`` "" and ``attempt`` 0: all; ``tail``: the last ones (-1: all).

    ``wait``: the answer comes when there are such lines, or when the run has ended.
    """

    run_id: str
    after: int = 0
    node: str = ""
    attempt: int = 0
    tail: int = -1
    wait: bool = False


class LogEntry(Struct, array_like=True):
    """Lines of one attempt, to be read. ``dropped`` counts lines in front of these that are gone."""

    number: int
    node: str
    activation: int
    attempt: int
    lines: list[LogLine]
    dropped: int = 0


class LogPage(Struct, array_like=True):
    """``cursor``: ask again with it as ``after``. ``ended``: the run has, so that nothing more will come.

    ``dropped`` counts the run's lines that made room for newer ones, as far as that is known.
    """

    entries: list[LogEntry]
    cursor: int
    ended: bool
    dropped: int = 0
