"""Validation of a definition: every finding at once, each with its place and, where there is one, a way out.

Pure. `validate` is the judge of what the engine may be given: `core.compile` assumes what is checked here. The order:
bounds, names and schemas; then each block on its own (what waits for what, circles, nodes that can never run; for nets
`core.net_checks`); then names in expressions (`core.visibility`) and the types along edges (`core.value_types`); then
each node by itself (`core.node_checks`) and what loops and locks around it say (`core.nesting`).
"""

from __future__ import annotations

from typing import Any

import msgspec

from wfe.core.checks import check_defaults, check_schemas, identifier_problem, name_problem
from wfe.core.findings import Finding, Findings
from wfe.core.flow import FlowChecker
from wfe.core.nesting import check_nesting
from wfe.core.node_checks import NodeChecker
from wfe.core.settings import check_settings
from wfe.core.visibility import blocks_of, kind_name, local_names
from wfe.limits import (
    DEFINITION_BYTES_MAX,
    DEFINITION_DEPTH_MAX,
    DEFINITION_NODES_MAX,
    DEFINITION_TREE_DEPTH_MAX,
)
from wfe.model.definition import Definition, Node, When, children

__all__ = ["Finding", "validate"]


def validate(definition: Definition) -> list[Finding]:
    """All findings about a definition, in the order of its text. Those of severity "error" forbid registering it."""
    findings = Findings()
    if not _within_bounds(definition, findings):
        return findings.items
    problem = name_problem(definition.workflow)
    if problem is not None:
        findings.error(None, "workflow", problem)
    if definition.version is not None and definition.version < 1:
        findings.error(None, "version", "a version is a number from 1 on")
    check_settings(definition, findings)
    if not definition.nodes and definition.output is None:
        findings.error(None, "nodes", "the workflow has no nodes and no output", "give it at least one of them")
    sound = check_schemas(definition, findings)
    _check_names(definition, findings)
    unique = msgspec.structs.replace(definition, nodes=_with_unique_ids(definition.nodes, set()))
    FlowChecker(unique, findings, typed=sound).check()
    checker = NodeChecker(findings, definition)
    for node, where in places(definition.nodes):
        checker.check(node, where)
    check_nesting(definition, findings)
    if sound:
        check_defaults(definition, findings)
    return findings.items


def places(nodes: tuple[Node, ...], prefix: str = "nodes") -> list[tuple[Node, str]]:
    """Every node with its path, in the order of positions (`model.definition.walk`)."""
    found: list[tuple[Node, str]] = []
    for index, node in enumerate(nodes):
        where = f"{prefix}[{index}]"
        found.append((node, where))
        for block, place in blocks_of(node, where):
            found += places(block, place)
    return found


def _within_bounds(definition: Definition, findings: Findings) -> bool:
    count = 0
    level: list[tuple[Node, ...]] = [definition.nodes]
    depth = 0
    while level:
        depth += 1
        count += sum(len(nodes) for nodes in level)
        if depth > DEFINITION_DEPTH_MAX:
            findings.error(None, "nodes", f"blocks are nested deeper than {DEFINITION_DEPTH_MAX} levels")
            return False
        if count > DEFINITION_NODES_MAX:
            message = f"more than {DEFINITION_NODES_MAX} nodes"
            findings.error(None, "nodes", message, "move a part into a workflow of its own and call it")
            return False
        level = [block for nodes in level for node in nodes for block in children(node)]
    try:
        text = msgspec.json.encode(definition)
        too_deep = _is_deep(msgspec.json.decode(text))
        msgspec.msgpack.encode(definition)
    except OverflowError:
        findings.error(None, "", "an integer is outside the 64 bits that a payload has", "write it as text")
        return False
    except (TypeError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        findings.error(None, "", f"the definition holds a value that JSON does not have: {error}")
        return False
    if too_deep:
        findings.error(None, "", f"values or schemas are nested deeper than {DEFINITION_TREE_DEPTH_MAX} levels")
        return False
    if len(text) > DEFINITION_BYTES_MAX:
        findings.error(None, "", f"the definition has {len(text)} bytes, the limit is {DEFINITION_BYTES_MAX}")
        return False
    return True


def _is_deep(tree: Any) -> bool:
    """Whether lists and objects lie deeper inside each other than a definition may have it."""
    level, depth = [tree], 0
    while level and depth <= DEFINITION_TREE_DEPTH_MAX:
        depth += 1
        holders = [part.values() if isinstance(part, dict) else part for part in level]
        level = [part for holder in holders for part in holder if isinstance(part, (dict, list))]
    return bool(level)


def _check_names(definition: Definition, findings: Findings) -> None:
    """Node ids are names of their own in the whole tree."""
    seen: dict[str, str] = {}
    all_places = places(definition.nodes)
    given = {name: (node, key) for node, _ in all_places for name, key in local_names(node).items()}
    for node, where in all_places:
        problem = identifier_problem(node.id)
        if problem is not None:
            findings.error(node.id, f"{where}.id", problem)
        elif node.id in definition.params:
            findings.error(node.id, f"{where}.id", f"{node.id!r} is also a parameter", "choose another id")
        elif node.id in given:
            holder, key = given[node.id]
            what = "item name" if key == "as" else "name of the iteration's number"
            message = f"{node.id!r} is also the {what} of a {kind_name(holder)}"
            findings.error(node.id, f"{where}.id", message, "choose another id")
        if node.id in seen:
            findings.error(node.id, f"{where}.id", f"the id {node.id!r} is already used at {seen[node.id]}")
        seen.setdefault(node.id, where)
        for name, key in local_names(node).items():
            if name in definition.params:
                what = "item name" if key == "as" else "name"
                findings.error(node.id, f"{where}.{key}", f"the {what} {name!r} is also a parameter", "choose another")


def _with_unique_ids(nodes: tuple[Node, ...], taken: set[str]) -> tuple[Node, ...]:
    """The tree with every repeated id changed into one that nothing can name, so that the rest can still be judged."""
    found: list[Node] = []
    for node in nodes:
        id_ = node.id
        while id_ in taken:
            id_ += " (again)"
        taken.add(id_)
        if isinstance(node, When):
            arms = tuple(msgspec.structs.replace(arm, do=_with_unique_ids(arm.do, taken)) for arm in node.branches)
            found.append(msgspec.structs.replace(node, id=id_, branches=arms))
        elif children(node):
            found.append(msgspec.structs.replace(node, id=id_, do=_with_unique_ids(children(node)[0], taken)))
        else:
            found.append(msgspec.structs.replace(node, id=id_))
    return tuple(found)
