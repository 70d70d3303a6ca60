"""Writes docs/patterns.md from the catalogue: ``make patterns``. A test says when the page is not up to date."""

from __future__ import annotations

import inspect
from pathlib import Path

from patterns import pattern_tasks
from patterns.pattern_catalogue import FAMILIES, PATTERNS
from patterns.pattern_model import Pattern
from patterns.patterns_flow import Progress
from wfe.authoring.drawing import to_mermaid

PAGE = Path(__file__).parents[2] / "docs" / "patterns.md"
HEAD = """\
# The workflow patterns

The 43 control-flow patterns (van der Aalst, ter Hofstede, Russell and others, workflowpatterns.com) are what languages
for processes are compared by. wfe has all of them. Each is shown here in [YAML](yaml.md), in [Python](graphs.md) where
its structured forms can say it, and as a picture; what `join`, `split`, `cancels` and the like mean is in
[nets](nets.md).

`make patterns` writes this page from `tests/patterns/`, where each pattern is played by its cases: what must run, and
wait, and not run, after each step. All of it runs without faults, with a crash of the engine before and after every
commit, and on a real server with two shards.

Tasks are called `a` to `e`. A `signal` stands for work that takes as long as somebody likes.

"""
TASKS_HEAD = """
## What the Python forms share

"""


def page() -> str:
    """The text of docs/patterns.md."""
    parts = [HEAD, "| | pattern | YAML | Python | picture | |\n|---|---|---|---|---|---|\n"]
    for pattern in PATTERNS:
        python = f"[`{pattern.python.__name__}`](#{_anchor(pattern)})" if pattern.python is not None else ""
        yaml = f"[{KEYS[pattern.number]}](#{_anchor(pattern)})"
        cells = (pattern.number, pattern.name, yaml, python, f"[picture](#{_anchor(pattern)})", pattern.sentence)
        parts.append(f"| {' | '.join(map(str, cells))} |\n")
    parts += [TASKS_HEAD, _python(_shared())]
    for family, patterns in FAMILIES.items():
        parts.append(f"\n## {family}\n")
        for pattern in sorted(patterns, key=lambda pattern: pattern.number):
            parts.append(_section(pattern))
    return "".join(parts)


def _section(pattern: Pattern) -> str:
    parts = [f"\n### {_title(pattern)}\n\n{pattern.sentence}\n\n```yaml\n{pattern.yaml}```\n"]
    if pattern.python is not None:
        parts.append("\n" + _python(pattern.python_source()))
    parts.append(f"\n```mermaid\n{to_mermaid(pattern.definition())}```\n")
    return "".join(parts)


def _shared() -> str:
    tasks = [inspect.getsource(task) for task in (pattern_tasks.a, pattern_tasks.b, pattern_tasks.c)]
    others = [inspect.getsource(task) for task in (pattern_tasks.d, pattern_tasks.e)]
    imports = "from dataclasses import dataclass\n\nimport wfe\n"
    return "\n\n".join([imports, *tasks, *others, inspect.getsource(Progress)])


def _python(source: str) -> str:
    return f"```python\n{source}```\n"


def _title(pattern: Pattern) -> str:
    return f"{pattern.number}. {pattern.name}"


def _anchor(pattern: Pattern) -> str:
    """The anchor that is made of the title on the usual sites."""
    kept = "".join(char for char in _title(pattern).lower() if char.isalnum() or char in " -")
    return kept.replace(" ", "-")


KEYS = {  # the construct of the YAML form that brings it about
    1: "order of the lines",
    2: "`parallel`",
    3: "end of `parallel`",
    4: "`when`, `otherwise`",
    5: "end of `otherwise`",
    6: "`split: or`",
    7: "`join: or`",
    8: "`join: each`",
    9: "`join: any`",
    10: "`edges`",
    11: "end of the last branch",
    12: "`complete_after: 0`",
    13: "`map: 3`",
    14: "`map: items`",
    15: "`grow`",
    16: "`split: deferred`",
    17: "`lock`, `after`",
    18: "`enabled_while`",
    19: "`cancels: [node]`",
    20: "`cancels: run`",
    21: "`loop`",
    22: "`workflow` of itself",
    23: "`transient: true`",
    24: "`signal`",
    25: "`cancels: [region]`",
    26: "`cancels` of a `map`",
    27: "`boundary` of a `map`",
    28: "`{n: 1, rest: block}`",
    29: "`{n: 1, rest: cancel}`",
    30: "`join: 2`",
    31: "`{n: 2, rest: block}`",
    32: "`{n: 2, rest: cancel}`",
    33: "`join: all`",
    34: "`complete_after`, `rest: continue`",
    35: "`complete_after`",
    36: "`complete_when`",
    37: "`join: or`",
    38: "`join: or`",
    39: "`lock` around several",
    40: "`lock`",
    41: "`{thread: 2}`",
    42: "`weight: 3`",
    43: "`end`",
}

if __name__ == "__main__":
    PAGE.write_text(page(), encoding="utf-8")
