"""The processed graph: what begins, divides, comes together, ends; levels, paths, the critical path."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from wfe.authoring.yaml_reader import read_definitions
from wfe.core.study import NodeTimes, ProcessedGraph, processed_graph
from wfe.core.study.shape import Shape
from wfe.model.definition import Definition, Parallel, Set, Task


def drawn(nodes: str, **options: Any) -> ProcessedGraph:
    [definition] = read_definitions(f"workflow: flow\nparams: {{n: integer}}\nnodes:\n{nodes}", "flow.yaml")
    return processed_graph(definition, **options)


def arcs(graph: ProcessedGraph) -> list[tuple[str, str, str]]:
    return [(arc.source, arc.target, arc.kind) for arc in graph.arcs]


def test_a_line_is_one_path_with_one_node_per_level() -> None:
    graph = drawn("- {task: a}\n- {task: b}\n- {task: c}")
    assert (graph.roots, graph.leaves) == (["a"], ["c"])
    assert graph.levels == [["a"], ["b"], ["c"]]
    assert (graph.path_count, graph.paths) == (1, [["a", "b", "c"]])
    assert (graph.branch_points, graph.convergence_points, graph.parallel_groups) == ([], [], [])


def test_a_choice_divides_and_its_branches_come_together() -> None:
    graph = drawn(
        "- {when: n > 1, id: w, do: [{task: a}]}\n- {otherwise: n > 0, do: [{task: b}, {task: c}]}\n- {task: d}"
    )
    assert arcs(graph) == [
        ("w", "a", "branch"),
        ("w", "b", "branch"),
        ("w", "d", "skipped"),
        ("a", "d", "order"),
        ("b", "c", "order"),
        ("c", "d", "order"),
    ]
    [point] = graph.branch_points
    assert (point.node, point.kind, point.to) == ("w", "exclusive", ["a", "b", "d"])
    [point] = graph.convergence_points
    assert (point.node, point.kind, point.to) == ("d", "any", ["w", "a", "c"])
    assert graph.paths == [["w", "a", "d"], ["w", "b", "c", "d"], ["w", "d"]]
    assert graph.levels == [["w"], ["a", "b"], ["c"], ["d"]]


def test_parallel_nodes_are_a_group_and_what_follows_waits_for_all() -> None:
    graph = drawn("- {parallel: [{task: a}, {task: b, after: [a]}, {task: c}], id: p}\n- {task: d}")
    assert [(group.block, group.kind, group.nodes) for group in graph.parallel_groups] == [
        ("p", "parallel", ["a", "c"])
    ]
    assert [(point.node, point.kind) for point in graph.branch_points] == [("p", "parallel")]
    assert [(point.node, point.kind, point.to) for point in graph.convergence_points] == [("d", "all", ["b", "c"])]
    assert graph.path_count == 2


def test_a_race_a_map_and_a_catch_have_their_own_kinds() -> None:
    graph = drawn(
        "- {race: [{task: a}, {sleep: 1h, id: s}], id: r}\n"
        "- {map: '[1, 2]', id: m, do: [{task: b}]}\n"
        "- {catch: [X], id: c, do: [{task: d}]}\n- {task: e}"
    )
    kinds = {group.block: group.kind for group in graph.parallel_groups}
    assert kinds == {"r": "race", "m": "items"}
    assert {point.node: point.kind for point in graph.branch_points} == {"r": "race", "c": "exclusive"}
    assert ("c", "e", "caught") in arcs(graph)
    assert graph.path_count == 4


def test_what_ends_the_run_is_a_leaf_and_so_is_a_choice_at_the_end() -> None:
    graph = drawn("- {when: n > 1, id: w, do: [{end: 1, id: stop}]}\n- {when: n > 0, id: v, do: [{task: a}]}")
    assert graph.leaves == ["stop", "workflow.end"]
    assert graph.paths == [
        ["w", "stop"],
        ["w", "v", "a", "workflow.end"],
        ["w", "v", "workflow.end"],
    ]


def test_a_loop_leads_back_and_is_passed_once() -> None:
    graph = drawn(
        "- {loop: {while: 'n > 0'}, id: l, do: [{task: a}, {break_if: 'true', id: x}, {task: b}]}\n- {task: c}"
    )
    assert ("b", "l", "back") in arcs(graph)
    assert ("x", "c", "break") in arcs(graph)
    assert graph.paths == [["l", "a", "x", "b", "c"], ["l", "a", "x", "c"]]
    assert graph.circles == []


def test_a_circle_of_a_net_counts_as_one_place() -> None:
    graph = drawn(
        "- {task: a}\n- {task: b, join: xor, split: xor}\n- {task: c}\n- {task: d}\n"
        "edges: [a -> b -> c, {from: c, to: b}, {from: b, to: d, when: n > 1}]"
    )
    assert graph.circles == [["b", "c"]]
    assert graph.paths == [["graph", "a", "(b c)", "d"]]
    assert {point.node: point.kind for point in graph.branch_points} == {"b": "exclusive"}
    assert {point.node: point.kind for point in graph.convergence_points} == {"b": "any"}
    assert graph.levels == [["graph"], ["a"], ["b", "c"], ["d"]]


def test_a_bypassed_block_leads_on() -> None:
    graph = drawn("- {parallel: [{task: a}, {task: b}], id: p, if: n > 1}\n- {task: c}")
    assert ("p", "c", "bypassed") in arcs(graph)
    assert graph.path_count == 3


def test_many_ends_before_many_followers_do_not_multiply() -> None:
    wide = Parallel(id="p", do=tuple(Task(id=f"a{i}", task="t") for i in range(1_000)))
    after = tuple(Set(id=f"b{i}", value=i, after=("p",)) for i in range(1_000))
    graph = processed_graph(Definition("flow", nodes=(wide, *after)), paths_max=2)
    assert len(graph.arcs) < 4_000
    assert graph.path_count == 1_000_000
    assert graph.paths == [["p", "a0", "p.end", "b0"], ["p", "a0", "p.end", "b1"]]


def test_the_number_of_paths_may_be_astronomic() -> None:
    nodes = "\n".join(f"- {{when: n > {i}, id: w{i}, do: [{{task: t, id: t{i}}}]}}" for i in range(100))
    graph = drawn(nodes, paths_max=3)
    assert graph.path_count == str(2**100)
    assert len(graph.paths) == 3


def test_a_long_line_is_no_problem() -> None:
    nodes = tuple(Set(id=f"a{i}", value=i) for i in range(10_000))
    assert len(processed_graph(Definition("flow", nodes=nodes)).levels) == 10_000


def test_the_critical_path_goes_through_what_took_longest() -> None:
    times = {"p": 900.0, "a": 10.0, "b": 30.0, "c": 25.0, "m": 50.0, "d": 50.0, "e": 1.0}
    graph = drawn(
        "- {parallel: [{task: a}, {branch: [{task: b}]}, {task: c}], id: p}\n- {map: '[1]', id: m, do: [{task: d}]}\n"
        "- {when: n > 1, id: w, do: [{task: never}]}\n- {task: e}",
        times={node: NodeTimes(1, ms, int(ms)) for node, ms in {**times, "branch": 30.0, "w": 0.0}.items()},
        runs=1,
    )
    assert graph.critical_path is not None
    assert graph.critical_path.nodes == ["b", "m", "e"]
    assert graph.critical_path.duration_ms == 81, "blocks count by what is inside them, maps as a whole"


@st.composite
def acyclic(draw: st.DrawFn) -> tuple[list[str], list[tuple[str, str]]]:
    size = draw(st.integers(1, 8))
    spots = [f"s{i}" for i in range(size)]
    pairs = [(spots[i], spots[j]) for i in range(size) for j in range(i + 1, size) if draw(st.booleans())]
    return spots, pairs


def every_path(spots: list[str], pairs: list[tuple[str, str]]) -> list[list[str]]:
    after = {spot: [target for source, target in pairs if source == spot] for spot in spots}
    begins = [spot for spot in spots if all(target != spot for _, target in pairs)]

    def go(path: list[str]) -> list[list[str]]:
        targets = after[path[-1]]
        return [found for target in targets for found in go([*path, target])] if targets else [path]

    return [found for begin in begins for found in go([begin])]


@given(acyclic(), st.data())
def test_paths_levels_and_the_longest_way_are_what_enumeration_gives(
    graph: tuple[list[str], list[tuple[str, str]]], data: st.DataObject
) -> None:
    spots, pairs = graph
    shape = Shape(spots, pairs)
    expected = every_path(spots, pairs)
    assert shape.path_count() == len(expected)
    found = [[shape.members[place][0] for place in path] for path in shape.paths()]
    assert sorted(found) == sorted(expected)
    levels = shape.levels()
    for spot in spots:
        ways = [path.index(spot) for path in expected if spot in path]
        assert levels[shape.place[spot]] == max(ways)
    weights = {spot: data.draw(st.integers(0, 9)) for spot in spots}
    total, way = shape.longest({shape.place[spot]: weight for spot, weight in weights.items()})
    assert total == max(sum(weights[spot] for spot in path) for path in expected)
    assert sum(weights[shape.members[place][0]] for place in way) == total


@given(st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=20))
def test_circles_are_what_leads_back_to_itself(numbers: list[tuple[int, int]]) -> None:
    spots = [str(number) for number in range(7)]
    pairs = [(str(one), str(two)) for one, two in numbers]
    shape = Shape(spots, pairs)

    def reach(start: str) -> set[str]:
        found: set[str] = set()
        todo = [start]
        while todo:
            here = todo.pop()
            for source, target in pairs:
                if source == here and target not in found:
                    found.add(target)
                    todo.append(target)
        return found

    reached = {spot: reach(spot) for spot in spots}
    circular = {spot for spot in spots if spot in reached[spot]}
    assert {spot for circle in shape.circles() for spot in circle} == circular
    for circle in shape.circles():
        assert all(other in reached[spot] for spot in circle for other in circle)
    for source, targets in enumerate(shape.after):
        assert all(source < target for target in targets), "places are in topological order"


def test_a_definition_that_is_not_valid_has_a_graph_all_the_same() -> None:
    broken = Definition("flow", nodes=(Task(id="a", task="a", after=("b",)), Task(id="b", task="b", after=("a", "x"))))
    graph = processed_graph(broken)
    assert graph.circles == [["a", "b"]]
    assert graph.path_count == 1
