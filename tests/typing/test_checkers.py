"""mypy --strict and pyright strict accept what the design shows, and find exactly the lines marked wrong."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

HERE = Path(__file__).parent
FILES = ["accepted_checkout.py", "accepted_types.py", "client_starts.py", "durable_functions.py", "rejected.py"]


def _wrong_lines() -> set[tuple[str, int]]:
    return {
        (name, number)
        for name in FILES
        for number, line in enumerate((HERE / name).read_text().splitlines(), 1)
        if line.endswith("# wrong")
    }


def _run(*command: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, cwd=HERE, check=False, timeout=300)


def test_mypy_finds_the_mistakes_and_nothing_else() -> None:
    cache = HERE.parent.parent / ".mypy_cache" / "typing-tests"
    done = _run(sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(cache), "--config-file", "", *FILES)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    found = {(file, int(line)) for file, line in re.findall(r"(?m)^(\S+?):(\d+): error:", done.stdout)}
    assert found == _wrong_lines(), done.stdout


def test_pyright_finds_the_mistakes_and_nothing_else() -> None:
    done = _run(sys.executable, "-m", "pyright", "--outputjson", "--pythonpath", sys.executable, "-p", str(HERE))
    try:
        report = json.loads(done.stdout)
    except json.JSONDecodeError:
        pytest.skip(f"pyright cannot run here (it fetches itself at its first run): {done.stderr.strip()[-200:]}")
    errors = [entry for entry in report["generalDiagnostics"] if entry["severity"] == "error"]
    places = {(Path(entry["file"]).name, entry["range"]["start"]["line"] + 1) for entry in errors}
    here = {place for place in places if place[0] in FILES}
    assert here == _wrong_lines(), done.stdout
