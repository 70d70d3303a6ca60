"""Every exception that wfe raises, as one tree. Each says whose fault it is and what to do.

::

    WfeError
    |-- GraphError               the author's: a workflow that cannot be drawn (file, line, the construct to use)
    |-- DefinitionError          the author's: a definition that cannot be read or validated (all findings at once)
    |-- ExpressionError          the author's or the data's: an expression that cannot be parsed or evaluated
    |-- AppError                 the author's: an app (file or module) that cannot be imported
    |-- ConfigError              the operator's: a configuration file, variable or flag
    |-- RequestError             the caller's: the server refused a request
    |   |-- InvalidInput         input that does not fit the schema (.path says where)
    |   |-- UnknownWorkflow      no such workflow or version is registered
    |   |-- UnknownRun           no such run is kept
    |   |-- UnknownTask          no such task in the app
    |   |-- VersionConflict      an explicit version already names another graph
    |   |-- DefinitionDeprecated no new runs of this version are wanted
    |   |-- DefinitionInUse      a version that runs or other definitions refer to
    |   |-- KeyConflict          the idempotency key already names a run with another input
    |   |-- RunClosed            the run has ended
    |   |-- PayloadTooLarge      a payload above the limit
    |   |-- Unauthorized         the token is missing or wrong
    |   `-- ProtocolError        a frame that this version does not speak
    |-- Busy                     the server's load: try again (.retry_after_s)
    |-- Unavailable              the server's: a partition is not being served at the moment
    |-- Disconnected             the network's: the server cannot be reached
    |-- RunFailed                the run's: it ended as failed (.error, .caused_by(...))
    |-- RunCancelled             somebody cancelled the run
    |-- CallFailed               the task's: a call that a durable function made has failed (.error, .caused_by(...))
    |-- Stuck                    the test's (wfe.testing): a run that only a signal can help
    |-- DataError                the disk's or the operator's: a data directory that cannot be used
    |   |-- DataInUse            another server holds the directory
    |   |-- DataFormat           written by a newer version
    |   |-- DataCorrupt          a record fails its checksum (names the record)
    |   |-- DataFull             no space left
    |   `-- TooFewDescriptors    the operator's: files of the data directory that the system does not let be opened
    |-- BackupError              the server's or the disk's: a backup that was given up (what it left is no backup)
    |-- RebalanceError           the server's: a partition that was not moved (it is served where it was)
    |-- Fenced                   another process owns the partitions now; this one must stop
    `-- TaskSignal               raised inside tasks, by the author or for him
        |-- Fatal                no retry
        |-- RetryAfter           retry after this long, whatever the policy says
        |-- TaskCancelled        the task was cancelled, timed out or given to another worker
        |-- Rejected             an approval was refused
        |-- InvalidOutput        the task author's: a result that does not fit the node's schema
        `-- TimedOut             a node, wait or run took longer than it may
"""

from __future__ import annotations

from datetime import timedelta
from typing import Protocol


class WfeError(Exception):
    """Root of every error that wfe raises on purpose. ``code`` is stable and travels over the wire."""

    code = "wfe"


class GraphError(WfeError):
    """A workflow that cannot be drawn. ``file`` and ``line`` (1-based) point at the author's source.

    ``more``: further mistakes that were found at the same time.
    """

    code = "graph"

    def __init__(
        self, message: str, *, file: str | None = None, line: int | None = None, more: tuple[GraphError, ...] = ()
    ) -> None:
        self.message, self.file, self.line, self.more = message, file, line, more
        where = f"{file}:{line}: " if file and line else ""
        super().__init__(where + message)


class DefinitionError(WfeError):
    """A definition with findings; ``findings`` lists all of them, each as one line with its place."""

    code = "definition"

    def __init__(self, findings: list[str]) -> None:
        self.findings = findings
        super().__init__("\n".join(findings))


class ExpressionError(WfeError):
    """An expression that cannot be parsed or evaluated. ``position`` is a 0-based offset into the text, or None."""

    code = "expression"

    def __init__(self, message: str, *, text: str = "", position: int | None = None) -> None:
        self.message, self.text, self.position = message, text, position
        super().__init__(f"{message} in {text!r}" if text else message)


class AppError(WfeError):
    """An app that cannot be imported, or that offers nothing. ``file`` and ``line`` (1-based) where they are known."""

    code = "app"

    def __init__(self, message: str, *, file: str | None = None, line: int | None = None) -> None:
        self.message, self.file, self.line = message, file, line
        where = f"{file}:{line}: " if file and line else ""
        super().__init__(where + message)


class ConfigError(WfeError):
    """A configuration value that cannot be used; the message names its source."""

    code = "config"


class RequestError(WfeError):
    """The server refused the request; sending it again unchanged gives the same answer."""

    code = "request"


class InvalidInput(RequestError):
    """Input that does not fit. ``path`` is the place in the input, e.g. ``$.items[3].price``."""

    code = "invalid_input"

    def __init__(self, message: str, path: str = "$") -> None:
        self.path = path
        super().__init__(message if path in message else f"{message} (at {path})")


class UnknownWorkflow(RequestError):
    """No such workflow, or no such version of it, is registered. Deploy it first."""

    code = "unknown_workflow"


class UnknownRun(RequestError):
    """No run with this id (or key) is kept."""

    code = "unknown_run"


class UnknownTask(RequestError):
    """No task with this name."""

    code = "unknown_task"


class VersionConflict(RequestError):
    """The explicit version already names another graph. Raise the version."""

    code = "version_conflict"


class DefinitionDeprecated(RequestError):
    """No new runs of this version are wanted; those that there are go on. Start another version, or undeprecate it."""

    code = "deprecated"


class DefinitionInUse(RequestError):
    """Runs or other definitions refer to this version, so that it cannot be deleted (the message names one)."""

    code = "definition_in_use"


class KeyConflict(RequestError):
    """(workflow, key) already names a run that was started with another input."""

    code = "key_conflict"


class RunClosed(RequestError):
    """The run has ended; it takes no more signals, cancels or pauses."""

    code = "run_closed"


class PayloadTooLarge(RequestError):
    """A payload above the limit. Pass a path or a URL instead."""

    code = "payload_too_large"


class Unauthorized(RequestError):
    """The token is missing or wrong. Set WFE_TOKEN, or use the account that started the server."""

    code = "unauthorized"


class ProtocolError(RequestError):
    """A frame that this version does not speak: malformed, oversized, or of another protocol version."""

    code = "protocol"


class Busy(WfeError):
    """The server is overloaded. Try again after ``retry_after_s`` seconds."""

    code = "busy"

    def __init__(self, message: str = "the server is busy", retry_after_s: float = 0.1) -> None:
        self.retry_after_s = retry_after_s
        super().__init__(message)


class Unavailable(WfeError):
    """A partition is not being served at the moment: its shard restarts, or is down."""

    code = "unavailable"


class Disconnected(WfeError):
    """The server cannot be reached."""

    code = "disconnected"


class RunCancelled(WfeError):
    """The run was cancelled."""

    code = "run_cancelled"

    def __init__(self, message: str = "the run was cancelled", run_id: str = "") -> None:
        self.run_id = run_id
        super().__init__(message)


class DataError(WfeError):
    """A data directory that cannot be used: not writable, missing, or of another shape."""

    code = "data"


class DataInUse(DataError):
    """Another server holds the data directory. Stop it, or choose another --data."""

    code = "data_in_use"


class DataFormat(DataError):
    """The data directory was written by a newer version of wfe. Upgrade."""

    code = "data_format"


class DataCorrupt(DataError):
    """A record fails its checksum. ``record`` names it; ``wfe verify`` lists all of them."""

    code = "data_corrupt"

    def __init__(self, message: str, record: str = "") -> None:
        self.record = record
        super().__init__(f"{message} ({record})" if record else message)


class DataFull(DataError):
    """No space is left for the log or a store."""

    code = "data_full"


class TooFewDescriptors(DataError):
    """The process may not open as many files as it needs. Raise its limit (``ulimit -n``, LimitNOFILE=)."""

    code = "descriptors"


class BackupError(WfeError):
    """A backup that was not begun or was given up; what is in its directory is no backup. Runs are not affected."""

    code = "backup"


class RebalanceError(WfeError):
    """Partitions that cannot be moved now, or were not; they are served where they were. Runs are not affected."""

    code = "rebalance"


class Fenced(WfeError):
    """Another process owns these partitions now; this one must stop at once."""

    code = "fenced"


class TaskSignal(WfeError):
    """Errors with a meaning of their own inside a task."""

    code = "task"


class Stuck(WfeError):
    """In `wfe.testing`: no passing of time ends the run; the message says what it waits for."""

    code = "stuck"


class Fatal(TaskSignal):
    """Fails the task for good: no retry, whatever the policy says."""

    code = "fatal"


class RetryAfter(TaskSignal):
    """Retries the task after a duration (``"30s"`` or a timedelta), if the policy still has attempts."""

    code = "retry_after"

    def __init__(self, delay: str | timedelta, message: str = "") -> None:
        if not isinstance(delay, str | timedelta):  # a TypeError in place of a delay that nobody asked for
            raise TypeError(f'RetryAfter takes a duration such as "30s" or a timedelta, not {delay!r}')
        self.delay = delay
        super().__init__(message or f"retry after {delay}")


class TaskCancelled(TaskSignal):
    """The task was cancelled, timed out, or its lease moved to another worker. Clean up and return."""

    code = "task_cancelled"


class Rejected(TaskSignal):
    """An approval was refused."""

    code = "rejected"


class InvalidOutput(TaskSignal):
    """The result of a task or a sub-workflow does not fit its schema; the message names the place in it.

    It is not retried unless the policy names it: a function that gives the wrong thing will do so again.
    """

    code = "invalid_output"


class TimedOut(TaskSignal):
    """A task, wait, node or run took longer than its timeout."""

    code = "timed_out"


class Failure(Protocol):
    """What `RunFailed.error` and `CallFailed.error` have, to a checker; the thing itself is a `model` ErrorInfo."""

    @property
    def type(self) -> str: ...
    @property
    def message(self) -> str: ...
    @property
    def node(self) -> str: ...
    @property
    def attempts(self) -> int: ...
    @property
    def traceback(self) -> str: ...
    @property
    def types(self) -> tuple[str, ...]: ...


class _Untold:
    """The failure of an error that was made without one."""

    type = message = node = traceback = ""
    attempts, types = 0, ()


class _Caused:
    error: Failure = _Untold()

    def caused_by(self, kind: type[BaseException] | str) -> bool:
        """Whether the error is of this type, or of a subclass of it, by name."""
        name = kind if isinstance(kind, str) else kind.__name__
        return name == self.error.type or name in self.error.types


class RunFailed(WfeError, _Caused):
    """The run ended as failed. ``error`` is its ErrorInfo (type, message, node, attempts, traceback)."""

    code = "run_failed"

    def __init__(self, message: str, run_id: str = "", error: Failure | None = None) -> None:
        self.run_id = run_id
        self.error = error or _Untold()
        super().__init__(message)


class CallFailed(WfeError, _Caused):
    """A call of a durable function failed. ``error`` is its ErrorInfo (type, message, node, attempts, traceback).

    What the function sees is this and the error's own class as well, where that can be found: ``except CardDeclined``.
    """

    code = "call_failed"


def _walk(root: type[WfeError]) -> list[type[WfeError]]:
    return [root, *(c for sub in root.__subclasses__() for c in _walk(sub))]


BY_CODE: dict[str, type[WfeError]] = {cls.code: cls for cls in _walk(WfeError)}
