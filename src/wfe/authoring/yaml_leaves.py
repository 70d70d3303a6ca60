"""The kinds of node in YAML that hold no others: a table from the name of a kind to its struct and keys."""

from __future__ import annotations

import re
from typing import Any

from msgspec import UNSET

from wfe.authoring.yaml_forms import (
    DURATION,
    EXPRESSION,
    FLAG,
    SCHEMA,
    TEMPLATE,
    TEMPLATES,
    Context,
    Form,
    Misread,
    describe,
    mapping_of,
    optional,
    text,
    whole,
)
from wfe.authoring.yaml_keys import (
    KEY,
    LABELS,
    PARAMS,
    RESOURCES,
    RETRIES,
    RETURNS,
    TIMEOUT,
    VERSION,
    WITH,
    Key,
    Kind,
    key,
    named_version,
    read_only,
)
from wfe.authoring.yaml_nets import ESCALATIONS, one_of, several, struct_form
from wfe.authoring.yaml_tree import Scalar, Tree
from wfe.core.expressions import compile_expression
from wfe.errors import ExpressionError
from wfe.model.definition import (
    Approval,
    Assign,
    BreakIf,
    Compensate,
    CompensateWith,
    Custom,
    Decision,
    DurableCall,
    Emit,
    End,
    Fail,
    Http,
    Reduce,
    Set,
    Sleep,
    StartWorkflow,
    State,
    SubWorkflow,
    Task,
    Transform,
    WaitSignal,
)
from wfe.model.durations import DurationError, format_duration, parse_duration

# ---- sleep ---------------------------------------------------------------------------------------------------------


def _read_sleep(_: Context, tree: Tree, __: str) -> dict[str, Any]:
    inner = _sole_expression(tree.value) if isinstance(tree, Scalar) else None
    if inner is not None:
        return {"duration": inner}
    try:
        return {"duration_ms": parse_duration(tree.value if isinstance(tree, Scalar) else None)}
    except DurationError as error:
        hint = "" if isinstance(tree, Scalar) else describe(tree)
        raise Misread(f'{error}; "${{expression}}" gives a computed one {hint}'.rstrip(), tree.mark) from None


def _sole_expression(value: Any) -> str | None:
    """The text between ``${`` and ``}`` when that is all there is."""
    if not isinstance(value, str) or not (value.startswith("${") and value.endswith("}")):
        return None
    inner = value[2:-1]
    try:
        compile_expression(inner)
    except ExpressionError:
        return None if "}" in inner else inner  # validation says what is wrong with it
    return inner


def _write_sleep(node: Sleep) -> Any:
    if node.duration is not None:
        return "${" + node.duration + "}"
    return UNSET if node.duration_ms is None else format_duration(node.duration_ms)


# ---- decision ------------------------------------------------------------------------------------------------------


def _read_case(context: Context, tree: Tree, where: str) -> str | None:
    """A condition; true or nothing: always. The text "true" is a condition, as in ``otherwise``."""
    if isinstance(tree, Scalar) and (tree.value is None or tree.value is True):
        return None
    condition: str = EXPRESSION.read(context, tree, where)
    return condition


def _read_cases(context: Context, tree: Tree, where: str) -> dict[str, str | None]:
    mapping = mapping_of(context, tree, "a decision", where)
    return {name: _read_case(context, entry, f"{where}.{name}") for name, entry in mapping.entries.items()}


def _write_cases(cases: dict[str, str | None]) -> dict[str, Any]:
    def write(condition: str | None) -> Any:
        return True if condition is None else condition if condition == "true" else EXPRESSION.write(condition)

    return {name: write(condition) for name, condition in cases.items()}


_CASES = Form(
    _read_cases,
    _write_cases,
    {"type": "object", "additionalProperties": {"anyOf": [EXPRESSION.schema, {"type": "null"}]}},
)


# ---- http ----------------------------------------------------------------------------------------------------------

_REQUEST_LINE = re.compile(r"([A-Za-z]+)[ \t]+(\S.*)", re.DOTALL)


def _read_request(_: Context, tree: Tree, __: str) -> dict[str, Any]:
    """``GET https://...``, or a URL alone."""
    if not isinstance(tree, Scalar) or not isinstance(tree.value, str):
        raise Misread(f'a request is text such as "GET https://...", not {describe(tree)}', tree.mark)
    both = _REQUEST_LINE.fullmatch(tree.value)
    return {"url": tree.value} if both is None else {"method": both[1].upper(), "url": both[2]}


_STATUSES = several(whole("a status"), "statuses")
_REQUEST = Key(
    _read_request, lambda node: f"{node.method} {node.url}", {"type": "string", "minLength": 1}, required=True
)

# ---- the rest ------------------------------------------------------------------------------------------------------


def _read_compensate(_: Context, tree: Tree, __: str) -> dict[str, Any]:
    if isinstance(tree, Scalar) and (tree.value is None or tree.value is True):
        return {}
    raise Misread(f"compensate takes no value (or true), not {describe(tree)}", tree.mark)


_REDUCE = struct_form(
    "reduce",
    Reduce,
    {
        "value": ("value", EXPRESSION, True),
        "initial": ("initial", TEMPLATE, False),
        "total": ("total", text("the name of the result so far"), False),
    },
)
_WAIT: dict[str, Key] = {
    "schema": key("schema", optional(SCHEMA), None),
    "timeout": TIMEOUT,
    "default": key("default", TEMPLATE),
    "correlate": key("correlate", TEMPLATE, None),
    "transient": key("transient", FLAG, False),
}
_WORKFLOW_NAME = named_version("workflow", "version", None, "workflow")
_WEBHOOK = Key(
    lambda context, tree, where: {"signal": text("the name of a webhook").read(context, tree, where), "webhook": True},
    lambda node: node.signal,
    {"type": "string"},
    required=True,
)

LEAVES: dict[str, Kind] = {
    "task": Kind(
        Task,
        {
            "task": named_version("task", "task_version", 1, "task"),
            "with": WITH,
            "retry": RETRIES,
            "timeout": TIMEOUT,
            "heartbeat": key("heartbeat_ms", optional(DURATION), None),
            "redeliver": key("redeliver", FLAG, True),
            "priority": key("priority", whole("priority"), 0),
            "labels": LABELS,
            "resources": RESOURCES,
            "params": PARAMS,
            "returns": RETURNS,
        },
    ),
    "sleep": Kind(
        Sleep,
        {"sleep": Key(_read_sleep, _write_sleep, {"type": "string"}, required=True)},
        fits=lambda node: node.until is None,
    ),
    "sleep_until": Kind(
        Sleep,
        {"sleep_until": key("until", EXPRESSION, required=True)},
        fits=lambda node: node.until is not None,
    ),
    "signal": Kind(
        WaitSignal,
        {"signal": key("signal", text("the name of a signal"), required=True), **_WAIT},
        fits=lambda node: not node.webhook,
    ),
    "webhook": Kind(WaitSignal, {"webhook": _WEBHOOK, **_WAIT}, fits=lambda node: node.webhook),
    "approval": Kind(
        Approval,
        {
            "approval": key("approval", text("the name of an approval"), required=True),
            "to": key("to", TEMPLATE, None),
            "form": key("form", optional(SCHEMA), None),
            "timeout": TIMEOUT,
            "on_timeout": key("on_timeout", one_of("on_timeout", "fail", "approve", "reject"), "fail"),
            "on_reject": key("on_reject", one_of("on_reject", "fail", "continue"), "fail"),
            "escalate": key("escalate", ESCALATIONS, ()),
        },
    ),
    "workflow": Kind(
        SubWorkflow,
        {
            "workflow": _WORKFLOW_NAME,
            "version": read_only(VERSION),
            "with": WITH,
            "timeout": TIMEOUT,
            "returns": RETURNS,
        },
    ),
    "start": Kind(
        StartWorkflow,
        {"start": _WORKFLOW_NAME, "version": read_only(VERSION), "with": WITH, "key": KEY},
    ),
    "http": Kind(
        Http,
        {
            "http": _REQUEST,
            "method": read_only(key("method", text("the method"))),
            "headers": key("headers", TEMPLATES, {}),
            "query": key("query", TEMPLATES, {}),
            "body": key("body", TEMPLATE),
            "auth": key("auth", TEMPLATE, None),
            "timeout": key("timeout_ms", DURATION, 30_000),
            "retry": RETRIES,
            "retry_status": key("retry_status", _STATUSES, (408, 425, 429, 500, 502, 503, 504)),
            "accept": key("accept", _STATUSES, ()),
            "response_bytes_max": key("response_bytes_max", whole("response_bytes_max", 1), 1_048_576),
            "allow_private": key("allow_private", FLAG, False),
            "returns": RETURNS,
        },
    ),
    "custom": Kind(
        Custom,
        {
            "custom": key("custom", text("the name of a node type"), required=True),
            "with": WITH,
            "retry": RETRIES,
            "timeout": TIMEOUT,
            "params": PARAMS,
            "returns": RETURNS,
        },
    ),
    "durable": Kind(
        DurableCall,
        {
            "durable": key("function", text("the name of a durable function"), required=True),
            "version": key("version", whole("version", 1), 1),
            "with": WITH,
            "returns": RETURNS,
        },
    ),
    "set": Kind(Set, {"set": key("value", TEMPLATE, required=True)}),
    "decision": Kind(Decision, {"decision": key("cases", _CASES, required=True)}),
    "transform": Kind(
        Transform,
        {
            "transform": key("items", EXPRESSION, required=True),
            "as": key("as_", text("the name of the item"), "item"),
            "filter": key("filter", optional(EXPRESSION), None),
            "enrich": key("enrich", TEMPLATES, {}),
            "map": key("map", optional(EXPRESSION), None),
            "reduce": key("reduce", optional(_REDUCE), None),
        },
    ),
    "state": Kind(State, {"state": key("value", TEMPLATE, required=True)}),
    "assign": Kind(
        Assign,
        {
            "assign": key("state", text("the id of a state"), required=True),
            "set": key("fields", TEMPLATES, {}),
            "value": key("value", TEMPLATE),
        },
    ),
    "emit": Kind(Emit, {"emit": key("emit", TEMPLATE, required=True), "data": key("data", TEMPLATE, None)}),
    "break_if": Kind(BreakIf, {"break_if": key("cond", EXPRESSION, required=True)}),
    "compensate_with": Kind(
        CompensateWith,
        {
            "compensate_with": named_version("task", "task_version", 1, "task"),
            "with": WITH,
            "retry": RETRIES,
            "timeout": TIMEOUT,
            "labels": LABELS,
            "resources": RESOURCES,
        },
    ),
    "compensate": Kind(
        Compensate, {"compensate": Key(_read_compensate, lambda _: True, {"enum": [True, None]}, required=True)}
    ),
    "end": Kind(End, {"end": key("value", TEMPLATE, required=True)}),
    "fail": Kind(
        Fail,
        {
            "fail": key("error", text("the type of an error"), required=True),
            "message": key("message", TEMPLATE, ""),
        },
    ),
}
