"""Task functions for the tests, at module level as users write them, so that a child process can import them."""

from __future__ import annotations

import inspect
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

from wfe.model.registered import RegisteredTask
from wfe.worker.context import context
from wfe.worker.resources import resource


def registered(function: Callable[..., Any], **options: Any) -> RegisteredTask:
    """As `@wfe.task` would register it."""
    code = function.__code__
    return RegisteredTask(
        name=function.__name__,
        version=1,
        function=function,
        is_async=inspect.iscoroutinefunction(function),
        module=function.__module__,
        qualname=function.__qualname__,
        file=code.co_filename,
        line=code.co_firstlineno,
        **options,
    )


def in_process(function: Callable[..., Any]) -> Callable[..., Any]:
    function.__wfe_task__ = registered(function, run_in="process")  # type: ignore[attr-defined]
    return function


@resource
def counter():
    yield [0]
    print("counter closed", flush=True)


@in_process
def pid_and_count() -> list[int]:
    counter()[0] += 1
    return [os.getpid(), counter()[0]]


@in_process
async def doubled(x: int) -> int:
    return 2 * x


@in_process
def crash() -> None:
    os.kill(os.getpid(), signal.SIGSEGV)


@in_process
def leave(code: int) -> None:
    sys.exit(code)


@in_process
def spin_with_a_child(path: str) -> None:
    sleeper = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
    with open(path, "w") as file:
        file.write(str(sleeper.pid))
    while True:
        pass


@in_process
def beat_until_cancelled() -> str:
    for step in range(100_000):
        context().heartbeat({"step": step})
        if context().cancelled:
            return "asked to stop"
        time.sleep(0.001)
    return "never asked"


@in_process
def beat_for_ever() -> str:
    for step in range(100_000):
        context().heartbeat({"step": step})
        time.sleep(0.001)
    return "never asked"


@in_process
def says_something() -> str:
    print("hello from a process")
    return context().key


@in_process
def says(count: int) -> None:
    for number in range(count):
        print(f"line {number}")
    print("the end", end="")
