"""Commands that the warm process of the tests runs: as if each had been started alone."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from support import command_line

FLOW = "workflow: w\nnodes:\n  - {sleep: 1s}\n"
APP = """
import wfe

@wfe.workflow
def there(wf: wfe.Graph) -> int:
    return 1
"""


def test_a_command_has_its_own_directory_streams_and_exit_code(tmp_path: Path) -> None:
    (tmp_path / "flow.yaml").write_text(FLOW)
    done = command_line.run(["validate", "flow.yaml"], environment=os.environ, directory=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "ok\n", "")
    done = command_line.run(["validate", "flow.yaml"], environment=os.environ, directory=tmp_path.parent)
    assert done.returncode == 1
    assert "flow.yaml cannot be read" in done.stdout
    done = command_line.run(["start", "w", "-i", "-"], environment=os.environ, stdin="no json")
    assert (done.returncode, done.stdout) == (2, "")
    assert "JSON" in done.stderr


def test_a_command_has_the_environment_that_it_was_given_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "elsewhere.py").write_text(APP)
    line = ["graph", "elsewhere:there", "--format", "yaml"]
    done = command_line.run(line, environment={**os.environ, "PYTHONPATH": str(tmp_path)})
    assert "workflow: there" in done.stdout, done.stderr
    assert command_line.run(line, environment=os.environ).returncode == 2


def test_a_command_that_takes_too_long_is_killed() -> None:
    environment = {**os.environ, "WFE_ADDRESS": "tcp://127.0.0.1:1"}
    with pytest.raises(subprocess.TimeoutExpired):
        command_line.run(["status", "--wait", "1h"], environment=environment, timeout_s=0.1)
    assert command_line.run(["status", "--wait", "1ms"], environment=environment).returncode == 3
