"""examples/pydantic_agent.py: another library's agent loop on the loop of durable functions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from wfe.testing import Env

pytest.importorskip("pydantic_ai")
sys.path.insert(0, str(Path(__file__).parents[3] / "examples"))
import pydantic_agent as app


def test_its_requests_and_tools_are_recorded_calls_and_it_is_re_run_at_each() -> None:
    with Env() as env:
        run = env.start(app.ask, "How warm is it in Oslo?")
        assert run.result() == "It is 11 degrees."
        made = [call["name"] for event in run.history() if event.type == "TurnTaken" for call in event.data["calls"]]
        assert made == ["request_model", "measure", "request_model"]


def test_a_tool_that_fails_is_the_agents_to_handle() -> None:
    with Env() as env:
        env.mock(app.measure).raises(ValueError("no such city"))
        asked: Any = env.start(app.ask, "How warm is it in Atlantis?")
        with pytest.raises(Exception, match="no such city"):
            asked.result()
