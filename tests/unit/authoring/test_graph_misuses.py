"""Every function of graph_misuses.py is refused, at the line that is marked and with the words that are wanted."""

from __future__ import annotations

import inspect
import re

import graph_misuses as misuses
import pytest

import wfe

CASES = [
    name for name, value in vars(misuses).items() if inspect.isfunction(value) and value.__module__ == misuses.__name__
]


def _mark(function: object) -> tuple[int, str]:
    lines, first = inspect.getsourcelines(function)
    (found,) = [(first + n, match[1]) for n, line in enumerate(lines) if (match := re.search(r"# MISTAKE: (.*)", line))]
    return found


@pytest.mark.parametrize("name", CASES)
def test_a_mistake_is_refused_at_its_line(name: str) -> None:
    function = getattr(misuses, name)
    line, words = _mark(function)
    with pytest.raises(wfe.GraphError) as refused:
        wfe.workflow(function).definition()
    assert words in refused.value.message
    assert (refused.value.file, refused.value.line) == (misuses.__file__, line)


def test_there_are_mistakes_of_every_sort() -> None:
    assert len(CASES) > 100
