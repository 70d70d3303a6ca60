"""The workflows that run while processes are killed, and what each of them must give.

Every task first appends its idempotency key and attempt to its process's file in the directory that CHAOS_EFFECTS
names: one line per execution, in one write to a file opened with O_APPEND, so that lines of processes that are killed
are whole or absent. The file is opened when the app is imported, for a task must be able to say that it ran while its
process has no descriptors left; each process has its own, so that none reaches the limit that stands in for a disk.
"""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Callable
from typing import Any

import wfe

PATIENT_ADDS = 5
DECLINES = 4


class CardDeclined(Exception):
    """What the catch block is for."""


class TryAgain(Exception):
    """A failure that the retry policy is for."""


def open_effects() -> int:
    """The file of this process; -1 where nobody asked for it (the driver imports this app for what runs must give)."""
    directory = os.environ.get("CHAOS_EFFECTS")
    if directory is None:
        return -1
    name = f"{os.getpid()}-{time.time_ns()}"
    return os.open(os.path.join(directory, name), os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


EFFECTS = open_effects()


def note_execution() -> None:
    here = wfe.context()
    os.write(EFFECTS, f"{here.key} {here.attempt}\n".encode())


AGAIN = wfe.Retry(max_attempts=50, initial_delay="20ms", max_delay="200ms", on=(TryAgain,))


@wfe.task
def increase(number: int) -> int:
    note_execution()
    return number + 1


@wfe.task
async def square(number: int) -> int:
    note_execution()
    await asyncio.sleep(0.02)
    return number * number


@wfe.task
def add_up(numbers: list[int]) -> int:
    note_execution()
    return sum(numbers)


@wfe.task(retry=AGAIN)
def charge(number: int) -> int:
    """Declines some for good, and fails the first attempts of others."""
    note_execution()
    if number % DECLINES == 0:
        raise CardDeclined(f"no more for {number}")
    if wfe.context().attempt <= number % 3:
        raise TryAgain(f"attempt {wfe.context().attempt}")
    return 100 * number


@wfe.task(run_in="process")
def crunch(number: int) -> int:
    note_execution()
    return sum(range(number))


@wfe.workflow
def chain(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    twice = increase(increase(number))
    wf.sleep("1s")
    return increase(increase(twice))


@wfe.workflow
def quick(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    return increase(number)


@wfe.workflow
def squares(wf: wfe.Graph, numbers: wfe.Ref[list[int]]) -> wfe.Ref[int]:
    squared = wf.map(square, numbers, max_parallel=5)
    wf.sleep("700ms")
    return add_up(squared)


@wfe.workflow
def payment(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[object]:
    with wf.catch(CardDeclined) as declined:
        paid = charge(number)
    with wf.when(declined.failed):
        wf.end({"declined": declined.message})
    with wf.when(wf.expr("number % 2 == 1", number=number)):
        more = increase(wf.merge(paid))
    return {"paid": wf.merge(more, paid)}


@wfe.workflow
def patient(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    first = increase(number)
    told = wf.wait_signal("go", int)
    wf.sleep("300ms")
    return add_up([first, told])


@wfe.workflow
def parent(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[dict[str, object]]:
    child = wf.start(squares, [number, number])
    inner = chain(number)
    return {"inner": chain(inner), "child": child}


@wfe.workflow
def crunched(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    return crunch(number)


def _paid(number: int) -> object:
    if number % DECLINES == 0:
        return {"declined": f"no more for {number}"}
    return {"paid": 100 * number + number % 2}


def _billed(number: int) -> object:
    lines = [item * item for item in range(number % 7)]
    label = "large" if sum(lines) > 20 else "small"
    return {"number": number, "total": sum(lines), "label": label}


INPUTS: dict[str, Callable[[int], Any]] = {
    "squares": lambda number: list(range(number % 12)),
    "billed": lambda number: {"number": number, "lines": list(range(number % 7))},
}
"""What the n-th run of a workflow is given; elsewhere the number itself."""

EXPECTED: dict[str, Callable[[int], Any]] = {
    "chain": lambda number: number + 4,
    "squares": lambda number: sum(item * item for item in range(number % 12)),
    "payment": _paid,
    "patient": lambda number: number + 1 + PATIENT_ADDS,
    "parent": lambda number: {"inner": number + 8},
    "crunched": lambda number: sum(range(number)),
    "billed": _billed,
}
"""What the n-th run of a workflow must give; ``parent`` also names its child, whose result is 2 * number ** 2."""
