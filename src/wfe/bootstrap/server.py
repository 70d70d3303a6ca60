"""`wfe serve`: opens the data directory, binds the sockets, moves partitions if need be, and runs the coordinator."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory

import msgspec

from wfe import observe
from wfe.bootstrap.gateways import url_of, with_gateway
from wfe.bootstrap.parents import parent_watch
from wfe.bootstrap.traces import with_tracing
from wfe.bootstrap.world import SystemClock, SystemRandom, new_loop
from wfe.config import AppOptions, ServeOptions, ShardOptions
from wfe.coordinator.actor import Coordinator
from wfe.coordinator.children import spawn
from wfe.coordinator.effects import Site
from wfe.coordinator.moves import settle_owners
from wfe.coordinator.process import OnFrames, Process, World
from wfe.coordinator.tokens import publish_token, server_token, withdraw_token, write_private
from wfe.errors import ConfigError, DataError, DefinitionError, RequestError
from wfe.gateway.alerts.rules import doubts_of, read_alerting
from wfe.journal.catalogue import Catalogue
from wfe.lmdb.archive import DirectoryArchive
from wfe.lmdb.layout import DataLock, catalogue_path, open_catalogue, shards_with_logs
from wfe.secrets import mask_secrets
from wfe.transport.aio import Attached
from wfe.transport.descriptors import raise_descriptor_limit
from wfe.transport.endpoints import ipc_endpoint, listen_address, runtime_directory
from wfe.transport.sockets import Router, close_context
from wfe.worker.deadlines import DeadlineBoard

ADDRESS_FILE = "server.json"
EXIT_REFUSED = 2
EXIT_MISTAKEN = 65
"""Could not start because of what the app says, which a change of its files may heal; between processes only."""
_COMMAND = (sys.executable, "-P", "-m", "wfe.bootstrap")
_log = observe.get_logger("serve")


def command(role: str) -> tuple[str, ...]:
    """The command line of a child process. ``-P``: the current directory must not shadow wfe's own imports."""
    return (*_COMMAND, role)


class AppRefused(ConfigError):
    """The app cannot be loaded; whoever tried has said why."""


def serve(options: ServeOptions, *, mistaken: int = EXIT_REFUSED) -> int:
    """Serves until SIGTERM or SIGINT; the exit code (2: could not start, with the reason on standard error).
    ``mistaken``: that for an app with mistakes."""
    observe.configure(options.log_level, options.log_format, mask=mask_secrets, process="coordinator")
    try:
        with ExitStack() as stack:
            return _serve(options, stack)
    except AppRefused as error:
        print(f"wfe: {error}", file=sys.stderr)
        return mistaken
    except (ConfigError, DataError, RequestError) as error:
        print(f"wfe: {error}", file=sys.stderr)
    except DefinitionError as error:
        print("wfe: the workflows cannot be deployed:", *error.findings, sep="\n  ", file=sys.stderr)
        return mistaken
    return EXIT_REFUSED


def _serve(options: ServeOptions, stack: ExitStack) -> int:
    if options.shards < 1 or options.workers < 0 or options.slots < 1:
        raise ConfigError("--shards and --slots must be at least 1, --workers at least 0")
    for doubt in doubts_of(read_alerting(options.alerts)):  # mistakes in it are said now, not by a child
        _log.warning(doubt)
    options = with_tracing(with_gateway(options))
    listen = listen_address(options.listen)
    raise_descriptor_limit()
    data = Path(options.data).resolve()
    options = msgspec.structs.replace(options, data=str(data))
    if options.shards > options.partitions and not catalogue_path(data).exists():
        raise ConfigError(
            f"{options.shards} shards need as many partitions, and new data would have {options.partitions}: "
            f"use --partitions {options.shards} or more (it cannot change later), or fewer shards"
        )
    made = not data.exists()
    stack.enter_context(DataLock(data))
    # Imported by a child, while this process opens the rest.
    reading = _start_reading_apps(options)
    stack.callback(_end, reading)
    runtime = runtime_directory(data)
    if runtime is not None:
        stack.callback(shutil.rmtree, runtime, ignore_errors=True)
    try:
        front = Router(listen, *filter(None, [ipc_endpoint(runtime, "front")]))
    except ConfigError:
        if made:  # it holds nothing but the lock that this process has
            shutil.rmtree(data, ignore_errors=True)
        raise
    stack.callback(front.close)
    back = Router(ipc_endpoint(runtime, "back") or "tcp://127.0.0.1:0")
    stack.callback(back.close)
    token = server_token(data)
    store = open_catalogue(data, durability=options.durability)
    random = SystemRandom()
    catalogue = Catalogue(store, partitions=options.partitions, server_id=f"{random.bits(64):016x}")
    stack.callback(catalogue.close)
    settle_owners(catalogue, options, shards_with_logs(data), _drain)
    address = front.endpoints[0]
    site = Site(
        server=catalogue.server_id,
        token=token,
        address=address,
        worker_address=front.endpoints[-1],
        back_address=back.endpoints[0],
        runtime=str(runtime or ""),
        started_at_ms=SystemClock().wall_ms(),
        http=url_of(options),
    )
    scratch = Path(stack.enter_context(TemporaryDirectory(prefix="wfe-")))
    world = World(
        attach_front=partial(_attach, front),
        attach_back=partial(_attach, back),
        make_board=DeadlineBoard.create,
        scratch=scratch,
        shard_command=command("shard"),
        worker_command=command("worker"),
        gateway_command=command("gateway"),
        tracer_command=command("tracer"),
        alerter_command=command("alerter"),
        clock=SystemClock(),
        random=random,
        make_archive=partial(DirectoryArchive, data, catalogue.snapshot),
    )
    definitions = _read_apps(reading, options.parent_fd)
    announce = partial(_announce, stack, data, token)
    with asyncio.Runner(loop_factory=new_loop) as runner:
        code = runner.run(_run(options, site, catalogue, world, definitions, announce))
    close_context()
    return code


async def _run(
    options: ServeOptions,
    site: Site,
    catalogue: Catalogue,
    world: World,
    definitions: list[bytes],
    announce: Callable[[Coordinator], None],
) -> int:
    process = Process(options, site, catalogue, world)
    if options.parent_fd >= 0:
        loop = asyncio.get_running_loop()
        parent_watch(options.parent_fd, lambda: loop.call_soon_threadsafe(process.stop_now))
    return await process.run(definitions, announce)


def _attach(router: Router, on_frames: OnFrames) -> Attached:
    return Attached(asyncio.get_running_loop(), router, on_frames)


def _announce(stack: ExitStack, data: Path, token: str, coordinator: Coordinator) -> None:
    """Says that the engine serves: the token for this user's clients, ``server.json``, the READY line."""
    address, options = coordinator.site.address, coordinator.options
    published = publish_token(address, token)
    if published is None:
        _log.warning("the token cannot be left for other processes of this user: set WFE_TOKEN for them")
    else:
        stack.callback(withdraw_token, published, token)
    path = data / ADDRESS_FILE
    url = coordinator.gateway.http
    found = {"address": address, "pid": os.getpid()} | ({"http": url} if url else {})
    write_private(path, msgspec.json.encode(found).decode() + "\n")
    stack.callback(path.unlink, missing_ok=True)
    if options.log_format == "json":
        facts = {**found, "data": options.data}
        ready = msgspec.json.encode(facts | {"shards": options.shards, "workers": options.workers}).decode()
    else:
        counts = f"{_count(options.shards, 'shard')}, {_count(options.workers, 'worker')}"
        ready = f"wfe: serving on {address} ({counts}), data in {options.data}" + (f", HTTP on {url}" if url else "")
    print(ready, flush=True)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


# ---- short children -------------------------------------------------------------------------------------------------


def _drain(options: ShardOptions) -> int:
    return _finished(spawn(command("shard-drain"), options))


def _start_reading_apps(options: ServeOptions) -> subprocess.Popen[bytes] | None:
    if not options.apps:
        return None
    return spawn(command("read-app"), AppOptions(apps=options.apps, alone=options.alone), stdout=subprocess.PIPE)


def _read_apps(process: subprocess.Popen[bytes] | None, parent_fd: int) -> list[bytes]:
    """The apps' definitions as JSON texts. AppRefused when they cannot be read; the child has said why.

    An import may take for ever: the child ends with this process's parent, and so does the wait.
    """
    if process is None:
        return []
    if parent_fd >= 0:
        parent_watch(parent_fd, process.kill)
    assert process.stdout is not None
    text = process.stdout.read()
    if _finished(process) != 0:
        raise AppRefused("the app cannot be loaded (see above)")
    return [bytes(definition) for definition in msgspec.json.decode(text, type=list[msgspec.Raw])]


def _finished(process: subprocess.Popen[bytes]) -> int:
    """Waits for a child; if this process is interrupted meanwhile, the child ends, too."""
    try:
        return process.wait()
    finally:
        _end(process)


def _end(process: subprocess.Popen[bytes] | None) -> None:
    if process is not None and process.stdin is not None:
        process.stdin.close()
        if process.poll() is None:
            process.kill()
            process.wait()
