"""A definition as YAML text. Reading it back gives an equal definition; what the reader adds by itself is left out."""

from __future__ import annotations

from typing import Any

import yaml
from msgspec import UNSET

from wfe.authoring.node_ids import NodeIds
from wfe.authoring.yaml_forms import EXPRESSION
from wfe.authoring.yaml_keys import IN_KEY, Key
from wfe.authoring.yaml_kinds import COMMON, GRAPH_ID, GRAPH_KEYS, TOP, base_id, kind_of
from wfe.authoring.yaml_tree import ScalarError, plain_value
from wfe.model.definition import Branch, Definition, Graph, Loop, Map, Node, When, children, walk

_WIDTH = 120


def write_yaml(definition: Definition) -> str:
    """The definition as one YAML document."""
    return yaml.dump(
        to_plain(definition), Dumper=_Dumper, sort_keys=False, width=_WIDTH, allow_unicode=True, default_flow_style=None
    )


def write_many(definitions: list[Definition]) -> str:
    """Several definitions as one text, a document each."""
    return "---\n".join(write_yaml(definition) for definition in definitions)


def to_plain(definition: Definition) -> dict[str, Any]:
    """The YAML form of a definition as plain data: what the text holds."""
    graph = _whole_graph(definition)
    nodes = definition.nodes if graph is None else graph.do
    implied = _implied_ids(definition, nodes, {GRAPH_ID} if graph is not None else set())
    plain = _keys(definition, {name: key for name, key in TOP.items() if name != "nodes"})
    result = plain.pop("output", UNSET), plain.pop("returns", UNSET)
    plain["nodes"] = _block(nodes, implied)
    if graph is not None:
        plain |= {"edges": [], **_keys(graph, GRAPH_KEYS)}
    for name, value in zip(("output", "returns"), result, strict=True):
        if value is not UNSET:
            plain[name] = value
    return plain


def _whole_graph(definition: Definition) -> Graph | None:
    """The graph that all nodes are in, if its edges can stand beside ``nodes``: what the reader makes of that."""
    only = definition.nodes[0] if len(definition.nodes) == 1 else None
    if isinstance(only, Graph) and only.id == GRAPH_ID and list(_keys(only, COMMON)) == ["id"]:
        return only
    return None


def _implied_ids(definition: Definition, block: tuple[Node, ...], taken: set[str]) -> frozenset[str]:
    """Ids that need not be written, because the reader chooses the same.

    An id that is written takes its name away from the others, so it is tried with all of them, then with those that
    turned out to be needed, until nothing changes.
    """
    nodes = list(walk(block))
    items = {node.as_ for node in nodes if isinstance(node, (Map, Loop))}
    items |= {node.index for node in nodes if isinstance(node, Loop) and node.index}
    explicit: set[str] = set()
    while True:
        ids = NodeIds({*definition.params, *items, *taken, *explicit})
        wrong = set()
        for node in nodes:
            if node.id in explicit:
                continue
            if ids.next(_base(node)) == node.id:
                ids.take(node.id)
            else:
                wrong.add(node.id)
        if not wrong:
            return frozenset(node.id for node in nodes) - explicit
        explicit |= wrong


def _base(node: Node) -> str:
    name, _ = kind_of(node)
    fields = {field: getattr(node, field) for field in ("task", "workflow") if hasattr(node, field)}
    return base_id(name, fields)


def _block(nodes: tuple[Node, ...], implied: frozenset[str]) -> list[dict[str, Any]]:
    return [plain for node in nodes for plain in _node(node, implied)]


def _node(node: Node, implied: frozenset[str]) -> list[dict[str, Any]]:
    """A node, as one mapping; a `When` as one for each branch."""
    common = _keys(node, COMMON)
    if node.id in implied:
        del common["id"]
    if isinstance(node, When):
        return [_branch(node, index, branch, common, implied) for index, branch in enumerate(node.branches)]
    name, kind = kind_of(node)
    inner = name if kind.keys[name] is IN_KEY else "do"
    plain = _keys(node, {key: value for key, value in kind.keys.items() if key != inner})
    if children(node):
        block = _block(children(node)[0], implied)
        if inner == name:
            return [{**common, name: block, **plain}]
        output = plain.pop("output", UNSET)
        first = plain.pop(name)
        plain = {name: first, **common, **plain, "do": block}
        return [plain if output is UNSET else {**plain, "output": output}]
    first = plain.pop(name)
    return [{name: first, **common, **plain}]


def _branch(node: When, index: int, branch: Branch, common: dict[str, Any], implied: frozenset[str]) -> dict[str, Any]:
    do = _block(branch.do, implied)
    condition = True if branch.cond is None else EXPRESSION.write(branch.cond)
    if index == 0:
        return {"when": condition, **common, "do": do}
    # A plain true means "without a condition", so the condition `true` is written as text.
    return {"otherwise": branch.cond if branch.cond == "true" else condition, "do": do}


def _keys(struct: Any, keys: dict[str, Key]) -> dict[str, Any]:
    written = {name: key.write(struct) for name, key in keys.items()}
    return {name: value for name, value in written.items() if value is not UNSET}


class _Dumper(yaml.CSafeDumper):
    """PyYAML's own rules for plain text are YAML 1.1's; text that `plain_value` reads otherwise gets quotes."""

    def ignore_aliases(self, data: Any) -> bool:
        return True


def _represent_text(dumper: _Dumper, value: str) -> yaml.ScalarNode:
    try:
        clear = plain_value(value) == value
    except ScalarError:
        clear = False
    style = None if clear and value != "<<" else '"'
    return dumper.represent_scalar("tag:yaml.org,2002:str", value, style=style)


_Dumper.add_representer(str, _represent_text)
_Dumper.add_representer(tuple, lambda dumper, value: dumper.represent_list(list(value)))
