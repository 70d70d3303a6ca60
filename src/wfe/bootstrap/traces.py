"""Traces of a server: whether there are any, and the process that exports the spans of runs (`--otel`).

Attempts are exported by the workers that make them. A run's span is known when the run has ended, to its shard, which
must not pay for exporting: a child process asks the shards for traced runs that have ended.
"""

from __future__ import annotations

import asyncio
import signal
import sys

import msgspec

from wfe import otel
from wfe.config import ServeOptions, TracerOptions
from wfe.errors import Disconnected, WfeError
from wfe.model.trace import attempt_span, of_child, run_span
from wfe.observe import configure, get_logger
from wfe.secrets import mask_secrets
from wfe.wire.traces import LostTrace, RunTrace

RETRY_S = 0.5
_log = get_logger("tracer")


def with_tracing(options: ServeOptions) -> ServeOptions:
    """The options with what OTEL_* variables leave to say. ConfigError when traces are wanted and cannot be."""
    endpoint = otel.endpoint_of(options.otel)
    if not endpoint:
        return msgspec.structs.replace(options, otel="")
    return msgspec.structs.replace(options, otel=endpoint, otel_sample=otel.share_of(options.otel_sample))


def run_tracer(options: TracerOptions) -> int:
    """Exports until told to stop; the exit code."""
    from wfe.bootstrap.world import new_loop

    configure(options.log_level, options.log_format, mask=mask_secrets, process="tracer")
    tracing = otel.open_tracing(options.otel, "tracer")
    with asyncio.Runner(loop_factory=new_loop) as runner:
        runner.run(_until_stopped(options, tracing))
    tracing.close()
    return 0


async def _until_stopped(options: TracerOptions, tracing: otel.Tracing) -> None:
    following = asyncio.ensure_future(_follow(options, tracing))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        if sys.platform == "win32":
            signal.signal(number, lambda *_: loop.call_soon_threadsafe(following.cancel))
        else:
            loop.add_signal_handler(number, following.cancel)
    await asyncio.wait([following])
    if not following.cancelled():
        following.result()


async def _follow(options: TracerOptions, tracing: otel.Tracing) -> None:
    """Takes what the shards have, over whatever number of connections it needs."""
    from wfe.bootstrap.clients import open_client_link
    from wfe.client.aclient import AsyncClient

    while True:
        client = AsyncClient(open_client_link, options.connect, lambda: options.token)
        try:
            async with client:
                async for page in client.ended_traces():
                    if page.missed:
                        _log.warning(
                            "traces of runs were lost: they ended faster than they were taken", runs=page.missed
                        )
                    for run in page.runs:
                        export(tracing, run)
                    for lost in page.lost:
                        export_lost(tracing, lost)
        except Disconnected as error:
            _log.debug("the server cannot be reached", reason=str(error))
        except WfeError as error:
            _log.warning("the server gives no traces", reason=str(error))
        await asyncio.sleep(RETRY_S)


def export(tracing: otel.Tracing, run: RunTrace) -> None:
    """One span for a run; for each round after the first, another one below it."""
    attributes: otel.Attributes = {
        "wfe.run.id": run.run_id,
        "wfe.workflow": run.workflow,
        "wfe.workflow.version": run.version,
        "wfe.run.status": run.status,
    }
    for name, value in (("wfe.run.key", run.key), ("wfe.run.parent", run.parent), ("wfe.run.round", run.round)):
        if value:
            attributes[name] = value
    context = run.context if not run.round else of_child(run.context, run.run_id)
    span_id, started_ns = run_span(run.run_id, run.round), run.started_ms * 1_000_000
    span = tracing.start(f"workflow {run.workflow}", context, span_id, started_ns, attributes)
    ended_ns = max(run.ended_ms, run.started_ms) * 1_000_000
    if run.error is not None:
        otel.fail(span, run.error.type, run.error.message, "", ended_ns)
    span.end(ended_ns)


def export_lost(tracing: otel.Tracing, lost: LostTrace) -> None:
    """The span of an attempt whose worker cannot tell of it any more; from when it left for the worker."""
    attributes: otel.Attributes = {
        "wfe.run.id": lost.run_id,
        "wfe.node": lost.node_id,
        "wfe.activation": lost.activation,
        "wfe.attempt": lost.attempt,
        "wfe.task": lost.task,
        "wfe.task.version": lost.task_version,
        "wfe.worker": lost.worker,
    }
    span_id = attempt_span(lost.run_id, lost.node, lost.activation, lost.attempt)
    context = of_child(lost.context, lost.run_id)
    span = tracing.start(f"task {lost.task}", context, span_id, lost.dispatched_ms * 1_000_000, attributes)
    ended_ns = max(lost.lost_ms, lost.dispatched_ms) * 1_000_000
    otel.fail(span, "WorkerLost", "the attempt was lost with its worker", "", ended_ns)
    span.end(ended_ns)
