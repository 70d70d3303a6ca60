"""Style is a test: sizes, module docstrings, pure rooms, no leftovers, and a map of the code that is true."""

from __future__ import annotations

import ast
import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
FILE_LINES_MAX = 400
FUNCTION_LINES_MAX = 70
PURE_ROOMS = ("core", "partition", "wire", "model")
PURE_FORBIDDEN = {"asyncio", "threading", "time", "random", "os", "socket", "logging", "zmq", "lmdb", "secrets", "uuid"}
CLOCK_CALLS = re.compile(r"\b(datetime|date)\.(now|utcnow|today)\(")
TEXT_SUFFIXES = {".py", ".md", ".toml", ".yaml", ".yml", ".lock", ".cfg", ".txt", ""}


def tracked(*suffixes: str) -> list[Path]:
    """Files of the project: what git tracks, and new files that it does not ignore."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=False,
    )
    if listed.returncode:
        paths = [p for top in ("src", "tests", "bench", "docs", "configs", "examples") for p in (ROOT / top).rglob("*")]
    else:
        paths = [ROOT / name for name in listed.stdout.decode().split("\0") if name]
    return sorted(
        p for p in paths if p.is_file() and "__pycache__" not in p.parts and p.suffix in (suffixes or TEXT_SUFFIXES)
    )


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


CODE = tracked(".py")
SOURCE = [p for p in CODE if p.is_relative_to(ROOT / "src")]


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imported_roots(tree: ast.AST) -> set[str]:
    roots: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            roots |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            roots.add((node.module or "").split(".")[0])
    return roots


def test_there_is_code_to_check():
    assert len(SOURCE) > 10


def test_no_file_is_longer_than_400_lines():
    long = {name_of(p): n for p in CODE if (n := len(p.read_text(encoding="utf-8").splitlines())) > FILE_LINES_MAX}
    assert not long, "split these by noun"


def test_no_function_is_longer_than_70_lines():
    long = [
        f"{name_of(path)}:{node.lineno} {node.name}: {node.end_lineno - node.lineno + 1} lines"
        for path in CODE
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.end_lineno is not None
        and node.end_lineno - node.lineno >= FUNCTION_LINES_MAX
    ]
    assert not long


def test_every_module_says_what_it_is():
    assert not [name_of(p) for p in SOURCE if not ast.get_docstring(parse(p))]


def test_rooms_are_at_most_two_levels_deep():
    assert not [name_of(p) for p in SOURCE if len(p.relative_to(ROOT / "src" / "wfe").parts) > 3]


def test_pure_rooms_import_no_clock_dice_or_system():
    found = {
        name_of(path): bad
        for room in PURE_ROOMS
        for path in (ROOT / "src" / "wfe" / room).rglob("*.py")
        if (bad := imported_roots(parse(path)) & PURE_FORBIDDEN)
    }
    assert not found, "time and randomness come in as arguments"


def test_pure_rooms_never_read_the_clock():
    found = [
        name_of(path)
        for room in PURE_ROOMS
        for path in (ROOT / "src" / "wfe" / room).rglob("*.py")
        if CLOCK_CALLS.search(path.read_text(encoding="utf-8"))
    ]
    assert not found


@pytest.mark.parametrize(
    ("what", "pattern"),
    [
        ("a note to do something later", re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")),
        ("a path of one machine", re.compile(r"(?<![\w.])/(work|root|home/\w+|Users/\w+)/")),
        ("a debugger or a stray print of one", re.compile(r"\b(breakpoint\(\)|pdb\.set_trace|import pdb)\b")),
    ],
)
def test_nothing_is_left_behind(what, pattern):
    own = Path(__file__)
    found = [
        f"{name_of(path)}:{number}"
        for path in tracked()
        if path != own and name_of(path) != "LICENSE"
        for number, line in enumerate(path.read_text(encoding="utf-8", errors="replace").splitlines(), 1)
        if pattern.search(line)
    ]
    assert not found, what


CORE = ROOT / "src" / "wfe" / "core"
STATE_NAMES = {"run", "frame", "group", "state", "timers"}
"""What code of core calls a run's state and its parts."""
MUTATORS = {"append", "extend", "insert", "pop", "popitem", "remove", "discard", "add", "clear", "update", "setdefault"}


EVOLVING = [
    *sorted(p.name for p in CORE.glob("evolve*.py")),
    *("places.py", "nets/marking.py", "durable/places.py", "durable/booking.py"),
]
"""Modules that write the state."""


def touches_state(node: ast.expr) -> bool:
    """Whether an expression such as ``turn.run.frames[0].values`` is rooted in the state (not merely a local name)."""
    below_state = False
    while isinstance(node, ast.Attribute | ast.Subscript):
        below_state = below_state or (isinstance(node, ast.Attribute) and node.attr in STATE_NAMES)
        node = node.value
    return isinstance(node, ast.Name) and (node.id in STATE_NAMES or below_state)


def is_mutation(node: ast.Call) -> bool:
    called = node.func
    return isinstance(called, ast.Attribute) and called.attr in MUTATORS and touches_state(called.value)


def state_writes(tree: ast.Module) -> list[int]:
    lines = []
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, ast.Assign | ast.Delete):
            targets = node.targets
        elif isinstance(node, ast.AugAssign | ast.AnnAssign):
            targets = [node.target]
        elif isinstance(node, ast.Call) and is_mutation(node):
            lines.append(node.lineno)
        lines += [t.lineno for t in targets if isinstance(t, ast.Attribute | ast.Subscript) and touches_state(t.value)]
    return lines


def test_decide_reads_and_only_evolve_writes():
    """The transitions are decided by these modules, and booked by evolve alone: so replay equals live."""
    deciding = [CORE / f"{name}.py" for name in ("advance", "decide", "faults", "retry", "signals", "turn", "values")]
    rooms = [p for room in ("nodes", "nets", "durable") for p in sorted((CORE / room).glob("*.py"))]
    other = [*EVOLVING, "durable/rounds.py"]  # which writes states of the past that are to be a run's
    deciding = [p for p in [*deciding, *rooms] if p.exists() and p.relative_to(CORE).as_posix() not in other]
    assert len(deciding) > 5
    assert not [f"{name_of(p)}:{line}" for p in deciding for line in state_writes(parse(p))]


def test_evolve_evaluates_nothing():
    imported = {
        node.module
        for name in EVOLVING
        for node in ast.walk(parse(CORE / name))
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("wfe.core")
    }
    own = {f"wfe.core.{name.removesuffix('.py').replace('/', '.')}" for name in EVOLVING}
    assert imported <= own | {"wfe.core.plan", "wfe.core.values", "wfe.core.groups", "wfe.core.nets.shape"}


@pytest.mark.parametrize(
    ("code", "writes"),
    [
        ("turn.run.status = 1", True),
        ("run.frames[0].remaining[2] -= 1", True),
        ("del run.timers[3]", True),
        ("turn.run.held.append(1)", True),
        ("turn.enabled.append(1)", False),
        ("run = turn.run", False),
        ("x = run.frames[0]", False),
    ],
)
def test_a_write_to_the_state_is_recognised(code, writes):
    assert bool(state_writes(ast.parse(code))) is writes


def test_errors_are_never_swallowed_whole():
    found = [
        f"{name_of(path)}:{node.lineno}"
        for path in SOURCE
        for node in ast.walk(parse(path))
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or getattr(node.type, "id", "") in ("Exception", "BaseException"))
        and all(isinstance(s, ast.Pass) for s in node.body)
    ]
    assert not found


def test_the_map_of_the_code_names_only_what_exists():
    page = (ROOT / "docs" / "ARCHITECTURE.md").read_text(encoding="utf-8")
    _, _, table = page.partition("## Where is")
    assert table, "docs/ARCHITECTURE.md holds the 'Where is ...?' table"
    named = {
        text for row in table.splitlines() if row.startswith("|") for text in re.findall(r"`([\w./-]+/[\w./-]*)`", row)
    }
    missing = sorted(n for n in named if not any((base / n).exists() for base in (ROOT, ROOT / "src" / "wfe")))
    assert not missing


def test_links_between_pages_lead_somewhere():
    broken = [
        f"{name_of(page)}: {target}"
        for page in tracked(".md")
        for target in re.findall(r"\]\(([^)#\s]+?)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
        if "://" not in target and not target.startswith("mailto:") and not (page.parent / target).exists()
    ]
    assert not broken


def test_adrs_are_numbered_without_gaps_or_repeats():
    numbers = sorted(int(p.name[:4]) for p in (ROOT / "docs" / "adr").glob("[0-9]*.md"))
    assert numbers == list(range(1, len(numbers) + 1))


def test_a_tests_name_is_a_sentence():
    """At least a subject and a verb: a name that only repeats what it calls says nothing about behaviour."""
    short = [
        f"{name_of(path)}: {node.name}"
        for path in CODE
        if path.name.startswith("test_")
        for node in ast.walk(parse(path))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and node.name.startswith("test_")
        and len(node.name.split("_")) < 3
    ]
    assert not short


def test_test_files_have_unique_names():
    names = [p.name for p in CODE if p.is_relative_to(ROOT / "tests") and p.name.startswith("test_")]
    assert not {n for n in names if names.count(n) > 1}, "without packages pytest imports test files by their base name"


def test_the_lock_file_names_no_index_and_pins_everything():
    lines = (ROOT / "requirements-dev.lock").read_text(encoding="utf-8").splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]
    assert pins
    assert not [line for line in pins if not re.fullmatch(r"[\w.-]+==[\w.+]+(; .+)?", line)]
