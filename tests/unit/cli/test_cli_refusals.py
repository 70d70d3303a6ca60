"""What the command line refuses at once, in plain words."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.env_client import wfe


@pytest.mark.parametrize(
    ("line", "said"),
    [
        (("serve", "--shards", "x"), "'x' is not a valid whole number."),
        (("bench", "chain", "--rate", "x"), "'x' is not a valid number."),
        (("worker", "--app", "a.py", "--resource", "gpu=x"), "gpu: 'x' is no number or size: write"),
    ],
)
def test_what_is_no_number_is_called_so(line: tuple[str, ...], said: str) -> None:
    result = wfe(*line)
    assert result.exit_code == 2
    assert said in " ".join(result.stderr.split())


def test_a_report_that_cannot_be_written_is_refused_before_anything_is_measured(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    measured: list[object] = []
    monkeypatch.setattr("wfe.cli.bench_plan._calibrated", lambda *given: measured.append(given))
    result = wfe("bench", "plan", "--rate", "5", "--html", str(tmp_path / "nope" / "x.html"))
    assert (result.exit_code, measured) == (2, [])
    assert result.stderr == f"wfe: --html: there is no directory {tmp_path / 'nope'}\n"
