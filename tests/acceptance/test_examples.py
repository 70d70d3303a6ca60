"""The examples, each as its first lines say: on a real server."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from conftest import WFE

EXAMPLES = Path(__file__).parents[2] / "examples"


def _run(file: str, workflow: str, given: object) -> tuple[int, dict[str, object]]:
    done = subprocess.run(
        [*WFE, "run", f"{EXAMPLES / file}:{workflow}", "-i", json.dumps(given), "--json"],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_the_agent_asks_calls_its_tool_and_answers() -> None:
    code, run = _run("agent.py", "answer", "What is 6 times 7?")
    assert (code, run["status"], run["output"]) == (0, "completed", "42")


@pytest.mark.parametrize(("stock", "status"), [(1, "completed"), (0, "failed")])
def test_an_order_is_sent_or_paid_back(stock: int, status: str) -> None:
    code, run = _run("order.py", "buy", {"id": "o-1", "total": 80, "stock": stock, "packing_s": 0})
    assert (code, run["status"]) == (int(status == "failed"), status)
    if status == "failed":
        error = run["error"]
        assert isinstance(error, dict)
        assert error["type"] == "OutOfStock"


def test_every_example_is_run_here() -> None:
    """The durable agents are run by test_durable_agent.py and test_pydantic_agent.py."""
    assert {file.name for file in EXAMPLES.iterdir() if file.suffix == ".py"} == {
        "agent.py",
        "durable_agent.py",
        "order.py",
        "pydantic_agent.py",
    }
