"""An engine for one caller: started as a child process, used through a client, stopped, its data kept or thrown away.

Behind ``wfe.run(checkout, order)``, ``wfe run APP`` and the benchmarks. The engine ends with its caller, however that
ends: it watches the pipe that its options came through.
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

import msgspec

from wfe.authoring.apps import refuse_during_import
from wfe.bootstrap.clients import connect
from wfe.bootstrap.server import ADDRESS_FILE, EXIT_REFUSED, command
from wfe.config import ServeOptions
from wfe.coordinator.children import kill_group, spawn
from wfe.coordinator.tokens import server_token
from wfe.errors import AppError, ConfigError, Unavailable, UnknownWorkflow
from wfe.limits import DRAIN_MS

if TYPE_CHECKING:
    from wfe.client.sync import Client
    from wfe.model.registered import RegisteredWorkflow
    from wfe.wire.messages import RunView

ANY_PORT = "tcp://127.0.0.1:0"
_STOP_S = 3 * DRAIN_MS / 1000


class LocalServer:
    """A server on a free port, as a context manager: `address`, `token`, `data`.

    ``data`` None: a temporary directory, removed at the end, where losing power may lose everything. ConfigError when
    it refuses to start (a bad app, option or directory), Unavailable when it fails: its messages are on standard error.
    """

    def __init__(
        self, apps: Sequence[str] = (), *, data: str | Path | None = None, options: ServeOptions | None = None
    ) -> None:
        given = options or ServeOptions(
            shards=1, workers=1, log_level="warning", durability="sync" if data else "os", alone=True
        )
        self._temporary = None if data else tempfile.mkdtemp(prefix="wfe-run-")
        self.data = Path(data or self._temporary or ".").resolve()
        self._options = msgspec.structs.replace(given, data=str(self.data), apps=[*apps], listen=ANY_PORT)
        self._process: subprocess.Popen[bytes] | None = None
        self.address = ""
        self.token = ""
        self.pid = 0

    def __enter__(self) -> LocalServer:
        try:
            self._start()
        except BaseException:
            self._stop(at_once=True)
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error nobody waits for tasks to finish; what was acknowledged is on disk.
        self._stop(at_once=kind is not None)

    def connect(self) -> Client:
        """A client of this server."""
        return connect(self.address, self.token)

    def _start(self) -> None:
        self._process = process = spawn(command("serve"), self._options, stdout=subprocess.PIPE)
        assert process.stdout is not None
        ready = process.stdout.readline()
        if not ready:
            if (code := process.wait()) == EXIT_REFUSED:
                raise ConfigError("the engine refuses to start (see its messages above)")
            raise Unavailable(f"the server did not start (exit code {code}, see its messages above)")
        where = msgspec.json.decode((self.data / ADDRESS_FILE).read_bytes(), type=dict[str, Any])
        self.address, self.pid = str(where["address"]), process.pid
        self.token = server_token(self.data)

    def _stop(self, *, at_once: bool) -> None:
        process = self._process
        if process is not None and process.stdin is not None:
            if at_once:
                process.stdin.close()
            elif process.poll() is None:
                process.send_signal(signal.SIGTERM)
                try:
                    process.wait(_STOP_S)
                except subprocess.TimeoutExpired:
                    kill_group(process, int(signal.SIGKILL if sys.platform != "win32" else signal.SIGTERM))
            process.stdin.close()
            process.wait()
            if process.stdout is not None:
                process.stdout.close()
        if self._temporary is not None:
            shutil.rmtree(self._temporary, ignore_errors=True)


def run(workflow: Any, *args: Any, **kwargs: Any) -> Any:
    """Runs one workflow in an engine of its own and returns its result: ``wfe.run(checkout, order)``.

    Raises what `Run.result` raises. The workflow's module is imported again by the engine's worker: in a script this
    call stands below ``if __name__ == "__main__":``.
    """
    refuse_during_import("wfe.run")
    registered: RegisteredWorkflow | None = getattr(workflow, "__wfe_workflow__", None)
    if registered is None:
        raise UnknownWorkflow(f"{workflow!r} is no workflow: decorate the function with @wfe.workflow")
    with LocalServer([_app_of(registered)]) as server, server.connect() as client:
        return client.start(workflow, *args, **kwargs).result()


def run_app(
    apps: Sequence[str],
    name: str | None,
    *values: Any,
    data: str | Path | None = None,
    options: ServeOptions | None = None,
    timeout_s: float | None = None,
) -> RunView:
    """`wfe run APP[:NAME] -i VALUE`: the run once it has ended, however it ended; its engine is stopped by then.

    ``name`` (with or without a version) None: the app's only workflow. No value: the workflow takes none. TimeoutError
    when the run takes longer than ``timeout_s``; then it goes on when an engine starts on ``data`` again.
    """
    with LocalServer(apps, data=data, options=options) as server, server.connect() as client:
        run = client.start(_workflow_of(client, apps, name), *values)
        run.outcome(timeout_s)
        return client.view(run.id)


def _workflow_of(client: Client, apps: Sequence[str], name: str | None) -> str:
    names = sorted({found.workflow for found in client.definitions() if found.current})
    if name is not None and name.partition("@")[0] in names:
        return name
    if name is None and len(names) == 1:
        return names[0]
    found = f"it has {', '.join(names)}" if names else "it has none"
    raise UnknownWorkflow(f"name the workflow to run as {apps[0]}:NAME; {found}")


def _app_of(workflow: RegisteredWorkflow) -> str:
    """The APP that holds a workflow: its module when that has a name to import by, else its file."""
    module = str(getattr(workflow.function, "__module__", ""))
    if "." in module:
        return module
    if not Path(workflow.file).is_file():
        raise AppError(f"workflow {workflow.name!r} is not defined in a file: write it into one, or into a module")
    return str(Path(workflow.file).resolve())
