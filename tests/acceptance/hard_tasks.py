"""Tasks and workflows that a sceptical user would try first: the app of test_hard_cases.py."""

from __future__ import annotations

import os
import sys
import time

import wfe


@wfe.task
def same(value: object) -> object:
    return value


@wfe.task
async def double(number: int) -> int:
    return 2 * number


@wfe.task
def nap(seconds: float) -> float:
    time.sleep(seconds)
    return seconds


@wfe.task(timeout="500ms")
def spin_in_python(number: int) -> int:
    while True:
        number += 1


@wfe.task(timeout="500ms")
def stuck_in_c(number: int) -> int:
    return len("x" * 30) if not __import__("re").match(r"(a+)+$", "a" * 64 + "b") else number


@wfe.task(timeout="500ms", run_in="process")
def stuck_in_c_apart(number: int) -> int:
    return len("x" * 30) if not __import__("re").match(r"(a+)+$", "a" * 64 + "b") else number


@wfe.task(timeout="500ms")
async def spin_on_the_loop(number: int) -> int:
    while True:
        number += 1


@wfe.task
def leave(code: int) -> int:
    sys.exit(code)


@wfe.task
async def leave_async(code: int) -> int:
    sys.exit(code)


@wfe.task(run_in="process")
def leave_apart(code: int) -> int:
    sys.exit(code)


@wfe.task
def kill_the_worker(number: int) -> int:
    os._exit(9)


@wfe.task(run_in="process")
def kill_the_process(number: int) -> int:
    os._exit(9)


@wfe.workflow
def simple(wf: wfe.Graph, value: wfe.Ref[object]) -> wfe.Ref[object]:
    return same(value)


@wfe.workflow
def slow(wf: wfe.Graph, seconds: wfe.Ref[float]) -> wfe.Ref[float]:
    return nap(seconds)


@wfe.workflow
def doubled(wf: wfe.Graph, numbers: wfe.Ref[list[int]]) -> wfe.Ref[list[int]]:
    return wf.map(double, numbers)


@wfe.workflow
def napping(wf: wfe.Graph, naps: wfe.Ref[list[float]]) -> wfe.Ref[list[float]]:
    return wf.map(nap, naps)


@wfe.workflow
def waiting(wf: wfe.Graph, name: wfe.Ref[str]) -> wfe.Ref[object]:
    same(name)
    return wf.wait_signal("go", object)


@wfe.workflow
def middle(wf: wfe.Graph, name: wfe.Ref[str]) -> wfe.Ref[object]:
    return waiting(name)


@wfe.workflow
def outer(wf: wfe.Graph, name: wfe.Ref[str]) -> wfe.Ref[object]:
    return middle(name)


@wfe.workflow
def innermost(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    return double(number)


@wfe.workflow
def between(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    return innermost(innermost(number))


@wfe.workflow
def nested(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    return between(between(number))


@wfe.workflow
def spinning(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    return spin_in_python(number)


@wfe.workflow
def stuck(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    return stuck_in_c(number)


@wfe.workflow
def stuck_apart(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    return stuck_in_c_apart(number)


@wfe.workflow
def blocking(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    return spin_on_the_loop(number)


@wfe.workflow
def leaving(wf: wfe.Graph, code: wfe.Ref[int]) -> wfe.Ref[int]:
    return leave(code)


@wfe.workflow
def leaving_async(wf: wfe.Graph, code: wfe.Ref[int]) -> wfe.Ref[int]:
    return leave_async(code)


@wfe.workflow
def leaving_apart(wf: wfe.Graph, code: wfe.Ref[int]) -> wfe.Ref[int]:
    return leave_apart(code)


@wfe.workflow
def poison(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    return kill_the_worker(number)


@wfe.workflow
def dying_apart(wf: wfe.Graph, number: wfe.Ref[int]) -> wfe.Ref[int]:
    return kill_the_process(number)


@wfe.task
def measure(text: str, number: int) -> int:
    return len(text) + number


@wfe.task
async def measure_soon(text: str, number: int) -> int:
    return len(text) + number


@wfe.task(run_in="process")
def measure_apart(text: str, number: int) -> int:
    return len(text) + number


@wfe.workflow
def measured(wf: wfe.Graph, text: wfe.Ref[str], numbers: wfe.Ref[list[int]]) -> wfe.Ref[list[list[int]]]:
    def one(number: wfe.Ref[int]) -> wfe.Ref[list[int]]:
        with wf.parallel():
            here = measure(text, number)
            soon = measure_soon(text, number + 1)
            apart = measure_apart(text, number)
        return [here, soon, apart]  # type: ignore[return-value]

    return wf.map(one, numbers)
