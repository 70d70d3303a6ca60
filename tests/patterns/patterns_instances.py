"""Multiple instances: WCP-12 to 15 and 34 to 36. An instance ends when its signal comes with its item's name."""

from __future__ import annotations

import wfe
from patterns.pattern_model import Pattern, case, ends, send, waits
from patterns.pattern_tasks import a, b, d


@wfe.workflow
def unsynchronized(wf: wfe.Graph, items: list[str]) -> None:
    def instance(item: str) -> None:
        wf.wait_signal("part", correlate=item)
        b()

    wf.map(instance, items, complete_after=0, rest="continue")
    d()


WITHOUT_SYNCHRONIZATION = Pattern(
    12,
    "Multiple instances without synchronization",
    "Instances are started, and nobody waits for them.",
    """\
workflow: instances-without-synchronization
params: {items: {type: array, items: {type: string}}}
nodes:
  - map: items
    complete_after: 0
    rest: continue
    do: [{signal: part, correlate: "${item}"}, {task: b}]
  - {task: d}
""",
    (
        case(
            "what follows does not wait, and the run ends with the last of them",
            waits("part u, part v, part w", ran="d"),
            send("part", correlation="v"),
            waits("part u, part w", ran="b"),
            send("part", correlation="u"),
            send("part", correlation="w"),
            ends(ran="b, b"),
            given=["u", "v", "w"],
        ),
        case("none", ends(ran="d"), given=[]),
    ),
    unsynchronized,
)


@wfe.workflow
def known_when_drawn(wf: wfe.Graph) -> list[str]:
    def instance(item: int) -> str:
        wf.wait_signal("part", correlate=item)
        return b()

    found = wf.map(instance, [0, 1, 2])
    d()
    return found


KNOWN_AT_DESIGN_TIME = Pattern(
    13,
    "Multiple instances, known at design time",
    "A fixed number of instances is awaited.",
    """\
workflow: instances-known-at-design-time
nodes:
  - {map: 3, do: [{signal: part, correlate: "${item}"}, {task: b}]}
  - {task: d}
output: "${map}"
""",
    (
        case(
            "three, in any order",
            waits("part 0, part 1, part 2"),
            send("part", correlation="2"),
            waits("part 0, part 1", ran="b"),
            send("part", correlation="0"),
            waits("part 1", ran="b"),
            send("part", correlation="1"),
            ends(ran="b, d", output=["b", "b", "b"]),
        ),
    ),
    known_when_drawn,
    (
        case(
            "three, in any order",
            waits("part 0, part 1, part 2"),
            send("part", correlation="1"),
            waits("part 0, part 2", ran="b"),
            send("part", correlation="0"),
            send("part", correlation="2"),
            ends(ran="b, b, d"),
        ),
    ),
)


@wfe.workflow
def known_when_run(wf: wfe.Graph, items: list[str]) -> None:
    def instance(item: str) -> None:
        wf.wait_signal("part", correlate=item)
        b()

    wf.map(instance, items)
    d()


KNOWN_AT_RUN_TIME = Pattern(
    14,
    "Multiple instances, known at run time",
    "How many instances there are is known when they are started; all are awaited.",
    """\
workflow: instances-known-at-run-time
params: {items: {type: array, items: {type: string}}}
nodes:
  - {map: items, do: [{signal: part, correlate: "${item}"}, {task: b}]}
  - {task: d}
""",
    (
        case(
            "two",
            waits("part u, part v"),
            send("part", correlation="v"),
            waits("part u", ran="b"),
            send("part", correlation="u"),
            ends(ran="b, d"),
            given=["u", "v"],
        ),
        case("none", ends(ran="d"), given=[]),
    ),
    known_when_run,
)


@wfe.workflow
def growing(wf: wfe.Graph, items: list[str]) -> None:
    def instance(item: str) -> None:
        wf.wait_signal("part", correlate=item)
        b()

    wf.map(instance, items, grow="more")
    d()


UNKNOWN = Pattern(
    15,
    "Multiple instances, not known beforehand",
    "Instances are added while others run, until somebody says that there will be no more; all are awaited.",
    """\
workflow: instances-not-known-beforehand
params: {items: {type: array, items: {type: string}}}
nodes:
  - {map: items, grow: more, do: [{signal: part, correlate: "${item}"}, {task: b}]}
  - {task: d}
""",
    (
        case(
            "added after some have ended, and after all have",
            waits("more, part u"),
            send("more", ["v"]),
            waits("more, part u, part v"),
            send("part", correlation="u"),
            waits("more, part v", ran="b"),
            send("part", correlation="v"),
            waits("more", ran="b"),
            send("more", ["w", "x"]),
            waits("more, part w, part x"),
            send("more", None),
            waits("part w, part x"),
            send("part", correlation="x"),
            send("part", correlation="w"),
            ends(ran="b, b, d"),
            given=["u"],
        ),
        case("none at all", waits("more"), send("more", None), ends(ran="d"), given=[]),
    ),
    growing,
)


@wfe.workflow
def some_are_enough(wf: wfe.Graph, items: list[str]) -> None:
    def instance(item: str) -> None:
        wf.wait_signal("part", correlate=item)
        b()

    wf.map(instance, items, complete_after=2, rest="continue")
    d()


PARTIAL = Pattern(
    34,
    "Static partial join for multiple instances",
    "After n instances it goes on; the others run on, and nobody waits for them.",
    """\
workflow: static-partial-join-for-instances
params: {items: {type: array, items: {type: string}}}
nodes:
  - map: items
    complete_after: 2
    rest: continue
    do: [{signal: part, correlate: "${item}"}, {task: b}]
  - {task: d}
""",
    (
        case(
            "the third starts nothing again",
            waits("part u, part v, part w"),
            send("part", correlation="w"),
            waits("part u, part v", ran="b"),
            send("part", correlation="u"),
            waits("part v", ran="b, d"),
            send("part", correlation="v"),
            ends(ran="b"),
            given=["u", "v", "w"],
        ),
        case(
            "fewer than that: all",
            waits("part u"),
            send("part", correlation="u"),
            ends(ran="b, d"),
            given=["u"],
        ),
    ),
    some_are_enough,
)


@wfe.workflow
def some_cancel_the_rest(wf: wfe.Graph, items: list[str]) -> None:
    def instance(item: str) -> None:
        wf.wait_signal("part", correlate=item)
        b()

    wf.map(instance, items, complete_after=2)
    d()
    wf.wait_signal("last")


CANCELLING_PARTIAL = Pattern(
    35,
    "Cancelling partial join for multiple instances",
    "After n instances it goes on, and the others are withdrawn.",
    """\
workflow: cancelling-partial-join-for-instances
params: {items: {type: array, items: {type: string}}}
nodes:
  - map: items
    complete_after: 2
    do: [{signal: part, correlate: "${item}"}, {task: b}]
  - {task: d}
  - {signal: last}
""",
    (
        case(
            "the third is not awaited any more",
            waits("part u, part v, part w"),
            send("part", correlation="w"),
            waits("part u, part v", ran="b"),
            send("part", correlation="u"),
            waits("last", ran="b, d"),
            send("last"),
            ends(),
            given=["u", "v", "w"],
        ),
    ),
    some_cancel_the_rest,
)


@wfe.workflow
def enough_by_then(wf: wfe.Graph, items: list[str]) -> None:
    def instance(item: str) -> None:
        wf.wait_signal("part", correlate=item)
        b()

    a()
    wf.map(instance, items, grow="more", complete_when="done * 2 > total", rest="continue")
    d()


DYNAMIC_PARTIAL = Pattern(
    36,
    "Dynamic partial join for multiple instances",
    "Instances are added while others run; when enough have ended, by a condition, it goes on.",
    """\
workflow: dynamic-partial-join-for-instances
params: {items: {type: array, items: {type: string}}}
nodes:
  - {task: a}
  - map: items
    grow: more
    complete_when: done * 2 > total
    rest: continue
    do: [{signal: part, correlate: "${item}"}, {task: b}]
  - {task: d}
""",
    (
        case(
            "more than half of those that there are by then",
            waits("more, part u, part v, part w", ran="a"),
            send("part", correlation="u"),
            waits("more, part v, part w", ran="b"),
            send("more", ["x"]),
            waits("more, part v, part w, part x"),
            send("part", correlation="x"),
            waits("more, part v, part w", ran="b"),
            send("part", correlation="v"),
            waits("part w", ran="b, d"),
            send("part", correlation="w"),
            ends(ran="b"),
            given=["u", "v", "w"],
        ),
    ),
    enough_by_then,
)

PATTERNS = (
    WITHOUT_SYNCHRONIZATION,
    KNOWN_AT_DESIGN_TIME,
    KNOWN_AT_RUN_TIME,
    UNKNOWN,
    PARTIAL,
    CANCELLING_PARTIAL,
    DYNAMIC_PARTIAL,
)
