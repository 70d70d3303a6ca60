"""The kinds of node that hold no others. `definition` has those that do, and what is common to all (read it first)."""

from __future__ import annotations

from typing import Any, Literal, TypeAlias

from msgspec import UNSET, Struct, UnsetType

from wfe.model.needs import Amount
from wfe.model.net import Boundary, Escalation, Join
from wfe.model.policy import RetryPolicy

Template: TypeAlias = Any
"""A JSON value whose strings may hold ``${expression}``."""
Schema: TypeAlias = dict[str, Any]
"""A JSON Schema (2020-12); ``{"$ref": "#/types/Order"}`` names an entry of the definition's ``types``."""


class NodeBase(Struct, frozen=True, omit_defaults=True, kw_only=True, forbid_unknown_fields=True):
    """What every node has. ``if_`` false: the node is bypassed, its value is null and its successors run.

    The rest makes its block a net. ``join`` None: it starts when everything before it has ended. ``cancels``: what is
    withdrawn when it ends: ids of nodes of its net, names of regions, or ``run``. ``split``: which of the edges that
    leave are taken. ``enabled_while``: a predicate over the net's marking, ``active(id)`` and ``done(id)``, that must
    hold for the node to begin; when it does not, the token waits for it or passes by (``on_missed``).
    """

    id: str
    after: tuple[str, ...] | None = None
    if_: str | None = None
    join: Join | None = None
    split: Literal["and", "xor", "or", "deferred"] = "and"
    cancels: tuple[str, ...] = ()
    enabled_while: str | None = None
    on_missed: Literal["wait", "skip"] = "wait"
    boundary: tuple[Boundary, ...] = ()


class Task(NodeBase, frozen=True, kw_only=True, tag="task"):
    """Calls a registered task. None means: what the task's own registration says.

    ``params``: schemas of arguments by name, which are checked when the node begins. ``labels`` and ``resources``: what
    a worker must have to be given it (`model.needs`).
    """

    task: str
    task_version: int = 1
    with_: dict[str, Template] = {}
    retry: RetryPolicy | None = None
    timeout_ms: int | None = None
    heartbeat_ms: int | None = None
    redeliver: bool = True
    priority: int = 0
    returns: Schema | None = None
    params: dict[str, Schema] = {}
    labels: tuple[str, ...] = ()
    resources: dict[str, Amount] = {}


class Set(NodeBase, frozen=True, kw_only=True, tag="set"):
    """A transformation: its value is a template, computed without a worker."""

    value: Template


class Decision(NodeBase, frozen=True, kw_only=True, tag="decision"):
    """Its value is the name of the first case whose condition holds (None: always). None holds: a fault ``NoCase``.

    In a net, edges may leave by a case's name as their port.
    """

    cases: dict[str, str | None]


class Reduce(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """``value`` is computed per item, with the item and the result so far (``total``) in sight."""

    value: str
    initial: Template = None
    total: str = "total"


class Transform(NodeBase, frozen=True, kw_only=True, tag="transform"):
    """Computes with a list without a worker, in this order: ``filter`` (a condition per item), ``enrich`` (templates of
    fields that each item, an object, gains), ``map`` (an expression per item), ``reduce``."""

    items: str
    as_: str = "item"
    filter: str | None = None
    enrich: dict[str, Template] = {}
    map: str | None = None
    reduce: Reduce | None = None


class State(NodeBase, frozen=True, kw_only=True, tag="state"):
    """A value that `Assign` changes while the run goes on; naming it gives the present value."""

    value: Template


class Assign(NodeBase, frozen=True, kw_only=True, tag="assign"):
    """Changes a `State` of this block or one around it: its fields by ``fields``, or all of it by ``value``."""

    state: str
    fields: dict[str, Template] = {}
    value: Template | UnsetType = UNSET


class Sleep(NodeBase, frozen=True, kw_only=True, tag="sleep"):
    """Waits. Exactly one of ``duration_ms``, ``duration`` (an expression: text such as "2d" or seconds), ``until``
    (time)."""

    duration_ms: int | None = None
    duration: str | None = None
    until: str | None = None


class WaitSignal(NodeBase, frozen=True, kw_only=True, tag="signal"):
    """Waits for an outside message; one that came early is queued. The value is its payload.

    Late: the ``default`` if there is one, else a fault of type ``TimedOut``. ``timeout_ms=0`` polls.

    ``correlate``: a template; only a signal with that correlation counts. ``transient``: a signal that comes while
    nobody waits for it is lost (transient trigger), else it is kept (persistent trigger). ``webhook``: the message
    comes over HTTP.
    """

    signal: str
    schema: Schema | None = None
    timeout_ms: int | None = None
    default: Template | UnsetType = UNSET
    correlate: Template | None = None
    transient: bool = False
    webhook: bool = False


class Approval(NodeBase, frozen=True, kw_only=True, tag="approval"):
    """A person decides, by a signal of this name: ``{approved, by, comment, data}``, which is the value.

    Refused: a fault ``Rejected`` unless ``on_reject`` is continue. ``form``: the schema of ``data``. ``escalate``: who
    is asked instead after a while.
    """

    approval: str
    to: Template | None = None
    form: Schema | None = None
    timeout_ms: int | None = None
    on_timeout: Literal["fail", "approve", "reject"] = "fail"
    on_reject: Literal["fail", "continue"] = "fail"
    escalate: tuple[Escalation, ...] = ()


class SubWorkflow(NodeBase, frozen=True, kw_only=True, tag="workflow"):
    """Runs another definition (or this one) and awaits it. ``version`` None: the current one when it starts."""

    workflow: str
    version: int | None = None
    with_: dict[str, Template] = {}
    timeout_ms: int | None = None
    returns: Schema | None = None


class StartWorkflow(NodeBase, frozen=True, kw_only=True, tag="start"):
    """Starts another run and does not wait; the value is its run id. ``key`` is a template."""

    workflow: str
    version: int | None = None
    with_: dict[str, Template] = {}
    key: Template | None = None


class Http(NodeBase, frozen=True, kw_only=True, tag="http"):
    """An HTTP call by an engine-provided task. The value is ``{status, headers, body}``.

    ``auth``: ``{basic: {username, password}}``, ``{bearer: token}``, ``{api_key: {header | query, value}}`` or
    ``{oauth2: {token_url, client_id, client_secret, scope}}``; ``${secret("NAME")}`` stays a name until the worker.
    Statuses in ``retry_status`` are retried by ``retry``; others of 400 and up are a fault ``HttpError`` unless
    ``accept`` names them.
    """

    method: str
    url: Template
    headers: dict[str, Template] = {}
    query: dict[str, Template] = {}
    body: Template | UnsetType = UNSET
    auth: Template | None = None
    timeout_ms: int = 30_000
    retry: RetryPolicy | None = None
    retry_status: tuple[int, ...] = (408, 425, 429, 500, 502, 503, 504)
    accept: tuple[int, ...] = ()
    response_bytes_max: int = 1_048_576
    allow_private: bool = False
    returns: Schema | None = None


class Custom(NodeBase, frozen=True, kw_only=True, tag="custom"):
    """A node type that a plugin contributes (entry point ``wfe.nodes``): a task of that name, run by a worker."""

    custom: str
    with_: dict[str, Template] = {}
    retry: RetryPolicy | None = None
    timeout_ms: int | None = None
    returns: Schema | None = None
    params: dict[str, Schema] = {}


class DurableCall(NodeBase, frozen=True, kw_only=True, tag="durable"):
    """A durable function: Python that a worker runs, its calls recorded. A definition that has one has nothing else.

    ``with_``: its arguments by name. ``version`` tells functions of one name apart, as a task's version does.
    """

    function: str
    version: int = 1
    with_: dict[str, Template] = {}
    returns: Schema | None = None


class Emit(NodeBase, frozen=True, kw_only=True, tag="emit"):
    """Publishes an event of the type ``emit``, which is kept in the run's history."""

    emit: Template
    data: Template = None


class BreakIf(NodeBase, frozen=True, kw_only=True, tag="break_if"):
    """Ends the innermost loop around it if the condition holds; what else runs inside is withdrawn."""

    cond: str


class CompensateWith(NodeBase, frozen=True, kw_only=True, tag="compensate_with"):
    """From here on a failure or cancellation of the run calls this task; what was registered last comes first.

    The arguments are evaluated here. It must exist as a task of its own: it is retried by its own policy.
    """

    task: str
    task_version: int = 1
    with_: dict[str, Template] = {}
    retry: RetryPolicy | None = None
    timeout_ms: int | None = None
    labels: tuple[str, ...] = ()
    resources: dict[str, Amount] = {}


class Compensate(NodeBase, frozen=True, kw_only=True, tag="compensate"):
    """Runs what is registered so far now, last first, and goes on when all is done; each is run once."""


class End(NodeBase, frozen=True, kw_only=True, tag="end"):
    """Ends the run as completed with this value; whatever else runs is withdrawn."""

    value: Template = None


class Fail(NodeBase, frozen=True, kw_only=True, tag="fail"):
    """Fails with a typed error, which a catch block may take."""

    error: str
    message: Template = ""
