"""How events of nets are booked: tokens move, joins fire, firings begin and are gone. It writes the state.

Rules R1, R2 and R8. Whether a join fires on a token, and what a cancelled region loses, follows from the marking
alone; so booking an event does it, and a replay comes to the same. A join costs what its tokens do: no edge is looked
at that nothing changed on.
"""

from __future__ import annotations

from wfe.core.evolve_kinds import take
from wfe.core.nets.shape import Net, NetNode
from wfe.core.places import Enabled, Evolve, disarm, drop_enabled, new_frame, withdraw
from wfe.core.plan import Plan
from wfe.core.values import caught_value
from wfe.model import event_nets as ev
from wfe.model.marking import Marking, Round
from wfe.model.state import DEADLINE, NULL, RunState, channel_of
from wfe.model.tables import put


class Game:
    """An open net and what an event may touch around it."""

    __slots__ = ("act", "enabled", "key", "marking", "net", "plan", "run")

    def __init__(self, run: RunState, plan: Plan, act: int, node: int, enabled: Enabled) -> None:
        self.run, self.plan, self.act, self.enabled = run, plan, act, enabled
        self.key = act * plan.stride + node
        self.marking: Marking = run.nets[self.key]
        self.net: Net = plan.nets[self.marking.net]


# ---- tokens ---------------------------------------------------------------------------------------------------------


def arrive(game: Game, number: int) -> None:
    """Tokens come over an edge (R1); the join behind it is tested (R2)."""
    edge = game.net.edges[number]
    node = game.net.nodes[edge.dst]
    mode = node.join.mode
    if mode == "xor" or (mode in ("and", "or") and len(node.incoming) == 1):
        for _ in range(edge.weight):
            _fire(game, node.index)
    elif mode == "n":
        for _ in range(edge.weight):
            _see(game, node, number)
    elif mode == "thread":
        _arrive_at_thread(game, node, number, edge.weight)
    else:
        marking = game.marking
        before = marking.tokens.get(number, 0)
        marking.tokens[number] = before + edge.weight
        if not before:
            marking.filled[node.index] = marking.filled.get(node.index, 0) + 1
        while mode == "and" and marking.filled.get(node.index) == len(node.incoming):
            _consume(game, node)
            _fire(game, node.index)


def _arrive_at_thread(game: Game, node: NetNode, number: int, weight: int) -> None:
    tokens = game.marking.tokens
    firings, left = divmod(tokens.get(number, 0) + weight, node.join.n)
    for _ in range(firings):
        _fire(game, node.index)
    if left:
        tokens[number] = left
    else:
        tokens.pop(number, None)


def _consume(game: Game, node: NetNode) -> None:
    """One token of each edge that holds any."""
    tokens = game.marking.tokens
    empty = 0
    for number in node.incoming:
        left = tokens.get(number, 0) - 1
        if left > 0:
            tokens[number] = left
        elif left == 0:
            del tokens[number]
            empty += 1
    filled = game.marking.filled[node.index] - empty
    if filled:
        game.marking.filled[node.index] = filled
    else:
        del game.marking.filled[node.index]


def _fire(game: Game, index: int, choice: int = -1) -> None:
    """A token is behind the join: the net can go on."""
    if not game.marking.joined:
        game.enabled.append(~game.key)
    game.marking.joined.append((index, choice))


def _see(game: Game, node: NetNode, number: int) -> None:
    """An n-join takes part in rounds: each edge counts once in a round."""
    marking, join = game.marking, node.join
    round_ = marking.rounds.get(node.index)
    if round_ is None:
        round_ = marking.rounds[node.index] = Round({})
    if number in round_.seen:
        if join.rest == "block":
            marking.tokens[number] = marking.tokens.get(number, 0) + 1
        return
    round_.seen[number] = 1
    if not round_.fired and len(round_.seen) == join.n:
        round_.fired = True
        _fire(game, node.index)
        if join.rest == "cancel":
            del marking.rounds[node.index]
            sweep(game, node.region, into=node.index)
            return
    if round_.fired and len(round_.seen) == len(node.incoming):
        _next_round(game, node)


def _next_round(game: Game, node: NetNode) -> None:
    """The next round begins with what was blocked; it may be complete at once."""
    marking = game.marking
    while True:
        marking.rounds.pop(node.index, None)
        blocked = [number for number in node.incoming if number in marking.tokens]
        if not blocked:
            return
        for number in blocked:
            left = marking.tokens.pop(number) - 1
            if left:
                marking.tokens[number] = left
        round_ = marking.rounds[node.index] = Round(dict.fromkeys(blocked, 1), len(blocked) >= node.join.n)
        if round_.fired:
            _fire(game, node.index)
        if not round_.fired or len(blocked) < len(node.incoming):
            return


def sweep(game: Game, nodes: tuple[int, ...], into: int = -1) -> None:
    """Cancel these nodes (R8): their firings, what waits before them, and the rounds of their joins are gone.

    A cancelled firing leaves by its ``cancelled`` edges, but not to the join ``into`` that cancelled it; and the order
    of a block leads it to no node that is cancelled with it.
    """
    marking, net, region = game.marking, game.net, frozenset(nodes)
    cancelled = []
    for firing, index in list(marking.firings.items()):
        if index in region:
            cancelled.append(net.nodes[index])
            _withdraw_firing(game, firing)
    for firing, index in list(marking.lingering.items()):
        if index in region:
            _withdraw_firing(game, firing)
    for index in nodes:
        marking.rounds.pop(index, None)
        marking.filled.pop(index, None)
        for number in net.nodes[index].incoming:
            marking.tokens.pop(number, None)
    marking.joined = [entry for entry in marking.joined if entry[0] not in region]
    marking.held = [entry for entry in marking.held if entry[0] not in region]
    for node in cancelled:
        for number in node.ports.get("cancelled", ()):
            edge = net.edges[number]
            if edge.dst != into and not (edge.dst in region and "ok" in edge.ports):
                arrive(game, number)


# ---- firings --------------------------------------------------------------------------------------------------------


def _withdraw_firing(game: Game, firing: int) -> None:
    """A firing is gone with everything that is open inside it."""
    run, plan = game.run, game.plan
    withdraw(run, plan, firing, 0, plan.stride)
    run.frames.pop(firing, None)
    drop_enabled(plan, game.enabled, firing, 0, plan.stride)
    _forget_firing(game, firing)
    game.marking.lingering.pop(firing, None)


def _forget_firing(game: Game, firing: int) -> int:
    """A firing is not active any more. Returns the choice that it was one of, or -1."""
    marking = game.marking
    index = marking.firings.pop(firing, -1)
    if index >= 0:
        left = marking.active[index] - 1
        if left:
            marking.active[index] = left
        else:
            del marking.active[index]
    if marking.boundaries:
        marking.boundaries.pop(firing, None)
    return marking.choices.pop(firing, -1) if marking.choices else -1


def _decide_choice(game: Game, choice: int) -> None:
    """The first of a deferred choice has ended: the others are withdrawn."""
    if choice < 0:
        return
    marking = game.marking
    for firing in [firing for firing, other in marking.choices.items() if other == choice]:
        _withdraw_firing(game, firing)
    marking.joined = [entry for entry in marking.joined if entry[1] != choice]
    marking.held = [entry for entry in marking.held if entry[1] != choice]


def _keep_values(game: Game, node: NetNode, firing: int) -> None:
    """Names of siblings see the firing that ended last: what it has not made has no value any more."""
    made = game.run.frames[firing].values
    values = game.run.frames[game.act].values
    for index in node.kept:
        if index in made:
            values[index] = made[index]
        else:
            values.pop(index, None)


def _firings_opened(run: RunState, plan: Plan, event: ev.FiringsOpened, enabled: Enabled) -> None:
    game = Game(run, plan, event.act, event.node, enabled)
    marking, nodes, stride = game.marking, game.net.nodes, plan.stride
    for offset, index in enumerate(event.members):
        firing = event.base + offset
        node = nodes[index]
        run.frames[firing] = new_frame(plan, node.scope, event.act, game.key, index)
        marking.firings[firing] = index
        marking.active[index] = marking.active.get(index, 0) + 1
        choice = marking.joined[offset][1]
        if choice >= 0:
            marking.choices[firing] = choice
        place = firing * stride + index
        if node.plain:
            run.open[place] = 1
        else:
            enabled.append(place)
    del marking.joined[: len(event.members)]
    run.next_act = event.base + len(event.members)


def _firing_ended(run: RunState, plan: Plan, event: ev.FiringEnded, enabled: Enabled) -> None:
    game = Game(run, plan, event.act, event.node, enabled)
    marking = game.marking
    index = marking.firings[event.firing]
    node = game.net.nodes[index]
    _keep_values(game, node, event.firing)
    choice = _forget_firing(game, event.firing)
    if node.lingers and event.firing * plan.stride + index in run.groups:
        marking.lingering[event.firing] = index
    else:
        del run.frames[event.firing]
    disarm(run, event.firing * plan.stride + plan.stride - 1)
    marking.done[index] = marking.done.get(index, 0) + 1
    _decide_choice(game, choice)
    if node.cancels:
        sweep(game, node.cancels)
    _leave(game, node, event.edges, event.firing)


def _leave(game: Game, node: NetNode, edges: tuple[int, ...], firing: int) -> None:
    """R6. Behind a deferred split every target begins, whatever its join: the first to end is the choice."""
    if node.split == "deferred":
        for number in edges:
            _fire(game, game.net.edges[number].dst, firing)
        return
    for number in edges:
        arrive(game, number)


def _firing_failed(run: RunState, plan: Plan, event: ev.FiringFailed, enabled: Enabled) -> None:
    game = Game(run, plan, event.act, event.node, enabled)
    node = game.net.nodes[game.marking.firings[event.firing]]
    choice = game.marking.choices.get(event.firing, -1)
    _withdraw_firing(game, event.firing)
    values = run.frames[event.act].values
    for index in node.kept:
        values.pop(index, None)
    if node.index in node.kept:
        values[node.index] = caught_value(event.error)
    _decide_choice(game, choice)
    for number in event.edges:
        arrive(game, number)


def _firing_held(run: RunState, plan: Plan, event: ev.FiringHeld, enabled: Enabled) -> None:
    marking = run.nets[event.act * plan.stride + event.node]
    marking.held.append(marking.joined.pop(0))


def _firing_released(run: RunState, plan: Plan, event: ev.FiringReleased, enabled: Enabled) -> None:
    game = Game(run, plan, event.act, event.node, enabled)
    held = game.marking.held
    position = next(number for number, entry in enumerate(held) if entry[0] == event.member)
    _fire(game, *held.pop(position))


def _firing_missed(run: RunState, plan: Plan, event: ev.FiringMissed, enabled: Enabled) -> None:
    game = Game(run, plan, event.act, event.node, enabled)
    node = game.net.nodes[event.member]
    _, choice = game.marking.joined.pop(0)
    values = run.frames[event.act].values
    for index in node.kept:
        values.pop(index, None)
    if node.index in node.kept:
        values[node.index] = NULL
    _decide_choice(game, choice)
    passed, run.next_act = run.next_act, run.next_act + 1
    _leave(game, node, event.edges, passed)


def _firing_emptied(run: RunState, plan: Plan, event: ev.FiringEmptied, enabled: Enabled) -> None:
    del run.nets[event.act * plan.stride + event.node].lingering[event.firing]
    del run.frames[event.firing]


# ---- joins, boundaries, the end -------------------------------------------------------------------------------------


def _join_fired(run: RunState, plan: Plan, event: ev.JoinFired, enabled: Enabled) -> None:
    game = Game(run, plan, event.act, event.node, enabled)
    _consume(game, game.net.nodes[event.member])
    _fire(game, event.member)


def _round_reset(run: RunState, plan: Plan, event: ev.RoundReset, enabled: Enabled) -> None:
    game = Game(run, plan, event.act, event.node, enabled)
    _next_round(game, game.net.nodes[event.member])


def _boundary_armed(run: RunState, plan: Plan, event: ev.BoundaryArmed, enabled: Enabled) -> None:
    place = event.firing * plan.stride + plan.stride - 1
    run.timers = put(run.timers, place * 2 + DEADLINE, event.due_ms)
    run.nets[event.act * plan.stride + event.node].boundaries[event.firing] = event.boundary


def _boundary_reached(run: RunState, plan: Plan, event: ev.BoundaryReached, enabled: Enabled) -> None:
    game = Game(run, plan, event.act, event.node, enabled)
    marking = game.marking
    node = game.net.nodes[marking.firings[event.firing]]
    boundary = node.boundary[event.boundary]
    payload = take(run, channel_of(boundary.signal or "", "")) if event.taken else NULL
    if not event.taken:
        disarm(run, event.firing * plan.stride + plan.stride - 1)
        marking.boundaries.pop(event.firing, None)
    if boundary.interrupting:
        choice = marking.choices.get(event.firing, -1)
        _withdraw_firing(game, event.firing)
        values = run.frames[event.act].values
        for index in node.kept:
            values.pop(index, None)
        if node.index in node.kept:
            values[node.index] = payload
        _decide_choice(game, choice)
    for number in event.edges:
        arrive(game, number)


def _net_ended(run: RunState, plan: Plan, event: ev.NetEnded, enabled: Enabled) -> None:
    key = event.act * plan.stride + event.node
    del run.nets[key]
    enabled.append(~key)


EVOLVE: dict[type, Evolve] = {
    ev.FiringsOpened: _firings_opened,
    ev.FiringEnded: _firing_ended,
    ev.FiringFailed: _firing_failed,
    ev.FiringHeld: _firing_held,
    ev.FiringReleased: _firing_released,
    ev.FiringMissed: _firing_missed,
    ev.JoinFired: _join_fired,
    ev.RoundReset: _round_reset,
    ev.BoundaryArmed: _boundary_armed,
    ev.BoundaryReached: _boundary_reached,
    ev.FiringEmptied: _firing_emptied,
    ev.NetEnded: _net_ended,
}
