"""Computing with a flat graph: circles, levels, numbers of paths, the first of them, the longest. Pure.

Everything is told of the *condensation*: circles (strongly connected components of more than one spot) count as one
place, so that all else is acyclic. Nothing recurses: graphs are as deep as definitions are long.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence


class Shape:
    """``spots`` in order; ``pairs`` without repetition: what may follow what. Places are numbered in topological order.

    ``members``: the spots of each place; ``after``: for each place its followers, once for each pair of spots.
    """

    def __init__(self, spots: Sequence[str], pairs: Sequence[tuple[str, str]]) -> None:
        following: dict[str, list[str]] = {spot: [] for spot in spots}
        for source, target in dict.fromkeys(pairs):
            following[source].append(target)
        position = {spot: index for index, spot in enumerate(spots)}
        self.members = [sorted(found, key=position.__getitem__) for found in _components(spots, following)]
        self.place = {spot: index for index, found in enumerate(self.members) for spot in found}
        self.loops = {spot for spot, targets in following.items() if spot in targets}
        self.after: list[list[int]] = [[] for _ in self.members]
        self.before_count = [0] * len(self.members)
        for source in spots:
            for target in following[source]:
                one, two = self.place[source], self.place[target]
                if one != two:
                    self.after[one].append(two)
                    self.before_count[two] += 1

    def circles(self) -> list[list[str]]:
        """Spots that lead back to themselves."""
        return [found for found in self.members if len(found) > 1 or found[0] in self.loops]

    def levels(self) -> list[int]:
        """For each place the length of the longest way to it."""
        level = [0] * len(self.members)
        for place, targets in enumerate(self.after):
            for target in targets:
                level[target] = max(level[target], level[place] + 1)
        return level

    def path_count(self) -> int:
        """How many ways lead from a beginning to an end."""
        ways = [1 if not targets else 0 for targets in self.after]
        for place in reversed(range(len(self.members))):
            for target in self.after[place]:
                ways[place] += ways[target]
        return sum(ways[place] for place, count in enumerate(self.before_count) if not count)

    def paths(self) -> Iterator[list[int]]:
        """These ways, one after the other: earlier arcs first. There may be very many."""
        for start, count in enumerate(self.before_count):
            if count:
                continue
            path = [start]
            stack = [iter(self.after[start])]
            if not self.after[start]:
                yield [start]
            while stack:
                target = next(stack[-1], None)
                if target is None:
                    stack.pop()
                    path.pop()
                    continue
                path.append(target)
                if self.after[target]:
                    stack.append(iter(self.after[target]))
                else:
                    yield list(path)
                    path.pop()

    def longest(self, weights: Mapping[int, float]) -> tuple[float, list[int]]:
        """The way of the greatest weight through these places; the first of several. Other places are closed."""
        best = dict(weights)
        into: dict[int, int] = {}
        for place, targets in enumerate(self.after):
            if place not in weights:
                continue
            for target in targets:
                if target in weights and best[place] + weights[target] > best[target]:
                    best[target], into[target] = best[place] + weights[target], place
        if not best:
            return 0, []
        place = max(best, key=lambda each: (best[each], each))
        total, found = best[place], [place]
        while place in into:
            place = into[place]
            found.append(place)
        return total, found[::-1]


def _components(spots: Sequence[str], following: Mapping[str, Sequence[str]]) -> list[list[str]]:
    """Strongly connected components in topological order (Tarjan 1972, with a stack of its own)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    open_: list[str] = []
    inside: set[str] = set()
    found: list[list[str]] = []
    for start in reversed(spots):
        if start in number:
            continue
        stack = [(start, iter(following[start]))]
        number[start] = low[start] = len(number)
        open_.append(start)
        inside.add(start)
        while stack:
            spot, targets = stack[-1]
            target = next(targets, None)
            if target is None:
                stack.pop()
                if stack:
                    low[stack[-1][0]] = min(low[stack[-1][0]], low[spot])
                if low[spot] == number[spot]:
                    component: list[str] = []
                    while not component or component[-1] != spot:
                        component.append(open_.pop())
                        inside.discard(component[-1])
                    found.append(component)
            elif target not in number:
                number[target] = low[target] = len(number)
                open_.append(target)
                inside.add(target)
                stack.append((target, iter(following[target])))
            elif target in inside:
                low[spot] = min(low[spot], number[target])
    return found[::-1]
