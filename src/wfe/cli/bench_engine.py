"""What every `wfe bench` command shares: the engine that is measured, the floor beside it, printing the report."""

from __future__ import annotations

import os
import sys
from collections.abc import Awaitable, Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeVar

import click

from wfe.cli.output import EXIT_FAILED, note, print_fields, print_json
from wfe.cli.params import Number, WholeNumber

if TYPE_CHECKING:
    from wfe.client.aclient import AsyncClient
    from wfe.client.bench.definitions import Kind
    from wfe.client.bench.report import Floor, Report
    from wfe.client.bench.workloads import Options

F = TypeVar("F", bound=Callable[..., Any])

BENCH_APP = "wfe.client.bench.app"
FLOOR_ROUNDS = 5
"""With the floor beside it, a workload is cut into so many slices, so that both meet the same mood of the machine."""


def _decorated(function: F, *options: Callable[[F], F]) -> F:
    for option in reversed(options):
        function = option(function)
    return function


def server_options(function: F) -> F:
    """Which engine is measured."""
    return _decorated(
        function,
        click.option("--connect", metavar="ADDRESS", help="Measure this server; the options below do not apply."),
        click.option("--shards", type=WholeNumber(1), default=1, show_default=True, help="Shard processes."),
        click.option("--workers", type=WholeNumber(1), default=1, show_default=True, help="Worker processes."),
        click.option("--slots", type=WholeNumber(1), help="Tasks that one worker runs at once [default: 16]."),
        click.option("--durability", type=click.Choice(["sync", "os", "none"]), default="sync", show_default=True),
        click.option("--data", metavar="DIR", help="The data directory [default: a temporary one]."),
        click.option("--commit-delay-ms", type=Number(0), default=0.0, help="Play a disk that is slower by so much."),
    )


def task_options(function: F) -> F:
    """What the tasks are like."""
    return _decorated(
        function,
        click.option("--async", "on_loop", is_flag=True, help="Async functions, run on the worker's loop."),
        click.option("--payload-bytes", type=WholeNumber(0), default=0, help="Each task takes and gives so much."),
        click.option("--work-ms", type=Number(0), default=0.0, help="Each task keeps a core busy so long."),
        click.option("--wait-ms", type=Number(0), default=0.0, help="Each task only waits so long."),
    )


def round_options(function: F) -> F:
    """How often, and beside what."""
    return _decorated(
        function,
        click.option("--floor", is_flag=True, help="Alternate with the bare pipes, and state the ratio to them."),
        click.option("--rounds", type=WholeNumber(1), help="Slices of the whole [default: 1, with --floor 5]."),
    )


def kind_of(given: dict[str, Any]) -> Kind:
    """Takes the task options out of a command's parameters."""
    from wfe.client.bench.definitions import Kind

    return Kind(
        on_loop=given.pop("on_loop"),
        payload_bytes=given.pop("payload_bytes"),
        work_ms=given.pop("work_ms"),
        wait_ms=given.pop("wait_ms"),
    )


@dataclass(frozen=True)
class Engine:
    """A server to measure, and the floor beside it, if it was asked for."""

    address: str
    token: str | None
    floor: Floor | None = None


Workload = Callable[["AsyncClient", "Options"], Awaitable["Report"]]


def measure(workload: Workload, as_json: bool, *, floor: bool = False, rounds: int | None = None, **server: Any) -> int:
    """Runs a workload and prints its report; exit code 1 when a run did not complete."""
    import asyncio

    from wfe.bootstrap.world import new_loop
    from wfe.client.bench.workloads import Options

    with engine(floor=floor, **server) as found, asyncio.Runner(loop_factory=new_loop) as runner:
        options = Options(rounds or (FLOOR_ROUNDS if floor else 1), found.floor, new_progress())
        document, ok = runner.run(_run(found, workload, options))
    if as_json:
        print_json(document)
    else:
        print_fields(readable(document))
    return 0 if ok else EXIT_FAILED


async def _run(found: Engine, workload: Workload, options: Options) -> tuple[dict[str, Any], bool]:
    from wfe import bootstrap
    from wfe.client.bench.usage import fresh_status

    async with bootstrap.aconnect(found.address, found.token) as client:
        report = await workload(client, options)
        return report.document(await fresh_status(client)), report.ok


@contextmanager
def engine(
    *,
    connect: str | None,
    shards: int,
    workers: int,
    slots: int | None,
    durability: Any,
    data: str | None,
    commit_delay_ms: float,
    floor: bool = False,
) -> Iterator[Engine]:
    """The server that is measured (one of its own unless ``connect`` names one) and the floor, while in the block."""
    from wfe import bootstrap
    from wfe.bootstrap.world import COMMIT_DELAY
    from wfe.config import DEFAULT_SLOTS, ServeOptions

    with ExitStack() as stack:
        address, token = connect, None
        if address is None:
            options = ServeOptions(
                shards=shards,
                workers=workers,
                slots=slots or DEFAULT_SLOTS,
                durability=durability,
                log_level="warning",
                replace=True,
            )
            stack.enter_context(_environment(COMMIT_DELAY, commit_delay_ms))
            server = stack.enter_context(bootstrap.LocalServer([BENCH_APP], data=data, options=options))
            address, token = server.address, server.token
        beside: Floor | None = None
        if floor:
            from wfe.bootstrap.floor import Floor as BarePipes

            beside = stack.enter_context(BarePipes(durability=durability, commit_delay_ms=commit_delay_ms)).measure
        yield Engine(address, token, beside)


@contextmanager
def _environment(name: str, value: float) -> Iterator[None]:
    """Sets a variable for the processes that are started meanwhile."""
    if not value:
        yield
        return
    before = os.environ.get(name)
    os.environ[name] = str(value)
    try:
        yield
    finally:
        if before is None:
            del os.environ[name]
        else:
            os.environ[name] = before


def readable(document: dict[str, Any]) -> list[tuple[str, str]]:
    """A report for people: one line per figure, nested ones in one line."""
    lines: list[tuple[str, str]] = []
    for name, value in document.items():
        label = name.replace("_", " ")
        if name == "stages":
            for stage, latency in value.items():
                shown = f"p50 {latency['p50_ms']} ms, p99 {latency['p99_ms']} ms" if latency else None
                lines.append((f"stage {stage}", _in_words(shown)))
        elif isinstance(value, dict):
            lines.append((label, ", ".join(f"{key} {each}" for key, each in value.items())))
        elif isinstance(value, list) and value and isinstance(value[0], dict):
            lines.append((label, f"{len(value)} (shown with --json)"))
        elif isinstance(value, list):
            lines.append((label, ", ".join(map(str, value))))
        else:
            lines.append((label, _in_words(value)))
    return lines


def _in_words(value: Any) -> str:
    if value is None:
        return "nothing measured"
    return ("no", "yes")[value] if isinstance(value, bool) else str(value)


def new_progress(what: str = "") -> Callable[[int, int], None]:
    """A line that counts, on a terminal only."""

    def show(done: int, total: int) -> None:
        end = "\n" if done >= total else ""
        sys.stderr.write(f"\r{done:,} of {total:,} {what}{end}")
        sys.stderr.flush()

    if sys.stderr.isatty():
        return show
    note("measuring ...")
    return lambda done, total: None
