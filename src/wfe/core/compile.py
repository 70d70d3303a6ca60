"""Definition -> plan. Assumes a validated definition (`core.validate`); refuses with DefinitionError what it can't
compile."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import replace

import msgspec
from msgspec import UNSET

from wfe.core.compile_nodes import OPS, arguments_of, fill, fixed_input, node_names, tree_names
from wfe.core.expressions import compile_expression, compile_template
from wfe.core.nets.shape import Net
from wfe.core.nets.wiring import edges_of_block, finish_net, is_net, make_net, names_of_net
from wfe.core.plan import Arm, Input, Op, Plan, PlanNode, Scope, ScopeKind, Source, SourceKind
from wfe.core.value_checks import check_of, input_checks, output_check
from wfe.errors import DefinitionError
from wfe.model.definition import Assign, Definition, Graph, Loop, Map, Node, Parallel, Task, When, children, walk
from wfe.model.net import Edge

_UNSURE = frozenset({Op.WHEN, Op.BLOCK, Op.STATE, Op.GRAPH})
"""What has no value of its own, or one that changes: an input that names it is made when its task opens."""


def compile_plan(definition: Definition, digest: str) -> Plan:
    """The plan of a definition; ``digest`` is its hash."""
    return _Compiler(definition).compile(digest)


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
        self.nets: list[Net] = []

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
        for net in self.nets:
            self.named |= names_of_net(net, self.nodes)
        for node in self.nodes:
            node.keep = node.keep or node.id in self.named
        for scope in self.scopes:
            if scope.output is None and scope.last_node >= 0 and scope.framed:
                self.nodes[scope.last_node].keep = True
            scope.remaining = self._remaining(scope)
        for node in self.nodes:
            needs_look = node.guarded or node.input.template is not None or not self.scopes[node.scope].framed
            node.plain = node.op is Op.TASK and not needs_look
        for net in self.nets:
            finish_net(net, self.nodes, self.by_id)
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
            tuple(self.nets),
            any(node.op is Op.DURABLE for node in self.nodes),
            check_of(definition.returns, definition.types),
        )

    # ---- shape ------------------------------------------------------------------------------------------------------

    def _block(
        self, nodes: Sequence[Node], scope: int, block: int, *, concurrent: bool, cond: str | None = None
    ) -> Arm:
        """Lay out the nodes of one block; returns its arm."""
        racing = block != self.root_block and self.nodes[block].op is Op.RACE
        if not racing and is_net(nodes):
            return self._net(nodes, scope, block, edges_of_block(block_predecessors(nodes, concurrent)), None, cond)
        before: dict[str, tuple[str, ...]] = (
            {node.id: () for node in nodes} if racing else block_predecessors(nodes, concurrent)
        )
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
        if racing:
            pending = min(pending, 1)
            for contender in placed.values():
                contender.keep = True
            for inner in self.nodes[block + 1 :]:
                inner.guarded = inner.contends = inner.scope == scope
        if nodes and not (entry and pending):
            raise DefinitionError([f"the nodes {', '.join(before)} wait for each other in a circle"])
        return Arm(entry, pending, None if cond is None else compile_expression(cond))

    def _net(
        self,
        nodes: Sequence[Node],
        scope: int,
        block: int,
        edges: Sequence[Edge],
        graph: Graph | None,
        cond: str | None = None,
    ) -> Arm:
        """Lay out the nodes of a net: each is a scope of its own; what it makes has names in the scope around, too."""
        placed: dict[str, PlanNode] = {}
        around = dict(self.scopes[scope].names)
        for node in nodes:
            index, number = len(self.nodes), len(self.scopes)
            firing = Scope(number, scope, block, index, 0, True, Arm((index,), 1), ScopeKind.FIRING)
            self.scopes.append(firing)
            placed[node.id] = self._node(node, number, self.root_block)
            firing.stop = len(self.nodes)
            around |= {name: replace(source, scope=scope) for name, source in firing.names.items()}
            # Inside a firing its node's own name is the value of the firing before.
            firing.names = {name: source for name, source in firing.names.items() if name != node.id}
        self.scopes[scope].names = around
        self.nets.append(make_net(len(self.nets), block, scope, placed, edges, graph))
        return Arm((), 0, None if cond is None else compile_expression(cond), len(self.nets) - 1)

    def _node(self, node: Node, scope: int, block: int) -> PlanNode:
        plan_node = PlanNode(len(self.nodes), node.id, OPS[type(node)], node, scope, block)
        self.nodes.append(plan_node)
        self.scopes[scope].names = {
            **self.scopes[scope].names,
            node.id: Source(SourceKind.NODE, node.id, plan_node.index, scope),
        }
        if isinstance(node, Map):
            plan_node.body = self._map_body(node, scope, plan_node.index)
        elif isinstance(node, Loop):
            plan_node.body = self._loop_body(node, scope, plan_node.index)
        elif isinstance(node, Graph):
            plan_node.arms = (self._net(node.do, scope, plan_node.index, node.edges, node),)
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
        plain = isinstance(only, Task) and only.if_ is None and body.arm.net < 0
        body.framed = not (plain and node.output is UNSET)
        if node.output is not UNSET:
            body.output = compile_template(node.output)
            self.named |= body.output.names
        body.last_node = self.by_id[node.do[-1].id] if node.do else -1
        return number

    def _loop_body(self, node: Loop, parent: int, index: int) -> int:
        number = len(self.scopes)
        body = Scope(number, parent, index, index + 1, 0, True, Arm((), 0), ScopeKind.ITERATION)
        self.scopes.append(body)
        names = {node.as_: Source(SourceKind.ITEM, node.as_, index, number)} if node.items is not None else {}
        if node.index:
            names[node.index] = Source(SourceKind.INDEX, node.index, index, number)
        body.names = names
        body.arm = self._block(node.do, number, self.root_block, concurrent=False)
        body.stop = len(self.nodes)
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
        self.named |= node_names(node)
        fill(plan_node)
        plan_node.returns = output_check(node, self.definition.types)
        plan_node.accepts = input_checks(node, self.definition.types)
        if plan_node.op in (Op.TASK, Op.DURABLE):
            plan_node.input = self._input(plan_node, arguments_of(node) or {})
        if isinstance(node, Assign):
            plan_node.target = self.resolve(plan_node.scope, node.state)

    def _input(self, node: PlanNode, with_: dict[str, object]) -> Input:
        template = compile_template(with_)
        fixed = fixed_input(template)
        if node.accepts:
            return Input(template=template)  # made, and looked at, when the node opens
        if fixed is not None:
            return Input(fixed=fixed)
        pieces: list[bytes | Source] = [_map_header(len(with_))]
        for name, member in (template.entries or {}).items():
            pieces.append(msgspec.msgpack.encode(name))
            constant = fixed_input(member)
            if constant is not None:
                pieces.append(bytes(constant))
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
        if holder.op in _UNSURE or holder.scope != source.scope:
            return False  # nobody knows whether, or how often, a node of a net has ended
        scope, block = node.scope, node.block
        while True:
            if holder.scope == scope and holder.block == block:
                return True
            if block != self.root_block:
                block = self.nodes[block].block
            elif scope > 0 and self.scopes[scope].holder == self.root_block:
                scope = self.scopes[scope].parent
            elif scope > 0:
                outer = self.nodes[self.scopes[scope].holder]
                scope, block = outer.scope, outer.block
            else:
                return False


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
