"""What the command line prints: values from elsewhere are shown to a terminal, never obeyed by it."""

from __future__ import annotations

import io

import pytest

from wfe.cli.bench_engine import readable
from wfe.cli.output import printable


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("\x1b]0;owned\x07", "\\x1b]0;owned\\x07"),
        ("safe\rgone", "safe\\x0dgone"),
        ("\x9b31m", "\\x9b31m"),
        ("two\n\tlines, Grüße, 你好", "two\n\tlines, Grüße, 你好"),
    ],
)
def test_a_terminal_shows_control_characters_and_does_not_obey_them(text: str, shown: str) -> None:
    assert printable(text, Terminal()) == shown


def test_a_pipe_gets_what_there_is() -> None:
    assert printable("\x1b[31m", io.StringIO()) == "\x1b[31m"


def test_what_a_benchmark_did_not_measure_is_said_in_words() -> None:
    found = readable({"ratio": None, "in_time": True, "runs": 3, "stages": {"queue": None}})
    assert found == [
        ("ratio", "nothing measured"),
        ("in time", "yes"),
        ("runs", "3"),
        ("stage queue", "nothing measured"),
    ]
