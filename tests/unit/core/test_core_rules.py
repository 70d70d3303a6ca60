"""The rules that keep decide and evolve apart: decide reads and emits, evolve writes and never evaluates."""

from __future__ import annotations

import ast
from pathlib import Path

import wfe.core

CORE = Path(wfe.core.__file__).parent
DECIDING = [CORE / name for name in ("advance.py", "decide.py", "faults.py", "retry.py", "turn.py", "values.py")]
DECIDING += sorted((CORE / "nodes").glob("*.py"))
MUTATORS = {"append", "clear", "extend", "insert", "pop", "popitem", "remove", "setdefault", "update"}


def touches_run(node: ast.expr) -> bool:
    """Whether an expression reaches into a run's state: ``run.x``, ``turn.run.x[...]``, ``frame.x``, ``group.x``."""
    while isinstance(node, (ast.Attribute, ast.Subscript)):
        if isinstance(node, ast.Attribute) and node.attr == "run":
            return True
        node = node.value
    return isinstance(node, ast.Name) and node.id in {"run", "frame", "group"}


def writes(tree: ast.Module) -> list[int]:
    """Lines that change a run's state."""
    lines = []
    for node in ast.walk(tree):
        targets: list[ast.expr] = []
        if isinstance(node, (ast.Assign, ast.Delete)):
            targets = list(node.targets)
        elif isinstance(node, (ast.AugAssign, ast.AnnAssign)):
            targets = [node.target]
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in MUTATORS:
            targets = [node.func]
        reaching = [t for t in targets if isinstance(t, (ast.Attribute, ast.Subscript)) and touches_run(t.value)]
        if reaching:
            lines.append(node.lineno)
    return lines


def test_only_evolve_writes_the_state_of_a_run():
    found = {path.name: lines for path in DECIDING if (lines := writes(ast.parse(path.read_text(encoding="utf-8"))))}
    assert not found


def test_evolve_does_write_it():
    assert writes(ast.parse((CORE / "places.py").read_text(encoding="utf-8")))
    assert len(writes(ast.parse((CORE / "evolve.py").read_text(encoding="utf-8")))) > 30


def test_evolve_neither_evaluates_nor_decides():
    source = (CORE / "evolve.py").read_text(encoding="utf-8")
    imported = {
        alias.name for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom) for alias in node.names
    }
    modules = {node.module for node in ast.walk(ast.parse(source)) if isinstance(node, ast.ImportFrom)}
    assert not {m for m in modules if m and ("expressions" in m or m.endswith(("decide", "advance", "faults", "turn")))}
    assert not imported & {"evaluate", "evaluate_raw", "lookup_for", "splice"}
