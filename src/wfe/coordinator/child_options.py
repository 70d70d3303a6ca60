"""What each child process is told, from the server's options and from where the server is. Pure."""

from __future__ import annotations

from typing import Any, TypeAlias

import msgspec
from msgspec import Struct

from wfe.config import GatewayOptions, LogFormat, LogLevel, ServeOptions, ShardOptions, TracerOptions, WorkerOptions
from wfe.coordinator.effects import Site
from wfe.model.needs import ANY


class AlerterOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """The process that judges the rules of the table ``[alerts]`` and has people told."""

    connect: str
    token: str
    alerts: dict[str, Any]
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    parent_fd: int = -1


ChildOptions: TypeAlias = ShardOptions | WorkerOptions | GatewayOptions | TracerOptions | AlerterOptions


def shard_options(
    options: ServeOptions, site: Site, server: str, index: int, epoch: int, partitions: list[int], partitions_total: int
) -> ShardOptions:
    """``server``: the id of its data. ``partitions``: those that this shard owns, of ``partitions_total``."""
    return ShardOptions(
        index=index,
        epoch=epoch,
        data=options.data,
        partitions=partitions,
        partitions_total=partitions_total,
        server=server,
        back_endpoint=site.back_address,
        ipc=site.shard_ipc(index, epoch),
        token=site.token,
        durability=options.durability,
        lease_ms=options.lease_ms,
        recovery_grace_ms=options.recovery_grace_ms,
        ready_max=-(-options.ready_max // options.shards),
        memory_max_bytes=-(-options.memory_max_bytes // options.shards),
        retention_ms=options.retention_ms,
        disk_budget_bytes=options.disk_budget_bytes,
        task_logs_bytes=_task_logs_bytes(options),
        trace_share=options.otel_sample if options.otel else -1.0,
        log_level=options.log_level,
        log_format=options.log_format,
    )


def _task_logs_bytes(options: ServeOptions) -> int:
    """Lines of tasks never use up what runs need."""
    budget = options.disk_budget_bytes
    return min(options.task_logs_bytes, budget // 4) if budget else options.task_logs_bytes


def worker_options(options: ServeOptions, site: Site, index: int, worker: str) -> WorkerOptions:
    """A server for one machine only (`wfe dev`, `wfe run`) has workers for whatever tasks ask for."""
    everything = [ANY] if options.alone or options.replace else []
    return WorkerOptions(
        apps=options.apps,
        connect=site.worker_address,
        token=site.token,
        slots=options.slots,
        labels=options.labels or everything,
        resources=options.resources or everything,
        index=index,
        worker=worker,
        local=True,
        lease_ms=options.lease_ms,
        otel=options.otel,
        log_level=options.log_level,
        log_format=options.log_format,
    )


def gateway_options(options: ServeOptions, site: Site) -> GatewayOptions:
    return msgspec.structs.replace(
        options.gateway or GatewayOptions(),
        connect=site.worker_address,
        token=site.token,
        http=options.http,
        log_level=options.log_level,
        log_format=options.log_format,
    )


def tracer_options(options: ServeOptions, site: Site) -> TracerOptions:
    return TracerOptions(
        connect=site.worker_address,
        token=site.token,
        otel=options.otel,
        log_level=options.log_level,
        log_format=options.log_format,
    )


def alerter_options(options: ServeOptions, site: Site) -> AlerterOptions:
    return AlerterOptions(
        connect=site.worker_address,
        token=site.token,
        alerts=options.alerts,
        log_level=options.log_level,
        log_format=options.log_format,
    )
