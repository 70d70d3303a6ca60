"""What a node may not do because of what is around it: break without a loop, take a lock twice, be a durable function
that is not alone. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from wfe.core.findings import Findings
from wfe.core.net_paths import rests
from wfe.core.visibility import blocks_of
from wfe.model.definition import BreakIf, Definition, DurableCall, End, Fail, Graph, Lock, Loop, Node, walk


@dataclass(frozen=True, slots=True)
class _Around:
    """The blocks around a node, as far as they matter here."""

    in_loop: bool = False
    held: frozenset[str] = frozenset()
    """Names of the run's own locks with room for one."""


def check_nesting(definition: Definition, findings: Findings) -> None:
    """Findings about breaks, loops that have no end, locks inside themselves, and durable functions with company."""
    _check_alone(definition, findings)
    _check(definition.nodes, "nodes", _Around(), definition, findings)
    _check_order(definition, findings)


def _check_order(definition: Definition, findings: Findings) -> None:
    """Locks that are taken in one order here and in the other there: two who hold one each wait for ever."""
    taken: dict[tuple[str, str], str] = {}

    def look(nodes: tuple[Node, ...], prefix: str, held: tuple[str, ...]) -> None:
        for index, node in enumerate(nodes):
            where = f"{prefix}[{index}]"
            inner = held
            if isinstance(node, Lock):
                for outer in held:
                    for name in node.names:
                        taken.setdefault((outer, name), node.id)
                        other = taken.get((name, outer))
                        if other is not None and name != outer:
                            message = f"{name!r} is taken while {outer!r} is held, and at {other!r} it is the other way"
                            hint = "two of them can wait for each other for ever: take them in the same order"
                            findings.warning(node.id, f"{where}.lock", message, hint)
                inner = (*held, *node.names)
            for block, place in blocks_of(node, where):
                look(block, place, inner)

    look(definition.nodes, "nodes", ())


def _check(nodes: tuple[Node, ...], prefix: str, around: _Around, definition: Definition, findings: Findings) -> None:
    for index, node in enumerate(nodes):
        where = f"{prefix}[{index}]"
        inner = around
        match node:
            case BreakIf() if not around.in_loop:
                message = "break_if ends the loop around it, and there is none"
                hint = "put it into {loop: ..., do: [...]}"
                findings.error(node.id, where, message, hint)
            case Loop():
                _check_loop(node, where, findings)
                inner = replace(around, in_loop=True)
            case Lock():
                own = frozenset(name for name in node.names if definition.locks.get(name) == 1)
                twice = own & around.held or _shared_again(node, around, definition)
                for name in sorted(twice):
                    message = f"the lock {name!r} is already held here: it would wait for itself for ever"
                    findings.error(node.id, f"{where}.lock", message, "take it once, around both")
                inner = replace(around, held=around.held | own | _shared(node, definition))
            case _:
                pass
        for block, place in blocks_of(node, where):
            _check(block, place, inner, definition, findings)


def _check_alone(definition: Definition, findings: Findings) -> None:
    """A durable function is all of its definition: nothing stands beside it, nothing says when it begins."""
    for node in walk(definition.nodes):
        if not isinstance(node, DurableCall):
            continue
        if definition.nodes != (node,):
            message = "a durable function is a workflow of its own: nothing may stand beside or around it"
            findings.error(node.id, "nodes", message, f"call it from here as {{workflow: {node.function}}}")
            return
        plain = DurableCall(
            id=node.id, function=node.function, version=node.version, with_=node.with_, returns=node.returns
        )
        if node != plain:
            findings.error(node.id, "nodes[0]", "a durable function has no if, after, join, cancels or boundary")
        if definition.output not in (None, f"${{{node.id}}}"):
            message = "the output of a durable function's workflow is the function's value"
            findings.error(node.id, "output", message, f'write output: "${{{node.id}}}"')


def _shared(node: Lock, definition: Definition) -> frozenset[str]:
    """The lock that other runs share, if it has no key: with one nobody knows whether two are the same."""
    if node.key is not None:
        return frozenset()
    return frozenset(name for name in node.names if name not in definition.locks)


def _shared_again(node: Lock, around: _Around, definition: Definition) -> frozenset[str]:
    return _shared(node, definition) & around.held


def _check_loop(node: Loop, where: str, findings: Findings) -> None:
    inside = list(walk(node.do))
    leaves = any(isinstance(inner, (BreakIf, End, Fail)) for inner in inside)
    tested = node.while_ is not None or node.until is not None or node.items is not None
    if node.max_iterations is None and not any(rests(inner) for inner in node.do):
        message = "the loop has no bound and never waits: it could go round for ever without letting others run"
        findings.error(
            node.id, f"{where}.max_iterations", message, "set max_iterations, or add a task, sleep or signal"
        )
    elif not tested and not leaves and node.max_iterations is not None:
        message = "the loop ends only by its bound, which is a fault: LoopLimit"
        findings.warning(node.id, where, message, "add while, until, items, or a break_if inside")
    elif not tested and not leaves and not any(isinstance(inner, Graph) for inner in inside):
        message = "nothing ends the loop"
        findings.warning(node.id, where, message, "add while, until, items, or a break_if inside")
