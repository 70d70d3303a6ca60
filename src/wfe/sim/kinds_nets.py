"""How nets are made at random: edges that lead forward (and back to a task that fails by chance), joins, splits,
cancellations, milestones and boundary events. Part of `kinds`, whose rules hold.
"""

from __future__ import annotations

from random import Random
from typing import TYPE_CHECKING, Any

from msgspec import structs

from wfe.model.definition import Decision, Graph, Node, Task
from wfe.model.net import Boundary, Edge, Join
from wfe.sim.kinds_outside import SIGNALS

if TYPE_CHECKING:
    from wfe.sim.generator import Generator, Names

MODES = ("and", "xor", "xor", "or", "or", "n", "n", "thread")


def graph(at: Generator, depth: int, names: Names) -> Node:
    """A net of a few nodes of any kind."""
    at.many += 1  # its nodes may fire often
    members = at.nodes(depth - 1, names, ordered=False, fresh=True, chained=False, least=2, most=5)
    at.many -= 1
    made = [_ruled(at, members, number) for number in range(len(members))]
    edges: dict[tuple[str, str, str], Edge] = {}
    for number, node in enumerate(made):
        for edge in _edges(at, made, number, node):
            edges.setdefault((edge.src, edge.dst, edge.port), edge)
    joined = tuple(_joined(at.random, node, made, [e for e in edges.values() if e.dst == node.id]) for node in made)
    targets = {edge.dst for edge in edges.values()}
    entry = () if any(node.id not in targets for node in made) else (made[0].id,)
    return Graph(id=at.id("graph"), do=joined, edges=tuple(edges.values()), entry=entry)


def _ruled(at: Generator, members: tuple[Node, ...], number: int) -> Any:
    """A node with how it is left, what it cancels, and when it may begin."""
    random, node = at.random, members[number]
    others = [other.id for other in members if other is not node]
    rules: dict[str, Any] = {"split": random.choice(("and", "and", "xor", "or", "deferred"))}
    if random.random() < 0.12:
        rules["cancels"] = tuple(random.sample(others, 1))
    elif random.random() < 0.01:
        rules["cancels"] = ("run",)
    if random.random() < 0.08:
        asked = random.choice(others)
        rules["enabled_while"] = random.choice((f'active("{asked}")', f'!active("{asked}")', f'done("{asked}")'))
        rules["on_missed"] = random.choice(("wait", "skip", "skip"))
    if random.random() < 0.2 and number + 1 < len(members):
        rules["boundary"] = tuple(
            random.sample(
                (
                    Boundary("late", after_ms=random.choice((20, 400)), interrupting=random.random() < 0.5),
                    Boundary("later", after_ms=600, interrupting=random.random() < 0.5),
                    Boundary("heard", signal=random.choice(SIGNALS), interrupting=random.random() < 0.5),
                ),
                random.randint(1, 3),
            )
        )
    return structs.replace(node, **rules)


def _edges(at: Generator, members: list[Any], number: int, node: Any) -> list[Edge]:
    """The edges that leave a node: forward, so that it comes to an end."""
    random = at.random
    found: list[Edge] = []
    later = [other.id for other in members[number + 1 :]]
    for target in random.sample(later, min(len(later), random.choice((1, 1, 2, 3)))):
        port = random.choice((*("ok",) * 8, "error", "timeout", "cancelled"))
        if isinstance(node, Decision) and random.random() < 0.6:
            port = random.choice(list(node.cases))
        choice = node.split in ("xor", "or") and (port == "ok" or isinstance(node, Decision))
        default = choice and random.random() < 0.4
        when = at.condition() if choice and not default else None
        errors = ("ValueError",) if port == "error" and random.random() < 0.5 else ()
        found.append(Edge(node.id, target, port, when, default, random.choice((1, 1, 1, 1, 2)), errors))
    for event in node.boundary:
        found.append(Edge(node.id, random.choice(later), event.port))
    if isinstance(node, Task) and node.task == "flaky" and number and random.random() < 0.5:
        found.append(Edge(node.id, node.id, "error", errors=("ValueError",)))  # another would come each time
    return found


def _joined(random: Random, node: Any, members: list[Any], edges: list[Edge]) -> Any:
    incoming = len(edges)
    if any(edge.src == node.id for edge in edges):
        return structs.replace(node, join=Join("xor"))  # any other would multiply tokens, or wait for itself
    if incoming < 2 and random.random() < 0.8:
        return node
    mode: Any = random.choice(MODES)
    join = Join(mode)
    if mode == "thread":
        join = Join("thread", n=random.randint(1, 2))
    elif mode == "n":
        rest: Any = random.choice(("drain", "block", "cancel"))
        region = (random.choice(members).id,) if rest == "cancel" and random.random() < 0.5 else ()
        join = Join("n", n=random.randint(1, max(incoming, 1)), rest=rest, region=region)
    return structs.replace(node, join=join)
