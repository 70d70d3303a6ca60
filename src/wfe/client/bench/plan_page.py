"""The report of `wfe bench plan` as one HTML page: tables and inline SVG, no scripts, nothing from a network. Pure."""

from __future__ import annotations

import math
from collections.abc import Sequence
from html import escape

from wfe.client.bench.plan import GIB, Calibration, Plan, Point, Wanted
from wfe.client.bench.plots import Bar, Mark, Series, bars, lines, number

_STYLE = """
body { font: 16px/1.5 sans-serif; color: #222; max-width: 46rem; margin: 2rem auto; padding: 0 1rem }
table { border-collapse: collapse; margin: 1rem 0 }
td, th { padding: .2rem .8rem; text-align: left; border-bottom: 1px solid #ddd }
td + td { text-align: right; font-variant-numeric: tabular-nums } svg { max-width: 100%; height: auto }
.bad { color: #b91c1c } small { color: #666 }
"""


def page(wanted: Wanted, found: Calibration, plan: Plan, when: str) -> str:
    """The whole page."""
    title = f"{number(wanted.rate)} runs/s of {wanted.steps} tasks"
    verdict = "This machine is large enough."
    if not plan.fits:
        verdict = f'<span class="bad">This machine is too small: it lacks {escape(", ".join(plan.short_of))}.</span>'
    first = plan.limits[0]
    breaking = f"What breaks first as the load grows: {first.what}, at {_rate(first.breaks_at_runs_per_s)} runs/s."
    parts = [
        f"<!doctype html><html lang=en><meta charset=utf-8><title>wfe: {escape(title)}</title><style>{_STYLE}</style>",
        f"<h1>{escape(title)}</h1><p>{verdict} {escape(breaking)}</p>",
        "<h2>What it needs</h2>",
        _table(needs(wanted, plan)),
        "<h2>What breaks when</h2>",
        bars(
            "Share of each resource that this load takes",
            [
                Bar(
                    limit.what,
                    min(limit.used_share, 10.0),
                    f"{number(100 * limit.used_share)} %",
                    _colour(limit.used_share),
                )
                for limit in plan.limits
            ],
        ),
        _table([(limit.what, f"{_rate(limit.breaks_at_runs_per_s)} runs/s") for limit in plan.limits]),
        "<h2>Latency over load, one shard, as measured here</h2>",
        _curve(wanted, found, plan),
        "<h2>Disk</h2>",
        _disk(wanted, found, plan),
        "<h2>What was measured</h2>",
        _table(measured(found)),
        f"<p><small>Measured {escape(when)} with tasks that do nothing but pass {wanted.payload_bytes:,} bytes; the "
        "time that tasks take is added. Processes are planned to be busy 60 % of the time.</small></p></html>",
    ]
    return "\n".join(parts)


def needs(wanted: Wanted, plan: Plan) -> list[tuple[str, str]]:
    """The plan for people, a line each."""
    return [
        ("shards", str(plan.shards)),
        ("workers", f"{plan.workers} with {plan.slots_per_worker} slots each"),
        ("cores", f"{plan.cores:g}"),
        ("memory", f"{plan.memory_mb:,.0f} MiB"),
        ("disk per day", f"{plan.disk_gb_per_day:,.3g} GiB"),
        (f"disk for {wanted.retention_days:g} days", f"{plan.disk_gb_kept:,.3g} GiB"),
        ("this disk is full after", f"{number(plan.disk_full_after_days)} days without expiry"),
        ("open runs", f"{plan.open_runs:,.0f}"),
        ("a run takes, median", f"{plan.p50_ms:,.4g} ms"),
        ("a run takes, 99 % within", f"{plan.p99_ms:,.4g} ms"),
        ("shards are busy", f"{100 * plan.shard_busy_share:.0f} %"),
    ]


def measured(found: Calibration) -> list[tuple[str, str]]:
    """The calibration for people, a line each."""
    spent = ", ".join(f"{role} {value:g}" for role, value in sorted(found.cpu_us.items()))
    return [
        ("most of one shard", f"{found.shard_tasks_per_s:,.0f} tasks/s"),
        ("CPU per task, us", spent),
        ("latency per task at the wanted rate", _latency(found.at_rate)),
        ("a synced commit", f"{found.commit_ms:g} ms"),
        ("disk per run", f"{found.disk_bytes_per_run:,.0f} bytes"),
        ("memory per open run", f"{found.memory_bytes_per_open_run:,.0f} bytes"),
        ("cores, memory here", f"{found.cores}, {found.memory_mb:,.0f} MiB"),
    ]


def _disk(wanted: Wanted, found: Calibration, plan: Plan) -> str:
    """What is kept, day by day, until the first runs expire and a little longer."""
    days, kept = wanted.retention_days, plan.disk_gb_per_day * wanted.retention_days
    free = found.disk_free_bytes / GIB
    return lines(
        "Disk that ended runs take",
        [Series("kept", [(0, 0), (days, kept), (1.25 * days, kept)])],
        x="days",
        y="GiB",
        marks=[Mark("free on this disk now", free, across=True), Mark("the first runs expire", days)],
    )


def _curve(wanted: Wanted, found: Calibration, plan: Plan) -> str:
    ordered = sorted(found.curve, key=lambda point: point.tasks_per_s)
    return lines(
        "A run's latency per task",
        [
            Series("99 %", [(point.tasks_per_s, point.p99_ms) for point in ordered]),
            Series("median", [(point.tasks_per_s, point.p50_ms) for point in ordered]),
        ],
        x="tasks/s",
        y="ms per task",
        marks=[Mark("planned for a shard", wanted.tasks_per_s / plan.shards)],
    )


def _latency(point: Point | None) -> str:
    if point is None:
        return "see the curve"
    return f"median {point.p50_ms:.3g} ms, 99 % within {point.p99_ms:.3g} ms"


def _colour(share: float) -> str:
    return "#dc2626" if share > 1 else "#d97706" if share > 0.6 else "#2563eb"


def _rate(value: float) -> str:
    return "any number of" if math.isinf(value) else number(value)


def _table(rows: Sequence[tuple[str, str]]) -> str:
    cells = "".join(f"<tr><td>{escape(name)}<td>{escape(value)}" for name, value in rows)
    return f"<table>{cells}</table>"
