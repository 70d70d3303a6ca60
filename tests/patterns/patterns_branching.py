"""Advanced branching and synchronization, first part: choices, merges and discriminators (WCP-6 to 9, 28, 29)."""

from __future__ import annotations

import wfe
from patterns.pattern_model import Pattern, case, ends, send, waits
from patterns.pattern_tasks import a, b, c, d, e


@wfe.workflow
def chosen_by_each(wf: wfe.Graph, left: bool, right: bool) -> None:
    a()
    with wf.parallel():
        with wf.when(left):
            b()
        with wf.when(right):
            c()
        with wf.when(wf.not_(left) & wf.not_(right)):
            d()


MULTI_CHOICE = Pattern(
    6,
    "Multi-choice",
    "Of several branches each is taken whose own condition holds.",
    """\
workflow: multi-choice
params: {left: boolean, right: boolean}
nodes:
  - {task: a, split: or}
  - {task: b}
  - {task: c}
  - {task: d}
edges:
  - {from: a, to: b, when: left}
  - {from: a, to: c, when: right}
  - {from: a, to: d, default: true}
""",
    (
        case("both", ends(ran="a, b, c"), given={"left": True, "right": True}),
        case("only one", ends(ran="a, c"), given={"left": False, "right": True}),
        case("none: the default", ends(ran="a, d"), given={"left": False, "right": False}),
    ),
    chosen_by_each,
)


@wfe.workflow
def merged_in_structure(wf: wfe.Graph, left: bool, right: bool) -> None:
    a()
    with wf.parallel():
        with wf.when(left):
            wf.wait_signal("x")
        with wf.when(right):
            wf.wait_signal("y")
    d()


STRUCTURED_MERGE = Pattern(
    7,
    "Structured synchronizing merge",
    "After a multi-choice: waits for those branches that were taken, and for no others.",
    """\
workflow: structured-synchronizing-merge
params: {left: boolean, right: boolean}
nodes:
  - {task: a, split: or}
  - {signal: x, id: one}
  - {signal: y, id: other}
  - {task: c}
  - {task: d, join: or}
edges:
  - {from: a, to: one, when: left}
  - {from: a, to: other, when: right}
  - {from: a, to: c, default: true}
  - one -> d
  - other -> d
""",
    (
        case(
            "two taken: it waits for both",
            waits("x, y", ran="a"),
            send("x"),
            waits("y"),
            send("y"),
            ends(ran="d"),
            given={"left": True, "right": True},
        ),
        case(
            "one taken: it waits for that alone",
            waits("y", ran="a"),
            send("y"),
            ends(ran="d"),
            given={"left": False, "right": True},
        ),
    ),
    merged_in_structure,
)


@wfe.workflow
def merged_each_time(wf: wfe.Graph) -> None:
    with wf.parallel():
        one = wf.wait_signal("x")
        other = wf.wait_signal("y")
        d.with_options(after=[one, other], join="each")()


MULTI_MERGE = Pattern(
    8,
    "Multi-merge",
    "Every thread that comes starts the activity once more.",
    """\
workflow: multi-merge
nodes:
  - {signal: x, id: one}
  - {signal: y, id: other}
  - {task: d, join: each}
edges:
  - one -> d
  - other -> d
""",
    (
        case("it runs twice", waits("x, y"), send("x"), waits("y", ran="d"), send("y"), ends(ran="d")),
        case(
            "also for threads that come together",
            waits("x, y"),
            send("y"),
            send("x"),
            ends(ran="d, d"),
        ),
    ),
    merged_each_time,
)


@wfe.workflow
def first_of_two(wf: wfe.Graph) -> None:
    a()
    with wf.parallel():
        one = wf.wait_signal("x")
        other = wf.wait_signal("y")
        d.with_options(after=[one, other], join="any")()
    e()


DISCRIMINATOR = Pattern(
    9,
    "Structured discriminator",
    "The first thread to come starts the activity; the others are awaited in silence, and then it is ready again.",
    """\
workflow: structured-discriminator
nodes:
  - {task: a, join: each}
  - {signal: x, id: one}
  - {signal: y, id: other}
  - {task: d, join: any}
  - {signal: again, id: again, split: xor}
  - {task: e}
edges:
  - a -> one -> d
  - a -> other -> d
  - d -> again
  - {from: again, to: a, when: again}
  - {from: again, to: e, default: true}
entry: a
""",
    (
        case(
            "the second does not fire again, and the next round begins anew",
            waits("x, y", ran="a"),
            send("x"),
            waits("again, y", ran="d"),
            send("y"),
            waits("again"),
            send("again", True),
            waits("x, y", ran="a"),
            send("y"),
            waits("again, x", ran="d"),
            send("x"),
            waits("again"),
            send("again", False),
            ends(ran="e"),
        ),
    ),
    first_of_two,
    (
        case(
            "the second does not fire again, and is awaited",
            waits("x, y", ran="a"),
            send("y"),
            waits("x", ran="d"),
            send("x"),
            ends(ran="e"),
        ),
    ),
)

BLOCKING_DISCRIMINATOR = Pattern(
    28,
    "Blocking discriminator",
    "A discriminator that keeps what comes again by the same branch until all branches have come once.",
    """\
workflow: blocking-discriminator
nodes:
  - {task: a}
  - {signal: x, id: one, join: each}
  - {signal: y, id: other, join: each}
  - {task: d, join: {n: 1, rest: block}}
edges:
  - {from: a, to: one, weight: 2}
  - {from: a, to: other, weight: 2}
  - one -> d
  - other -> d
""",
    (
        case(
            "what comes twice waits for the next round",
            waits("x, x, y, y", ran="a"),
            send("x"),
            waits("x, y, y", ran="d"),
            send("x"),
            waits("y, y"),
            send("y"),
            waits("y", ran="d"),
            send("y"),
            ends(),
        ),
        case(
            "rounds that are complete need nothing kept",
            waits("x, x, y, y", ran="a"),
            send("x"),
            waits("x, y, y", ran="d"),
            send("y"),
            waits("x, y"),
            send("y"),
            waits("x", ran="d"),
            send("x"),
            ends(),
        ),
    ),
)


@wfe.workflow
def first_cancels_rest(wf: wfe.Graph) -> None:
    a()
    with wf.race():
        wf.wait_signal("x")
        wf.wait_signal("y")
    d()
    wf.wait_signal("z")


CANCELLING_DISCRIMINATOR = Pattern(
    29,
    "Cancelling discriminator",
    "The first thread to come starts the activity and withdraws the others.",
    """\
workflow: cancelling-discriminator
nodes:
  - {task: a}
  - {signal: x, id: one}
  - {signal: y, id: other}
  - {task: d, join: {n: 1, rest: cancel}}
  - {signal: z}
edges:
  - a -> one -> d
  - a -> other -> d
  - d -> signal
""",
    (
        case(
            "the second is not awaited any more",
            waits("x, y", ran="a"),
            send("x"),
            waits("z", ran="d"),
            send("z"),
            ends(),
        ),
        case(
            "nor the first, if the second comes first",
            waits("x, y", ran="a"),
            send("y"),
            waits("z", ran="d"),
            send("z"),
            ends(),
        ),
    ),
    first_cancels_rest,
)

PATTERNS = (
    MULTI_CHOICE,
    STRUCTURED_MERGE,
    MULTI_MERGE,
    DISCRIMINATOR,
    BLOCKING_DISCRIMINATOR,
    CANCELLING_DISCRIMINATOR,
)
