"""State-based patterns: WCP-16 to 18, 39, 40."""

from __future__ import annotations

import wfe
from patterns.pattern_model import Pattern, case, ends, send, waits
from patterns.pattern_tasks import a, b, c, d


@wfe.workflow
def whichever_comes_first(wf: wfe.Graph) -> None:
    a()
    with wf.race():
        with wf.branch():
            wf.wait_signal("x")
            b()
        with wf.branch():
            wf.wait_signal("y")
            c()
    wf.wait_signal("last")


DEFERRED_CHOICE = Pattern(
    16,
    "Deferred choice",
    "Several branches are offered; the first that something happens to is taken, and the others are withdrawn.",
    """\
workflow: deferred-choice
nodes:
  - {task: a, split: deferred}
  - {signal: x, id: one}
  - {signal: y, id: other}
  - {task: b}
  - {task: c}
  - {signal: last, join: each}
edges:
  - a -> one -> b -> signal
  - a -> other -> c -> signal
""",
    (
        case(
            "the first",
            waits("x, y", ran="a"),
            send("x"),
            waits("last", ran="b"),
            send("last"),
            ends(),
        ),
        case(
            "the other; what comes later for the first is too late",
            waits("x, y", ran="a"),
            send("y"),
            send("x"),
            waits("last", ran="c"),
            send("last"),
            ends(),
        ),
    ),
    whichever_comes_first,
    (
        case(
            "the first",
            waits("x, y", ran="a"),
            send("x"),
            waits("last", ran="b"),
            send("last"),
            ends(),
        ),
        case(
            "the other",
            waits("x, y", ran="a"),
            send("y"),
            waits("last", ran="c"),
            send("last"),
            ends(),
        ),
    ),
)


@wfe.workflow
def at_one_desk(wf: wfe.Graph) -> None:
    with wf.parallel():
        with wf.branch():
            with wf.lock("desk", per_run=1):
                wf.wait_signal("x")
                a()
            with wf.lock("desk", per_run=1):
                wf.wait_signal("y")
                b()
        with wf.branch(), wf.lock("desk", per_run=1):
            wf.wait_signal("z")
            c()
    d()


INTERLEAVED_PARALLEL = Pattern(
    17,
    "Interleaved parallel routing",
    "Activities with an order between some of them; each runs once, and no two at the same time.",
    """\
workflow: interleaved-parallel-routing
locks: {desk: 1}
nodes:
  - parallel:
      - {lock: desk, id: first, do: [{signal: x}, {task: a}]}
      - {lock: desk, id: second, after: [first], do: [{signal: y}, {task: b}]}
      - {lock: desk, id: third, do: [{signal: z}, {task: c}]}
  - {task: d}
""",
    (
        case(
            "one after the other, the second not before the first",
            waits("x"),
            send("x"),
            waits("z", ran="a"),
            send("z"),
            waits("y", ran="c"),
            send("y"),
            ends(ran="b, d"),
        ),
        case(
            "what is ready waits for what is at work",
            waits("x"),
            send("z"),
            send("y"),
            waits("x"),
            send("x"),
            ends(ran="a, b, c, d"),
        ),
    ),
    at_one_desk,
)

MILESTONE = Pattern(
    18,
    "Milestone",
    "An activity may start only while another branch is at a certain point.",
    """\
workflow: milestone
nodes:
  - {task: a}
  - {signal: open, id: before}
  - {signal: close, id: opened}
  - {task: c}
  - {signal: x, id: asked}
  - {task: b, enabled_while: active("opened")}
edges:
  - a -> before -> opened -> c
  - a -> asked -> b
""",
    (
        case(
            "not before",
            waits("open, x", ran="a"),
            send("x"),
            waits("open"),
            send("open"),
            waits("close", ran="b"),
            send("close"),
            ends(ran="c"),
        ),
        case(
            "at it",
            waits("open, x", ran="a"),
            send("open"),
            waits("close, x"),
            send("x"),
            waits("close", ran="b"),
            send("close"),
            ends(ran="c"),
        ),
        case(
            "not after: the run says what it lacks",
            waits("open, x", ran="a"),
            send("open"),
            send("close"),
            waits("x", ran="c"),
            send("x"),
            ends(error="stuck", says='b waits: 1 token until active("opened")'),
        ),
    ),
)


@wfe.workflow
def alone_in_there(wf: wfe.Graph) -> None:
    with wf.parallel():
        with wf.lock("desk", per_run=1):
            wf.wait_signal("x")
            a()
            wf.wait_signal("y")
            b()
        with wf.lock("desk", per_run=1):
            wf.wait_signal("z")
            c()


CRITICAL_SECTION = Pattern(
    39,
    "Critical section",
    "Of several parts of a process, each of several activities, only one is under way at any time.",
    """\
workflow: critical-section
locks: {desk: 1}
nodes:
  - parallel:
      - {lock: desk, id: first, do: [{signal: x}, {task: a}, {signal: y}, {task: b}]}
      - {lock: desk, id: second, do: [{signal: z}, {task: c}]}
""",
    (
        case(
            "nobody comes in between",
            waits("x"),
            send("z"),
            send("x"),
            waits("y", ran="a"),
            send("y"),
            ends(ran="b, c"),
        ),
        case(
            "the next one comes in when all of it has ended",
            waits("x"),
            send("x"),
            waits("y", ran="a"),
            send("y"),
            waits("z", ran="b"),
            send("z"),
            ends(ran="c"),
        ),
    ),
    alone_in_there,
)


@wfe.workflow
def in_any_order(wf: wfe.Graph) -> None:
    with wf.parallel():
        for name, work in (("x", a), ("y", b), ("z", c)):
            with wf.branch():
                wf.wait_signal(name)
                with wf.lock("desk", per_run=1):
                    work()
                    wf.wait_signal(f"{name}_done")
    d()


INTERLEAVED = Pattern(
    40,
    "Interleaved routing",
    "Activities that run in any order, each once, and no two at the same time.",
    """\
workflow: interleaved-routing
locks: {desk: 1}
nodes:
  - parallel:
      - branch: [{signal: x}, {lock: desk, id: first, do: [{task: a}, {signal: x_done}]}]
      - branch: [{signal: y}, {lock: desk, id: second, do: [{task: b}, {signal: y_done}]}]
      - branch: [{signal: z}, {lock: desk, id: third, do: [{task: c}, {signal: z_done}]}]
  - {task: d}
""",
    (
        case(
            "in the order in which they are asked for",
            waits("x, y, z"),
            send("y"),
            waits("x, y_done, z", ran="b"),
            send("z"),
            send("x"),
            waits("y_done"),
            send("y_done"),
            waits("z_done", ran="c"),
            send("z_done"),
            waits("x_done", ran="a"),
            send("x_done"),
            ends(ran="d"),
        ),
    ),
    in_any_order,
)

PATTERNS = (DEFERRED_CHOICE, INTERLEAVED_PARALLEL, MILESTONE, CRITICAL_SECTION, INTERLEAVED)
