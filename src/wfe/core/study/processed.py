"""The processed graph of a definition: what a program or a page wants to know of its shape. Pure.

`docs/definitions.md` says what each field means, with an example. Arcs of kind *back* take no part in levels, paths and
the critical path; circles of nets count as one place.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import islice

from msgspec import Struct

from wfe.core.study.arcs import CHOICES, Arc, ControlGraph, control_graph
from wfe.core.study.durations import NodeTimes
from wfe.core.study.shape import Shape
from wfe.model.definition import Definition, Graph, Loop, Map, children, walk

EXACT_MAX = 2**53
"""Above it a number is text: JSON readers lose its last digits."""
PATH_SPOTS_MAX = 100_000
"""Nodes of all paths that are listed, together."""


class GraphNode(Struct, frozen=True):
    """``level``: 0 for what begins, else one more than the highest before it. ``block``: the node around it."""

    id: str
    kind: str
    block: str
    level: int
    times: NodeTimes | None = None


class Point(Struct, frozen=True):
    """A node where control divides (``to``) or comes together (``to``: from where).

    ``kind`` of a branch point: exclusive, inclusive, deferred, race, parallel; of a convergence point: all (it waits
    for all that come), any (one comes), or the mode of its join.
    """

    node: str
    kind: str
    to: list[str]


class ParallelGroup(Struct, frozen=True):
    """Nodes of a block ("": of the workflow) that may run at the same time. ``kind``: parallel, race, items."""

    block: str
    kind: str
    nodes: list[str]


class CriticalPath(Struct, frozen=True):
    """The way that takes longest by recorded times. What is inside a map or loop is in the time of that."""

    duration_ms: float
    nodes: list[str]


class ProcessedGraph(Struct, frozen=True):
    """``path_count``: text where it is above 2^53. ``runs``: how many runs the recorded times come from."""

    workflow: str
    nodes: list[GraphNode]
    arcs: list[Arc]
    roots: list[str]
    leaves: list[str]
    branch_points: list[Point]
    convergence_points: list[Point]
    parallel_groups: list[ParallelGroup]
    levels: list[list[str]]
    circles: list[list[str]]
    path_count: int | str
    paths: list[list[str]]
    critical_path: CriticalPath | None = None
    runs: int = 0


def processed_graph(
    definition: Definition, *, times: Mapping[str, NodeTimes] | None = None, runs: int = 0, paths_max: int = 10
) -> ProcessedGraph:
    """``times``: recorded ones, of nodes that ran; they give the critical path. ``paths_max``: paths to list."""
    graph = control_graph(definition)
    shape = Shape(list(graph.spots), [(arc.source, arc.target) for arc in graph.arcs if arc.kind != "back"])
    level_of = shape.levels()
    level = {spot: level_of[shape.place[spot]] for spot in graph.spots}
    levels: list[list[str]] = [[] for _ in range(max(level.values(), default=-1) + 1)]
    for spot, number in level.items():
        levels[number].append(spot)
    count = shape.path_count()
    known = times or {}
    incoming, outgoing = _sides(graph)
    return ProcessedGraph(
        definition.workflow,
        [GraphNode(id_, spot.kind, spot.block, level[id_], known.get(id_)) for id_, spot in graph.spots.items()],
        graph.arcs,
        [spot for spot in graph.spots if spot not in incoming],
        [spot for spot in graph.spots if spot not in outgoing],
        [
            Point(spot, _branch_kind(graph, spot, arcs), list(dict.fromkeys(arc.target for arc in arcs)))
            for spot, arcs in outgoing.items()
            if len(arcs) > 1
        ],
        [
            Point(spot, _join_kind(graph, spot, arcs), list(dict.fromkeys(arc.source for arc in arcs)))
            for spot, arcs in incoming.items()
            if len({arc.source for arc in arcs}) > 1
        ],
        [ParallelGroup(group.block, group.kind, list(group.nodes)) for group in graph.groups],
        levels,
        shape.circles(),
        count if count <= EXACT_MAX else str(count),
        _first_paths(shape, paths_max),
        _critical_path(definition, graph, shape, known) if known else None,
        runs,
    )


def _sides(graph: ControlGraph) -> tuple[dict[str, list[Arc]], dict[str, list[Arc]]]:
    """Arcs by target and by source, in order of the text; ways back left out."""
    incoming: dict[str, list[Arc]] = {}
    outgoing: dict[str, list[Arc]] = {}
    for arc in graph.arcs:
        if arc.kind != "back":
            incoming.setdefault(arc.target, []).append(arc)
            outgoing.setdefault(arc.source, []).append(arc)
    ordered = list(graph.spots)
    return {s: incoming[s] for s in ordered if s in incoming}, {s: outgoing[s] for s in ordered if s in outgoing}


def _branch_kind(graph: ControlGraph, spot: str, arcs: list[Arc]) -> str:
    split = graph.spots[spot].split
    if split:
        return {"xor": "exclusive", "or": "inclusive"}.get(split, split)
    if any(arc.kind == "contender" for arc in arcs):
        return "race"
    always = sum(arc.kind not in CHOICES for arc in arcs)
    return "parallel" if always > 1 else "exclusive"


def _join_kind(graph: ControlGraph, spot: str, arcs: list[Arc]) -> str:
    return {"and": "all", "xor": "any", "": "any"}.get(graph.spots[spot].join, graph.spots[spot].join)


def _first_paths(shape: Shape, paths_max: int) -> list[list[str]]:
    """Circles stand in them as ``(a b c)``."""
    names = [found[0] if len(found) == 1 else f"({' '.join(found)})" for found in shape.members]
    found: list[list[str]] = []
    room = PATH_SPOTS_MAX
    for path in islice(shape.paths(), paths_max):
        room -= len(path)
        if room < 0:
            break
        found.append([names[place] for place in path])
    return found


def _critical_path(
    definition: Definition, graph: ControlGraph, shape: Shape, times: Mapping[str, NodeTimes]
) -> CriticalPath:
    holders = {node.id for node in walk(definition.nodes) if children(node) and not isinstance(node, (Map, Loop))}
    nets = {node.id for node in walk(definition.nodes) if isinstance(node, Graph)}
    weights: dict[int, float] = {}
    for spot in graph.spots.values():
        if spot.virtual or spot.repeated or spot.id in nets:
            weights.setdefault(shape.place[spot.id], 0)
        elif spot.id in times:
            own = 0 if spot.id in holders else times[spot.id].mean_ms
            place = shape.place[spot.id]
            weights[place] = weights.get(place, 0) + own
    total, places = shape.longest(weights)
    nodes: list[str] = []
    for place in places:
        nodes += [s for s in shape.members[place] if s in times and not graph.spots[s].repeated and s not in holders]
    return CriticalPath(round(total, 3), nodes)
