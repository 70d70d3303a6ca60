"""Child processes: options on standard input, ends that are waited for, groups that end together, lost parents."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

from wfe.bootstrap.parents import EXIT_ORPHANED
from wfe.config import AppOptions
from wfe.coordinator.children import Children, spawn

PYTHON = (sys.executable, "-P", "-c")
ECHO = """
import os, sys
from wfe.bootstrap.parents import read_options
line, fd = read_options()
print(line.decode(), end="")
print(repr(sys.stdin.read()), os.getpgrp() == os.getpid())
"""
WATCH = """
import time
from wfe.bootstrap.parents import parent_watch, read_options
_, fd = read_options()
parent_watch(fd)
print("watching", flush=True)
time.sleep(60)
"""
FAMILY = """
import subprocess, sys, time
child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
open(sys.stdin.readline().strip().split('"')[3], "w").write(str(child.pid))
time.sleep(60)
"""


def test_a_child_reads_its_options_and_then_sees_an_empty_standard_input() -> None:
    process = spawn((*PYTHON, ECHO), AppOptions(apps=["a", "b"]), stdout=subprocess.PIPE)
    out, _ = process.communicate(timeout=20)
    assert out.decode().splitlines() == ['{"apps":["a","b"],"alone":false,"parent_fd":-1}', "'' True"]


def test_a_child_ends_when_its_parents_pipe_closes() -> None:
    process = spawn((*PYTHON, WATCH), AppOptions(apps=[]), stdout=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stdin is not None
    assert process.stdout.readline() == b"watching\n"
    process.stdin.close()
    assert process.wait(10) == EXIT_ORPHANED
    process.stdout.close()


def test_a_child_whose_parent_vanished_before_its_options_came_ends() -> None:
    process = subprocess.Popen([*PYTHON, ECHO], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    assert process.wait(10) == EXIT_ORPHANED


async def test_an_end_is_reported_once_with_its_code_after_it_was_waited_for() -> None:
    ends: asyncio.Queue[tuple[str, int]] = asyncio.Queue()
    loop = asyncio.get_running_loop()
    children = Children(loop.call_soon_threadsafe, lambda name, code: ends.put_nowait((name, code)))
    children.spawn("first", (*PYTHON, "raise SystemExit(7)"), AppOptions(apps=[]))
    pid = children.spawn("second", (*PYTHON, "import time; time.sleep(60)"), AppOptions(apps=[]))
    assert await asyncio.wait_for(ends.get(), 10) == ("first", 7)
    children.kill("first")
    children.terminate("first")
    children.kill("second")
    assert await asyncio.wait_for(ends.get(), 10) == ("second", -signal.SIGKILL)
    assert not psutil.pid_exists(pid)
    assert ends.empty()


async def test_what_a_child_started_does_not_outlive_it(tmp_path: Path) -> None:
    ended = asyncio.Event()
    loop = asyncio.get_running_loop()
    children = Children(loop.call_soon_threadsafe, lambda name, code: ended.set())
    note = tmp_path / "pid"
    pid = children.spawn("parent", (*PYTHON, FAMILY), AppOptions(apps=[str(note)]))
    while not (note.exists() and note.read_text()):
        await asyncio.sleep(0.02)
    grandchild = int(note.read_text())
    os.kill(pid, signal.SIGKILL)
    await asyncio.wait_for(ended.wait(), 10)
    while psutil.pid_exists(grandchild) and psutil.Process(grandchild).status() != psutil.STATUS_ZOMBIE:
        await asyncio.sleep(0.02)
