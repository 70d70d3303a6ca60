"""`make demo` is the main promise: right results through the kill -9 of a shard and a worker."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

DEMO = Path(__file__).parents[2] / "bench" / "demo"


def test_the_demo_survives_two_kills_and_checks_every_result(tmp_path, monkeypatch):
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    done = subprocess.run(
        [sys.executable, str(DEMO / "run.py"), "--orders", "80"],
        capture_output=True,
        text=True,
        timeout=150,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(re.findall(r"kill -9 \d+: (?:shard|worker) \S+ is dead", done.stdout)) == 2
    assert "all 81 results equal a direct computation" in done.stdout
    assert not list(tmp_path.glob("wfe-demo-*")), "a demo that went well leaves nothing behind"


@pytest.fixture
def checks(monkeypatch):
    monkeypatch.syspath_prepend(str(DEMO))
    before = set(sys.modules)
    import checks

    yield checks
    for name in set(sys.modules) - before:
        if Path(getattr(sys.modules[name], "__file__", None) or "/").parent == DEMO:
            del sys.modules[name]


class Ledger:
    """A service that did what every order asks for."""

    def __init__(self, checks, orders):
        expected = [checks.expected_order(order) for order in orders]
        self.ledger = {("/reserve", e["order"]): [{"order": e["order"]}] for e in expected}
        self.ledger |= {("/charge", e["order"]): [{"cents": e["total_cents"]}] for e in expected}


def test_the_demos_judge_accepts_what_is_right(checks):
    orders = checks.make_orders(5)
    assert not checks.check_orders(orders, [checks.expected_order(o) for o in orders], Ledger(checks, orders))


def test_the_demos_judge_notices_a_wrong_result_a_second_charge_and_a_missing_one(checks):
    orders = checks.make_orders(3)
    results = [checks.expected_order(order) for order in orders]
    service = Ledger(checks, orders)
    results[0]["total_cents"] += 1
    service.ledger["/charge", orders[1]["id"]] *= 2
    del service.ledger["/reserve", orders[2]["id"]]
    wrong = checks.check_orders(orders, results, service)
    assert [line.split(":")[0] for line in wrong] == ["order-0000", "order-0001", "order-0002"]
