"""One drawing in progress: the stack of open blocks, the nodes so far, node ids, and the first mistake.

A canvas lives in one thread for the length of one call of the workflow's function. `current_canvas` is how a task knows
that it is called inside a drawing. Invariants: every GraphError goes through `fail`, which remembers the first one, so
that no ``except`` or ``suppress`` of the author can hide it; a node enters the innermost open block only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from wfe.authoring import fields
from wfe.authoring.current import CURRENT, current_canvas
from wfe.authoring.node_ids import NodeIds
from wfe.authoring.open_blocks import LEAVABLE, OpenBlock, PendingBlock, PendingWhen, Scope, ScopeKind, Spot, Unentered
from wfe.authoring.places import Place, caller
from wfe.authoring.refs import RefProxy, RefState
from wfe.authoring.states import States, ast_of
from wfe.authoring.types import SchemaSet
from wfe.core.checks import RESERVED_NAMES
from wfe.core.expressions import RESERVED, nodes
from wfe.core.expressions.rewrite import substitute
from wfe.core.expressions.unparse import unparse
from wfe.errors import GraphError
from wfe.limits import DEFINITION_DEPTH_MAX, DEFINITION_NODES_MAX
from wfe.model import definition as model


class Canvas:
    """The state of one drawing."""

    def __init__(self, workflow: str, params: Iterable[str], place: Place) -> None:
        self.workflow = workflow
        self.place = place
        self.places: dict[str, Place] = {}
        """Where each node was drawn, by id."""
        self.first_error: GraphError | None = None
        self.abandoned: tuple[str, Place, BaseException] | None = None
        """The first block that an exception left: when the drawing goes on all the same, somebody swallowed it."""
        self.schemas = SchemaSet()
        self._ids = NodeIds(params)
        self._items: set[str] = set()
        self._open_items: list[str] = []
        self._unentered: list[Unentered] = []
        self._blocks = [OpenBlock(Scope("root", place))]
        self._kept: dict[int, tuple[object, str]] = {}
        self.states = States()
        self.locks: dict[str, int | None] = {}
        """Names of locks: how many may hold each of the run's own; None: it is shared with other runs."""
        self.won: list[tuple[Scope, str]] = []
        """Races and their winners that the open when blocks are about."""
        self._token = CURRENT.set(self)

    def close(self) -> None:
        """Ends the drawing; Refs of it are dead from now on."""
        CURRENT.reset(self._token)

    # ---- mistakes --------------------------------------------------------------------------------------------------

    def fail(self, message: str, place: Place | None = None) -> GraphError:
        """The GraphError to raise, at the author's line (or at ``place``)."""
        where = place or caller(self.place)
        error = GraphError(message, file=where.file, line=where.line)
        if self.first_error is None:
            self.first_error = error
        return error

    def check_same(self, state: RefState) -> None:
        """A Ref may only be used in the drawing that made it."""
        active = current_canvas()
        if active is state.canvas:
            return
        raise (active or self).fail(
            f"the Ref {state.text} belongs to "
            + (f"the workflow {state.canvas.workflow!r}" if active is not None else "a drawing that has ended")
            + ": a workflow sees only its own parameters and nodes; pass the value as an argument of a sub-workflow"
        )

    def check_usable(self, state: RefState) -> None:
        """A Ref may not be used outside the when, otherwise, catch, map, loop or race that its value was made in."""
        self.check_same(state)
        if state.not_inside is not None and state.not_inside.open:
            kind = state.not_inside.kind
            raise self.fail(
                f"{state.text} is known once its `with wf.{kind}(...)` block has ended: use it below the block"
            )
        for scope in state.scopes:
            if scope.open or self.has_won(scope, state):
                continue
            if scope.kind == "map":
                raise self.fail(
                    f"{state.text} was made in {scope.describe()}: return it from the body: wf.map gives the results"
                )
            if scope.kind == "race":
                raise self.fail(
                    f"{state.text} was made in {scope.describe()}, and another child may have won: use it inside "
                    "`with wf.when(r.won(value)):`, or wf.merge(value, ..., default), the first that exists"
                )
            if scope.kind == "loop":
                raise self.fail(
                    f"{state.text} was made in {scope.describe()}, once in each iteration: keep it in wf.state(...), "
                    "or use wf.merge(value, default) for the last one"
                )
            raise self.fail(
                f"{state.text} was made in {scope.describe()}, which a run may not take: outside of it use "
                "wf.merge(value, ..., default), the first that exists"
            )

    def has_won(self, scope: Scope, state: RefState) -> bool:
        """Whether this is inside `wf.when(r.won(x))`, and the value was made by the child that made x."""
        return any(
            race is scope and all(scope.owners.get(node_id, winner) == winner for node_id in state.node_ids)
            for race, winner in self.won
        )

    def expression(self, state: RefState) -> str:
        """The text of a Ref's expression for a node that is drawn here; it is checked to be usable."""
        self.check_usable(state)
        return self.written(ast_of(state))

    def written(self, ast: nodes.Node) -> str:
        """An expression as text. What the winner of a race made is optional to whoever reads the definition."""
        optional = {
            node_id: nodes.Call("merge", (nodes.Name(node_id),))
            for race, winner in self.won
            for node_id, child in race.owners.items()
            if child == winner
        }
        return unparse(substitute(ast, optional))

    def check_condition(self, state: RefState, what: str) -> None:
        """A condition is a bool, as far as its type says."""
        if fields.kind(state.type) not in ("bool", "unknown"):
            raise self.fail(
                f"{what} takes a condition, and {state.text} is a {fields.type_name(fields.plain(state.type))}: "
                "compare it (== != < > ...), or use wf.is_none, wf.size, wf.contains"
            )

    def schema_of(self, type_: Any, what: str) -> model.Schema | None:
        """The JSON Schema of a type, None when it is unknown; its named parts go into the definition's ``types``."""
        if type_ is Any:
            return None
        try:
            return self.schemas.schema(type_)
        except (TypeError, NotImplementedError, NameError) as error:
            reason = str(error).partition("\n")[0].rstrip(":")
            raise self.fail(f"{what}: {fields.type_name(type_)} cannot be a payload ({reason})") from error

    # ---- nodes -----------------------------------------------------------------------------------------------------

    @property
    def block(self) -> OpenBlock:
        """The innermost open block."""
        return self._blocks[-1]

    def node_id(self, base: str, explicit: str | None = None) -> str:
        """A fresh node id: the explicit one, else ``base``, ``base_2``, ``base_3``..."""
        if explicit is None:
            return self._ids.assign(base)
        if not isinstance(explicit, str) or not explicit.isidentifier() or not explicit.isascii():
            raise self.fail(f"a node's id is a name in expressions (letters, digits, _), not {explicit!r}")
        if explicit in RESERVED or explicit in RESERVED_NAMES:
            raise self.fail(f"{explicit!r} is a word of the expression language: choose another id")
        if explicit in self._ids:
            place = self.places.get(explicit)
            owner = f"the node at line {place.line}" if place else "a parameter or a map's item"
            raise self.fail(f"the name {explicit!r} is taken by {owner}: choose another id")
        self._ids.take(explicit)
        return explicit

    def note_place(self, node_id: str, place: Place) -> None:
        """Notes where a node was drawn."""
        if len(self.places) >= DEFINITION_NODES_MAX:
            raise self.fail(f"a workflow has at most {DEFINITION_NODES_MAX} nodes: use wf.map or sub-workflows")
        self.places[node_id] = place

    def add(self, node: model.Node) -> None:
        """Puts a node at the end of the innermost block."""
        self.check_entered()
        self.note_place(node.id, caller())
        self.block.nodes.append(node)

    def value_of(
        self, node_id: str, type_: Any, *, scopes: frozenset[Scope] | None = None, not_inside: Scope | None = None
    ) -> RefProxy:
        """The Ref of a node's value, bound to the blocks that are open now (or to ``scopes``)."""
        bound = self.closed_in() if scopes is None else scopes
        name, ids, born = nodes.Name(node_id), frozenset((node_id,)), self.states.changes
        return RefProxy(RefState(self, name, type_, bound, not_inside, ids, False, self.spot(), bound, born))

    def spot(self) -> Spot:
        """Where the drawing has got to."""
        self.block.computes = True
        return Spot(len(self._blocks), len(self.block.nodes), self.block)

    def keep(self, value: object, made: model.Template, spot: Spot) -> str:
        """The id of a node, put where the value was made, that has it if the run gets there."""

        def make() -> str:
            node_id = self.node_id("value")
            self.put(model.Set(id=node_id, value=made), spot)
            return node_id

        return self.once(value, make)

    def once(self, value: object, make: Callable[[], str]) -> str:
        """The id of the node that keeps this very value, made at its first need."""
        known = self._kept.get(id(value))
        if known is None:
            known = self._kept[id(value)] = (value, make())
        return known[1]

    def path(self) -> tuple[tuple[Scope, int], ...]:
        """The open blocks from the root, each with the number of its child that is being drawn."""
        inner = [block.scope.spot.before for block in self._blocks[1:] if block.scope.spot is not None]
        return tuple(zip((block.scope for block in self._blocks), (*inner, len(self.block.nodes)), strict=True))

    def put(self, node: model.Node, spot: Spot) -> None:
        """Puts a node where something was drawn before."""
        self.note_place(node.id, caller())
        spot.block.kept.append((spot.before, node))

    def closed_in(self) -> frozenset[Scope]:
        """The open blocks that a value made here may not leave."""
        return frozenset(block.scope for block in self._blocks if block.scope.kind not in LEAVABLE)

    def forget_won(self, proves: tuple[tuple[Scope, str], ...]) -> None:
        """A when block about a race has ended."""
        if proves:
            del self.won[-len(proves) :]

    # ---- blocks ----------------------------------------------------------------------------------------------------

    def announce(self, what: str) -> Unentered:
        """A block was made; it must be entered before the next node."""
        self.check_entered()
        waiting = Unentered(what, caller())
        self._unentered.append(waiting)
        return waiting

    def enter(self, waiting: Unentered | None, kind: ScopeKind) -> OpenBlock:
        """Opens a block."""
        if waiting is not None:
            self._unentered.remove(waiting)
        if len(self._blocks) > DEFINITION_DEPTH_MAX:
            raise self.fail(f"blocks are nested deeper than {DEFINITION_DEPTH_MAX}: use a sub-workflow")
        before = len(self.block.nodes) - (kind == "otherwise")  # a further arm of the choice right above
        spot = Spot(len(self._blocks), before, self.block)
        block = OpenBlock(Scope(kind, waiting.place if waiting else caller(), spot=spot))
        self._blocks.append(block)
        return block

    def leave(self, block: OpenBlock, *, failed: bool = False) -> None:
        """Closes the innermost block. ``failed``: an exception is under way, nothing is checked."""
        assert self._blocks[-1] is block, "blocks close in the order of their nesting"
        self._blocks.pop()
        block.scope.open = False
        if failed:
            return
        self.check_entered()
        if not block.computes:
            self._check_filled(block)

    def frozen(self, block: OpenBlock) -> tuple[model.Node, ...]:
        """The nodes of a block that gets no more."""
        self._check_filled(block)
        found: list[model.Node] = []
        for index in range(len(block.nodes) + 1):
            found += [node for before, node in block.kept if before == index]
            for node in block.nodes[index : index + 1]:
                found.append(node.freeze(self.frozen) if isinstance(node, PendingWhen | PendingBlock) else node)
        return tuple(found)

    def _check_filled(self, block: OpenBlock) -> None:
        if not block.nodes and not block.kept and block.scope.kind != "root":
            raise self.fail(
                f"{block.scope.describe()} is empty: draw something in it, or leave it out", block.scope.place
            )

    def check_entered(self) -> None:
        """Before a node and at the end of a block nothing may wait to be entered."""
        if self._unentered:
            waiting = self._unentered[0]
            raise self.fail(f"{waiting.what} is not entered: write `with {waiting.what}:`", waiting.place)

    def open_item(self) -> str:
        """A name for a map's item that no open map, node or parameter has; maps one after the other share a name."""
        name, count = "item", 1
        while name in self._open_items or (name in self._ids and name not in self._items):
            count += 1
            name = f"item_{count}"
        self._ids.take(name)
        self._items.add(name)
        self._open_items.append(name)
        return name

    def close_item(self) -> None:
        """The innermost map's body has ended."""
        self._open_items.pop()

    def check_ended(self, output: Any) -> None:
        """At the end of the drawing that returned ``output``."""
        if self.abandoned is not None:
            what, place, error = self.abandoned
            raise self.fail(f"{error!r} left `with {what}` and was swallowed, and the block with it", place) from error
        self.check_entered()
        if not self.block.nodes and output is None:
            message = "the workflow draws no nodes and returns nothing: call a task, or another method of wf"
            raise self.fail(message, self.place)

    def tree(self) -> tuple[model.Node, ...]:
        """All nodes: nothing is drawn, nor kept, any more."""
        assert len(self._blocks) == 1, "every block was left"
        return self.frozen(self._blocks[0])
