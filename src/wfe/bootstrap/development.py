"""`wfe dev`: a server that is started anew whenever the app's files change.

The server is a child process, so that each start imports the app afresh. Runs that were going on continue after the
restart; they keep the graph they started with. A mistake in the app is printed, and the next change tried; what no
change of the app heals (no such file, a port in use) ends it at the first start.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

from wfe.bootstrap.server import EXIT_MISTAKEN, EXIT_REFUSED, command
from wfe.config import ServeOptions
from wfe.coordinator.children import spawn
from wfe.errors import AppError

LOOK_S = 0.3
FILES_MAX = 5_000
_SUFFIXES = frozenset({".py", ".yaml", ".yml", ".json"})
_PASSED_OVER = frozenset({"__pycache__", "node_modules", "venv", "site-packages"})

Stamps = dict[str, tuple[int, int]]


class Developer:
    """Keeps a server going until it is told to stop; the exit code is the server's."""

    def __init__(self, options: ServeOptions) -> None:
        self._options = options
        self._roots = sorted({root for app in options.apps for root in watched_roots(app)})
        self._stopped = threading.Event()
        self._server: subprocess.Popen[bytes] | None = None

    def run(self) -> int:
        waits_for = {EXIT_MISTAKEN}
        while True:
            stamps = take_stamps(self._roots)
            self._server = server = spawn(command("develop"), self._options, stdout=1)
            changed = self._until_something_happens(server, stamps, waits_for)
            if not changed:
                code = self._end(server)
                return EXIT_REFUSED if code == EXIT_MISTAKEN else code
            waits_for.add(EXIT_REFUSED)  # it could start once: what is in the way now may go away
            print("wfe: the app has changed, starting anew", file=sys.stderr)
            self._end(server)

    def stop(self) -> None:
        """The first time the server drains, the second time it ends at once."""
        if self._stopped.is_set() and self._server is not None:
            self._server.terminate()
        self._stopped.set()

    def _until_something_happens(self, server: subprocess.Popen[bytes], stamps: Stamps, waits_for: set[int]) -> bool:
        """True: a file has changed. False: told to stop, or the server ended with none of the exit codes that a change
        may mend."""
        waiting = False
        while not self._stopped.wait(LOOK_S):
            if take_stamps(self._roots) != stamps:
                return True
            if server.poll() is None or waiting:
                continue
            if server.returncode not in waits_for:
                return False
            waiting = True
            print("wfe: waiting for a change", file=sys.stderr)
        return False

    def _end(self, server: subprocess.Popen[bytes]) -> int:
        if server.poll() is None:
            server.terminate()
        code = server.wait()
        if server.stdin is not None:
            server.stdin.close()
        return code


def develop(options: ServeOptions) -> int:
    """Serves, starting anew at each change of the apps, until SIGTERM or SIGINT; the exit code. AppError when an app is
    not there."""
    for app in options.apps:
        if not watched_roots(app) or (Path(app).suffix in _SUFFIXES and not Path(app).is_file()):
            raise AppError(f"{app}: there is no such file or module")
    developer = Developer(options)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: developer.stop())
    return developer.run()


def watched_roots(app: str) -> list[Path]:
    """What belongs to an APP: the directory of its file, or the directory of its outermost package."""
    path = Path(app)
    if path.suffix in _SUFFIXES:
        return [path.resolve().parent]
    outermost = app.split(".", 1)[0]
    for base in [os.getcwd(), *sys.path]:
        for found in (Path(base, outermost), Path(base, outermost + ".py")):
            if found.exists():
                return [found.resolve()]
    return []


def take_stamps(roots: list[Path]) -> Stamps:
    """Time and size of every file that may belong to the apps (at most `FILES_MAX`)."""
    stamps: Stamps = {}
    for root in roots:
        for path in _files(root):
            try:
                found = path.stat()
            except OSError:
                continue
            stamps[str(path)] = (found.st_mtime_ns, found.st_size)
            if len(stamps) >= FILES_MAX:
                return stamps
    return stamps


def _files(root: Path) -> Iterator[Path]:
    if root.is_file():
        yield root
        return
    for directory, below, names in os.walk(root):
        below[:] = sorted(name for name in below if not name.startswith(".") and name not in _PASSED_OVER)
        for name in names:
            if os.path.splitext(name)[1] in _SUFFIXES:
                yield Path(directory, name)
