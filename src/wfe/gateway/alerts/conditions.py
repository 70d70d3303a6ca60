"""From a server's status to the values that rules judge: a value by subject (a workflow, a shard, or ""). Pure."""

from __future__ import annotations

from collections.abc import Callable

from wfe.gateway.alerts.rules import CONDITIONS, Rule
from wfe.gateway.alerts.samples import Key, Totals, Vector, Window
from wfe.wire.messages import ServerStatus

Values = dict[str, float]
_PREFIXES = {
    "run_failures": "runs",
    "run_time": "run_times",
    "task_failures": "tasks",
    "stuck_runs": "runs_quarantined",
    "lost_tasks": "tasks_lost",
    "shard_restarts": "restarts",
    "backlog_growth": "ready",
}


class Judge:
    """One rule over time. `values` takes each status answer (None: there was none) with the totals so far."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._window = Window(rule.window_ms, self._wants)

    def _wants(self, key: Key) -> bool:
        rule = self.rule
        if rule.when == "refused_starts":
            return key[0].startswith("starts_refused")
        if key[0] != _PREFIXES.get(rule.when):
            return False
        if rule.workflow and key[1] != rule.workflow:
            return False
        return not rule.task or key[2] == rule.task

    def values(self, now_ms: int, status: ServerStatus | None, totals: Totals) -> Values | None:
        """None: nothing is known at the moment."""
        if self.rule.when == "server_down":
            return {"": float(status is None)}
        if status is None:
            return None
        now = _NOW.get(self.rule.when)
        if now is not None:
            return now(status)
        known = {**totals.of, ("ready",): (_gauge(status, "tasks_ready"),)}
        grown = self._window.grown(now_ms, known)
        return self._of_window(grown)

    def _of_window(self, grown: dict[Key, Vector]) -> Values:
        rule = self.rule
        if rule.when in ("run_failures", "task_failures"):
            return {_subject(key): failed / ended for key, (ended, failed) in grown.items() if ended >= rule.at_least}
        if rule.when == "run_time":
            return {
                _subject(key): percentile_ms(counts, rule.quantile)
                for key, counts in grown.items()
                if sum(counts) >= rule.at_least
            }
        if rule.when == "shard_restarts":
            return {f"shard {key[1]}": float(vector[0]) for key, vector in grown.items()}
        return {"": float(sum(vector[0] for vector in grown.values()))}


def breaks(rule: Rule, value: float) -> bool:
    """Whether the value is on the wrong side of the rule's limit."""
    return value > rule.limit if CONDITIONS[rule.when].is_above else value < rule.limit


def percentile_ms(counts: Vector, quantile: float) -> float:
    """From counts by the number of bits of a duration in ms; within its bucket evenly spread."""
    wanted = sum(counts) * quantile
    seen = 0
    for bits, count in enumerate(counts):
        if count and seen + count >= wanted:
            low = 0 if bits == 0 else 1 << (bits - 1)
            return low + ((1 << bits) - low) * (wanted - seen) / count
        seen += count
    return 0.0


def shown(rule: Rule, value: float) -> str:
    """A value as people read it."""
    unit = CONDITIONS[rule.when].unit
    if unit == "share":
        return f"{value * 100:.3g} %"
    if unit == "time":
        return f"{value / 1000:.3g} s" if value >= 1000 else f"{value:.3g} ms"
    if unit == "size":
        return f"{value / (1 << 30):.3g} GiB" if value >= 1 << 30 else f"{value / (1 << 20):.3g} MiB"
    if unit == "flag":
        return "no answer" if value else "it answers"
    return f"{value:g}"


def _subject(key: Key) -> str:
    return " ".join(key[1:])


def _gauge(status: ServerStatus, name: str) -> int:
    return sum(shard.stats.gauges.get(name, 0) for shard in status.shards if shard.stats is not None)


def _gauges(status: ServerStatus, name: str) -> dict[str, float]:
    return {
        f"shard {shard.index}": float(shard.stats.gauges[name])
        for shard in status.shards
        if shard.stats is not None and name in shard.stats.gauges
    }


def _commit_time(status: ServerStatus) -> Values:
    found = {}
    for shard in status.shards:
        if shard.stats is not None and (commit := shard.stats.latencies.get("commit")) is not None:
            found[f"shard {shard.index}"] = commit.p99_us / 1000
    return found


def _free_disk(status: ServerStatus) -> Values:
    free = _gauges(status, "disk_free_bytes").values()
    return {"": min(free)} if free else {}


_NOW: dict[str, Callable[[ServerStatus], Values]] = {
    "commit_time": _commit_time,
    "ready_tasks": lambda status: {"": float(_gauge(status, "tasks_ready"))},
    "shards_down": lambda status: {"": float(sum(shard.state != "serving" for shard in status.shards))},
    "workers": lambda status: {"": float(sum(worker.state == "connected" for worker in status.workers))},
    "free_disk": _free_disk,
    "memory": lambda status: _gauges(status, "memory_bytes"),
}
"""Conditions on what is so now."""
