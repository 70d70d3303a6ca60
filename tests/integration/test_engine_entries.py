"""The other ways into an engine: a remote worker, one shot, development; and tasks that no thread can stop."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import msgspec
import psutil
import pytest

from wfe.bootstrap.development import take_stamps, watched_roots
from wfe.bootstrap.oneshot import LocalServer, run_app
from wfe.bootstrap.server import command
from wfe.config import ServeOptions, WorkerOptions
from wfe.coordinator.children import kill_group, spawn
from wfe.errors import UnknownWorkflow
from wfe.wire.payload import decode_any

APP = """
import ctypes
import os
import time
import wfe

@wfe.task
def add(a: int, b: int) -> int:
    return a + b

@wfe.task
def pid() -> int:
    return os.getpid()

@wfe.task(timeout="1s", retry=wfe.Retry(max_attempts=2, initial_delay="10ms"))
def holds_the_interpreter(marker: str) -> str:
    if os.path.exists(marker):
        return "second attempt"
    open(marker, "w").close()
    ctypes.PyDLL(None).sleep(60)
    return "never"

@wfe.workflow
def calc(wf: wfe.Graph, a: int) -> int:
    return add(a, 1)

@wfe.workflow
def where(wf: wfe.Graph) -> int:
    return pid()

@wfe.workflow
def stuck(wf: wfe.Graph, marker: str) -> str:
    return holds_the_interpreter(marker)
"""

WORK = """
import sys, msgspec
from wfe import bootstrap
from wfe.config import WorkerOptions
sys.exit(bootstrap.work(msgspec.json.decode(sys.argv[1], type=WorkerOptions)))
"""
DEVELOP = """
import sys, msgspec
from wfe import bootstrap
from wfe.config import ServeOptions
sys.exit(bootstrap.develop(msgspec.json.decode(sys.argv[1], type=ServeOptions)))
"""


@pytest.fixture(autouse=True)
def state_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("WFE_TOKEN", raising=False)


@pytest.fixture
def app(tmp_path: Path) -> str:
    path = tmp_path / "app" / "entries_app.py"
    path.parent.mkdir()
    path.write_text(APP)
    return str(path)


def options(**changes: object) -> ServeOptions:
    given = ServeOptions(shards=1, workers=1, durability="os", log_level="error")
    return msgspec.structs.replace(given, **changes)


def until(condition: Callable[[], bool], what: str, timeout_s: float = 20.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, f"{what} did not happen within {timeout_s:g} s"
        time.sleep(0.02)


@contextmanager
def program(code: str, given: msgspec.Struct) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        [sys.executable, "-P", "-c", code, msgspec.json.encode(given).decode()], stdout=subprocess.PIPE
    )
    try:
        yield process
    finally:
        if process.poll() is None:
            process.terminate()
        process.wait(30)
        assert process.stdout is not None
        process.stdout.close()


def test_a_worker_from_elsewhere_joins_works_and_leaves_cleanly(tmp_path: Path, app: str) -> None:
    with (
        LocalServer([app], data=tmp_path / "data", options=options(workers=0)) as server,
        server.connect() as client,
    ):
        run = client.start("where")
        given = WorkerOptions(apps=[app], connect=server.address, log_level="error")
        with program(WORK, given) as parent:
            pid = run.result(timeout_s=20)
            assert pid in [child.pid for child in psutil.Process(parent.pid).children(recursive=True)]
            [worker] = client.status().workers
            assert (worker.local, worker.state) == (False, "connected")
            parent.send_signal(signal.SIGTERM)
            assert parent.wait(20) == 0
            until(lambda: client.status().workers == [], "the worker's leave")
        assert not psutil.pid_exists(pid)


def test_a_worker_with_a_wrong_token_is_refused_and_says_so(tmp_path: Path, app: str) -> None:
    with LocalServer([app], data=tmp_path / "data", options=options(workers=0)) as server:
        given = WorkerOptions(apps=[app], connect=server.address, token="wrong", log_level="error")
        with program(WORK, given) as parent:
            assert parent.wait(20) == 2


def test_a_remote_workers_process_that_is_killed_is_replaced(tmp_path: Path, app: str) -> None:
    with (
        LocalServer([app], data=tmp_path / "data", options=options(workers=0, lease_ms=3_000)) as server,
        server.connect() as client,
        program(WORK, WorkerOptions(apps=[app], connect=server.address, log_level="error")),
    ):
        first = client.start("where").result(timeout_s=20)
        os.kill(first, signal.SIGKILL)
        assert client.start("where").result(timeout_s=30) != first


def test_a_task_that_holds_the_interpreter_beyond_its_time_limit_costs_its_process_and_is_tried_again(
    tmp_path: Path, app: str
) -> None:
    with (
        LocalServer([app], data=tmp_path / "data", options=options()) as server,
        server.connect() as client,
    ):
        [before] = client.status().workers
        run = client.start("stuck", str(tmp_path / "marker"))
        assert run.result(timeout_s=40) == "second attempt"
        [after] = client.status().workers
        assert after.pid != before.pid
        assert after.restarts == 1


def test_one_shot_runs_a_named_workflow_and_gives_the_ended_run(app: str) -> None:
    view = run_app([app], "calc", 41)
    assert (view.status, decode_any(view.output)) == ("completed", 42)


def test_one_shot_without_a_name_needs_an_app_with_one_workflow(app: str) -> None:
    with pytest.raises(UnknownWorkflow, match="calc, stuck, where"):
        run_app([app], None)


def test_a_script_runs_its_own_workflow_in_one_line(app: str) -> None:
    script = Path(app).with_name("script.py")
    script.write_text(
        "import wfe\nfrom entries_app import calc\nif __name__ == '__main__':\n    print(wfe.run(calc, 41))\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("42\n", 0), done.stderr


def test_a_script_runs_a_workflow_of_its_own_file(tmp_path: Path) -> None:
    script = tmp_path / "alone.py"
    script.write_text(APP + "\nif __name__ == '__main__':\n    print(wfe.run(calc, 41))\n")
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=60, check=False)
    assert (done.stdout, done.returncode) == ("42\n", 0), done.stderr


def test_a_server_whose_caller_ends_while_its_app_is_imported_ends_too(tmp_path: Path) -> None:
    app, marker = tmp_path / "long_import.py", tmp_path / "importing"
    app.write_text(f"import threading\nopen({str(marker)!r}, 'w').close()\nthreading.Event().wait()\n")
    given = options(apps=[str(app)], data=str(tmp_path / "data"), listen="tcp://127.0.0.1:0")
    process = spawn(command("serve"), given, stdout=subprocess.DEVNULL)
    try:
        until(marker.exists, "the import")
        [importer] = psutil.Process(process.pid).children()
        assert process.stdin is not None
        process.stdin.close()  # as when the caller dies
        assert process.wait(20) == 2
        until(lambda: not importer.is_running(), "the importer's end")
    finally:
        kill_group(process, signal.SIGKILL)
        process.wait()


def test_development_starts_anew_at_a_change_and_survives_a_mistake(tmp_path: Path, app: str) -> None:
    path = Path(app)
    given = options(apps=[app], data=str(tmp_path / "data"), listen="tcp://127.0.0.1:0", replace=True)
    with program(DEVELOP, given) as developer:
        assert developer.stdout is not None
        assert developer.stdout.readline().startswith(b"wfe: serving")
        path.write_text("this is not Python\n")
        until(lambda: not (tmp_path / "data" / "server.json").exists(), "the server's end")
        path.write_text(APP)
        assert developer.stdout.readline().startswith(b"wfe: serving")
        developer.send_signal(signal.SIGINT)
        assert developer.wait(20) == 0


def test_what_is_watched_is_the_files_directory_or_the_outermost_package(
    tmp_path: Path, app: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert watched_roots(app) == [Path(app).parent]
    package = tmp_path / "shop"
    (package / "deep" / ".hidden").mkdir(parents=True)
    for name in ("__init__.py", "deep/flows.py", "deep/.hidden/no.py", "deep/notes.txt", "deep/order.yaml"):
        (package / name).write_text("x")
    monkeypatch.syspath_prepend(tmp_path)
    [root] = watched_roots("shop.deep.flows")
    assert root == package
    names = {Path(name).name for name in take_stamps([root])}
    assert names == {"__init__.py", "flows.py", "order.yaml"}
