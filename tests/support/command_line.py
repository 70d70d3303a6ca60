"""The command line in processes of its own, without importing it anew for each: a warm process forks one per command.

Acceptance tests run hundreds of commands, and nearly all of the time of each went into starting Python and importing
the client. `run` is `subprocess.run` for them: a command still has its own process with its own arguments, environment,
directory and standard streams, and ends as an interpreter does, but what it would have imported is there already.
Whoever needs a process to talk to or to kill (``wfe serve``, ``events -f``) starts one with `subprocess`.

As a script, this file is the warm process. It must not start a thread or open a socket of ZeroMQ before it forks.
"""

from __future__ import annotations

import atexit
import functools
import gc
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO

STREAMS = 5
"""What comes with a command: the request, its standard streams, and where its process id and exit code are written."""


def run(
    arguments: Sequence[str],
    *,
    environment: Mapping[str, str],
    directory: Path | None = None,
    stdin: str | None = None,
    merged: bool = False,
    timeout_s: float = 60,
) -> subprocess.CompletedProcess[str]:
    """``wfe ARGUMENTS``, to its end; `subprocess.TimeoutExpired` if that takes longer.

    ``merged``: what it says on stderr is on stdout, in its place.
    """
    request = {"arguments": arguments, "environment": dict(environment), "directory": str(directory or Path.cwd())}
    with (
        _file(json.dumps(request)) as asked,
        _file(stdin or "") as given,
        _file("") as printed,
        _file("") as complained,
    ):
        code = _ended((asked, given, printed, printed if merged else complained), arguments, timeout_s)
        printed.seek(0)
        complained.seek(0)
        return subprocess.CompletedProcess(["wfe", *arguments], code, printed.read(), complained.read())


def _file(text: str) -> IO[str]:
    file = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115 - its user closes it
    file.write(text)
    file.seek(0)
    return file


def _ended(files: Sequence[IO[str]], arguments: Sequence[str], timeout_s: float) -> int:
    """The exit code of the command with these files."""
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            socket.send_fds(_warm(), [b"c"], [*(file.fileno() for file in files), theirs.fileno()])
        with ours.makefile() as told:
            process = int(told.readline())
            ours.settimeout(timeout_s)
            try:
                return int(told.readline())
            except TimeoutError:
                os.kill(process, signal.SIGKILL)
                ours.settimeout(None)
                ours.recv(1)
                raise subprocess.TimeoutExpired(["wfe", *arguments], timeout_s) from None


@functools.cache
def _warm() -> socket.socket:
    """The socket of the warm process, which is started with the first command and ends when the socket is closed."""
    ours, theirs = socket.socketpair()
    line = [sys.executable, "-P", __file__, str(theirs.fileno())]
    process = subprocess.Popen(line, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
    theirs.close()

    def stop() -> None:
        ours.close()
        process.wait()

    atexit.register(stop)
    return ours


# ---- the warm process -----------------------------------------------------------------------------------------------


def _next_command(commands: socket.socket) -> list[str]:
    """Returns in a process that was forked for a command, with its arguments; in the warm one, it never does."""
    running: dict[int, int] = {}
    ended, wakes = socket.socketpair()
    wakes.setblocking(False)
    signal.set_wakeup_fd(wakes.fileno())
    signal.signal(signal.SIGCHLD, lambda *_: None)
    gc.freeze()
    while True:
        readable, _, _ = select.select([commands, ended], [], [])
        if ended in readable:
            ended.recv(4096)
            _tell_the_ends(running)
            continue
        _, streams, _, _ = socket.recv_fds(commands, 1, STREAMS)
        if not streams:
            os._exit(0)
        process = os.fork()
        if process == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for each in (commands, ended, wakes):
                each.close()
            for told in running.values():
                os.close(told)
            return _become_command(streams)
        running[process] = streams.pop()
        os.write(running[process], b"%d\n" % process)
        for stream in streams:
            os.close(stream)


def _tell_the_ends(running: dict[int, int]) -> None:
    while running:
        process, status = os.waitpid(-1, os.WNOHANG)
        if not process:
            return
        told = running.pop(process)
        os.write(told, b"%d\n" % os.waitstatus_to_exitcode(status))
        os.close(told)


def _become_command(streams: list[int]) -> list[str]:
    request = json.loads(os.pread(streams[0], os.fstat(streams[0]).st_size, 0))
    for number, stream in enumerate(streams[1:4]):
        os.dup2(stream, number)
    for stream in streams:
        os.close(stream)
    os.chdir(request["directory"])
    os.environ.clear()
    os.environ.update(request["environment"])
    named = request["environment"].get("PYTHONPATH", "").split(os.pathsep)
    sys.path[:0] = [entry for entry in named if entry and entry not in sys.path]
    arguments: list[str] = request["arguments"]
    return arguments


IMPORTED_AHEAD = (
    *("authoring.apps", "authoring.workflows", "authoring.yaml_reader", "core.validate"),
    *("bootstrap.clients", "bootstrap.oneshot", "client.sync", "transport.aio", "transport.endpoints"),
    *("cli.definitions", "cli.group", "cli.output", "cli.params", "cli.runs"),
)
"""Nearly all of what clients' commands import."""


if __name__ == "__main__":
    for module in IMPORTED_AHEAD:
        importlib.import_module(f"wfe.{module}")
    sys.argv = ["wfe", *_next_command(socket.socket(fileno=int(sys.argv[1])))]
    importlib.import_module("wfe.cli").main()
