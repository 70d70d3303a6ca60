"""Advanced branching and synchronization, second part: partial joins, merges of any structure, threads (WCP-30 to 33,
37, 38, 41, 42)."""

from __future__ import annotations

import wfe
from patterns.pattern_model import Pattern, case, ends, send, waits
from patterns.pattern_tasks import a, d, e


@wfe.workflow
def two_of_three(wf: wfe.Graph) -> None:
    a()
    with wf.parallel():
        one = wf.wait_signal("x")
        other = wf.wait_signal("y")
        third = wf.wait_signal("z")
        d.with_options(after=[one, other, third], join=2)()
    e()


PARTIAL_JOIN = Pattern(
    30,
    "Structured partial join",
    "The n-th of m threads starts the activity; the others are awaited in silence, and then it is ready again.",
    """\
workflow: structured-partial-join
nodes:
  - {task: a, join: each}
  - {signal: x, id: one}
  - {signal: y, id: other}
  - {signal: z, id: third}
  - {task: d, join: 2}
  - {signal: again, id: again, split: xor}
  - {task: e}
edges:
  - a -> one -> d
  - a -> other -> d
  - a -> third -> d
  - d -> again
  - {from: again, to: a, when: again}
  - {from: again, to: e, default: true}
entry: a
""",
    (
        case(
            "the third does not fire again, and the next round begins anew",
            waits("x, y, z", ran="a"),
            send("x"),
            waits("y, z"),
            send("y"),
            waits("again, z", ran="d"),
            send("z"),
            waits("again"),
            send("again", True),
            waits("x, y, z", ran="a"),
            send("z"),
            waits("x, y"),
            send("x"),
            waits("again, y", ran="d"),
            send("y"),
            waits("again"),
            send("again", False),
            ends(ran="e"),
        ),
    ),
    two_of_three,
    (
        case(
            "the third does not fire again, and is awaited",
            waits("x, y, z", ran="a"),
            send("z"),
            waits("x, y"),
            send("x"),
            waits("y", ran="d"),
            send("y"),
            ends(ran="e"),
        ),
    ),
)

BLOCKING_PARTIAL_JOIN = Pattern(
    31,
    "Blocking partial join",
    "A partial join that keeps what comes again by the same branch until all branches have come once.",
    """\
workflow: blocking-partial-join
nodes:
  - {task: a}
  - {signal: x, id: one, join: each}
  - {signal: y, id: other, join: each}
  - {signal: z, id: third, join: each}
  - {task: d, join: {n: 2, rest: block}}
edges:
  - {from: a, to: one, weight: 2}
  - {from: a, to: other, weight: 2}
  - {from: a, to: third, weight: 2}
  - one -> d
  - other -> d
  - third -> d
""",
    (
        case(
            "one branch twice is not two branches, and what comes again waits for the next round",
            waits("x, x, y, y, z, z", ran="a"),
            send("x"),
            send("x"),
            waits("y, y, z, z"),
            send("y"),
            waits("y, z, z", ran="d"),
            send("y"),
            waits("z, z"),
            send("z"),
            waits("z", ran="d"),
            send("z"),
            ends(),
        ),
    ),
)


@wfe.workflow
def two_cancel_third(wf: wfe.Graph) -> None:
    a()
    with wf.parallel():
        one = wf.wait_signal("x")
        other = wf.wait_signal("y")
        third = wf.wait_signal("z")
        d.with_options(after=[one, other, third], join={"n": 2, "rest": "cancel"})()
    wf.wait_signal("last")


CANCELLING_PARTIAL_JOIN = Pattern(
    32,
    "Cancelling partial join",
    "The n-th of m threads starts the activity and withdraws the others.",
    """\
workflow: cancelling-partial-join
nodes:
  - {task: a}
  - {signal: x, id: one}
  - {signal: y, id: other}
  - {signal: z, id: third}
  - {task: d, join: {n: 2, rest: cancel}}
  - {signal: last}
edges:
  - a -> one -> d
  - a -> other -> d
  - a -> third -> d
  - d -> signal
""",
    (
        case(
            "the third is not awaited any more",
            waits("x, y, z", ran="a"),
            send("z"),
            waits("x, y"),
            send("y"),
            waits("last", ran="d"),
            send("last"),
            ends(),
        ),
    ),
    two_cancel_third,
)

GENERAL_AND_JOIN = Pattern(
    33,
    "Generalised AND-join",
    "Starts for each set of one thread from every branch; what comes more often waits for its partner.",
    """\
workflow: generalised-and-join
nodes:
  - {task: a}
  - {signal: x, id: one, join: each}
  - {signal: y, id: other, join: each}
  - {task: d}
edges:
  - {from: a, to: one, weight: 2}
  - {from: a, to: other, weight: 2}
  - one -> d
  - other -> d
""",
    (
        case(
            "two from one branch, then two from the other",
            waits("x, x, y, y", ran="a"),
            send("x"),
            send("x"),
            waits("y, y"),
            send("y"),
            waits("y", ran="d"),
            send("y"),
            ends(ran="d"),
        ),
    ),
)

LOCAL_MERGE = Pattern(
    37,
    "Local synchronizing merge",
    "Waits for the threads that can still come, in any graph without circles.",
    """\
workflow: local-synchronizing-merge
params: {left: boolean, right: boolean}
nodes:
  - {task: a, split: or}
  - {signal: x, id: one, split: xor}
  - {signal: y, id: other}
  - {task: c, join: each}
  - {task: d, join: or}
edges:
  - {from: a, to: one, when: left}
  - {from: a, to: other, when: right}
  - {from: a, to: c, default: true}
  - {from: one, to: d, when: one}
  - {from: one, to: c, default: true}
  - other -> d
""",
    (
        case(
            "both come",
            waits("x, y", ran="a"),
            send("x", True),
            waits("y"),
            send("y"),
            ends(ran="d"),
            given={"left": True, "right": True},
        ),
        case(
            "one goes another way while the merge waits for it",
            waits("x, y", ran="a"),
            send("y"),
            waits("x"),
            send("x", False),
            ends(ran="c, d"),
            given={"left": True, "right": True},
        ),
        case(
            "only one was chosen",
            waits("y", ran="a"),
            send("y"),
            ends(ran="d"),
            given={"left": False, "right": True},
        ),
        case(
            "none comes: it never starts",
            waits("x", ran="a"),
            send("x", False),
            ends(ran="c"),
            given={"left": True, "right": False},
        ),
    ),
)

GENERAL_MERGE = Pattern(
    38,
    "General synchronizing merge",
    "Waits for the threads that can still come, in any graph, circles included.",
    """\
workflow: general-synchronizing-merge
nodes:
  - {task: a}
  - {signal: x, id: one, join: each, split: xor}
  - {signal: y, id: other}
  - {task: b}
  - {task: c}
  - {task: d, join: or}
edges:
  - a -> one
  - a -> other
  - {from: one, to: b, when: one == "again"}
  - b -> one
  - {from: one, to: d, when: one == "on"}
  - {from: one, to: c, default: true}
  - other -> d
""",
    (
        case(
            "it waits while a thread goes round",
            waits("x, y", ran="a"),
            send("x", "again"),
            waits("x, y", ran="b"),
            send("y"),
            waits("x"),
            send("x", "again"),
            waits("x", ran="b"),
            send("x", "on"),
            ends(ran="d"),
        ),
        case(
            "it starts when the thread leaves the circle for elsewhere",
            waits("x, y", ran="a"),
            send("y"),
            waits("x"),
            send("x", "again"),
            waits("x", ran="b"),
            send("x", "no"),
            ends(ran="c, d"),
        ),
    ),
)

THREAD_MERGE = Pattern(
    41,
    "Thread merge",
    "So many threads of one branch become one.",
    """\
workflow: thread-merge
nodes:
  - {task: a}
  - {signal: x, id: work, join: each}
  - {task: d, join: {thread: 2}}
edges:
  - {from: a, to: work, weight: 4}
  - work -> d
""",
    (
        case(
            "every second one starts it",
            waits("x, x, x, x", ran="a"),
            send("x"),
            waits("x, x, x"),
            send("x"),
            waits("x, x", ran="d"),
            send("x"),
            waits("x"),
            send("x"),
            ends(ran="d"),
        ),
    ),
)

THREAD_SPLIT = Pattern(
    42,
    "Thread split",
    "One thread becomes so many of the same branch.",
    """\
workflow: thread-split
nodes:
  - {task: a}
  - {task: b, join: each}
  - {signal: x, id: work, join: each}
  - {task: c, join: each}
edges:
  - {from: a, to: b, weight: 3}
  - b -> work -> c
""",
    (
        case(
            "three go through the branch, each by itself",
            waits("x, x, x", ran="a, b, b, b"),
            send("x"),
            waits("x, x", ran="c"),
            send("x"),
            send("x"),
            ends(ran="c, c"),
        ),
    ),
)

PATTERNS = (
    PARTIAL_JOIN,
    BLOCKING_PARTIAL_JOIN,
    CANCELLING_PARTIAL_JOIN,
    GENERAL_AND_JOIN,
    LOCAL_MERGE,
    GENERAL_MERGE,
    THREAD_MERGE,
    THREAD_SPLIT,
)
