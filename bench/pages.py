"""Writes what was measured into a page: a block between two marks is replaced, the rest stays as people wrote it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "performance.md"
PLOTS = ROOT / "docs" / "plots"


def replace_block(name: str, text: str, page: Path = PAGE) -> None:
    """Replaces what stands between ``<!-- NAME -->`` and ``<!-- end of NAME -->``. ValueError without these marks."""
    begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
    before, mark, rest = page.read_text(encoding="utf-8").partition(begin)
    _, closing, after = rest.partition(end)
    if not mark or not closing:
        raise ValueError(f"{page} has no block {name!r}")
    page.write_text(f"{before}{begin}\n{text.strip()}\n{end}{after}", encoding="utf-8")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A Markdown table."""
    lines = [columns, ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def write_plot(name: str, svg: str) -> str:
    """Keeps a plot beside the page; the Markdown that shows it."""
    PLOTS.mkdir(exist_ok=True)
    (PLOTS / f"{name}.svg").write_text(svg + "\n", encoding="utf-8")
    return f"![{name}](plots/{name}.svg)"
