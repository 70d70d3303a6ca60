"""What a decorated function carries: the meeting point of `authoring` (which draws it) and `worker` (which runs it).

`@wfe.task` returns a callable with an attribute ``__wfe_task__`` of type `RegisteredTask`; `@wfe.workflow` one with
``__wfe_workflow__`` of type `RegisteredWorkflow`; `@wfe.resource` one with ``__wfe_resource__``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal

from wfe.model.calling import Caller
from wfe.model.needs import Amount
from wfe.model.net import Trigger
from wfe.model.policy import RetryPolicy

RunIn = Literal["thread", "process"]
SECRET_KEY = "$wfe.secret"
"""A secret in a payload is ``{SECRET_KEY: name}``: it stays a name in history, and the worker puts the value in."""


@dataclass(frozen=True, slots=True)
class RegisteredTask:
    """A task function and its defaults; ``function`` is the plain function. Durations in ms."""

    name: str
    version: int
    function: Callable[..., Any]
    is_async: bool
    module: str
    qualname: str
    file: str
    line: int
    retry: RetryPolicy | None = None
    timeout_ms: int | None = None
    heartbeat_ms: int | None = None
    run_in: RunIn = "thread"
    redeliver: bool = True
    limits: tuple[str, ...] = ()
    workflow: RegisteredWorkflow | None = None
    """The durable function that a worker offers as this task."""
    labels: tuple[str, ...] = ()
    resources: dict[str, Amount] = field(default_factory=dict, hash=False)
    """What a worker must have to be given it: `model.needs`."""


@dataclass(frozen=True, slots=True)
class RegisteredWorkflow:
    """A workflow function and its options; ``kind``: "graph" (drawn) or "durable" (run by a worker).

    ``face`` makes a durable function's first parameter of its `calling.Caller`.
    """

    name: str
    version: int | None
    function: Callable[..., Any]
    kind: Literal["graph", "durable"]
    file: str
    line: int
    timeout_ms: int | None = None
    tags: dict[str, Any] = field(default_factory=dict)
    limits: tuple[str, ...] = ()
    face: Callable[[Caller], Any] | None = None
    triggers: tuple[Trigger, ...] = ()
