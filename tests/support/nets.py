"""Random nets and how the engine and the reference play them side by side."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from support.runs import RunDriver
from support.token_game import TokenGame
from wfe.model.definition import Definition, Edge, Graph, Join, Task
from wfe.model.policy import ErrorInfo

IDS = ("a", "b", "c", "d", "e", "f", "g")
PREDICATES = {
    'active("a")': lambda game: any(firing.node == "a" for firing in game.active),
    '!active("b")': lambda game: all(firing.node != "b" for firing in game.active),
    'done("a") && !done("b")': lambda game: "a" in game.done and "b" not in game.done,
}


@st.composite
def joins(draw: st.DrawFn, count: int, cancels: st.SearchStrategy[tuple[str, ...]]) -> Join | None:
    """A join for a node with this many incoming edges."""
    mode = draw(st.sampled_from(("and", "and", "xor", "or", "or", "n", "n", "thread")))
    if mode == "thread":
        return Join("thread", n=draw(st.integers(1, 3)))
    if mode == "n":
        rest = draw(st.sampled_from(("drain", "block", "cancel")))
        region = draw(cancels) if rest == "cancel" else ()
        return Join("n", n=draw(st.integers(1, max(count, 1))), rest=rest, region=region)
    return Join(mode) if draw(st.booleans()) or mode != "and" else None


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A net of tasks with any edges, joins, splits and cancellations."""
    ids = IDS[: draw(st.integers(2, len(IDS)))]
    node = st.sampled_from(ids)
    some = st.lists(node, max_size=2, unique=True).map(tuple)
    splits = {id_: draw(st.sampled_from(("and", "and", "xor", "or", "deferred"))) for id_ in ids}
    edges: dict[tuple[str, str, str], Edge] = {}
    for _ in range(draw(st.integers(2, 12))):
        src, dst = draw(node), draw(node)
        forward = draw(st.integers(0, 3)) > 0
        if forward and src != dst:
            src, dst = sorted((src, dst))
        port = draw(st.sampled_from(("ok", "ok", "ok", "ok", "error", "timeout", "cancelled")))
        conditional = port == "ok" and splits[src] in ("xor", "or")
        default = conditional and draw(st.integers(0, 2)) == 0
        when = f"{src} % {draw(st.integers(1, 3))} == 0" if conditional and not default else None
        errors = ("Boom",) if port == "error" and draw(st.booleans()) else ()
        weight = draw(st.sampled_from((1, 1, 1, 2)))
        edges.setdefault((src, dst, port), Edge(src, dst, port, when, default, weight, errors))
    wired = tuple(edges.values())
    tasks = []
    for id_ in ids:
        incoming = sum(edge.dst == id_ for edge in wired)
        predicate = draw(st.sampled_from((*(None,) * 15, *PREDICATES)))
        cancels = draw(some) if draw(st.integers(0, 5)) == 0 else ()
        if draw(st.integers(0, 60)) == 0:
            cancels = ("run",)
        missed = draw(st.sampled_from(("wait", "skip")))
        join = draw(joins(incoming, some))
        rules = {"join": join, "split": splits[id_], "enabled_while": predicate, "on_missed": missed}
        tasks.append(Task(id=id_, task="t", cancels=cancels, **rules))
    entry = (draw(node),) if all(any(edge.dst == id_ for edge in wired) for id_ in ids) else ()
    return Graph(id="net", do=tuple(tasks), edges=wired, entry=entry)


def reference_of(graph: Graph) -> TokenGame:
    """The reference with Python's functions in place of expressions."""

    def condition(text: str) -> Any:
        divisor = int(text.split()[2])
        return lambda value: value % divisor == 0

    conditions = {n: condition(edge.when) for n, edge in enumerate(graph.edges) if edge.when is not None}
    asked = {node.id: node.enabled_while for node in graph.do if node.enabled_while is not None}
    return TokenGame(graph, conditions, {id_: PREDICATES[text] for id_, text in asked.items()})


@dataclass
class Both:
    """One net, played by the engine and by the reference."""

    graph: Graph
    restart: bool = False
    warnings: int = field(default=0)

    def __post_init__(self) -> None:
        self.game = reference_of(self.graph)
        definition = Definition(workflow="w", nodes=(self.graph,))
        self.run = RunDriver(definition, None, restart=self.restart)
        self.key = 0

    def active(self) -> list[tuple[int, str]]:
        """Activation and node of the engine's firings, oldest first."""
        marking = self.run.run.nets.get(self.key)
        if marking is None:
            return []
        return [(act, self.run.plan.nodes[index].id) for act, index in marking.firings.items()]

    def act(self, pick: int, value: int, kind: str = "") -> bool:
        """Some active firing ends with a value, or fails. False: nothing is active."""
        active = self.active()
        if not active:
            return False
        act, id_ = active[pick % len(active)]
        rank = [other for other, name in active if name == id_].index(act)
        twin = [firing for firing in self.game.active if firing.node == id_][rank]
        place = self.run.place(id_, act)
        if kind:
            self.game.fail(twin, kind)
            self.run.fail(place, ErrorInfo(kind, "on purpose", id_, types=(kind,)))
        else:
            self.game.complete(twin, value)
            self.run.complete(place, value)
        return True

    def engine_marking(self) -> dict[str, Any]:
        """Everything that the rules talk about."""
        state, nodes = self.run.run, self.run.plan.nodes
        marking = state.nets.get(self.key)
        if marking is None:
            error = state.error.type if state.error is not None else ""
            return {"status": error or state.status}
        return {
            "status": "running",
            "tokens": {number: count for number, count in sorted(marking.tokens.items()) if count},
            "rounds": {
                nodes[index].id: (sorted(round_.seen), round_.fired)
                for index, round_ in sorted(marking.rounds.items())
                if round_.seen
            },
            "active": [nodes[index].id for index in marking.firings.values()],
            "held": [nodes[index].id for index, _ in marking.held],
            "done": sorted(nodes[index].id for index in marking.done),
        }

    def reference_marking(self) -> dict[str, Any]:
        game = self.game
        if game.status != "running":
            return {"status": game.status}
        rounds = {id_: (sorted(seen), id_ in game.fired) for id_, seen in game.seen.items() if seen}
        return {
            "status": "running",
            "tokens": {number: count for number, count in enumerate(game.tokens) if count},
            "rounds": rounds,
            "active": [firing.node for firing in game.active],
            "held": [id_ for id_, _ in game.held],
            "done": sorted(game.done),
        }
