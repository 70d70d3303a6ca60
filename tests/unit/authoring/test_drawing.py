from __future__ import annotations

import re
from itertools import pairwise
from xml.etree import ElementTree

from wfe.authoring.drawing import to_dot, to_mermaid, to_svg
from wfe.authoring.drawing.layout import place_group
from wfe.authoring.drawing.sketch import shorten, sketch
from wfe.model.definition import (
    Block,
    Boundary,
    Branch,
    Definition,
    Edge,
    Fail,
    Graph,
    Join,
    Map,
    Node,
    Parallel,
    Set,
    Task,
    When,
)

SVG = "{http://www.w3.org/2000/svg}"
NASTY = 'a"b\\c<d>&e\n;{}[]#|`--> é\x00\u2028'


def flow(*nodes: Node, workflow: str = "flow") -> Definition:
    return Definition(workflow=workflow, nodes=nodes)


def task(id_: str, **with_: str) -> Task:
    return Task(id=id_, task=id_, with_=with_)


EXAMPLE = flow(
    task("a"),
    When(id="big", branches=(Branch("a > 1", (task("b"),)), Branch(None, (Fail(id="f", error="Small"),)))),
    Map(id="each", items="a", do=(task("c", x="${item}"),)),
)


def test_mermaid_shows_blocks_as_subgraphs_and_conditions_as_labels():
    assert to_mermaid(EXAMPLE) == (
        "flowchart TD\n"
        '  begin(("flow"))\n'
        "  finish(((end)))\n"
        '  n1["<b>a</b>"]\n'
        '  subgraph n2["<b>big</b><br/>when"]\n'
        '    subgraph n3["a #62; 1"]\n'
        '      n4["<b>b</b>"]\n'
        "    end\n"
        '    subgraph n5["otherwise"]\n'
        '      n6{{"<b>f</b><br/>fail Small"}}\n'
        "    end\n"
        "  end\n"
        '  subgraph n7["<b>each</b><br/>map item in a"]\n'
        '    n9["<b>c</b>"]\n'
        "  end\n"
        "  n1 --> n2\n"
        "  n2 --> n7\n"
        "  begin --> n1\n"
        "  n7 --> finish\n"
    )


def test_dot_ties_arrows_of_blocks_to_a_node_inside_and_clips_them_at_the_border():
    text = to_dot(EXAMPLE)
    assert "n1 -> n4 [lhead=cluster_n2];" in text
    assert "n4 -> n9 [ltail=cluster_n2, lhead=cluster_n7];" in text
    assert "n9 -> finish [ltail=cluster_n7];" in text
    assert text.count("{") == text.count("}")


def test_arrows_follow_what_the_engine_waits_for():
    parallel = Parallel(id="p", do=(task("a"), task("b", x="${a}"), Block(id="c", do=(task("d", y="${b}"),))))
    (box,) = sketch(flow(parallel)).boxes
    titles = {inner.name: inner.title for inner in box.groups[0].boxes}
    assert [(titles[a], titles[b]) for a, b in box.groups[0].arrows] == [("a", "b"), ("b", "c")]
    after = (task("a"), Task(id="b", task="b", after=()), Task(id="c", task="c", after=("a", "b")))
    group = sketch(flow(*after))
    assert [box.title for box in group.first] == ["a", "b"]
    assert [box.title for box in group.last] == ["c"]


def test_a_definition_with_a_broken_expression_still_has_a_picture():
    broken = flow(Parallel(id="p", do=(task("a", x="${1 +}"), task("b"))))
    assert all(draw(broken) for draw in (to_svg, to_dot, to_mermaid))


def test_no_text_of_the_author_can_break_a_picture():
    definition = flow(
        When(id="w", branches=(Branch(NASTY, (Set(id="s", value=NASTY),)),)),
        Fail(id="f", error=NASTY, message=NASTY),
        workflow=NASTY,
    )
    tree = ElementTree.fromstring(to_svg(definition))
    assert shorten(NASTY, 46) in [text.text for text in tree.iter(f"{SVG}text")]
    for line in to_mermaid(definition).splitlines():
        label = re.search(r'"(.*)"', line)
        assert label is None or not re.search(r'["\\{}\[\]|`]', label[1])
    for line in to_dot(definition).splitlines():
        assert len(re.findall(r'(?<!\\)(?:\\\\)*"', line)) % 2 == 0


def test_svg_needs_nothing_from_elsewhere():
    tree = ElementTree.fromstring(to_svg(EXAMPLE))
    assert tree.attrib["role"] == "img"
    assert not [each for each in tree.iter() if each.tag in (f"{SVG}script", f"{SVG}image", f"{SVG}use")]


def test_a_box_is_below_what_it_follows_and_a_long_arrow_keeps_clear_of_the_boxes_between():
    nodes = (task("a"), task("b", x="${a}"), task("c", x="${b}"), task("d", x="${a}", y="${c}"))
    (box,) = sketch(flow(Parallel(id="p", do=nodes))).boxes
    placed = place_group(box.groups[0])
    tops = {item.box.title: item.y for item in placed.boxes}
    assert tops["a"] < tops["b"] < tops["c"] < tops["d"]
    names = {item.box.title: item.box.name for item in placed.boxes}
    long = next(
        points
        for points, arrow in zip(placed.arrows, placed.group.arrows, strict=True)
        if arrow == (names["a"], names["d"])
    )
    for x, y in long[1:-1]:
        for item in placed.boxes:
            if item.box.title in ("b", "c"):
                assert not (item.x < x < item.x + item.width and item.y < y < item.y + item.height)


def test_long_labels_are_cut():
    assert shorten("x" * 100, 10) == "x" * 9 + "…"
    assert shorten("two\n lines") == "two lines"


def test_nodes_that_wait_for_each_other_are_drawn_all_the_same():
    circle = flow(
        task("z"),
        Task(id="a", task="a", after=("z", "c")),
        Task(id="b", task="b", after=("a",)),
        Task(id="c", task="c", after=("b",)),
    )
    assert all(draw(circle) for draw in (to_svg, to_dot, to_mermaid))


EVENTS = (Boundary("late", 60_000), Boundary("stopped", signal="stop"))
NET = Graph(
    id="net",
    do=(
        Task(
            id="a", task="a", join=Join("xor"), boundary=(Boundary("late", 60_000), Boundary("stopped", signal="stop"))
        ),
        Task(id="b", task="b", split="xor"),
        Task(id="c", task="c", join=Join("n", n=2, rest="cancel"), cancels=("a",)),
        Task(id="d", task="d", enabled_while='active("a")'),
        Fail(id="f", error="Late"),
    ),
    edges=(
        Edge("a", "b"),
        Edge("b", "c", when="b > 1", weight=2),
        Edge("b", "a", default=True),
        Edge("b", "c", port="error", errors=("Boom", "Bang")),
        Edge("a", "f", port="late"),
        Edge("a", "d", port="stopped"),
        Edge("c", "c", port="cancelled"),
    ),
    entry=("a",),
    regions={"rest": ("d", "f")},
)


def test_a_net_that_is_all_of_a_workflow_is_drawn_without_a_frame_from_its_entry():
    text = to_mermaid(flow(NET))
    assert "subgraph" not in text
    assert text.count("begin -->") == 1
    assert "begin --> n1" in text


def test_arrows_say_when_they_are_taken_and_boxes_what_they_need():
    text = to_mermaid(flow(NET))
    for words in (
        "b #62; 1 · ×2 #124; error Boom, Bang",
        "else",
        "late after 1m",
        "stopped by stop",
        "<b>a</b><br/>join each",
        "<b>b</b><br/>split xor",
        "<b>c</b><br/>join 2, cancel the rest · cancels a",
        "<b>d</b><br/>only while active(#34;a#34;) · in rest",
        "<b>f</b><br/>fail Late<br/>in rest",
    ):
        assert words in text
    assert 'label="else"' in to_dot(flow(NET))
    texts = [text.text for text in ElementTree.fromstring(to_svg(flow(NET))).iter(f"{SVG}text")]
    assert {"else", "late after 1m", "join each"} <= set(texts)


def test_a_map_says_when_it_does_not_wait_for_all_its_items():
    grown = Map(id="m", items="a", grow="more", complete_when="done > 2", do=(task("c"),))
    assert "item in a<br/>grows by more · until done #62; 2" in to_mermaid(flow(grown))
    assert "item in a<br/>until 2 ended" in to_mermaid(flow(Map(id="m", items="a", complete_after=2, do=(task("c"),))))


def test_what_closes_a_circle_goes_back_on_the_right_of_everything_and_what_ends_early_passes_the_boxes_below():
    group = sketch(flow(NET))
    titles = {box.name: box.title for box in group.boxes}
    assert {(titles[source], titles[target]) for source, target in group.back()} == {("b", "a"), ("c", "c")}
    placed = place_group(group)
    assert len(placed.back) == 2
    right = max(item.x + item.width for item in placed.boxes)
    for number in placed.back:
        points = placed.arrows[number]
        assert max(x for x, _ in points) > right
        assert all(before[0] == after[0] or before[1] == after[1] for before, after in pairwise(points))
    boxes = {item.box.title: item for item in placed.boxes}
    names = {title: name for name, title in titles.items()}
    assert boxes["a"].y < boxes["b"].y < boxes["c"].y
    assert max(y for _, y in placed.exits[names["d"]]) >= boxes["c"].y
