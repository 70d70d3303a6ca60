"""What the shape of a net alone says: what can be reached, circles, and whether two edges exclude each other. Pure."""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

from wfe.model.definition import (
    Approval,
    Custom,
    DurableCall,
    Http,
    Node,
    Sleep,
    SubWorkflow,
    Task,
    WaitSignal,
    children,
)
from wfe.model.net import Edge


def rests(node: Node) -> bool:
    """Whether a node takes time: it, or something inside it, waits for a worker, a timer or a message."""
    match node:
        case Task() | SubWorkflow() | Http() | Custom() | DurableCall() | Sleep() | WaitSignal() | Approval():
            return True
        case _:
            return any(rests(inner) for block in children(node) for inner in block)


class Paths:
    """The ways through a net."""

    def __init__(self, ids: Sequence[str], edges: Sequence[Edge], entries: Collection[str]) -> None:
        self.outgoing: dict[str, list[Edge]] = {id_: [] for id_ in ids}
        self.incoming: dict[str, list[Edge]] = {id_: [] for id_ in ids}
        for edge in edges:
            self.outgoing[edge.src].append(edge)
            self.incoming[edge.dst].append(edge)
        self.size = len(ids) + len(edges)
        self._entries = list(entries)
        self.circular = self.circle(ids) is not None

    def reachable(self, takes: Callable[[Edge], bool] = lambda _: True) -> set[str]:
        """The nodes to which edges lead from where the net begins."""
        return self._from(self._entries, takes)

    def _from(self, starts: Collection[str], takes: Callable[[Edge], bool] = lambda _: True) -> set[str]:
        found = set(starts)
        todo = list(starts)
        while todo:
            for edge in self.outgoing[todo.pop()]:
                if edge.dst not in found and takes(edge):
                    found.add(edge.dst)
                    todo.append(edge.dst)
        return found

    def circle(self, among: Collection[str]) -> list[str] | None:
        """A circle that passes these nodes only, or None."""
        inside = set(among)
        done: set[str] = set()
        for start in among:
            trail: list[str] = []
            stack = [] if start in done else [iter([start])]
            on_trail: set[str] = set()
            while stack:
                following = next(stack[-1], None)
                if following is None:
                    stack.pop()
                    if trail:
                        last = trail.pop()
                        on_trail.discard(last)
                        done.add(last)
                elif following in on_trail:
                    return trail[trail.index(following) :]
                elif following in inside and following not in done:
                    trail.append(following)
                    on_trail.add(following)
                    stack.append(iter([edge.dst for edge in self.outgoing[following]]))
        return None

    def choice(self, source: str, branches: Sequence[Sequence[Edge]]) -> Choice:
        """What becomes reachable by each of the branches of which ``source`` takes one, and what is without any."""
        starts = [entry for entry in self._entries if entry != source]
        around = self._from(starts, lambda edge: edge.src != source)
        by_branch = [
            self._from({edge.dst for edge in branch} - {source}, lambda edge: edge.src != source) for branch in branches
        ]
        return Choice(source, branches, around, by_branch)

    def fires_once(self, id_: str, several: Collection[str]) -> bool:
        """Whether a node can surely fire at most once: nothing on the ways to it brings several tokens.

        ``several``: nodes whose join may fire more than once.
        """
        if self.circular:
            return False
        before = {id_}
        todo = [id_]
        while todo:
            current = todo.pop()
            if current in several:
                return False
            for edge in self.incoming[current]:
                if edge.weight > 1:
                    return False
                if edge.src not in before:
                    before.add(edge.src)
                    todo.append(edge.src)
        return True


@dataclass(frozen=True, slots=True)
class Choice:
    """A node that takes one of several branches; see `Paths.choice`."""

    source: str
    branches: Sequence[Sequence[Edge]]
    around: set[str]
    by_branch: Sequence[set[str]]

    def exclusive_pair(self, incoming: Sequence[Edge]) -> tuple[str, str] | None:
        """Two of the nodes that these edges come from, of which only one can be reached: all ways to them lead through
        the choice, and by different branches."""
        ways: list[tuple[str, set[int]]] = []
        for edge in incoming:
            if edge.src == self.source:
                through = {number for number, branch in enumerate(self.branches) if edge in branch}
            elif edge.src in self.around:
                continue
            else:
                through = {number for number, found in enumerate(self.by_branch) if edge.src in found}
            if through:
                ways.append((edge.src, through))
        for index, (name, one) in enumerate(ways):
            for other, two in ways[:index]:
                if not one & two:
                    return other, name
        return None
