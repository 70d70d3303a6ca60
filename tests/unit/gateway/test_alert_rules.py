"""The table [alerts]: what is read of it, and what is said about mistakes."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest

from wfe.config import ALERTS, read_table
from wfe.errors import ConfigError
from wfe.gateway.alerts.rules import CONDITIONS, doubts_of, read_alerting

CONFIGS = Path(__file__).parents[3] / "configs"

GOOD = """
every = "5s"

[to.ops]
webhook = "https://ours.example/alerts"
secret = "ALERTS_SECRET"

[to.mail]
email = ["ops@ours.example", "boss@ours.example"]
from = "wfe@ours.example"
smtp = "smtp://mail.ours.example:587"
user = "wfe"
password = "SMTP_PASSWORD"

[to.page]
command = ["/usr/local/bin/page", "--team", "ops"]
timeout = "5s"
per_hour = 3

[rules.checkout-fails]
when = "run_failures"
workflow = "checkout"
above = "5%"
window = "10m"
for = "2m"
repeat = "1h"
to = ["ops", "mail"]
severity = "critical"
summary = "Customers cannot pay"

[rules.slow]
when = "run_time"
above = "30s"
quantile = 0.95

[rules.disk]
when = "free_disk"
below = "2GiB"
to = "page"

[rules.down]
when = "server_down"
"""


def test_a_whole_table_is_read() -> None:
    alerting = read_alerting(tomllib.loads(GOOD))
    assert alerting.every_ms == 5_000
    fails, slow, disk, down = alerting.rules
    assert (fails.limit, fails.window_ms, fails.for_ms, fails.repeat_ms) == (0.05, 600_000, 120_000, 3_600_000)
    assert (fails.workflow, fails.to, fails.severity) == ("checkout", ("ops", "mail"), "critical")
    assert (slow.limit, slow.quantile, slow.to) == (30_000, 0.95, ())
    assert (disk.limit, disk.to) == (2 << 30, ("page",))
    assert down.limit == 0
    ops, mail, page = alerting.receivers
    assert (ops.kind, ops.url, ops.secret) == ("webhook", "https://ours.example/alerts", "ALERTS_SECRET")
    assert (mail.kind, mail.to, mail.sender) == ("email", ("ops@ours.example", "boss@ours.example"), "wfe@ours.example")
    assert (page.command, page.timeout_ms, page.per_hour) == (("/usr/local/bin/page", "--team", "ops"), 5_000, 3)


def test_nothing_is_no_rules() -> None:
    assert read_alerting({}).rules == ()


def test_every_condition_can_be_written() -> None:
    limits = {"share": "5%", "time": "1s", "size": "1GiB", "count": 3}
    for name, condition in CONDITIONS.items():
        key = "above" if condition.is_above else "below"
        given = {} if condition.unit == "flag" else {key: limits[condition.unit]}
        (rule,) = read_alerting({"rules": {"r": {"when": name, **given}}}).rules
        assert rule.when == name


def test_what_is_counted_over_a_window_is_told_at_once_and_the_rest_when_it_lasts() -> None:
    for name, condition in CONDITIONS.items():
        limits: dict[str, object] = {"share": "5%", "time": "1s", "size": "1GiB", "count": 3}
        key = "above" if condition.is_above else "below"
        given = {} if condition.unit == "flag" else {key: limits[condition.unit]}
        (rule,) = read_alerting({"rules": {"r": {"when": name, **given}}}).rules
        counts = {"stuck_runs", "refused_starts", "lost_tasks", "shard_restarts", "backlog_growth"}
        assert (name, rule.for_ms) == (name, 0 if name in counts else 60_000)


def test_a_rule_that_one_burst_can_never_fire_is_doubted() -> None:
    def doubts(**given: object) -> list[str]:
        return doubts_of(read_alerting({"rules": {"r": {"above": 3, **given}}}))

    (doubt,) = doubts(when="lost_tasks", window="1m", **{"for": "1m"})
    assert doubt.startswith("alerts.rules.r: `for` is not shorter than `window`")
    assert doubts(when="lost_tasks", window="1m", **{"for": "59s"}) == []
    assert doubts(when="ready_tasks", **{"for": "1h"}) == [], "it has no window"


def test_the_rules_to_begin_with_are_not_doubted() -> None:
    assert doubts_of(read_alerting(read_table(ALERTS, file=str(CONFIGS / "alerts.toml")))) == []


WEBHOOK = {"webhook": "http://ours.example/"}
MAIL = {"email": "a@b.c", "from": "d@e.f", "smtp": "smtp://m"}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"rule": {}}, "[alerts] has no setting 'rule'"),
        ({"every": 5}, "alerts.every: 5 has no unit"),
        ({"every": "1ms"}, "is not between"),
        ({"rules": []}, None),
        ({"rules": 5}, "alerts.rules: is made of tables: [alerts.rules.NAME]"),
        ({"rules": {"a b": {"when": "memory"}}}, "'a b' is no name"),
        ({"rules": {"r": 5}}, "alerts.rules.r.when: None is no condition; there are run_failures"),
        ({"rules": {"r": {"when": "sunny"}}}, "'sunny' is no condition"),
        ({"rules": {"r": {"when": "memory"}}}, 'alerts.rules.r.above: is needed: a size such as "2GiB"'),
        ({"rules": {"r": {"when": "memory", "above": 5}}}, "5 is no size such as"),
        ({"rules": {"r": {"when": "memory", "above": "5 parsec"}}}, "alerts.rules.r.above: '5 parsec' is not a size"),
        ({"rules": {"r": {"when": "memory", "below": "5GiB"}}}, "has no setting 'below'"),
        ({"rules": {"r": {"when": "free_disk", "above": "5GiB"}}}, "has no setting 'above'; it has below"),
        ({"rules": {"r": {"when": "run_failures", "above": 5}}}, '5 is no share such as "5%"'),
        ({"rules": {"r": {"when": "run_failures", "above": "500%"}}}, "'500%' is no share"),
        ({"rules": {"r": {"when": "ready_tasks", "above": True}}}, "True is no whole number"),
        ({"rules": {"r": {"when": "run_time", "above": "5s", "quantile": 95}}}, "no number between 0 and 1"),
        ({"rules": {"r": {"when": "run_time", "above": "5 parsec"}}}, "alerts.rules.r.above"),
        ({"rules": {"r": {"when": "shards_down", "window": "5m"}}}, "has no setting 'window'"),
        ({"rules": {"r": {"when": "shards_down", "to": ["ops"]}}}, "there is no receiver 'ops'; there are none"),
        ({"to": {"x": WEBHOOK}, "rules": {"r": {"when": "workers", "to": "y"}}}, "no receiver 'y'; there are x"),
        ({"rules": {"r": {"when": "workers", "severity": "bad"}}}, "'bad' is none of info, warning, critical"),
        ({"rules": {"r": {"when": "workers", "repeat": "1s"}}}, "alerts.rules.r.repeat"),
        ({"rules": {"r": {"when": "workers", "at_least": 5}}}, "has no setting 'at_least'"),
        ({"rules": {"r": {"when": "run_failures", "above": "5%", "at_least": 0}}}, "0 is no whole number from 1"),
        ({"rules": {f"r{n}": {"when": "workers"} for n in range(101)}}, "has more than 100 tables"),
        ({"to": {"x": {}}}, "[alerts.to.x] names exactly one of webhook, email, command"),
        ({"to": {"x": WEBHOOK | MAIL}}, "names exactly one of"),
        ({"to": {"x": {"webhook": "ours.example"}}}, "is no address such as https://"),
        ({"to": {"x": {"webhook": "https://me:pw@ours.example"}}}, "without a user"),
        ({"to": {"x": {"webhook": "file:///etc/passwd"}}}, "is no address such as https://"),
        ({"to": {"x": {"command": "page ops"}}}, "is a list of the program and its arguments"),
        ({"to": {"x": {"command": ["page", 5]}}}, "is a list of texts"),
        ({"to": {"x": MAIL | {"email": "nobody"}}}, "'nobody' is no address such as ops@ours.example"),
        ({"to": {"x": MAIL | {"from": "a@b\nBcc: c@d"}}}, "is no text of one line"),
        ({"to": {"x": MAIL | {"smtp": "mail.ours.example"}}}, "is no mail server such as smtp://"),
        ({"to": {"x": MAIL | {"smtp": "smtp://m:99999"}}}, "alerts.to.x.smtp"),
        ({"to": {"x": MAIL | {"user": "me"}}}, "comes with `password`"),
        ({"to": {"x": WEBHOOK | {"per_hour": 0}}}, "0 is no whole number from 1 to"),
    ],
)
def test_mistakes_name_the_key_and_what_would_do(table: dict[str, Any], said: str | None) -> None:
    if said is None:
        assert read_alerting(table).rules == ()
        return
    with pytest.raises(ConfigError) as refused:
        read_alerting(table)
    assert said in str(refused.value)


def test_the_rules_that_are_shipped_use_every_condition() -> None:
    table = read_table(ALERTS, file=CONFIGS / "alerts.toml", environ={})
    alerting = read_alerting(table)
    assert {rule.when for rule in alerting.rules} == set(CONDITIONS)
    assert {receiver.kind for receiver in alerting.receivers} == {"webhook", "email", "command"}
    assert all(rule.to for rule in alerting.rules)
