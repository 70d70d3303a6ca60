"""A definition as YAML text. Reading it back gives an equal definition; what the reader adds by itself is left out."""

from __future__ import annotations

from typing import Any

import yaml
from msgspec import UNSET

from wfe.authoring.node_ids import NodeIds
from wfe.authoring.yaml_forms import EXPRESSION
from wfe.authoring.yaml_kinds import COMMON, TOP, Key, base_id, kind_of
from wfe.authoring.yaml_tree import ScalarError, plain_value
from wfe.model.definition import Branch, Definition, Map, Node, When, children, walk

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
    implied = _implied_ids(definition)
    plain = _keys(definition, {name: key for name, key in TOP.items() if name != "nodes"})
    nodes = _block(definition.nodes, implied)
    result = plain.pop("output", UNSET), plain.pop("returns", UNSET)
    plain["nodes"] = nodes
    for name, value in zip(("output", "returns"), result, strict=True):
        if value is not UNSET:
            plain[name] = value
    return plain


def _implied_ids(definition: Definition) -> frozenset[str]:
    """Ids that need not be written, because the reader chooses the same.

    An id that is written takes its name away from the others, so it is tried with all of them, then with those that
    turned out to be needed, until nothing changes.
    """
    nodes = list(walk(definition.nodes))
    items = {node.as_ for node in nodes if isinstance(node, Map)}
    explicit: set[str] = set()
    while True:
        ids = NodeIds({*definition.params, *items, *explicit})
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
    inner = [name] if name in ("parallel", "branch") else ["do"]
    plain = _keys(node, {key: value for key, value in kind.keys.items() if key not in inner})
    if children(node):
        block = _block(children(node)[0], implied)
        if inner == [name]:
            return [{name: block, **common} if not common else {**common, name: block}]
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
