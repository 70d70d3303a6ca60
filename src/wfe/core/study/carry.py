"""Whether a definition could carry a live run that another version of it began, and if not, why not. Pure.

A run could be carried if everything that is open in it is there in the new version as the same kind of node in the same
place, and all that the new version will ask for is there: values of nodes that have ended, of the right type, and an
input that fits. Nodes that are new, or gone, before what the run has begun do not matter unless a value of theirs is
needed: it is past them. Nothing is moved here: the reasons say what a move would meet.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice

import msgspec

from wfe.core.findings import Findings
from wfe.core.nets.shape import Net
from wfe.core.plan import Op, Plan, PlanNode, ScopeKind
from wfe.core.schemas import apply_defaults, check_input
from wfe.core.sites import SiteReader
from wfe.core.study.standing import Standing, Standings
from wfe.core.visibility import kind_name
from wfe.model.blob import expand
from wfe.model.definition import (
    Approval,
    CompensateWith,
    Custom,
    DurableCall,
    Graph,
    Lock,
    Map,
    Node,
    SubWorkflow,
    Task,
    WaitSignal,
    children,
)
from wfe.model.state import NULL, RunState

OBSTACLES_MAX = 20
Reason = tuple[str, str]
"""(id of the run's node, "" for the run as such; why)."""
_Where = tuple[tuple[str, int], ...]


class Carrier:
    """A new version, and what is worth knowing of it once for all runs."""

    def __init__(self, plan: Plan) -> None:
        self.plan = plan
        self.places = dict(_places(plan.definition.nodes, ()))
        self.scopes = {_scope_name(plan, scope.index): scope.index for scope in plan.scopes}
        self.nets = {_net_name(plan, net): net for net in plan.nets}
        self.before: list[list[int]] = [[] for _ in plan.nodes]
        for node in plan.nodes:
            for successor in node.successors:
                self.before[successor].append(node.index)
        self._reader = SiteReader(Findings())
        self._needs: dict[int, frozenset[str]] = {}
        self._needs_with: dict[int, frozenset[str]] = {}
        self._holders = {net.block for net in plan.nets} | {scope.holder for scope in plan.scopes}
        self.output_needs = frozenset[str]().union(
            *(site.uses.required for site in self._reader.template(None, "", plan.definition.output))
        )

    def needs(self, index: int) -> frozenset[str]:
        """Names without whose values a node cannot begin (of a task: cannot be given out)."""
        found = self._needs.get(index)
        if found is None:
            found = self._needs[index] = self._required(index, at_end=False)
        return found

    def repeats(self, index: int) -> bool:
        """Whether what is inside a node runs in frames of its own: of a map, a loop or a net."""
        return index in self._holders

    def needs_with_inside(self, index: int) -> frozenset[str]:
        """The same for all that is inside the node, as far as it comes from outside of it."""
        found = self._needs_with.get(index)
        if found is None:
            stop = self.plan.nodes[index].stop
            names = frozenset[str]().union(*(self._required(inner, at_end=True) for inner in range(index, stop)))
            own = {node.id for node in self.plan.nodes[index:stop]}
            found = self._needs_with[index] = names - own
        return found

    def _required(self, index: int, *, at_end: bool) -> frozenset[str]:
        node = self.plan.nodes[index].node
        sites = [site for site in self._reader.node(node, "") if at_end or not site.at_end]
        if at_end and isinstance(node, Graph):
            sites += [site for _, site in self._reader.edges(node, "")]
        return frozenset[str]().union(*(site.uses.required for site in sites))

    def reasons(self, run: RunState, old: Plan) -> list[Reason]:
        """Why it could not carry the run, at most `OBSTACLES_MAX` reasons; none: it could."""
        return list(islice(dict.fromkeys(_Check(self, run, old).reasons()), OBSTACLES_MAX))


class _Check:
    def __init__(self, carrier: Carrier, run: RunState, old: Plan) -> None:
        self._carrier, self._new, self._old, self._run = carrier, carrier.plan, old, run
        self._standings = Standings(run, old)
        self._past: set[int] = set()
        """Positions in the new plan that the run is past, though they never began."""

    def reasons(self) -> Iterator[Reason]:
        yield from self._input()
        if self._old.durable or self._new.durable:
            yield from self._function()
            return
        yield from self._open_nodes()
        for key, marking in self._run.nets.items():
            yield from self._net(self._old.nets[marking.net], key)
        yield from self._handlers()
        for act, scope in self._standings.frames():
            yield from self._frame(act, scope)
        yield from self._values()

    def _input(self) -> Iterator[Reason]:
        definition = self._new.definition
        if definition.params == self._old.definition.params and definition.types == self._old.definition.types:
            return
        given = msgspec.msgpack.decode(expand(self._run.input, self._run.blobs))
        given = _by_name(given, list(self._old.definition.params), list(definition.params))
        misfit = check_input(definition, apply_defaults(definition, given))
        if misfit is not None:
            yield "", f"its input does not fit the new version: {misfit[1]} (at {misfit[0]})"

    def _function(self) -> Iterator[Reason]:
        """A durable function: its code is the worker's affair, as long as it is the same function."""
        one, two = (plan.definition.nodes[0] for plan in (self._old, self._new))
        if not isinstance(one, DurableCall) or not isinstance(two, DurableCall):
            yield "", "a durable function and a graph cannot take each other's runs over"
        elif (one.function, one.version) != (two.function, two.version):
            yield one.id, f"it runs version {one.version} of {one.function!r}, the new one is version {two.version}"

    # ---- what is open -----------------------------------------------------------------------------------------------

    def _open_nodes(self) -> Iterator[Reason]:
        places = dict(_places(self._old.definition.nodes, ()))
        for key, what in self._standings.open.items():
            old = self._old.nodes[key % self._old.stride]
            index = self._new.by_id.get(old.id)
            if index is None:
                yield old.id, f"{what} is open there, and the new version has no such node"
                continue
            new = self._new.nodes[index]
            if old.op is not new.op or type(old.node) is not type(new.node):
                yield old.id, f"{what} is open there, and in the new version it is a {kind_name(new.node)} node"
            elif places[old.id] != self._carrier.places[old.id]:
                where = _where_words(self._carrier.places[old.id])
                yield old.id, f"{what} is open there, and in the new version it stands elsewhere: {where}"
            elif (difference := _other_work(old, new, self._old, self._new)) is not None:
                yield old.id, f"{what} is open there, and {difference}"

    def _net(self, old: Net, key: int) -> Iterator[Reason]:
        """Tokens stand on edges and before joins that must be there."""
        name = _net_name(self._old, old)
        new = self._carrier.nets.get(name)
        if new is None:
            yield name[1], "tokens stand in its net, and in the new version it is no net"
            return
        marking = self._run.nets[key]
        edges = {self._edge(self._new, new, number) for number in range(len(new.edges))}
        seen = [number for round_ in marking.rounds.values() for number in round_.seen]
        for number in dict.fromkeys([*marking.tokens, *seen]):
            source, target, _ = edge = self._edge(self._old, old, number)
            if edge not in edges:
                yield target, f"a token waits on the edge from {source!r}, which the new version does not have"
        if new.block == self._new.stride - 1:  # a net that is all of its frame: its nodes may fire again
            for index in new.nodes:
                needs = self._carrier.needs_with_inside(index)
                yield from self._missing(self._new.nodes[index].id, needs, key // self._old.stride)
        waiting = [*marking.filled, *marking.rounds, *(node for node, _ in [*marking.joined, *marking.held])]
        joins = {self._new.nodes[index].id: node.join for index, node in new.nodes.items()}
        for index in dict.fromkeys(waiting):
            id_ = self._old.nodes[index].id
            if id_ not in joins:
                yield id_, "a token waits before it, and the new version's net has no such node"
            elif joins[id_] != old.nodes[index].join:
                yield id_, "a token waits before it, and its join is another one in the new version"

    @staticmethod
    def _edge(plan: Plan, net: Net, number: int) -> tuple[str, str, tuple[str, ...]]:
        edge = net.edges[number]
        return plan.nodes[edge.src].id, plan.nodes[edge.dst].id, edge.ports

    def _handlers(self) -> Iterator[Reason]:
        """Compensation that is registered is done by the nodes that registered it."""
        todo = self._run.compensating.todo if self._run.compensating is not None else []
        for registered in [*self._run.compensations, *todo]:
            old = self._old.nodes[registered.key % self._old.stride]
            index = self._new.by_id.get(old.id)
            new = None if index is None else self._new.nodes[index].node
            assert isinstance(old.node, CompensateWith)
            if not isinstance(new, CompensateWith):
                yield old.id, "it has registered compensation, and the new version has no such node"
            elif (new.task, new.task_version) != (old.node.task, old.node.task_version):
                was = f"{old.node.task!r} (version {old.node.task_version})"
                yield old.id, f"it has registered compensation by {was}, and the new version has another task there"

    # ---- what is ahead ----------------------------------------------------------------------------------------------

    def _frame(self, act: int, scope: int) -> Iterator[Reason]:
        """What the new version has still to do in a frame."""
        number = self._carrier.scopes.get(_scope_name(self._old, scope))
        if number is None:
            return  # what is open in it was told
        shape = self._new.scopes[number]
        nodes = [node for node in self._new.nodes[shape.start : shape.stop] if node.scope == number]
        standing = {node.index: self._standing(act, scope, node) for node in nodes}
        past = self._passed({index for index, found in standing.items() if found not in (None, Standing.WAITS)})
        for node in nodes:
            if node.block in past:
                past.add(node.index)
        self._past |= past
        for node in nodes:
            found = standing[node.index]
            if node.index in past:
                if found is Standing.WAITS:
                    yield node.id, "it has not run, and in the new version it comes before what has begun"
            elif found is not Standing.ENDED and self._carrier.repeats(node.index):
                yield from self._missing(node.id, self._carrier.needs_with_inside(node.index), act)
            elif found in (None, Standing.WAITS) or (found is Standing.OPEN and self._unsent(act, node)):
                yield from self._missing(node.id, self._carrier.needs(node.index), act)
        if act == 0:
            yield from self._missing("", self._carrier.output_needs, act)

    def _standing(self, act: int, scope: int, node: PlanNode) -> Standing | None:
        """None: the node is new here."""
        index = self._old.by_id.get(node.id)
        if index is None or self._old.nodes[index].scope != scope:
            return None
        return self._standings.of(act, index)

    def _passed(self, begun: set[int]) -> set[int]:
        """Nodes that something begun comes after."""
        found: set[int] = set()
        todo = list(begun)
        while todo:
            for index in self._carrier.before[todo.pop()]:
                if index not in begun and index not in found:
                    found.add(index)
                    todo.append(index)
        return found

    def _unsent(self, act: int, node: PlanNode) -> bool:
        """Whether a task is open whose arguments are put together when it is given out."""
        key = act * self._old.stride + self._old.by_id[node.id]
        return node.op is Op.TASK and key in self._run.open and key not in self._run.inputs

    def _missing(self, id_: str, names: frozenset[str], act: int) -> Iterator[Reason]:
        """Values that are needed and will never be there."""
        who = "it" if id_ else "the output"
        for name in sorted(names):
            index = self._new.by_id.get(name)
            if index is None:
                continue
            old = self._old.by_id.get(name)
            if index in self._past and old is None:
                yield id_, f"{who} needs the value of {name!r}, which is new and comes before what the run has begun"
            elif old is not None and not self._old.nodes[old].keep and self._has_ended(old, act):
                yield id_, f"{who} needs the value of {name!r}, which has ended and was not kept: nothing used it"

    def _has_ended(self, index: int, act: int) -> bool:
        """Whether a node has ended in this frame or the one around it that is its own."""
        scope = self._old.nodes[index].scope
        frame = self._run.frames.get(act)
        while frame is not None and frame.scope != scope:
            if act == 0:
                return False
            act = frame.parent
            frame = self._run.frames.get(act)
        return frame is not None and self._standings.of(act, index) is Standing.ENDED

    def _values(self) -> Iterator[Reason]:
        """Values that are kept fit what the new version says of them."""
        for frame in self._run.frames.values():
            for old, value in frame.values.items():
                index = self._new.by_id.get(self._old.nodes[old].id)
                check = None if index is None else self._new.nodes[index].returns
                if check is None or value == NULL:
                    continue
                misfit = check.misfit(expand(value, self._run.blobs))
                if misfit is not None:
                    said = f"{misfit[1]} (at {misfit[0]})"
                    yield self._old.nodes[old].id, f"its value does not fit what the new version says it gives: {said}"


def _places(nodes: tuple[Node, ...], around: _Where) -> Iterator[tuple[str, _Where]]:
    """Where each node stands: the nodes around it, each with the number of its block."""
    for node in nodes:
        yield node.id, around
        for number, inner in enumerate(children(node)):
            yield from _places(inner, (*around, (node.id, number)))


def _where_words(place: _Where) -> str:
    if not place:
        return "outside of any block"
    id_, branch = place[-1]
    return f"inside {id_!r}, branch {branch + 1}" if branch else f"inside {id_!r}"


def _scope_name(plan: Plan, scope: int) -> tuple[int, str]:
    """What a scope is called in every version: its kind, and the node that it belongs to."""
    shape = plan.scopes[scope]
    if shape.kind is ScopeKind.ROOT:
        return int(shape.kind), ""
    index = shape.start if shape.kind is ScopeKind.FIRING else shape.holder
    return int(shape.kind), plan.nodes[index].id


def _net_name(plan: Plan, net: Net) -> tuple[tuple[int, str], str]:
    """The scope around a net, and the block that it is the inside of ("": all of that scope)."""
    return _scope_name(plan, net.scope), "" if net.block == plan.stride - 1 else plan.nodes[net.block].id


def _other_work(old: PlanNode, new: PlanNode, before: Plan, after: Plan) -> str | None:
    """What an open node waits for that the new version's does not, or None."""
    match old.node, new.node:
        case Task() as one, Task() as two:
            if (one.task, one.task_version) != (two.task, two.task_version):
                return f"the new version calls {two.task!r} (version {two.task_version}) there"
            if set(one.with_) != set(two.with_):
                return f"the new version calls it with {', '.join(sorted(two.with_)) or 'no arguments'}"
        case Custom() as one, Custom() as two:
            return None if one.custom == two.custom else f"the new version has a {two.custom!r} there"
        case SubWorkflow() as one, SubWorkflow() as two:
            return None if one.workflow == two.workflow else f"the new version runs {two.workflow!r} there"
        case WaitSignal() as one, WaitSignal() as two:
            if (one.signal, one.correlate) != (two.signal, two.correlate):
                return f"the new version waits for another signal there ({two.signal!r})"
        case Approval() as one, Approval() as two:
            return None if one.approval == two.approval else f"the new version asks for {two.approval!r} there"
        case Lock() as one, Lock() as two:
            return None if (one.names, one.key) == (two.names, two.key) else "the new version takes other locks there"
        case Map() as one, Map() as two:
            if before.scopes[old.body].framed != after.scopes[new.body].framed:
                return "its items are done by one task in one of the versions, and by several nodes in the other"
            return None if one.grow == two.grow else "the new version's map grows by another signal"
        case _:
            pass
    return None


def _by_name(given: object, old: list[str], new: list[str]) -> object:
    """An input in the form that the new version's parameters have: one alone is its value, several are an object."""
    if len(old) == 1 and len(new) > 1:
        return {old[0]: given}
    if len(old) > 1 and len(new) == 1 and isinstance(given, dict):
        return given.get(new[0], given)
    return given
