"""Cancellation: WCP-19, 20 and 25 to 27."""

from __future__ import annotations

import wfe
from patterns.pattern_model import Pattern, case, ends, send, waits
from patterns.pattern_tasks import a, b, c, d, e


@wfe.workflow
def unless_stopped(wf: wfe.Graph) -> None:
    a()
    with wf.race() as r:
        work = wf.wait_signal("x")
        wf.wait_signal("stop")
    with wf.when(r.won(work)):
        b()
    with wf.otherwise():
        c()
        d()


CANCEL_ACTIVITY = Pattern(
    19,
    "Cancel activity",
    "An activity is withdrawn, before it starts or while it runs.",
    """\
workflow: cancel-activity
nodes:
  - {task: a}
  - {signal: x, id: work}
  - {signal: stop, cancels: [work]}
  - {task: b}
  - {task: c}
  - {task: d}
edges:
  - a -> work -> b
  - a -> signal -> c
  - {from: work, to: d, port: cancelled}
""",
    (
        case("withdrawn: what waits for its end is not run", waits("stop, x", ran="a"), send("stop"), ends(ran="c, d")),
        case(
            "it has ended: nothing is to be withdrawn",
            waits("stop, x", ran="a"),
            send("x"),
            waits("stop", ran="b"),
            send("stop"),
            ends(ran="c"),
        ),
    ),
    unless_stopped,
    (
        case("withdrawn: what waits for its end is not run", waits("stop, x", ran="a"), send("stop"), ends(ran="c, d")),
        case("it has ended: nothing is to be withdrawn", waits("stop, x", ran="a"), send("x"), ends(ran="b")),
    ),
)


@wfe.workflow
def stopped_as_a_whole(wf: wfe.Graph) -> None:
    with wf.parallel():
        with wf.branch():
            wf.wait_signal("x")
            b()
        stop = wf.wait_signal("stop")
        a.with_options(after=[stop], cancels="run")()


CANCEL_CASE = Pattern(
    20,
    "Cancel case",
    "The whole run is withdrawn.",
    """\
workflow: cancel-case
nodes:
  - {signal: x, id: work}
  - {signal: stop}
  - {task: a, cancels: run}
  - {task: b}
edges:
  - work -> b
  - signal -> a
""",
    (
        case("at once", waits("stop, x"), send("stop"), ends(ran="a", status="cancelled")),
        case(
            "after some of it has ended",
            waits("stop, x"),
            send("x"),
            waits("stop", ran="b"),
            send("stop"),
            ends(ran="a", status="cancelled"),
        ),
    ),
    stopped_as_a_whole,
)


@wfe.workflow
def stopped_in_part(wf: wfe.Graph) -> None:
    a()
    with wf.parallel():
        one = wf.wait_signal("x")
        first = b.with_options(after=[one])()
        other = wf.wait_signal("y")
        second = c.with_options(after=[other])()
        stop = wf.wait_signal("stop")
        e.with_options(after=[stop], cancels=[one, first, other, second])()
        with wf.branch():
            wf.wait_signal("z")
            d()


CANCEL_REGION = Pattern(
    25,
    "Cancel region",
    "A set of activities is withdrawn, wherever its threads are; the rest goes on.",
    """\
workflow: cancel-region
regions: {work: [one, b, other, c]}
nodes:
  - {task: a}
  - {signal: x, id: one}
  - {task: b}
  - {signal: y, id: other}
  - {task: c}
  - {signal: z, id: outside}
  - {task: d}
  - {signal: stop}
  - {task: e, cancels: [work]}
edges:
  - a -> one -> b
  - a -> other -> c
  - a -> outside -> d
  - a -> signal -> e
""",
    (
        case(
            "what is inside is gone, what is outside stays",
            waits("stop, x, y, z", ran="a"),
            send("x"),
            waits("stop, y, z", ran="b"),
            send("stop"),
            waits("z", ran="e"),
            send("z"),
            ends(ran="d"),
        ),
    ),
    stopped_in_part,
    (
        case(
            "what is inside is gone, what is outside stays",
            waits("stop, x, y, z", ran="a"),
            send("stop"),
            waits("z", ran="e"),
            send("z"),
            ends(ran="d"),
        ),
    ),
)


@wfe.workflow
def all_instances_stopped(wf: wfe.Graph, items: list[str]) -> None:
    def instance(item: str) -> None:
        wf.wait_signal("part", correlate=item)
        b()

    with wf.race() as r:
        with wf.branch(id="work"):
            wf.map(instance, items)
        wf.wait_signal("stop")
    with wf.when(r.won("work")):
        c()
    with wf.otherwise():
        d()


CANCEL_INSTANCES = Pattern(
    26,
    "Cancel multiple instance activity",
    "All instances that have not ended are withdrawn, and with them what would follow.",
    """\
workflow: cancel-multiple-instance-activity
params: {items: {type: array, items: {type: string}}}
nodes:
  - {map: items, id: work, do: [{signal: part, correlate: "${item}"}, {task: b}]}
  - {task: c}
  - {signal: stop, id: stop}
  - {task: d, cancels: [work]}
edges:
  - work -> c
  - stop -> d
""",
    (
        case(
            "those that have ended stay as they are",
            waits("part u, part v, part w, stop"),
            send("part", correlation="v"),
            waits("part u, part w, stop", ran="b"),
            send("stop"),
            ends(ran="d"),
            given=["u", "v", "w"],
        ),
        case(
            "all have ended",
            waits("part u, stop"),
            send("part", correlation="u"),
            waits("stop", ran="b, c"),
            send("stop"),
            ends(ran="d"),
            given=["u"],
        ),
    ),
    all_instances_stopped,
    (
        case(
            "those that have ended stay as they are",
            waits("part u, part v, part w, stop"),
            send("part", correlation="v"),
            waits("part u, part w, stop", ran="b"),
            send("stop"),
            ends(ran="d"),
            given=["u", "v", "w"],
        ),
        case(
            "all have ended",
            waits("part u, stop"),
            send("part", correlation="u"),
            ends(ran="b, c"),
            given=["u"],
        ),
    ),
)


@wfe.workflow
def instances_until_enough(wf: wfe.Graph, items: list[str]) -> None:
    def instance(item: str) -> None:
        wf.wait_signal("part", correlate=item)
        b()

    with wf.race():
        with wf.branch():
            wf.map(instance, items)
        wf.wait_signal("enough")
    c()
    wf.wait_signal("last")


COMPLETE_INSTANCES = Pattern(
    27,
    "Complete multiple instance activity",
    "The instances that have not ended are withdrawn, and it goes on as if they had.",
    """\
workflow: complete-multiple-instance-activity
params: {items: {type: array, items: {type: string}}}
nodes:
  - map: items
    id: work
    boundary: [{signal: enough, port: enough}]
    do: [{signal: part, correlate: "${item}"}, {task: b}]
  - {task: c, join: each}
  - {signal: last, id: last}
edges:
  - work -> c
  - {from: work, to: c, port: enough}
  - c -> last
""",
    (
        case(
            "what follows starts when enough have ended",
            waits("part u, part v, part w"),
            send("part", correlation="v"),
            waits("part u, part w", ran="b"),
            send("enough"),
            waits("last", ran="c"),
            send("last"),
            ends(),
            given=["u", "v", "w"],
        ),
        case(
            "or when all have",
            waits("part u"),
            send("part", correlation="u"),
            waits("last", ran="b, c"),
            send("last"),
            ends(),
            given=["u"],
        ),
    ),
    instances_until_enough,
    (
        case(
            "what follows starts when enough have ended",
            waits("enough, part u, part v"),
            send("part", correlation="v"),
            waits("enough, part u", ran="b"),
            send("enough"),
            waits("last", ran="c"),
            send("last"),
            ends(),
            given=["u", "v"],
        ),
    ),
)

PATTERNS = (CANCEL_ACTIVITY, CANCEL_CASE, CANCEL_REGION, CANCEL_INSTANCES, COMPLETE_INSTANCES)
