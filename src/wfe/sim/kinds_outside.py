"""How waits for people and messages, maps that grow or are left early, and compensation are made at random.

Part of `kinds`, whose rules hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wfe.model.definition import (
    Approval,
    Compensate,
    CompensateWith,
    Escalation,
    Map,
    Node,
    WaitSignal,
)
from wfe.model.policy import RetryPolicy

if TYPE_CHECKING:
    from wfe.sim.generator import Generator, Names

SIGNALS = ("go", "stop")
TRANSIENT, DECISIONS, GROWTH = "flash", "sign", "more"
"""Names of signals: that nobody keeps, that decide approvals, that bring items to maps."""
ITEMS = ("[1, 2, n]", "[1, 2, 3, 4, 5, 6]", "[n]", "[]", "n")


def signal(at: Generator, depth: int, names: Names) -> Node:
    random = at.random
    settings: dict[str, Any] = {"signal": random.choice(SIGNALS)}
    settings["timeout_ms"] = random.choice((0, 500, 2_000, None) if at.endless else (0, 500, 2_000))
    if random.random() < 0.5:
        settings["default"] = "late"
    if random.random() < 0.4:
        settings["correlate"] = random.choice(("${n}", "order ${n}"))
    if random.random() < 0.35:
        settings |= {"signal": TRANSIENT, "transient": True}
    return WaitSignal(id=at.id("signal"), **settings)


def approval(at: Generator, depth: int, names: Names) -> Node:
    random = at.random
    escalate = tuple(Escalation(after_ms, "boss ${n}") for after_ms in random.choice(((), (), (300,), (200, 400))))
    return Approval(
        id=at.id("approval"),
        approval=DECISIONS,
        to=random.choice((None, "${n}", "anybody")),
        timeout_ms=random.choice((700, 2_000, None)) if at.endless else random.choice((700, 2_000)),
        on_timeout=random.choice(("fail", "approve", "reject")),
        on_reject=random.choice(("fail", "continue")),
        escalate=escalate,
    )


def map_(at: Generator, depth: int, names: Names) -> Node:
    random = at.random
    item = at.id("item")
    at.many += 1
    body = at.nodes(depth - 1, (*names, (item, True)), fresh=True)
    at.many -= 1
    settings: dict[str, Any] = {}
    match random.choice(("", "tolerate", "percent", "after", "after", "when", "grow", "grow")):
        case "tolerate":
            settings["tolerate_count"] = random.choice((1, 100))
        case "percent":
            settings["tolerate_percent"] = random.choice((20.0, 50.0, 100.0))
        case "after":
            settings |= {"complete_after": random.choice((0, 1, 2)), "rest": random.choice(("cancel", "continue"))}
        case "when":
            settings |= {"complete_when": random.choice(("done > 1", "failed > 0", "total < 3")), "tolerate_count": 3}
        case "grow" if at.endless:
            settings["grow"] = GROWTH
        case _:
            pass
    if random.random() < 0.2:
        settings["output"] = {"of": f"${{{item}}}"}
    return Map(
        id=at.id("map"),
        items=random.choice(ITEMS),
        as_=item,
        do=body,
        max_parallel=random.randint(1, 4),
        **settings,
    )


def compensate_with(at: Generator, depth: int, names: Names) -> Node:
    retry = at.random.choice((None, RetryPolicy(max_attempts=3, initial_delay_ms=50)))
    task = at.random.choice(at.tasks)
    return CompensateWith(id=at.id("undo"), task=task, with_={"x": at.argument(names)}, retry=retry)


def compensate(at: Generator, depth: int, names: Names) -> Node:
    return Compensate(id=at.id("compensate"))
