"""What wires the nodes of a net beyond the order of blocks: edges, joins, boundary events; and triggers, escalations.

Rules R1 to R10 of docs/nets.md say what they mean. Durations are integer milliseconds; conditions are expressions.
"""

from __future__ import annotations

from typing import Any, Literal

from msgspec import Struct


class Join(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """When a node with several incoming edges fires.

    *and*: one token on every edge, consumes one of each. *xor*: each token is a firing. *or*: when no further token can
    come on the empty edges (the BPMN 2.0 inclusive join). *n*: the n-th edge to hold one; the ``rest`` of this round is
    drained, blocked (repeats wait for the next round) or cancelled (``region``: what is withdrawn; empty: the nodes
    that the incoming edges come from). *thread*: while one edge holds n tokens, consumes n.
    """

    mode: Literal["and", "xor", "or", "n", "thread"] = "and"
    n: int = 1
    rest: Literal["drain", "block", "cancel"] = "drain"
    region: tuple[str, ...] = ()


class Edge(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Leads from a node to a node of the same net.

    ``port``: how ``src`` was left: ``ok``, ``error`` (of these ``errors``, empty: any), ``timeout`` (a fault of type
    TimedOut), ``cancelled``, the port of a boundary event, or the name of a decision's case. ``when`` and ``default``
    serve splits xor and or. ``weight``: tokens that it carries at once.
    """

    src: str
    dst: str
    port: str = "ok"
    when: str | None = None
    default: bool = False
    weight: int = 1
    errors: tuple[str, ...] = ()


class Boundary(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """Something that may happen while a node of a net is active: ``after_ms`` have passed, or a ``signal`` comes.

    Tokens then leave by ``port``; if it is ``interrupting``, what the node does is withdrawn.
    """

    port: str
    after_ms: int | None = None
    signal: str | None = None
    interrupting: bool = True


class Escalation(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """After this long without a decision somebody else is asked (a template gives who)."""

    after_ms: int
    to: Any


class Trigger(Struct, frozen=True, omit_defaults=True, forbid_unknown_fields=True):
    """What starts runs: a ``webhook`` of this name, people (``manual``) or programs (``api``).

    Of a webhook: ``input`` is a template over ``body`` and ``headers`` (None: the body is the input), and so is
    ``key``. The other two say what a workflow is meant for: pages for people offer those that are ``manual``, or that
    name no trigger.
    """

    webhook: str = ""
    input: Any = None
    key: Any = None
    kind: Literal["webhook", "manual", "api"] = "webhook"

    @property
    def label(self) -> str:
        """``webhook:orders``, ``manual``, ``api``."""
        return f"webhook:{self.webhook}" if self.kind == "webhook" else self.kind
