"""YAML or JSON text -> definitions. Every mistake has file, line and column, and all of them are reported at once.

Three steps: `yaml_tree` makes a strict tree with places; this module makes Structs of it by the tables in `yaml_kinds`;
`core.validate` judges the result, and its findings get their places back through the paths noted on the way.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import msgspec

from wfe.authoring.node_ids import NodeIds
from wfe.authoring.task_defaults import TaskDefaults
from wfe.authoring.yaml_forms import Misread, describe
from wfe.authoring.yaml_keys import DO, Key
from wfe.authoring.yaml_kinds import (
    COMMON,
    GRAPH_ID,
    GRAPH_KEYS,
    HINTS,
    KINDS,
    LATER_KEYS,
    LATER_TOP,
    OTHERWISE,
    TOP,
    base_id,
)
from wfe.authoring.yaml_tree import Mapping as MappingTree
from wfe.authoring.yaml_tree import Mark, Scalar, Sequence, TextError, Tree, read_documents
from wfe.core.findings import Finding, Severity, did_you_mean
from wfe.core.validate import validate
from wfe.errors import DefinitionError
from wfe.limits import DEFINITION_DEPTH_MAX
from wfe.model.definition import Branch, CompensateWith, Definition, Graph, Node, Schema, Task, When
from wfe.model.registered import RegisteredTask


@dataclass(frozen=True, slots=True)
class PlacedFinding:
    """A finding with its place in a text; ``line`` and ``column`` are 1-based."""

    file: str
    line: int
    column: int
    message: str
    suggestion: str | None = None
    severity: Severity = "error"
    workflow: str | None = None
    node: str | None = None
    where: str = ""

    def __str__(self) -> str:
        hint = f"; {self.suggestion}" if self.suggestion else ""
        column = f":{self.column}" if self.column else ""
        place = f"{self.file}:{self.line}{column}: " if self.file and self.line else ""
        return f"{place}{self.message}{hint}"


@dataclass(frozen=True, slots=True)
class Reading:
    """What a text holds: the definitions that could be read, and everything that is to be said about the text."""

    definitions: list[Definition]
    findings: list[PlacedFinding]

    @property
    def ok(self) -> bool:
        """Whether there is no error among the findings."""
        return all(finding.severity != "error" for finding in self.findings)

    @property
    def errors(self) -> list[str]:
        """The errors, each as one line with its place."""
        return [str(finding) for finding in self.findings if finding.severity == "error"]


_NODE_KEYS = ("do", "parallel", "branch", "race", "graph")
"""Keys whose value may be a list of nodes."""


def read_definitions(text: str, file: str, tasks: Mapping[str, RegisteredTask] | None = None) -> list[Definition]:
    """The definitions in a text of one or more documents. Raises DefinitionError with every finding.

    ``tasks``: the tasks of the app by name; a node that does not set retry, timeout and so on takes them from its task.
    """
    reading = read_text(text, file, tasks)
    if not reading.ok:
        raise DefinitionError(reading.errors)
    return reading.definitions


def read_text(text: str, file: str, tasks: Mapping[str, RegisteredTask] | None = None) -> Reading:
    """As `read_definitions`, with warnings, and without raising."""
    definitions: list[Definition] = []
    findings: list[PlacedFinding] = []
    first_of: dict[str, Mark] = {}
    try:
        for tree in _documents(text, file):
            reader = _DocumentReader(file, tasks)
            definition = reader.definition(tree)
            findings += sorted(reader.findings, key=lambda finding: (finding.line, finding.column))
            if definition is None:
                continue
            if definition.workflow in first_of:
                first = first_of[definition.workflow]
                message = f"the workflow {definition.workflow!r} is already defined at line {first.line}"
                findings.append(PlacedFinding(file, *tree.mark, message, workflow=definition.workflow))
            first_of.setdefault(definition.workflow, tree.mark)
            definitions.append(definition)
        if not first_of and not findings:
            findings.append(PlacedFinding(file, 1, 1, "the text holds no workflow"))
    except TextError as error:
        findings.append(PlacedFinding(file, *error.mark, error.message))
    return Reading(definitions, findings)


def _documents(text: str, file: str) -> Iterator[Tree]:
    """The trees of a text. JSON has no documents: there a list at the top holds several workflows."""
    json = file.lower().endswith(".json")
    for tree in read_documents(text, json=json):
        if json and isinstance(tree, Sequence):
            yield from tree.items
        else:
            yield tree


@dataclass(slots=True)
class _DocumentReader:
    """Reads one document. Is the `yaml_forms.Context` of everything inside."""

    file: str
    tasks: Mapping[str, RegisteredTask] | None
    types: frozenset[str] = frozenset()
    own_types: dict[str, Schema] = field(default_factory=dict)
    findings: list[PlacedFinding] = field(default_factory=list)
    places: dict[str, Mark] = field(default_factory=dict)
    workflow: str | None = None
    depth: int = 0
    ids: NodeIds = field(default_factory=lambda: NodeIds(()))
    defaults: TaskDefaults | None = None

    # ---- the document ----------------------------------------------------------------------------------------------

    def definition(self, tree: Tree) -> Definition | None:
        """The definition, or None when something in it cannot be read."""
        self.place("", tree.mark)
        if not isinstance(tree, MappingTree):
            self.problem(tree.mark, f"a workflow is a mapping with the keys workflow and nodes, not {describe(tree)}")
            return None
        self._look_ahead(tree)
        # Types come first, wherever they stand: nodes are checked against them.
        types = MappingTree({k: v for k, v in tree.entries.items() if k == "types"}, tree.keys, tree.mark)
        own = self._fields(types, {"types": TOP["types"]}, "a workflow", "", later=LATER_TOP)
        self.own_types = own.get("types", {})
        rest = MappingTree({k: v for k, v in tree.entries.items() if k != "types"}, tree.keys, tree.mark)
        fields = self._workflow(rest)
        if any(finding.severity == "error" for finding in self.findings):
            return None
        all_types = self.own_types if self.defaults is None else self.defaults.types(self.own_types)
        definition = Definition(**fields, types=all_types)
        for finding in validate(definition):
            self._judged(finding)
        return definition if all(finding.severity != "error" for finding in self.findings) else None

    def _workflow(self, tree: MappingTree) -> dict[str, Any]:
        """The fields of a definition. With ``edges`` beside its nodes, they are one graph."""
        alone = next((name for name in GRAPH_KEYS if name in tree.entries), None)
        if alone is None or "nodes" not in tree.entries:
            return self._fields(tree, TOP, "a workflow", "", later=LATER_TOP)
        if "edges" not in tree.entries:
            self.problem(tree.keys[alone], f"{alone!r} needs edges beside it: without them the nodes are no graph")
        inside = {name: entry for name, entry in tree.entries.items() if name in GRAPH_KEYS}
        inside["do"] = tree.entries["nodes"]
        self.place("nodes[0]", tree.keys["nodes"])
        graph = self._fields(
            MappingTree(inside, tree.keys, tree.mark),
            {**GRAPH_KEYS, "do": DO},
            "a workflow",
            "nodes[0]",
            later=LATER_TOP,
        )
        others = {name: entry for name, entry in tree.entries.items() if name not in {*inside, "nodes"}}
        keys = {name: key for name, key in TOP.items() if name != "nodes"}
        fields = self._fields(MappingTree(others, tree.keys, tree.mark), keys, "a workflow", "", later=LATER_TOP)
        return {**fields, "nodes": (Graph(id=GRAPH_ID, **graph),)} if "do" in graph else fields

    def _look_ahead(self, tree: MappingTree) -> None:
        """What is needed before the nodes are read: names of types, and all names that ids must not take."""
        name = tree.entries.get("workflow")
        if isinstance(name, Scalar) and isinstance(name.value, str):
            self.workflow = name.value
        types = tree.entries.get("types")
        if isinstance(types, MappingTree):
            self.types = frozenset(types.entries)
        params = tree.entries.get("params")
        taken = set(params.entries) if isinstance(params, MappingTree) else set()
        if "edges" in tree.entries:
            taken.add(GRAPH_ID)
        todo: list[Tree] = [tree.entries["nodes"]] if "nodes" in tree.entries else []
        while todo:
            part = todo.pop()
            if isinstance(part, Sequence):
                todo += part.items
            elif isinstance(part, MappingTree):
                named = [part.entries.get("id")]
                if "loop" in part.entries or ("map" in part.entries and "transform" not in part.entries):
                    named += [part.entries.get("as", Scalar("item", part.mark)), part.entries.get("index")]
                names = [entry.value for entry in named if isinstance(entry, Scalar)]
                taken.update(name for name in names if isinstance(name, str) and name)
                todo += [part.entries[key] for key in _NODE_KEYS if key in part.entries]
        self.ids = NodeIds(taken)
        if self.tasks is not None:
            self.defaults = TaskDefaults(self.tasks)

    # ---- nodes -----------------------------------------------------------------------------------------------------

    def nodes(self, tree: Tree, where: str) -> tuple[Node, ...]:
        """Reads a block; a node that cannot be read is reported and left out."""
        if not isinstance(tree, Sequence):
            raise Misread(f"a list of nodes is wanted, not {describe(tree)}", tree.mark)
        self.place(where, tree.mark)
        self.depth += 1
        if self.depth > DEFINITION_DEPTH_MAX:
            raise Misread(f"blocks are nested deeper than {DEFINITION_DEPTH_MAX} levels", tree.mark)
        found: list[Node] = []
        after_when = False
        for item in tree.items:
            place = f"{where}[{len(found)}]"
            if not isinstance(item, MappingTree):
                self.problem(item.mark, f"a node is a mapping such as {{task: name}}, not {describe(item)}")
            elif "otherwise" in item.entries:
                self._otherwise(item, found, where, after_when)
                continue
            else:
                self.place(place, item.mark)
                node = self._node(item, place)
                if node is not None:
                    found.append(node)
            after_when = isinstance(item, MappingTree) and "when" in item.entries
        self.depth -= 1
        return tuple(found)

    def _node(self, tree: MappingTree, where: str) -> Node | None:
        name = self._kind(tree)
        if name is None:
            return None
        kind = KINDS[name]
        reported = len(self.findings)
        given = tree.entries.get("id")
        node_id = given.value if isinstance(given, Scalar) and isinstance(given.value, str) else None
        if node_id is None:
            first = self._first_fields(kind.keys[name], tree.entries[name], where)
            node_id = self.ids.assign(base_id(name, first))
        what = f"a {name} node"
        inner = where + ".branches[0]" if kind.struct is When else where
        keys = {**kind.keys, **COMMON}
        fields = self._fields(tree, keys, what, where, later=LATER_KEYS, inner=inner)
        if len(self.findings) > reported:
            return None
        fields["id"] = node_id
        if kind.struct is When:
            fields["branches"] = (Branch(fields.pop("cond"), fields.pop("do")),)
        if kind.struct is Task and self.defaults is not None:
            fields = self.defaults.complete(fields, tree, self.own_types, self)
        if kind.struct is CompensateWith and self.defaults is not None:
            fields = self.defaults.complete_handler(fields, tree, self)
        node: Node = kind.struct(**fields)
        return node

    def _kind(self, tree: MappingTree) -> str | None:
        """The kind of a node. Some kinds are keys of others, too: ``set`` is one of ``assign``."""
        kinds = [key for key in tree.entries if key in KINDS]
        fitting = [kind for kind in kinds if set(kinds) <= set(KINDS[kind].keys)]
        if len(fitting) == 1:
            return fitting[0]
        if kinds:
            both = " and ".join(repr(kind) for kind in kinds)
            self.problem(tree.keys[kinds[1]], f"a node has one kind, and this one has {both}", "make it two nodes")
            return None
        for key in tree.entries:
            if key in HINTS:
                self.problem(tree.keys[key], f"there are no {key!r} nodes", HINTS[key])
                return None
        hint = next((hint for key in tree.entries if (hint := did_you_mean(key, KINDS))), None)
        self.problem(tree.mark, f"the node has no kind: one of {', '.join(KINDS)}", hint)
        return None

    def _first_fields(self, key: Key, tree: Tree, where: str) -> dict[str, Any]:
        """The fields of the key that names the kind, as far as the id is made of them."""
        if not isinstance(tree, Scalar):
            return {}
        try:
            return key.read(self, tree, where)
        except Misread:
            return {}  # reported when the node's keys are read

    def _otherwise(self, tree: MappingTree, found: list[Node], where: str, after_when: bool) -> None:
        """A further branch of the `When` right above."""
        choice = found[-1] if found and after_when else None
        if not after_when:
            self.problem(tree.keys["otherwise"], "otherwise must follow a when, right below it")
        index = len(choice.branches) if isinstance(choice, When) else 0
        place = f"{where}[{max(len(found) - 1, 0)}].branches[{index}]"
        self.place(place, tree.mark)
        fields = self._fields(tree, OTHERWISE, "an otherwise", place, later=LATER_KEYS)
        if isinstance(choice, When) and {"cond", "do"} <= set(fields):
            branch = Branch(fields["cond"], fields["do"])
            found[-1] = msgspec.structs.replace(choice, branches=(*choice.branches, branch))

    # ---- keys ------------------------------------------------------------------------------------------------------

    def _fields(
        self,
        tree: MappingTree,
        keys: Mapping[str, Key],
        what: str,
        where: str,
        *,
        later: frozenset[str],
        inner: str | None = None,
    ) -> dict[str, Any]:
        """Reads the keys of a mapping into fields; ``inner``: the path of what is inside, where it differs."""
        fields: dict[str, Any] = {}
        for name, entry in tree.entries.items():
            key = keys.get(name)
            if key is None:
                self._unknown_key(tree, name, keys, what, later)
                continue
            path = _join(where if name in COMMON or inner is None else inner, name)
            self.place(path, entry.mark)
            depth = self.depth
            try:
                read = key.read(self, entry, path)
            except Misread as error:
                self.depth = depth
                self.problem(error.mark, f"{name}: {error.message}")
                continue
            for twice in set(read) & set(fields):
                self.problem(entry.mark, f"{name}: the {twice} is already given")
            for changed in read:
                self.place(_join(where if inner is None else inner, changed), entry.mark)
            fields.update(read)
        for name, key in keys.items():
            if key.required and name not in tree.entries:
                self.problem(tree.mark, f"{what} needs the key {name!r}")
        return fields

    def _unknown_key(
        self, tree: MappingTree, name: str, keys: Mapping[str, Key], what: str, later: frozenset[str]
    ) -> None:
        mark = tree.keys[name]
        if name in later:
            self.problem(mark, f"{name!r} comes in a later version of wfe")
            return
        elsewhere = any(name in kind.keys for kind in KINDS.values())
        message = f"{name!r} is not a key of {what}" if elsewhere else f"unknown key {name!r} of {what}"
        self.problem(mark, message, HINTS.get(name) or did_you_mean(name, keys) or f"it takes: {', '.join(keys)}")

    # ---- places and findings ---------------------------------------------------------------------------------------

    def place(self, where: str, mark: Mark) -> None:
        self.places.setdefault(where, mark)

    def problem(self, mark: Mark, message: str, suggestion: str | None = None) -> None:
        self.findings.append(PlacedFinding(self.file, *mark, message, suggestion, workflow=self.workflow))

    def warning(self, mark: Mark, message: str, suggestion: str | None = None) -> None:
        self.findings.append(PlacedFinding(self.file, *mark, message, suggestion, "warning", self.workflow))

    def _judged(self, finding: Finding) -> None:
        where = finding.where
        while where not in self.places:
            where = where[: max(where.rfind("."), where.rfind("["), 0)]
        self.findings.append(
            PlacedFinding(
                self.file,
                *self.places[where],
                finding.message if finding.node is None else f"{finding.node}: {finding.message}",
                finding.suggestion,
                finding.severity,
                self.workflow,
                finding.node,
                finding.where,
            )
        )


def _join(where: str, key: str) -> str:
    return f"{where}.{key}" if where else key
