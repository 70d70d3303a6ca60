"""The table ``[alerts]`` of a configuration as typed rules and receivers. ConfigError names the key at fault. Pure."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final
from urllib.parse import urlsplit

from msgspec import Struct

from wfe.config import parse_size
from wfe.errors import ConfigError
from wfe.model.durations import parse_duration

RULES_MAX: Final = 100
RECEIVERS_MAX: Final = 20
WINDOW_MAX_MS: Final = 86_400_000
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_SHARE = re.compile(r"(\d+(?:\.\d+)?)\s*%")
_HOSTED = ("http", "https")
SEVERITIES: Final = ("info", "warning", "critical")


class Condition(Struct, frozen=True):
    """A kind of condition. ``unit``: share, time, size or count; ``default`` None: the rule must name its limit."""

    meaning: str
    unit: str
    is_above: bool = True
    default: float | None = None
    fields: tuple[str, ...] = ()


_WINDOW = ("window",)
CONDITIONS: Final[dict[str, Condition]] = {
    "run_failures": Condition("share of runs that fail", "share", fields=("workflow", "window", "at_least")),
    "task_failures": Condition(
        "share of attempts that fail", "share", fields=("workflow", "task", "window", "at_least")
    ),
    "run_time": Condition("time that runs take", "time", fields=("workflow", "window", "at_least", "quantile")),
    "commit_time": Condition("99th percentile of the time of commits", "time"),
    "stuck_runs": Condition("runs set aside because of an incident", "count", default=0, fields=_WINDOW),
    "ready_tasks": Condition("tasks that wait for a worker", "count"),
    "backlog_growth": Condition("growth of the tasks that wait for a worker", "count", fields=_WINDOW),
    "refused_starts": Condition("starts that were refused", "count", default=0, fields=_WINDOW),
    "lost_tasks": Condition("attempts that were lost with their worker", "count", fields=_WINDOW),
    "shard_restarts": Condition("restarts of a shard", "count", default=0, fields=_WINDOW),
    "shards_down": Condition("shards that do not serve", "count", default=0),
    "workers": Condition("workers that are connected", "count", is_above=False, default=1),
    "free_disk": Condition("free bytes of the disk with the data", "size", is_above=False),
    "memory": Condition("memory of a shard's process", "size"),
    "server_down": Condition("whether the server does not answer", "flag", default=0),
}
WINDOWS_MS: Final = {"stuck_runs": 3_600_000, "shard_restarts": 900_000, "backlog_growth": 900_000}
"""Where the default is not five minutes."""


FOR_MS: Final = 60_000
"""How long a condition must hold where nothing is said. One that counts over a window holds from the first on: the
window has looked back already, and what happened once is out of it before anybody is told."""


class Rule(Struct, frozen=True, kw_only=True):
    """``limit`` in the unit of the condition: a share from 0 to 1, ms, bytes or a number."""

    name: str
    when: str
    limit: float
    to: tuple[str, ...]
    workflow: str = ""
    task: str = ""
    window_ms: int = 300_000
    at_least: int = 20
    """Runs or attempts within the window, below which a share or a percentile says nothing."""
    quantile: float = 0.99
    for_ms: int = FOR_MS
    repeat_ms: int = 4 * 3_600_000
    severity: str = "warning"
    summary: str = ""


class Receiver(Struct, frozen=True, kw_only=True):
    """``kind``: webhook, email or command. ``secret`` and ``password`` are names of secrets."""

    name: str
    kind: str
    url: str = ""
    secret: str = ""
    to: tuple[str, ...] = ()
    sender: str = ""
    smtp: str = ""
    user: str = ""
    password: str = ""
    command: tuple[str, ...] = ()
    timeout_ms: int = 10_000
    per_hour: int = 30


class Alerting(Struct, frozen=True):
    """All of the table. ``every_ms``: how often the server is asked."""

    rules: tuple[Rule, ...] = ()
    receivers: tuple[Receiver, ...] = ()
    every_ms: int = 10_000


def read_alerting(table: Mapping[str, Any]) -> Alerting:
    """What a configuration says. An empty table: no rules."""
    where = _Table("alerts", table, ("every", "to", "rules"))
    receivers = tuple(_receiver(*each) for each in where.tables("to", RECEIVERS_MAX))
    rules = tuple(_rule(*each, {receiver.name for receiver in receivers}) for each in where.tables("rules", RULES_MAX))
    return Alerting(rules, receivers, where.duration("every", 10_000, 1_000, 3_600_000))


class _Table:
    """A table with what may be in it; each reader checks one key and names it when it does not fit."""

    def __init__(self, path: str, found: object, keys: tuple[str, ...]) -> None:
        if not isinstance(found, Mapping):
            raise ConfigError(f"{path} must be a table: [{path}]")
        self.path, self._found = path, found
        for key in found:
            if key not in keys:
                raise ConfigError(f"[{path}] has no setting {key!r}; it has {', '.join(sorted(keys))}")

    def wrong(self, key: str, what: str) -> ConfigError:
        return ConfigError(f"{self.path}.{key}: {what}")

    def get(self, key: str) -> Any:
        return self._found.get(key)

    def text(self, key: str, default: str = "") -> str:
        value = self.get(key)
        if value is None:
            return default
        if not isinstance(value, str) or len(value) > 2_000 or "\n" in value or "\r" in value:
            raise self.wrong(key, f"{value!r} is no text of one line")
        return value

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.get(key)
        value = [value] if isinstance(value, str) else [] if value is None else value
        if not isinstance(value, list) or not all(isinstance(each, str) and each for each in value):
            raise self.wrong(key, "is a list of texts")
        return tuple(value)

    def number(self, key: str, default: int, least: int, most: int) -> int:
        value = default if self.get(key) is None else self.get(key)
        if isinstance(value, bool) or not isinstance(value, int) or not least <= value <= most:
            raise self.wrong(key, f"{value!r} is no whole number from {least} to {most}")
        return value

    def duration(self, key: str, default_ms: int, least_ms: int, most_ms: int) -> int:
        value = self.get(key)
        if value is None:
            return default_ms
        try:
            if not isinstance(value, str):
                raise ValueError(f'{value!r} has no unit: write text such as "30s" or "5m"')
            found_ms = parse_duration(value)
        except ValueError as error:
            raise self.wrong(key, str(error)) from error
        if not least_ms <= found_ms <= most_ms:
            raise self.wrong(key, f"{value!r} is not between {least_ms / 1000:g} s and {most_ms / 1000:g} s")
        return found_ms

    def tables(self, key: str, most: int) -> list[tuple[str, str, Any]]:
        """(path, name, table) of each table below a key."""
        found = self.get(key) or {}
        if not isinstance(found, Mapping):
            raise self.wrong(key, f"is made of tables: [{self.path}.{key}.NAME]")
        if len(found) > most:
            raise self.wrong(key, f"has more than {most} tables")
        for name in found:
            if not _NAME.fullmatch(name):
                raise self.wrong(key, f"{name!r} is no name: letters, digits, '_', '-' and '.', at most 100")
        return [(f"{self.path}.{key}.{name}", name, table) for name, table in found.items()]


_RECEIVER_KEYS: Final = {
    "webhook": ("webhook", "secret", "timeout", "per_hour"),
    "email": ("email", "from", "smtp", "user", "password", "timeout", "per_hour"),
    "command": ("command", "timeout", "per_hour"),
}


def _receiver(path: str, name: str, found: Any) -> Receiver:
    kinds = [kind for kind in _RECEIVER_KEYS if isinstance(found, Mapping) and kind in found]
    if len(kinds) != 1:
        raise ConfigError(f"[{path}] names exactly one of {', '.join(_RECEIVER_KEYS)}")
    (kind,) = kinds
    table = _Table(path, found, _RECEIVER_KEYS[kind])
    common: dict[str, Any] = {
        "name": name,
        "kind": kind,
        "timeout_ms": table.duration("timeout", 10_000, 100, 300_000),
        "per_hour": table.number("per_hour", 30, 1, 10_000),
    }
    if kind == "webhook":
        url = table.text("webhook")
        parts = urlsplit(url)
        if parts.scheme not in _HOSTED or not parts.hostname or parts.username:
            raise table.wrong("webhook", f"{url!r} is no address such as https://ours.example/alerts (without a user)")
        return Receiver(**common, url=url, secret=table.text("secret"))
    if kind == "command":
        command = table.texts("command")
        if not command or isinstance(table.get("command"), str):
            raise table.wrong(
                "command", 'is a list of the program and its arguments: ["/usr/bin/page", "--team", "ops"]'
            )
        return Receiver(**common, command=command)
    return _mail(table, common)


def _mail(table: _Table, common: dict[str, Any]) -> Receiver:
    to, sender, smtp = table.texts("email"), table.text("from"), table.text("smtp")
    for address in (*to, sender):
        name, at, host = address.rpartition("@")
        if not (name and at and host) or re.search(r"[\s,<>]", address):
            key = "from" if address == sender else "email"
            raise table.wrong(key, f"{address!r} is no address such as ops@ours.example")
    parts = urlsplit(smtp)
    if parts.scheme not in ("smtp", "smtps") or not parts.hostname or parts.username or parts.path.strip("/"):
        raise table.wrong("smtp", f"{smtp!r} is no mail server such as smtp://mail.ours.example:587 or smtps://...")
    try:
        parts.port  # noqa: B018  reading it checks it
    except ValueError as error:
        raise table.wrong("smtp", f"{smtp!r}: {error}") from error
    user, password = table.text("user"), table.text("password")
    if bool(user) != bool(password):
        raise table.wrong("user", "comes with `password`, the name of a secret")
    return Receiver(**common, to=to, sender=sender, smtp=smtp, user=user, password=password)


def _rule(path: str, name: str, found: Any, receivers: set[str]) -> Rule:
    when = found.get("when") if isinstance(found, Mapping) else None
    if not isinstance(when, str) or when not in CONDITIONS:
        raise ConfigError(f"{path}.when: {when!r} is no condition; there are {', '.join(CONDITIONS)}")
    condition = CONDITIONS[when]
    limit_key = "above" if condition.is_above else "below"
    limits = () if condition.unit == "flag" else (limit_key,)
    common = ("when", "to", "for", "repeat", "severity", "summary")
    table = _Table(path, found, (*common, *limits, *condition.fields))
    to = table.texts("to")
    for each in to:
        if each not in receivers:
            known = ", ".join(sorted(receivers)) or "none: write [alerts.to.NAME]"
            raise table.wrong("to", f"there is no receiver {each!r}; there are {known}")
    severity = table.text("severity", "warning")
    if severity not in SEVERITIES:
        raise table.wrong("severity", f"{severity!r} is none of {', '.join(SEVERITIES)}")
    quantile = table.get("quantile")
    if quantile is not None and (not isinstance(quantile, float) or not 0 < quantile < 1):
        raise table.wrong("quantile", f"{quantile!r} is no number between 0 and 1, such as 0.95")
    return Rule(
        name=name,
        when=when,
        limit=_limit(table, limit_key, condition),
        to=to,
        workflow=table.text("workflow"),
        task=table.text("task"),
        window_ms=table.duration("window", WINDOWS_MS.get(when, 300_000), 10_000, WINDOW_MAX_MS),
        at_least=table.number("at_least", 20, 1, 1_000_000_000),
        quantile=0.99 if quantile is None else quantile,
        for_ms=table.duration("for", 0 if _counts_over_window(condition) else FOR_MS, 0, WINDOW_MAX_MS),
        repeat_ms=table.duration("repeat", 4 * 3_600_000, 60_000, 30 * WINDOW_MAX_MS),
        severity=severity,
        summary=table.text("summary"),
    )


def _counts_over_window(condition: Condition) -> bool:
    return condition.unit == "count" and "window" in condition.fields


def doubts_of(alerting: Alerting) -> list[str]:
    """What is allowed and may well be a mistake, in sentences."""
    return [
        f"alerts.rules.{rule.name}: `for` is not shorter than `window`, so that what happens once is never told: only "
        "what goes on for that long is"
        for rule in alerting.rules
        if "window" in CONDITIONS[rule.when].fields and rule.for_ms >= rule.window_ms
    ]


def _limit(table: _Table, key: str, condition: Condition) -> float:
    value = table.get(key)
    if value is None:
        if condition.default is None:
            raise table.wrong(key, f"is needed: a {_EXAMPLES[condition.unit]}")
        return condition.default
    try:
        if condition.unit == "share" and isinstance(value, str) and (match := _SHARE.fullmatch(value)):
            share = float(match[1]) / 100
            if share <= 1:
                return share
        elif condition.unit == "time" and isinstance(value, str):
            return float(parse_duration(value))
        elif condition.unit == "size" and isinstance(value, str):
            return float(parse_size(value))
        elif condition.unit == "count" and isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            return float(value)
    except ValueError as error:
        raise table.wrong(key, str(error)) from error
    raise table.wrong(key, f"{value!r} is no {_EXAMPLES[condition.unit]}")


_EXAMPLES: Final = {
    "share": 'share such as "5%"',
    "time": 'time such as "30s"',
    "size": 'size such as "2GiB"',
    "count": "whole number such as 100",
}
