"""The entries of child processes. Each role reads its options from standard input and watches its parent.

``shard`` and ``worker`` run until told to leave; ``shard-drain`` checkpoints a shard's log and ends; ``read-app``
prints an app's definitions, so that the coordinator never imports user code; ``serve`` is a server with a parent,
``gateway`` speaks HTTP for one, ``tracer`` exports traces, and ``alerter`` judges alert rules.
"""

from __future__ import annotations

import errno
import gc
import os
import sys
from contextlib import ExitStack
from typing import TypeVar

import msgspec

from wfe.bootstrap.parents import die_with_parent, parent_watch, read_options
from wfe.config import (
    AppOptions,
    GatewayOptions,
    ServeOptions,
    ShardOptions,
    TracerOptions,
    WorkerOptions,
)
from wfe.coordinator.child_options import AlerterOptions
from wfe.coordinator.supervision import EXIT_STARVED
from wfe.errors import DataFull, TooFewDescriptors, UnknownTask, WfeError
from wfe.secrets import mask_secrets

EXIT_REFUSED = 2
_Options = TypeVar(
    "_Options", ServeOptions, ShardOptions, WorkerOptions, AppOptions, GatewayOptions, TracerOptions, AlerterOptions
)


def main(role: str) -> int:
    """Runs a role to its end; the exit code."""
    try:
        return _run(role)
    except Exception as error:
        if getattr(error, "errno", None) not in (errno.EMFILE, errno.ENFILE):
            raise
        print(f"wfe: {error}: let this process open more files (ulimit -n, LimitNOFILE=)", file=sys.stderr)
        return EXIT_STARVED


def _run(role: str) -> int:
    match role:
        case "shard":
            return _shard()
        case "shard-drain":
            return _shard_drain()
        case "worker":
            return _worker()
        case "read-app":
            return _read_app()
        case "serve":
            return _serve()
        case "develop":
            return _develop()
        case "gateway":
            return _gateway()
        case "tracer":
            return _tracer()
        case "alerter":
            return _alerter()
    print(f"wfe.bootstrap: there is no role {role!r}", file=sys.stderr)
    return EXIT_REFUSED


def _options(kind: type[_Options], *, dies_with_parent: bool = True) -> _Options:
    line, parent_fd = read_options()
    options = msgspec.json.decode(line, type=kind)
    options.parent_fd = parent_fd
    if dies_with_parent:
        die_with_parent()
        parent_watch(parent_fd)
    return options


# ---- shards ---------------------------------------------------------------------------------------------------------


def _shard() -> int:
    """Recovers and serves one shard's partitions until told to drain."""
    _start_fast()
    options = _options(ShardOptions)
    _configure(options, "shard")
    from wfe.bootstrap.world import shard_world
    from wfe.shard.process import main

    with ExitStack() as stack:
        try:
            return main(options, shard_world(options, stack))
        except WfeError as error:
            return _refused(error)


def _start_fast() -> None:
    """Everybody waits for a shard that is started again: what a shard imports is no garbage, and nothing to be drawn
    (structlog takes rich along when it is there, a twelfth of the start)."""
    gc.disable()
    sys.modules.setdefault("rich", None)  # type: ignore[arg-type]


def _shard_drain() -> int:
    """Writes what a shard's log holds into its partitions' stores, and ends."""
    options = _options(ShardOptions)
    _configure(options, "shard-drain")
    from wfe.bootstrap.world import shard_disk
    from wfe.shard.process import drain_main

    try:
        return drain_main(options, shard_disk(options))
    except WfeError as error:
        return _refused(error)


# ---- the others -----------------------------------------------------------------------------------------------------


def _configure(options: ShardOptions | WorkerOptions, process: str) -> None:
    from wfe import observe

    observe.configure(options.log_level, options.log_format, mask=mask_secrets, process=process, index=options.index)


def _worker() -> int:
    """Executes an app's tasks for a server, local or remote."""
    options = _options(WorkerOptions)
    _configure(options, "worker")
    from wfe.authoring.apps import load_app
    from wfe.bootstrap.world import connect_worker, new_loop
    from wfe.worker.builtin import only_these, with_builtin
    from wfe.worker.process import main

    try:
        tasks = only_these(with_builtin(load_app(options.apps).tasks), options.only)
    except WfeError as error:
        return _refused(error)
    return main(options, tasks, connect_worker, new_loop=new_loop)


def _serve() -> int:
    from wfe.bootstrap.server import serve

    return serve(_options(ServeOptions, dies_with_parent=False))


def _develop() -> int:
    from wfe.bootstrap.server import EXIT_MISTAKEN, serve

    return serve(_options(ServeOptions, dies_with_parent=False), mistaken=EXIT_MISTAKEN)


def _gateway() -> int:
    """Speaks HTTP for the server that started it."""
    from wfe.bootstrap.gateways import run_gateway

    return run_gateway(_options(GatewayOptions))


def _tracer() -> int:
    """Exports the spans of runs that have ended."""
    from wfe.bootstrap.traces import run_tracer

    return run_tracer(_options(TracerOptions))


def _alerter() -> int:
    """Judges the server's rules and has people told."""
    from wfe.bootstrap.alerts import run_alerter

    return run_alerter(_options(AlerterOptions))


def _read_app() -> int:
    """Prints the definitions as one JSON array; whatever the app itself prints goes to standard error."""
    options = _options(AppOptions)
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    from wfe.authoring.apps import load_app

    try:
        app = load_app(options.apps)
        definitions = app.definitions()
        if options.alone and (missing := app.missing_tasks()):
            workflow, node, task = missing[0]
            raise UnknownTask(f"node {node!r} of {workflow!r} calls {task}, which no app here has: name its APP, too")
    except WfeError as error:
        return _refused(error)
    with out:
        out.write(msgspec.json.encode(definitions))
    return 0


def _refused(error: WfeError) -> int:
    print(f"wfe: {error}", file=sys.stderr)
    return EXIT_STARVED if isinstance(error, (TooFewDescriptors, DataFull)) else EXIT_REFUSED
