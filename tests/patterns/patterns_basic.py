"""Basic control flow: WCP-1 to WCP-5."""

from __future__ import annotations

import wfe
from patterns.pattern_model import Pattern, case, ends, send, waits
from patterns.pattern_tasks import a, b, c, d


@wfe.workflow
def in_sequence(wf: wfe.Graph) -> None:
    a()
    wf.wait_signal("go")
    b()


SEQUENCE = Pattern(
    1,
    "Sequence",
    "An activity starts when the one before it has ended.",
    """\
workflow: sequence
nodes:
  - {task: a}
  - {signal: go}
  - {task: b}
""",
    (case("the second follows the first", waits("go", ran="a"), send("go"), ends(ran="b")),),
    in_sequence,
)


@wfe.workflow
def split_in_two(wf: wfe.Graph) -> None:
    a()
    with wf.parallel():
        with wf.branch():
            wf.wait_signal("x")
            b()
        with wf.branch():
            wf.wait_signal("y")
            c()


PARALLEL_SPLIT = Pattern(
    2,
    "Parallel split",
    "One thread becomes several that go on at the same time, each by itself.",
    """\
workflow: parallel-split
nodes:
  - {task: a}
  - parallel:
      - branch: [{signal: x}, {task: b}]
      - branch: [{signal: y}, {task: c}]
""",
    (
        case(
            "both go on at once, the second first",
            waits("x, y", ran="a"),
            send("y"),
            waits("x", ran="c"),
            send("x"),
            ends(ran="b"),
        ),
        case(
            "both go on at once, the first first",
            waits("x, y", ran="a"),
            send("x"),
            waits("y", ran="b"),
            send("y"),
            ends(ran="c"),
        ),
    ),
    split_in_two,
)


@wfe.workflow
def synchronized(wf: wfe.Graph) -> None:
    with wf.parallel():
        with wf.branch():
            wf.wait_signal("x")
            a()
        with wf.branch():
            wf.wait_signal("y")
            b()
    c()


SYNCHRONIZATION = Pattern(
    3,
    "Synchronization",
    "An activity starts when all threads before it have come, once.",
    """\
workflow: synchronization
nodes:
  - parallel:
      - branch: [{signal: x}, {task: a}]
      - branch: [{signal: y}, {task: b}]
  - {task: c}
""",
    (
        case(
            "the first to come waits for the second",
            waits("x, y"),
            send("x"),
            waits("y", ran="a"),
            send("y"),
            ends(ran="b, c"),
        ),
        case(
            "the second to come waits for the first",
            waits("x, y"),
            send("y"),
            waits("x", ran="b"),
            send("x"),
            ends(ran="a, c"),
        ),
    ),
    synchronized,
)


@wfe.workflow
def exclusive_choice(wf: wfe.Graph, amount: int) -> None:
    with wf.when(amount > 1000):
        a()
    with wf.otherwise(amount > 100):
        b()
    with wf.otherwise():
        c()


EXCLUSIVE_CHOICE = Pattern(
    4,
    "Exclusive choice",
    "Of several branches exactly one is taken, by a condition.",
    """\
workflow: exclusive-choice
params: {amount: integer}
nodes:
  - {when: amount > 1000, do: [{task: a}]}
  - {otherwise: amount > 100, do: [{task: b}]}
  - {otherwise: true, do: [{task: c}]}
""",
    (
        case("the first condition that holds", ends(ran="a"), given=5000),
        case("the second, when the first does not hold", ends(ran="b"), given=500),
        case("the default", ends(ran="c"), given=5),
    ),
    exclusive_choice,
)


@wfe.workflow
def merged(wf: wfe.Graph, express: bool) -> str:
    with wf.when(express):
        first = a()
    with wf.otherwise():
        second = b()
    d()
    return wf.merge(first, second)


SIMPLE_MERGE = Pattern(
    5,
    "Simple merge",
    "Branches of which only one was taken come together without waiting for the others.",
    """\
workflow: simple-merge
params: {express: boolean}
nodes:
  - {when: express, do: [{task: a}]}
  - {otherwise: true, do: [{task: b}]}
  - {task: d}
output: "${merge(a, b)}"
""",
    (
        case("after one branch", ends(ran="a, d", output="a"), given=True),
        case("after the other", ends(ran="b, d", output="b"), given=False),
    ),
    merged,
)

PATTERNS = (SEQUENCE, PARALLEL_SPLIT, SYNCHRONIZATION, EXCLUSIVE_CHOICE, SIMPLE_MERGE)
