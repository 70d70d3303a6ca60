"""Every function of the misuses_of_*.py is refused, at the line that is marked and with the words that are wanted."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable

import misuses_of_blocks
import misuses_of_calls
import misuses_of_control
import misuses_of_loops
import misuses_of_services
import misuses_of_values
import pytest

import wfe

MODULES = (
    *(misuses_of_blocks, misuses_of_calls, misuses_of_control),
    *(misuses_of_loops, misuses_of_services, misuses_of_values),
)
CASES = [
    pytest.param(value, id=name)
    for module in MODULES
    for name, value in vars(module).items()
    if inspect.isfunction(value) and value.__module__ == module.__name__
]


def _mark(function: Callable[..., object]) -> tuple[int, str]:
    lines, first = inspect.getsourcelines(function)
    (found,) = [(first + n, match[1]) for n, line in enumerate(lines) if (match := re.search(r"# MISTAKE: (.*)", line))]
    return found


@pytest.mark.parametrize("function", CASES)
def test_a_mistake_is_refused_at_its_line(function: Callable[..., object]) -> None:
    line, words = _mark(function)
    with pytest.raises(wfe.GraphError) as refused:
        wfe.workflow(function).definition()
    assert words in refused.value.message
    assert (refused.value.file, refused.value.line) == (inspect.getsourcefile(function), line)


def test_there_are_mistakes_of_every_sort() -> None:
    assert len(CASES) > 200
