"""Messages about runs between clients and shards; `wire.messages` is the index of all messages and says the rules."""

from __future__ import annotations

from msgspec import Raw, Struct

from wfe.model.policy import ErrorInfo

NULL = Raw(b"\xc0")
"""The encoded null."""


class ErrorReply(Struct, array_like=True):
    """A typed error: ``code`` is `WfeError.code`; ``path`` for InvalidInput, ``retry_after_ms`` for Busy."""

    code: str
    message: str
    path: str = ""
    retry_after_ms: int = 0


class StartRun(Struct, array_like=True):
    """Starts a run; idempotent by ``run_id`` and by (namespace, workflow, key). The frame's header names the workflow.

    ``watch``: send a `RunOutcome` to this client when the run has ended. ``resent``: may have arrived before.
    ``named``: the input is an object of arguments by name, whatever the number of parameters. ``trace``: the caller's
    context (`model.trace`).
    """

    run_id: str
    input: Raw
    key: str = ""
    priority: int = 0
    tags: dict[str, str] = {}
    watch: bool = False
    resent: bool = False
    namespace: str = "default"
    named: bool = False
    trace: str = ""


class StartOutcome(Struct, array_like=True):
    """``run_id`` may be another one than asked for, when the key names an earlier run. ``error`` None: accepted."""

    run_id: str
    created: bool = True
    error: ErrorReply | None = None


class RunOutcome(Struct, array_like=True):
    """The end of a run. ``status``: completed, failed or cancelled."""

    run_id: str
    status: str
    output: Raw = NULL
    error: ErrorInfo | None = None


class GetRun(Struct, array_like=True):
    run_id: str


class FindRun(Struct, array_like=True):
    workflow: str
    key: str
    namespace: str = "default"


WAITING_MAX = 100
"""Waits that are told of a run: a map may have thousands."""


class Waiting(Struct, array_like=True):
    """What a run waits for. ``kind``: task, worker, retry, timer, signal, items (of a map that grows), approval, lock,
    join, run, loop (that rests), compensation, paused, incident."""

    kind: str
    node: str = ""
    detail: str = ""
    since_ms: int = 0
    due_ms: int = 0
    attempt: int = 0


class RunView(Struct, array_like=True):
    """A run as people see it. ``status``: pending running waiting paused completed failed cancelled."""

    id: str
    workflow: str
    version: int
    status: str
    key: str = ""
    input: Raw = NULL
    output: Raw = NULL
    error: ErrorInfo | None = None
    waiting_for: list[Waiting] = []
    started_at: int = 0
    ended_at: int = 0
    tags: dict[str, str] = {}
    priority: int = 0
    parent: str = ""
    events: int = 0
    definition: str = ""
    namespace: str = "default"
    trace: str = ""


class ListRuns(Struct, array_like=True):
    """Runs of the header's partition. Newest first unless ``after`` (a run id) pages on. Empty filter: any."""

    status: str = ""
    workflow: str = ""
    key: str = ""
    tags: dict[str, str] = {}
    limit: int = 100
    after: str = ""


class RunPage(Struct, array_like=True):
    """``more``: there are further runs after the last one. Views in a list carry no payloads."""

    runs: list[RunView]
    more: bool = False


class HistoryQuery(Struct, array_like=True):
    """Events from sequence number ``after`` (exclusive) on; ``wait``: answer only when there are any, or the run
    ended."""

    run_id: str
    after: int = 0
    limit: int = 1000
    wait: bool = False


class HistoryEvent(Struct, array_like=True):
    """One event as people read it. ``type`` is the event's name, ``data`` its other fields by name."""

    seq: int
    time_ms: int
    type: str
    node: str = ""
    activation: int = 0
    attempt: int = 0
    data: Raw = NULL


class HistoryPage(Struct, array_like=True):
    """``more``: the frame was full before the limit was reached; ask again from the last event on."""

    events: list[HistoryEvent]
    ended: bool = False
    more: bool = False


class SignalRun(Struct, array_like=True):
    """A signal to a run. ``event_id`` deduplicates. With a ``correlation`` only waits for that one take it."""

    run_id: str
    name: str
    payload: Raw
    event_id: str
    correlation: str = ""


class ControlRun(Struct, array_like=True):
    """``action``: cancel, pause or resume. ``command_id`` deduplicates."""

    run_id: str
    action: str
    command_id: str
    compensate: bool = True
