"""A census of the Python standard library: one workflow that maps over every module of this machine's Python.

Every task is a plain function of its arguments, so that the demo can check the engine's result against a direct call.
"""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import wfe

SKIPPED = {"site-packages", "dist-packages", "__pycache__", "test", "tests", "idle_test"}


@dataclass
class Module:
    path: str
    package: str


@dataclass
class Counts:
    """What one module, a package, or everything holds. ``documentable``: modules, classes and functions."""

    package: str
    modules: int = 0
    unreadable: int = 0
    lines: int = 0
    functions: int = 0
    classes: int = 0
    documentable: int = 0
    documented: int = 0
    documented_percent: float = 0.0


@dataclass
class Census:
    total: Counts
    packages: list[Counts]
    verdict: str
    report: str


@wfe.task
def list_modules(root: str) -> list[Module]:
    """Every module below ``root``, tests left out; the package is the first part of its name."""
    top = Path(root)
    found = []
    for path in sorted(top.rglob("*.py")):
        parts = path.relative_to(top).parts
        if not SKIPPED.intersection(parts):
            found.append(Module(str(path), parts[0].removesuffix(".py")))
    return found


@wfe.task(retry=wfe.Retry(max_attempts=3, initial_delay="100ms"), timeout="30s")
def count_module(module: Module) -> Counts:
    """Parses one file and counts what is in it."""
    source = Path(module.path).read_bytes()
    counts = Counts(module.package, modules=1, lines=source.count(b"\n"))
    try:
        tree = ast.parse(source)
    except SyntaxError:
        counts.unreadable = 1
        return counts
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            counts.functions += 1
        elif isinstance(node, ast.ClassDef):
            counts.classes += 1
        elif not isinstance(node, ast.Module):
            continue
        counts.documentable += 1
        counts.documented += ast.get_docstring(node, clean=False) is not None
    return _with_share(counts)


@wfe.task
def per_package(modules: list[Counts]) -> list[Counts]:
    """One row per package, the largest first."""
    packages: dict[str, list[Counts]] = {}
    for counts in modules:
        packages.setdefault(counts.package, []).append(counts)
    rows = [_sum(name, group) for name, group in packages.items()]
    return sorted(rows, key=lambda row: (-row.lines, row.package))


@wfe.task
def overall(packages: list[Counts]) -> Counts:
    return _sum("(all)", packages)


@wfe.task
def praise(total: Counts) -> str:
    return f"is well documented: {total.documented_percent:.1f} % of it has a docstring"


@wfe.task
def plead(total: Counts) -> str:
    return f"could do with {total.documentable - total.documented:,} more docstrings"


@wfe.task
def write_report(path: str, packages: list[Counts], total: Counts, verdict: str) -> str:
    """Writes the report as a whole or not at all, so that a second attempt does no harm; gives its path."""
    partial = Path(f"{path}.partial")
    partial.write_text(render(packages, total, verdict), encoding="utf-8")
    partial.replace(path)
    return path


@wfe.workflow
def census(wf: wfe.Graph, root: wfe.Ref[str], report: wfe.Ref[str]) -> wfe.Ref[Census]:
    modules = list_modules(root)
    counts = wf.map(count_module, modules, max_parallel=64)
    packages = per_package(counts)
    total = overall(packages)
    with wf.when(total.documented_percent >= 50):
        good = praise(total)
    with wf.otherwise():
        bad = plead(total)
    verdict = wf.merge(good, bad)
    written = write_report(report, packages, total, verdict)
    return Census(total, packages, verdict, written)


def render(packages: list[Counts], total: Counts, verdict: str, rows: int = 10) -> str:
    """The report as text: the largest packages, and everything."""
    lines = [f"{'package':<16}{'modules':>9}{'lines':>10}{'functions':>11}{'classes':>9}{'documented':>12}"]
    lines += [
        f"{row.package:<16}{row.modules:>9,}{row.lines:>10,}{row.functions:>11,}{row.classes:>9,}"
        f"{row.documented_percent:>10.1f} %"
        for row in [*packages[:rows], total]
    ]
    return "\n".join([*lines, f"The standard library {verdict}."]) + "\n"


def _sum(name: str, group: list[Counts]) -> Counts:
    total = Counts(name)
    for counts in group:
        for field in ("modules", "unreadable", "lines", "functions", "classes", "documentable", "documented"):
            setattr(total, field, getattr(total, field) + getattr(counts, field))
    return _with_share(total)


def _with_share(counts: Counts) -> Counts:
    counts.documented_percent = round(100 * counts.documented / counts.documentable, 1) if counts.documentable else 0.0
    return counts
