"""wfe: a durable workflow engine for Python.

The public face. Every name is imported at its first use, so that ``import wfe`` costs nothing and a worker never loads
what only a client needs.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from wfe.authoring.durable import Durable as Durable
    from wfe.authoring.graph import Graph as Graph
    from wfe.authoring.refs import Ref as Ref
    from wfe.authoring.results import Approval as Approval
    from wfe.authoring.results import ErrorInfo as ErrorInfo
    from wfe.authoring.results import HttpResponse as HttpResponse
    from wfe.authoring.results import MapResult as MapResult
    from wfe.authoring.retry import Retry as Retry
    from wfe.authoring.secrets import secret as secret
    from wfe.authoring.tasks import task as task
    from wfe.authoring.triggers import Webhook as Webhook
    from wfe.authoring.workflows import workflow as workflow
    from wfe.bootstrap import aconnect as aconnect
    from wfe.bootstrap import connect as connect
    from wfe.bootstrap import run as run
    from wfe.client import args as args
    from wfe.errors import AppError as AppError
    from wfe.errors import Busy as Busy
    from wfe.errors import CallFailed as CallFailed
    from wfe.errors import ConfigError as ConfigError
    from wfe.errors import DataError as DataError
    from wfe.errors import DefinitionError as DefinitionError
    from wfe.errors import Disconnected as Disconnected
    from wfe.errors import ExpressionError as ExpressionError
    from wfe.errors import Fatal as Fatal
    from wfe.errors import GraphError as GraphError
    from wfe.errors import InvalidInput as InvalidInput
    from wfe.errors import InvalidOutput as InvalidOutput
    from wfe.errors import KeyConflict as KeyConflict
    from wfe.errors import PayloadTooLarge as PayloadTooLarge
    from wfe.errors import Rejected as Rejected
    from wfe.errors import RequestError as RequestError
    from wfe.errors import RetryAfter as RetryAfter
    from wfe.errors import RunCancelled as RunCancelled
    from wfe.errors import RunClosed as RunClosed
    from wfe.errors import RunFailed as RunFailed
    from wfe.errors import Stuck as Stuck
    from wfe.errors import TaskCancelled as TaskCancelled
    from wfe.errors import TimedOut as TimedOut
    from wfe.errors import Unauthorized as Unauthorized
    from wfe.errors import Unavailable as Unavailable
    from wfe.errors import UnknownRun as UnknownRun
    from wfe.errors import UnknownTask as UnknownTask
    from wfe.errors import UnknownWorkflow as UnknownWorkflow
    from wfe.errors import VersionConflict as VersionConflict
    from wfe.errors import WfeError as WfeError
    from wfe.worker.context import context as context
    from wfe.worker.resources import resource as resource

_HOMES: dict[str, tuple[str, ...]] = {
    "wfe.authoring.durable": ("Durable",),
    "wfe.authoring.graph": ("Graph",),
    "wfe.authoring.refs": ("Ref",),
    "wfe.authoring.results": ("Approval", "ErrorInfo", "HttpResponse", "MapResult"),
    "wfe.authoring.retry": ("Retry",),
    "wfe.authoring.triggers": ("Webhook",),
    "wfe.authoring.secrets": ("secret",),
    "wfe.authoring.tasks": ("task",),
    "wfe.authoring.workflows": ("workflow",),
    "wfe.bootstrap": ("aconnect", "connect", "run"),
    "wfe.client": ("args",),
    "wfe.errors": (
        "AppError",
        "Busy",
        "CallFailed",
        "ConfigError",
        "DataError",
        "DefinitionError",
        "Disconnected",
        "ExpressionError",
        "Fatal",
        "GraphError",
        "InvalidInput",
        "InvalidOutput",
        "KeyConflict",
        "PayloadTooLarge",
        "Rejected",
        "RequestError",
        "RetryAfter",
        "RunCancelled",
        "RunClosed",
        "RunFailed",
        "Stuck",
        "TaskCancelled",
        "TimedOut",
        "Unauthorized",
        "Unavailable",
        "UnknownRun",
        "UnknownTask",
        "UnknownWorkflow",
        "VersionConflict",
        "WfeError",
    ),
    "wfe.worker.context": ("context",),
    "wfe.worker.resources": ("resource",),
}
_HOME_OF = {name: home for home, names in _HOMES.items() for name in names}

__all__ = [  # noqa: PLE0604 (every name has its home in the table above)
    "__version__",
    *_HOME_OF,
]


if not TYPE_CHECKING:  # a checker shall know exactly the names above

    def __getattr__(name: str) -> Any:
        home = _HOME_OF.get(name)
        if home is None:
            raise AttributeError(f"module 'wfe' has no attribute {name!r}")
        value = getattr(import_module(home), name)
        globals()[name] = value
        return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME_OF})
