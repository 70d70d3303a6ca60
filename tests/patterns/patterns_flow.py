"""Iteration, termination and triggers: WCP-10, 21, 22; 11, 43; 23, 24."""

from __future__ import annotations

from dataclasses import dataclass

import wfe
from patterns.pattern_model import Pattern, case, ends, send, waits
from patterns.pattern_tasks import a, b, c, d

ARBITRARY_CYCLES = Pattern(
    10,
    "Arbitrary cycles",
    "Circles with more than one way in or out.",
    """\
workflow: arbitrary-cycles
params: {short: boolean}
nodes:
  - {task: a, split: xor}
  - {signal: x, id: first, join: each, split: xor}
  - {signal: y, id: second, join: each, split: xor}
  - {task: b, join: each}
  - {task: c, join: each}
  - {task: d}
  - {task: e}
edges:
  - {from: a, to: c, when: short}
  - {from: a, to: b, default: true}
  - b -> first
  - {from: first, to: d, when: first == "out"}
  - {from: first, to: c, default: true}
  - c -> second
  - {from: second, to: b, when: second == "back"}
  - {from: second, to: e, default: true}
entry: a
""",
    (
        case(
            "in by the long way, round, and out in the middle",
            waits("x", ran="a, b"),
            send("x", "on"),
            waits("y", ran="c"),
            send("y", "back"),
            waits("x", ran="b"),
            send("x", "out"),
            ends(ran="d"),
            given=False,
        ),
        case(
            "in by the short way, round twice, and out at the end",
            waits("y", ran="a, c"),
            send("y", "back"),
            waits("x", ran="b"),
            send("x", "on"),
            waits("y", ran="c"),
            send("y", "back"),
            waits("x", ran="b"),
            send("x", "on"),
            waits("y", ran="c"),
            send("y", "on"),
            ends(ran="e"),
            given=True,
        ),
    ),
)


@dataclass
class Progress:
    n: int = 0


@wfe.workflow
def both_loops(wf: wfe.Graph, count: int) -> int:
    s = wf.state(Progress())
    with wf.loop():
        wf.break_if(s.n >= count)
        a()
        s.n += 1
    with wf.loop():
        b()
        over = wf.wait_signal("over", bool)
        wf.break_if(over)
    c()
    return s.n


STRUCTURED_LOOP = Pattern(
    21,
    "Structured loop",
    "Activities are repeated while or until a condition holds, tested before or after each round.",
    """\
workflow: structured-loop
params: {count: integer}
nodes:
  - {state: {n: 0}, id: s}
  - loop: {while: s.n < count}
    do:
      - {task: a}
      - {assign: s, set: {n: "${s.n + 1}"}}
  - loop: {until: over}
    do:
      - {task: b}
      - {signal: over, id: over}
  - {task: c}
output: "${s.n}"
""",
    (
        case(
            "several rounds of each",
            waits("over", ran="a, a, a, b"),
            send("over", False),
            waits("over", ran="b"),
            send("over", True),
            ends(ran="c", output=3),
            given=3,
        ),
        case(
            "none of that tested before, one of that tested after",
            waits("over", ran="b"),
            send("over", True),
            ends(ran="c", output=0),
            given=0,
        ),
    ),
    both_loops,
)


@wfe.workflow
def downwards(wf: wfe.Graph, n: int) -> int:
    with wf.when(n > 0):
        deeper = downwards(n - 1)
    a()
    return wf.merge(deeper, 0) + 1


RECURSION = Pattern(
    22,
    "Recursion",
    "A process runs itself, as often as it takes.",
    """\
workflow: recursion
params: {n: integer}
nodes:
  - {when: n > 0, do: [{workflow: recursion, id: deeper, with: {n: "${n - 1}"}}]}
  - {task: a}
output: "${merge(deeper, 0) + 1}"
""",
    (
        case("three levels", ends(ran="a", output=3), given=2),
        case("the last one", ends(ran="a", output=1), given=0),
    ),
    downwards,
)


@wfe.workflow
def nothing_left(wf: wfe.Graph) -> None:
    with wf.parallel():
        with wf.branch():
            wf.wait_signal("x")
            b()
        with wf.branch():
            wf.wait_signal("y")
            c()


IMPLICIT_TERMINATION = Pattern(
    11,
    "Implicit termination",
    "A run ends when nothing is left to do, wherever that is.",
    """\
workflow: implicit-termination
nodes:
  - {task: a}
  - {signal: x, id: one}
  - {signal: y, id: other}
  - {task: b}
  - {task: c}
edges:
  - a -> one -> b
  - a -> other -> c
""",
    (
        case(
            "not with the first branch, but with the last",
            waits("x, y", ran="a"),
            send("x"),
            waits("y", ran="b"),
            send("y"),
            ends(ran="c"),
        ),
    ),
    nothing_left,
    (
        case(
            "not with the first branch, but with the last",
            waits("x, y"),
            send("y"),
            waits("x", ran="c"),
            send("x"),
            ends(ran="b"),
        ),
    ),
)


@wfe.workflow
def ended_by_one(wf: wfe.Graph) -> str | None:
    with wf.parallel():
        with wf.branch():
            wf.wait_signal("x")
            wf.end(b())
        with wf.branch():
            wf.wait_signal("y")
            c()
            d()


EXPLICIT_TERMINATION = Pattern(
    43,
    "Explicit termination",
    "A run ends, successfully, at a certain node; whatever else is left is withdrawn.",
    """\
workflow: explicit-termination
nodes:
  - {signal: x, id: one}
  - {task: b}
  - {end: "${b}"}
  - {signal: y, id: other}
  - {task: c}
  - {task: d}
edges:
  - one -> b -> end
  - other -> c -> d
""",
    (
        case("what is left is withdrawn", waits("x, y"), send("x"), ends(ran="b", output="b")),
        case(
            "after other branches have ended",
            waits("x, y"),
            send("y"),
            waits("x", ran="c, d"),
            send("x"),
            ends(ran="b", output="b"),
        ),
    ),
    ended_by_one,
)


@wfe.workflow
def heard_or_lost(wf: wfe.Graph) -> None:
    a()
    wf.wait_signal("x")
    wf.wait_signal("go", transient=True)
    b()


TRANSIENT_TRIGGER = Pattern(
    23,
    "Transient trigger",
    "A message that comes while nobody waits for it is lost.",
    """\
workflow: transient-trigger
nodes:
  - {task: a}
  - {signal: x}
  - {signal: go, transient: true}
  - {task: b}
""",
    (
        case(
            "one that comes early is lost",
            waits("x", ran="a"),
            send("go"),
            send("x"),
            waits("go"),
            send("go"),
            ends(ran="b"),
        ),
    ),
    heard_or_lost,
)


@wfe.workflow
def kept_until_then(wf: wfe.Graph) -> None:
    a()
    wf.wait_signal("x")
    wf.wait_signal("go")
    b()


PERSISTENT_TRIGGER = Pattern(
    24,
    "Persistent trigger",
    "A message is kept until somebody waits for it.",
    """\
workflow: persistent-trigger
nodes:
  - {task: a}
  - {signal: x}
  - {signal: go}
  - {task: b}
""",
    (
        case("one that comes early is kept", waits("x", ran="a"), send("go"), waits("x"), send("x"), ends(ran="b")),
        case("one that comes late is awaited", waits("x", ran="a"), send("x"), waits("go"), send("go"), ends(ran="b")),
    ),
    kept_until_then,
)

ITERATION = (ARBITRARY_CYCLES, STRUCTURED_LOOP, RECURSION)
TERMINATION = (IMPLICIT_TERMINATION, EXPLICIT_TERMINATION)
TRIGGERS = (TRANSIENT_TRIGGER, PERSISTENT_TRIGGER)
PATTERNS = (*ITERATION, *TERMINATION, *TRIGGERS)
