"""States and their changes: an `Assign` names a state around it, and no two change the same at the same time. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from msgspec import UNSET

from wfe.core.findings import Findings, did_you_mean
from wfe.core.visibility import Known, NameChecker, Outline, kind_name
from wfe.model.definition import Assign, Map, Node, State, walk


@dataclass(frozen=True, slots=True)
class _Change:
    node: str
    state: str
    fields: frozenset[str] | None
    """None: all of it."""

    @property
    def names(self) -> frozenset[str]:
        """The fields; an empty name stands for the state as a whole."""
        return frozenset({""}) if self.fields is None else self.fields


class StateChecker:
    """Judges the changes of states; findings go to ``findings``."""

    def __init__(self, outline: Outline, names: NameChecker, findings: Findings) -> None:
        self._outline = outline
        self._names = names
        self._findings = findings

    def check_target(self, node: Assign, where: str, known: Known) -> bool:
        """Whether an assign names a state that exists when it runs."""
        outline = self._outline
        place = f"{where}.state"
        target = outline.nodes.get(node.state)
        if isinstance(target, State) and outline.bits[node.state] & known.sure:
            return True
        if isinstance(target, State):
            self._names.missing(node.id, place, node.state, known)
            return False
        states = [id_ for id_, other in outline.nodes.items() if isinstance(other, State)]
        hint = did_you_mean(node.state, states) or "declare it above: {state: {field: value}, id: name}"
        message = f"there is no state {node.state!r}" if target is None else None
        message = message or f"{node.state!r} is no state but a {kind_name(target or node)}: it cannot change"
        self._findings.error(node.id, place, message, hint)
        return False

    def check_block(self, nodes: Sequence[Node], places: Mapping[str, str], starts: Mapping[str, Known]) -> None:
        """No two nodes of a block that may run at the same time change the same; nor do the items of a map.

        ``starts``: what is known when each starts, in an order in which each comes after those it waits for. If each
        change of a field waits for the one before it in that order, all are in order.
        """
        self._check_maps(nodes, places)
        by_id = {node.id: node for node in nodes}
        changes = {id_: list(self._changes(by_id[id_])) for id_ in starts}
        fields = {(change.state, name) for made in changes.values() for change in made for name in change.names}
        last: dict[tuple[str, str], str] = {}
        for id_, made in changes.items():
            clashes: dict[str, tuple[_Change, str, list[str]]] = {}
            for change in made:
                for name in change.names if change.fields is not None else self._names_of(change.state, fields):
                    earlier = last.get((change.state, name), id_)
                    if earlier != id_ and not self._ordered(earlier, id_, starts):
                        clashes.setdefault(change.node, (change, earlier, []))[2].append(name)
                    last[change.state, name] = id_
            for change, earlier, names in clashes.values():
                self._report(change, id_, places, earlier, [name for name in names if name])

    @staticmethod
    def _names_of(state: str, fields: Iterable[tuple[str, str]]) -> list[str]:
        return sorted(name for other, name in fields if other == state)

    def check_declared(self, nodes: Sequence[Node], prefix: str, starts: Mapping[str, Known]) -> None:
        """In a graph nobody can tell what runs at the same time: only the items of a map are judged."""
        self._check_maps(nodes, {node.id: f"{prefix}[{index}]" for index, node in enumerate(nodes)})

    def _check_maps(self, nodes: Iterable[Node], places: Mapping[str, str]) -> None:
        for node in nodes:
            if isinstance(node, Map) and node.max_parallel > 1:
                for change in self._changes(node):
                    message = f"{change.node!r} changes the state {change.state!r} in several items at the same time"
                    hint = "give a result per item and use the list of results, or set max_parallel: 1"
                    self._findings.error(node.id, places[node.id], message, hint)

    def _ordered(self, earlier: str, later: str, starts: Mapping[str, Known]) -> bool:
        """Whether the first has ended when the second starts."""
        known = starts[later]
        return bool(self._outline.bits[earlier] & (known.sure | known.maybe))

    @staticmethod
    def _changes(node: Node) -> Iterable[_Change]:
        """Changes that a node, and those inside it, make to states that are declared outside it."""
        inside = list(walk((node,)))
        own = {inner.id for inner in inside if isinstance(inner, State)}
        for inner in inside:
            if isinstance(inner, Assign) and inner.state not in own:
                fields = frozenset(inner.fields) if inner.value is UNSET else None
                yield _Change(inner.id, inner.state, fields)

    def _report(self, change: _Change, node: str, places: Mapping[str, str], other: str, names: Sequence[str]) -> None:
        what = ", ".join(f"{change.state}.{name}" for name in names) or f"the state {change.state!r}"
        message = f"{change.node!r} changes {what}, and so does {other!r}, which may run at the same time"
        hint = "make one wait for the other by after, or give each a field of its own"
        self._findings.error(node, places[node], message, hint)
