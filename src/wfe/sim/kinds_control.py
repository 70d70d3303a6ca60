"""How loops, races, locks, states, computing nodes and calls by the engine's own workers are made at random.

Part of `kinds`, whose rules hold.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wfe.model.definition import (
    Assign,
    BreakIf,
    Custom,
    Decision,
    Emit,
    Http,
    Lock,
    Loop,
    Node,
    Race,
    Reduce,
    State,
    Transform,
)
from wfe.model.policy import RetryPolicy
from wfe.sim.tasks import CUSTOM

if TYPE_CHECKING:
    from wfe.sim.generator import Generator, Names

LISTS = ("[1, 2, n]", "[n, 5, 3, 1]", "[n]", "[]")
OWN_LOCKS = {"bench": 1, "tools": 2}
SHARED_LOCK = "crane"
EVENTS = ("made", "v ${n}")


# ---- what repeats ---------------------------------------------------------------------------------------------------


def loop(at: Generator, depth: int, names: Names) -> Node:
    """Over items, while or until a condition holds, or as far as a state counts."""
    random = at.random
    index, item = at.id("index"), at.id("item")
    settings: dict[str, Any] = {"max_iterations": random.choice((2, 3, 3, 4))}
    inner: Names = (*names, (index, True))
    counted = ""
    match random.choice(("items", "items", "while", "until", "count")):
        case "items":
            settings |= {"items": random.choice(LISTS), "as_": item}
            inner = (*inner, (item, True))
        case "while":
            settings["while_"] = at.condition()
        case "until":
            settings["until"] = f"{index} > {random.randint(0, 2)}"
        case "count":
            counters = [state for state, whole in at.states if whole]
            counted = random.choice(counters) if counters else ""
            settings["while_"] = f"{counted} < {random.randint(1, 8)}" if counted else at.condition()
    at.loops += 1
    at.many += 1
    body = at.nodes(depth - 1, inner, counted=index)
    at.many -= 1
    at.loops -= 1
    if counted:
        body = (*body, Assign(id=at.id("assign"), state=counted, value=f"${{{counted} + 1}}"))
    return Loop(id=at.id("loop"), do=body, index=index, **settings)


def break_if(at: Generator, depth: int, names: Names) -> Node:
    return BreakIf(id=at.id("break"), cond=f"{at.counted} > {at.random.randint(0, 3)}")


# ---- what is exclusive ----------------------------------------------------------------------------------------------


def race(at: Generator, depth: int, names: Names) -> Node:
    return Race(id=at.id("race"), do=at.nodes(depth - 1, names, ordered=False, fresh=True, chained=False, least=2))


def lock(at: Generator, depth: int, names: Names) -> Node:
    """One within another could wait for each other for ever, and so could a run and a child of its."""
    random = at.random
    wanted: tuple[str, ...] = random.choice((("bench",), ("tools",), ("bench", "tools")))
    key = None
    if at.outside and random.random() < 0.5:
        wanted, key = (SHARED_LOCK,), random.choice((None, "k ${n}"))
    at.locked += 1
    body = at.nodes(depth - 1, names)
    at.locked -= 1
    return Lock(id=at.id("lock"), names=wanted, key=key, do=body)


# ---- what computes --------------------------------------------------------------------------------------------------


def state(at: Generator, depth: int, names: Names) -> Node:
    whole = at.random.random() < 0.6
    value: Any = at.random.choice((0, "${n}")) if whole else {"v": 1, "w": "${n}"}
    made = State(id=at.id("state"), value=value)
    at.states = (*at.states, (made.id, whole))
    return made


def assign(at: Generator, depth: int, names: Names) -> Node:
    name, whole = at.random.choice(at.states)
    if not whole:
        return Assign(id=at.id("assign"), state=name, fields={at.random.choice("vx"): at.argument(names)})
    return Assign(id=at.id("assign"), state=name, value=at.random.choice((f"${{{name} + 1}}", "${n + 1}", 3)))


def decision(at: Generator, depth: int, names: Names) -> Node:
    cases: dict[str, str | None] = {"first": at.condition(), "second": at.condition()}
    if at.random.random() < 0.7:
        cases["other"] = None
    return Decision(id=at.id("decision"), cases=cases)


def transform(at: Generator, depth: int, names: Names) -> Node:
    random = at.random
    item = at.id("item")
    reduce = Reduce(f"total + {item}", random.choice((0, "${n}"))) if random.random() < 0.5 else None
    return Transform(
        id=at.id("transform"),
        items=random.choice((*LISTS, "[1, 2, 3, 4, 5, 6]")),
        as_=item,
        filter=random.choice((None, f"{item} > 1", f"{item} < 4")),
        enrich={"w": "${n}"} if random.random() < 0.1 else {},
        map=random.choice((None, f"{item} + 1", f"{item} + n")),
        reduce=reduce,
    )


def emit(at: Generator, depth: int, names: Names) -> Node:
    return Emit(id=at.id("emit"), emit=at.random.choice(EVENTS), data=at.argument(names))


# ---- what workers do that is no task of the users' ------------------------------------------------------------------


def http(at: Generator, depth: int, names: Names) -> Node:
    retry = at.random.choice((None, RetryPolicy(max_attempts=2, initial_delay_ms=50)))
    return Http(
        id=at.id("http"), method="POST", url="http://example.org/${n}", body={"x": at.argument(names)}, retry=retry
    )


def custom(at: Generator, depth: int, names: Names) -> Node:
    return Custom(id=at.id("custom"), custom=CUSTOM, with_={"x": at.argument(names)})
