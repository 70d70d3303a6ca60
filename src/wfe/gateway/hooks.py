"""Webhooks: messages from other systems, which start the workflows that a webhook of this name triggers, or go into a
run's ``webhook`` wait.

A hook needs no token but a signature (`signatures`), by a secret of its own. The sender's message id makes a message
count once, durably: it is part of the started run's key, or the signal's event id. So whatever goes wrong on the way,
the sender sends it again. Nothing is kept here but, for a while, which run a message by correlation went to: that run
waits no more when the message comes again.
"""

from __future__ import annotations

import re
import secrets as dice
from typing import Any

import msgspec
from litestar import Request
from litestar.di import NamedDependency
from litestar.params import FromPath, FromQuery
from msgspec import Struct

from wfe.core.expressions import ExpressionError, compile_template
from wfe.errors import ConfigError, UnknownRun, UnknownWorkflow
from wfe.gateway.problems import BadRequest
from wfe.gateway.requests import TOO_DEEP
from wfe.gateway.signatures import BadSignature, message_id, verify
from wfe.gateway.state import Gateway
from wfe.gateway.triggers import triggered_by
from wfe.gateway.verbs import post
from wfe.limits import HOOK_BODY_BYTES_MAX, KEY_CHARS_MAX
from wfe.model.definition import Definition, Trigger, WaitSignal, walk
from wfe.model.malformed import MALFORMED
from wfe.observe import get_logger
from wfe.secrets import read_secret
from wfe.wire.messages import StartRun
from wfe.wire.payload import encode_value

_log = get_logger("hooks")
_KEPT_BACK = frozenset({"authorization", "cookie", "webhook-signature", "proxy-authorization"})
"""Headers that no expression sees: a run's input is kept, and shown."""


class HookRun(Struct):
    """A run that a webhook started (``created`` false: the same message had started it before)."""

    workflow: str
    id: str
    created: bool


class HookTaken(Struct):
    """What became of a webhook; durable. ``signalled``: the run whose wait it went to."""

    name: str
    started: list[HookRun]
    signalled: str | None


@post(
    "/hooks/{name:str}",
    status_code=202,
    security=[],
    tags=["webhooks"],
    summary="Take a webhook",
    request_max_body_size=HOOK_BODY_BYTES_MAX,
)
async def take_hook(
    gateway: NamedDependency[Gateway],
    request: Request[Any, Any, Any],
    name: FromPath[str],
    workflow: FromQuery[str | None] = None,
    key: FromQuery[str | None] = None,
    correlation: FromQuery[str] = "",
) -> HookTaken:
    """Starts the workflows that this webhook triggers. With ``workflow`` and ``key`` it goes into the ``webhook`` wait
    of the run that these name, instead; with a ``correlation`` alone into the one run that waits for this webhook with
    it. Signed as Standard Webhooks; the same webhook-id counts once."""
    identity, body = await _verified(gateway, request, name)
    if workflow is not None or key is not None:
        if not (workflow and key):
            raise BadRequest(422, "a run is named by workflow and key", parameter="key" if workflow else "workflow")
        run = await gateway.client.find(workflow, key)
        return await _into_run(gateway, name, run.id, body, identity, correlation)
    if correlation:
        return await _into_the_one_that_waits(gateway, name, body, identity, correlation)
    targets = await triggered_by(gateway, name)
    if not targets:
        raise UnknownWorkflow(f"no workflow has the trigger webhook: {name}")
    lookup = {"body": body, "headers": _headers(request)}
    started = [await _start(gateway, name, each, lookup, identity) for each in targets]
    return HookTaken(name, started, None)


@post(
    "/hooks/{name:str}/{run_id:str}",
    status_code=202,
    security=[],
    tags=["webhooks"],
    summary="Take a webhook for a run",
    request_max_body_size=HOOK_BODY_BYTES_MAX,
)
async def take_hook_of_run(
    gateway: NamedDependency[Gateway],
    request: Request[Any, Any, Any],
    name: FromPath[str],
    run_id: FromPath[str],
    correlation: FromQuery[str] = "",
) -> HookTaken:
    """Goes into the run's ``webhook`` wait of this name, or is kept until there is one."""
    identity, body = await _verified(gateway, request, name)
    return await _into_run(gateway, name, run_id, body, identity, correlation)


async def _verified(gateway: Gateway, request: Request[Any, Any, Any], name: str) -> tuple[str, Any]:
    """The message's id and its decoded body."""
    raw = await request.body()
    headers = {key.lower(): value for key, value in request.headers.items()}
    if name in gateway.options.unsigned_hooks:
        identity = message_id(headers) or dice.token_hex(16)
    else:
        verify(_secret(gateway, name), headers, raw, gateway.wall_s())
        identity = message_id(headers)
    return identity, _decoded(raw, headers.get("content-type", ""))


def secret_name(gateway: Gateway, name: str) -> str:
    """What the secret of a webhook is called in the environment or the secrets directory."""
    return gateway.options.hooks.get(name) or "WFE_HOOK_" + re.sub(r"[^A-Za-z0-9]", "_", name).upper()


def _secret(gateway: Gateway, name: str) -> str:
    wanted = secret_name(gateway, name)
    try:
        return read_secret(wanted)
    except ConfigError:
        _log.warning("a webhook came for which there is no secret", hook=name[:100], wanted=wanted[:200])
        raise BadSignature("no secret is set for this webhook: see the gateway's log") from None


def _decoded(raw: bytes, content_type: str) -> Any:
    """JSON where it is JSON, else text."""
    is_json = "json" in content_type.lower()
    try:
        return msgspec.json.decode(raw)
    except RecursionError:
        raise BadRequest(400, TOO_DEEP, pointer="#") from None
    except MALFORMED as error:
        if is_json:
            raise BadRequest(400, f"the body is not JSON: {error}", pointer="#") from error
    try:
        return raw.decode()
    except UnicodeDecodeError:
        raise BadRequest(400, "the body is neither JSON nor UTF-8 text", pointer="#") from None


def _headers(request: Request[Any, Any, Any]) -> dict[str, str]:
    return {name.lower(): value for name, value in request.headers.items() if name.lower() not in _KEPT_BACK}


async def _start(
    gateway: Gateway, name: str, target: tuple[str, int, Trigger], lookup: dict[str, Any], identity: str
) -> HookRun:
    workflow, version, trigger = target
    value, key = lookup["body"], f"webhook:{name}:{identity}"
    try:
        if trigger.input is not None:
            value = compile_template(trigger.input).evaluate(lookup.__getitem__)
        if trigger.key is not None:
            key = str(compile_template(trigger.key).evaluate(lookup.__getitem__))
    except (ExpressionError, *MALFORMED) as error:
        raise BadRequest(422, f"the trigger of {workflow!r} cannot read this message: {error}", pointer="#") from error
    if not 0 < len(key) <= KEY_CHARS_MAX:
        raise BadRequest(422, f"the trigger of {workflow!r} makes a key of {len(key)} characters", pointer="#")
    run = StartRun("", encode_value(value), key, tags={"webhook": name})
    created = await gateway.client.submit(workflow, version, run)
    return HookRun(workflow, run.run_id, created)


async def _into_the_one_that_waits(
    gateway: Gateway, name: str, body: Any, identity: str, correlation: str
) -> HookTaken:
    """A message that was taken, and comes again, finds nobody waiting any more: it is remembered for a while."""
    message = f"{name}:{identity}"
    if (taken := gateway.taken_hooks.get(message)) is not None:
        return HookTaken(name, [], taken)
    found = await gateway.client.awaiters(name, correlation)
    if not found:
        raise UnknownRun(f"no run waits for webhook {name!r} with this correlation (yet, or any more)")
    if len(found) > 1:
        raise BadRequest(409, "several runs wait for this webhook with this correlation", parameter="correlation")
    done = await _into_run(gateway, name, found[0], body, identity, correlation)
    gateway.remember_hook(message, found[0])
    return done


async def _into_run(gateway: Gateway, name: str, run_id: str, body: Any, identity: str, correlation: str) -> HookTaken:
    view = await gateway.client.view(run_id)
    if not awaits(await gateway.definition_of(view.definition), name):
        # Other signals of a run are none of a webhook's business, whoever signed it.
        raise UnknownRun(f"run {run_id} has no webhook: {name} to wait for")
    handle = gateway.client.handle(run_id)
    await handle.signal(name, body, event_id=f"webhook:{identity}", correlation=correlation)
    return HookTaken(name, [], run_id)


def awaits(definition: Definition, name: str) -> bool:
    """Whether runs of this definition may wait for a webhook of this name."""
    return any(isinstance(node, WaitSignal) and node.webhook and node.signal == name for node in walk(definition.nodes))


ROUTES = [take_hook, take_hook_of_run]
