"""A slice of `make chaos`: one seed, every kind of fault, nothing wrong."""

from __future__ import annotations

import re
import resource
import subprocess
import sys
from pathlib import Path

import pytest

CHAOS = Path(__file__).parent / "chaos.py"
SEED = 3
"""Any will do; three rounds hold every kind of fault."""


@pytest.mark.skipif(not hasattr(resource, "prlimit"), reason="limits of other processes are Linux's")
def test_what_was_acknowledged_survives_kills_stops_starvation_full_disks_and_bad_networks() -> None:
    command = [sys.executable, str(CHAOS), "--seed", str(SEED), "--seconds", "0", "--kills", "20", "--rounds", "3"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    summary = re.search(r"chaos: (\d+) kills .* (\d+) runs .* wrong results = 0", done.stdout)
    assert summary is not None, done.stdout
    assert int(summary[1]) >= 20
    assert int(summary[2]) > 100
