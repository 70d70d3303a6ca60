"""What children are told: the bound of task logs, and the rules for whoever judges them."""

from __future__ import annotations

import pytest

from wfe.config import ServeOptions
from wfe.coordinator.child_options import alerter_options, shard_options
from wfe.coordinator.effects import Site

SITE = Site("server", "token", "tcp://front", "ipc://front", "ipc://back")


@pytest.mark.parametrize(
    ("budget", "logs", "told"),
    [(0, 1_000, 1_000), (400, 1_000, 100), (8_000, 1_000, 1_000), (400, 0, 0)],
    ids=["no budget", "a small one", "a large one", "no logs"],
)
def test_lines_of_tasks_take_at_most_a_quarter_of_the_disk_budget(budget: int, logs: int, told: int) -> None:
    options = ServeOptions(disk_budget_bytes=budget, task_logs_bytes=logs)
    shard = shard_options(options, SITE, "id", 0, 1, [0, 1], 4)
    assert shard.task_logs_bytes == told


def test_whoever_judges_alerts_gets_the_rules_as_they_are_written() -> None:
    rules = {"rules": {"r": {"when": "workers"}}}
    told = alerter_options(ServeOptions(alerts=rules), SITE)
    assert (told.alerts, told.connect, told.token) == (rules, "ipc://front", "token")
