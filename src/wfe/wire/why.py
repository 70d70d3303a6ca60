"""Messages about why a run does not go on: what each of its waits waits for. See `messages`."""

from __future__ import annotations

from msgspec import Struct

from wfe.wire.runs import RunView


class Cause(Struct, array_like=True):
    """One of the run's waits (the first six fields are those of `runs.Waiting`) and what is behind it.

    ``reason``, of waits for a worker: ``no_workers`` (none is connected), ``nobody`` (none offers the task),
    ``version`` (only other versions of it, ``offers``), ``slots`` (all are taken, ``by`` these places), ``alone`` (it
    was lost with its worker before and waits for one of its own), ``soon``; of tasks that ask for something:
    ``labels``, ``resources`` (no worker has what is ``missing``), ``taken`` (others use it, ``by`` these places). Of
    locks: ``held`` (``by`` these places, as ``run/node/activation``), or ``elsewhere``: ask the partition that owns
    ``lock``. Of an incident: ``changed`` (a durable function's code no longer does what is recorded), or nothing: a
    defect of wfe.
    """

    kind: str
    node: str = ""
    detail: str = ""
    since_ms: int = 0
    due_ms: int = 0
    attempt: int = 0
    reason: str = ""
    by: list[str] = []
    offers: list[int] = []
    task_version: int = 0
    workers: int = 0
    slots: int = 0
    lock: str = ""
    missing: list[str] = []
    """Labels, or amounts of resources, that no worker has, or that are taken."""
    labels: list[str] = []
    resources: list[str] = []
    """Everything that the task asks for, whatever of it is missing."""


class RunWhy(Struct, array_like=True):
    """A run, and what holds it up."""

    view: RunView
    causes: list[Cause] = []


class LockQuery(Struct, array_like=True):
    """Who has a lock of the header's partition."""

    lock: str


class LockQueue(Struct, array_like=True):
    """``places``: the holder first, then the first of those that wait; ``waiting``: how many do."""

    places: list[str] = []
    waiting: int = 0
