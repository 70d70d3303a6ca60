"""Definition -> plan. Assumes a validated definition (`core.validate`); refuses with DefinitionError what it can't
compile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import msgspec
from msgspec import UNSET, Raw

from wfe.core.expressions import Expression, Template, compile_expression, compile_template
from wfe.core.plan import Arm, Input, Op, Plan, PlanNode, Scope, ScopeKind, Source, SourceKind
from wfe.errors import DefinitionError
from wfe.model.definition import (
    Block,
    Catch,
    Definition,
    End,
    Fail,
    Map,
    Node,
    Parallel,
    Set,
    Sleep,
    StartWorkflow,
    SubWorkflow,
    Task,
    WaitSignal,
    When,
    children,
    walk,
)

_OPS: dict[type, Op] = {
    Task: Op.TASK,
    When: Op.WHEN,
    Parallel: Op.BLOCK,
    Block: Op.BLOCK,
    Catch: Op.CATCH,
    Map: Op.MAP,
    Sleep: Op.SLEEP,
    WaitSignal: Op.SIGNAL,
    SubWorkflow: Op.WORKFLOW,
    StartWorkflow: Op.START,
    Set: Op.SET,
    End: Op.END,
    Fail: Op.FAIL,
}
ROOT_NAMES = ("run", "now()")


def compile_plan(definition: Definition, digest: str) -> Plan:
    """The plan of a definition; ``digest`` is its hash."""
    return _Compiler(definition).compile(digest)


def node_expressions(node: Node) -> list[Expression | Template]:
    """Every expression and template that a node itself evaluates, children's excluded."""
    found: list[Expression | Template] = []
    if node.if_ is not None:
        found.append(compile_expression(node.if_))
    match node:
        case Task() | SubWorkflow():
            found.append(compile_template(node.with_))
        case StartWorkflow():
            found += [compile_template(node.with_), compile_template(node.key)]
        case When():
            found += [compile_expression(b.cond) for b in node.branches if b.cond is not None]
        case Map():
            found.append(compile_expression(node.items))
        case Sleep():
            found += [compile_expression(text) for text in (node.duration, node.until) if text is not None]
        case WaitSignal() if node.default is not UNSET:
            found.append(compile_template(node.default))
        case Set() | End():
            found.append(compile_template(node.value))
        case Fail():
            found.append(compile_template(node.message))
        case _:
            pass
    return found


def tree_names(node: Node) -> set[str]:
    """Every name that a node or a node inside it mentions; outputs of map bodies included."""
    names: set[str] = set()
    for inner in walk((node,)):
        for expression in node_expressions(inner):
            names |= expression.names
        if isinstance(inner, Map) and inner.output is not UNSET:
            names |= compile_template(inner.output).names
    return names


def block_predecessors(nodes: Sequence[Node], concurrent: bool) -> dict[str, tuple[str, ...]]:
    """For each node of one block, the siblings that must end before it starts (ids).

    In order of the lines: the one above, or what ``after`` says. In a concurrent block: what ``after`` says, else
    the siblings whose values (or values inside them) it names.
    """
    found: dict[str, tuple[str, ...]] = {}
    above: str | None = None
    owners = {inner.id: node.id for node in nodes for inner in walk((node,))} if concurrent else {}
    for node in nodes:
        if node.after is not None:
            before: Iterable[str] = node.after
        elif concurrent:
            named = {owners[name] for name in tree_names(node) if name in owners} - {node.id}
            before = [sibling.id for sibling in nodes if sibling.id in named]
        else:
            before = () if above is None else (above,)
        found[node.id] = tuple(dict.fromkeys(before))
        above = node.id
    return found


class _Compiler:
    def __init__(self, definition: Definition) -> None:
        self.definition = definition
        self.nodes: list[PlanNode] = []
        self.scopes: list[Scope] = []
        self.by_id = {node.id: index for index, node in enumerate(walk(definition.nodes))}
        self.root_block = len(self.by_id)
        self.named: set[str] = set()

    def compile(self, digest: str) -> Plan:
        definition = self.definition
        names = {name: Source(SourceKind.PARAM, name) for name in definition.params}
        names["run"] = Source(SourceKind.RUN, "run")
        names["now()"] = Source(SourceKind.NOW, "now()")
        root = Scope(0, -1, -1, 0, self.root_block, True, Arm((), 0), names=names)
        self.scopes.append(root)
        root.arm = self._block(definition.nodes, 0, self.root_block, concurrent=False)
        output = compile_template(definition.output)
        tags = {key: compile_template(value) for key, value in definition.tags.items()}
        self.named |= output.names
        for node in self.nodes:
            self._finish(node)
        for node in self.nodes:
            node.keep = node.id in self.named
        for scope in self.scopes:
            if scope.output is None and scope.last_node >= 0 and scope.framed:
                self.nodes[scope.last_node].keep = True
            scope.remaining = self._remaining(scope)
        return Plan(
            digest,
            definition,
            tuple(self.nodes),
            tuple(self.scopes),
            self.root_block + 1,
            output,
            tuple(definition.params),
            self.by_id,
            definition.timeout_ms or 0,
            tags,
        )

    # ---- shape ------------------------------------------------------------------------------------------------------

    def _block(
        self, nodes: Sequence[Node], scope: int, block: int, *, concurrent: bool, cond: str | None = None
    ) -> Arm:
        """Lay out the nodes of one block; returns its arm."""
        before = block_predecessors(nodes, concurrent)
        placed: dict[str, PlanNode] = {}
        for node in nodes:
            placed[node.id] = self._node(node, scope, block)
        for id_, predecessors in before.items():
            for predecessor in predecessors:
                if predecessor not in placed:
                    raise DefinitionError([f"node {id_!r}: after {predecessor!r} is not in the same block"])
                source = placed[predecessor]
                source.successors = (*source.successors, placed[id_].index)
                source.last = False
        entry = tuple(placed[id_].index for id_, predecessors in before.items() if not predecessors)
        pending = sum(1 for node in placed.values() if node.last)
        if nodes and not (entry and pending):
            raise DefinitionError([f"the nodes {', '.join(before)} wait for each other in a circle"])
        return Arm(entry, pending, None if cond is None else compile_expression(cond))

    def _node(self, node: Node, scope: int, block: int) -> PlanNode:
        op = _OPS.get(type(node))
        if op is None:
            raise DefinitionError([f"node {node.id!r}: this version cannot run {type(node).__name__} yet"])
        plan_node = PlanNode(len(self.nodes), node.id, op, node, scope, block)
        self.nodes.append(plan_node)
        self.scopes[scope].names = {
            **self.scopes[scope].names,
            node.id: Source(SourceKind.NODE, node.id, plan_node.index, scope),
        }
        if isinstance(node, Map):
            plan_node.body = self._map_body(node, scope, plan_node.index)
        elif isinstance(node, When):
            plan_node.arms = tuple(
                self._block(b.do, scope, plan_node.index, concurrent=False, cond=b.cond) for b in node.branches
            )
        else:
            concurrent = isinstance(node, Parallel)
            plan_node.arms = tuple(
                self._block(nodes, scope, plan_node.index, concurrent=concurrent) for nodes in children(node)
            )
        plan_node.stop = len(self.nodes)
        return plan_node

    def _map_body(self, node: Map, parent: int, index: int) -> int:
        number = len(self.scopes)
        body = Scope(number, parent, index, index + 1, 0, True, Arm((), 0), ScopeKind.ITEM)
        self.scopes.append(body)
        body.names = {node.as_: Source(SourceKind.ITEM, node.as_, index, number)}
        body.arm = self._block(node.do, number, self.root_block, concurrent=False)
        body.stop = len(self.nodes)
        only = node.do[0] if len(node.do) == 1 else None
        body.framed = not (isinstance(only, Task) and only.if_ is None and node.output is UNSET)
        if node.output is not UNSET:
            body.output = compile_template(node.output)
            self.named |= body.output.names
        body.last_node = self.by_id[node.do[-1].id] if node.do else -1
        return number

    def _remaining(self, scope: Scope) -> list[int]:
        counts = [0] * (scope.stop - scope.start)
        for node in self.nodes[scope.start : scope.stop]:
            for successor in node.successors:
                counts[successor - scope.start] += 1
        return counts

    # ---- values -----------------------------------------------------------------------------------------------------

    def resolve(self, scope: int, name: str) -> Source | None:
        """The source of a name seen from a scope; inner names hide outer ones."""
        while scope >= 0:
            source = self.scopes[scope].names.get(name)
            if source is not None:
                return source
            scope = self.scopes[scope].parent
        return None

    def _finish(self, plan_node: PlanNode) -> None:
        node = plan_node.node
        for expression in node_expressions(node):
            self.named |= expression.names
        plan_node.condition = None if node.if_ is None else compile_expression(node.if_)
        match node:
            case Task():
                plan_node.input = self._input(plan_node, node.with_)
                plan_node.retry = node.retry
                plan_node.timeout_ms = node.timeout_ms or 0
            case SubWorkflow():
                plan_node.template = compile_template(node.with_)
                plan_node.timeout_ms = node.timeout_ms or 0
            case StartWorkflow():
                plan_node.template = compile_template({"with": node.with_, "key": node.key})
            case Map():
                plan_node.expression = compile_expression(node.items)
            case Sleep():
                text = node.duration if node.duration is not None else node.until
                plan_node.expression = None if text is None else compile_expression(text)
            case WaitSignal():
                plan_node.template = None if node.default is UNSET else compile_template(node.default)
            case Set() | End():
                plan_node.template = compile_template(node.value)
            case Fail():
                plan_node.template = compile_template(node.message)
            case _:
                pass

    def _input(self, node: PlanNode, with_: dict[str, object]) -> Input:
        template = compile_template(with_)
        if template.constant:
            return Input(fixed=Raw(msgspec.msgpack.encode(template.evaluate(_no_names))))
        pieces: list[bytes | Source] = [_map_header(len(with_))]
        for name, member in (template.entries or {}).items():
            pieces.append(msgspec.msgpack.encode(name))
            if member.constant:
                pieces.append(msgspec.msgpack.encode(member.evaluate(_no_names)))
                continue
            source = None if member.sole_name is None else self.resolve(node.scope, member.sole_name)
            if source is None or not self._surely_present(node, source):
                return Input(template=template)
            pieces.append(source)
        return Input(pieces=_join(pieces))

    def _surely_present(self, node: PlanNode, source: Source) -> bool:
        """Whether the value exists whenever the node opens: its block is around the node, so it has ended before."""
        if source.kind in (SourceKind.PARAM, SourceKind.ITEM):
            return True
        if source.kind is not SourceKind.NODE:
            return False
        holder = self.nodes[source.node]
        if holder.op is Op.WHEN or holder.op is Op.BLOCK:
            return False
        scope, block = node.scope, node.block
        while True:
            if holder.scope == scope and holder.block == block:
                return True
            if block != self.root_block:
                block = self.nodes[block].block
            elif scope > 0:
                outer = self.nodes[self.scopes[scope].holder]
                scope, block = outer.scope, outer.block
            else:
                return False


def _no_names(name: str) -> object:
    raise AssertionError(f"a constant template named {name!r}")


def _map_header(count: int) -> bytes:
    if count < 16:
        return bytes([0x80 | count])
    return b"\xde" + count.to_bytes(2, "big")


def _join(pieces: list[bytes | Source]) -> tuple[bytes | Source, ...]:
    joined: list[bytes | Source] = []
    for piece in pieces:
        if isinstance(piece, bytes) and joined and isinstance(joined[-1], bytes):
            joined[-1] += piece
        else:
            joined.append(piece)
    return tuple(joined)
