"""Workflows whose traces tests look at: retries, failures, processes, HTTP, sub-workflows, a durable function."""

from __future__ import annotations

import logging
import os
import signal

from opentelemetry import trace

import wfe

tracer = trace.get_tracer("the-app")
log = logging.getLogger(__name__)


@wfe.task
def mark(name: str) -> str:
    """Sync: a span of its own, and an attribute on the attempt's."""
    trace.get_current_span().set_attribute("app.name", name)
    with tracer.start_as_current_span("inner work"):
        wfe.context().logger.info("marked")
        return wfe.context().traceparent


@wfe.task
async def amark(name: str) -> str:
    with tracer.start_as_current_span("inner async work"):
        return wfe.context().traceparent


@wfe.task(run_in="process")
def apart(name: str) -> str:
    with tracer.start_as_current_span("inner work apart"):
        return wfe.context().traceparent


@wfe.task(retry=wfe.Retry(max_attempts=3, initial_delay="10ms"))
def flaky(name: str) -> str:
    if wfe.context().attempt < 3:
        raise ConnectionError(f"{name} is not there yet")
    return name


@wfe.task
def deadly(name: str) -> str:
    if wfe.context().attempt == 1:
        os.kill(os.getpid(), signal.SIGKILL)
    return name


@wfe.task
def fail(name: str) -> str:
    raise ValueError(f"{name} is wrong")


@wfe.workflow
def marked(wf: wfe.Graph, name: wfe.Ref[str]) -> wfe.Ref[str]:
    return mark(name)


@wfe.workflow
async def everything(wf: wfe.Graph, name: wfe.Ref[str]) -> wfe.Ref[list[str]]:
    a = mark(name)
    b = await amark(name)
    c = apart(name)
    d = flaky(name)
    e = marked(name)
    return [a, b, c, d, e]


@wfe.workflow
def doomed(wf: wfe.Graph, name: wfe.Ref[str]) -> wfe.Ref[str]:
    return fail(name)


@wfe.workflow
def survivor(wf: wfe.Graph, name: wfe.Ref[str]) -> wfe.Ref[str]:
    return deadly(name)


@wfe.workflow
def called(wf: wfe.Graph, url: wfe.Ref[str]) -> wfe.Ref[int]:
    return wf.http("GET", url, allow_private=True).status


@wfe.workflow
async def durable(wf: wfe.Durable, name: str) -> str:
    await amark(name)
    return await wf.call(marked, name)
