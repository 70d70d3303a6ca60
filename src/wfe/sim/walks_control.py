"""What loops, races, locks and computing nodes mean. Part of `walks`, whose rules hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from wfe.model.definition import Assign, BreakIf, Decision, Emit, Lock, Loop, Node, Race, State, Transform
from wfe.sim.expressions import Broken, Cell, holds, items, look, template, total
from wfe.sim.facts import Walked
from wfe.sim.leaves import ended

if TYPE_CHECKING:
    from wfe.sim.expressions import Env
    from wfe.sim.interpreter import Interpreter
    from wfe.sim.ledger_kinds import Place

# ---- loops ----------------------------------------------------------------------------------------------------------


def loop(at: Interpreter, node: Loop, place: Place, env: Env) -> Walked:
    """One iteration after another, as many as its conditions, its items and its limit say."""
    facts = at.facts
    over = None if node.items is None else items(node.items, env)
    inners = facts.iterations.get(place)
    if inners is None:
        return Walked(stuck=True)
    number = 0
    while True:
        goes_on = over is None or number < len(over)
        if goes_on and node.while_ is not None:
            goes_on = holds(node.while_, env)
        limited = goes_on and node.max_iterations is not None and number >= node.max_iterations
        if not goes_on or limited:
            if len(inners) > number:
                raise at.book.fail(f"{node.id} begins iteration {number}, it is over after {number}")
            return _limited(at, node, place) if limited else _over(at, place)
        if number == len(inners):
            if place in facts.loops_over:
                raise at.book.fail(f"{node.id} ends before iteration {number}")
            return Walked(stuck=True)
        inner: Env = {**env, node.index: number}
        if over is not None:
            inner[node.as_] = over[number]
        walked = at.sequence(node.do, inners[number], inner)
        number += 1
        last = number == len(inners)
        if last and walked.may_break and place in facts.loops_over:
            return Walked()
        if walked.done:
            if node.until is None or not holds(node.until, inner):
                continue
            if not last:
                raise at.book.fail(f"{node.id} goes on after iteration {number - 1}, though {node.until}")
            return _over(at, place)
        if not last:
            raise at.book.fail(f"{node.id} goes on after iteration {number - 1}: {walked}")
        if place not in facts.loops_over:
            return Walked(walked.stuck or walked.breaks, walked.faults, walked.ends)
        if not walked.breaks:
            raise at.book.fail(f"{node.id} ends in iteration {number - 1}: {walked}")
        return Walked()


def _over(at: Interpreter, place: Place) -> Walked:
    return Walked(stuck=place not in at.facts.loops_over)


def _limited(at: Interpreter, node: Loop, place: Place) -> Walked:
    if place in at.facts.loops_over:
        raise at.book.fail(f"{node.id} ends, though it is at its limit")
    fault = at.facts.faults.get(place)
    if fault not in (None, "LoopLimit"):
        raise at.book.fail(f"{node.id} fails with {fault} at its limit")
    return Walked(stuck=fault is None, faults=[] if fault is None else [fault])


def break_if(at: Interpreter, node: BreakIf, place: Place, env: Env) -> Walked:
    over = holds(node.cond, env)
    if over and place in at.facts.nodes:
        raise at.book.fail(f"{node.id} lets its loop go on, though {node.cond}")
    return Walked(breaks=True) if over else Walked(stuck=place not in at.facts.nodes)


# ---- what is exclusive ----------------------------------------------------------------------------------------------


def race(at: Interpreter, node: Race, place: Place, env: Env) -> Walked:
    """The value names the contender that ended first; what the others did counts no more."""
    facts, position, act = at.facts, at.book.shape.position, place[1]
    begin = [contender for contender in node.do if contender.if_ is None or holds(contender.if_, env)]
    if not begin:
        if (walked := ended(at, node, place, may_fail=False)) is not None:
            return walked
        env[node.id] = {"winner": None}
        at.expect(node, place, env)
        return Walked()
    if facts.contenders.get(place, ()) not in ((), tuple(position[contender.id] for contender in begin)):
        raise at.book.fail(f"{node.id} begins {facts.contenders[place]}, {[c.id for c in begin]} follows")
    found = Walked()
    inner = dict(env)
    for contender in begin:
        walked = at.node(contender, act, inner)
        if facts.winners.get(place) == position[contender.id]:
            if not walked.done:
                raise at.book.fail(f"{contender.id} wins {node.id}: {walked}")
            env[node.id] = {"winner": contender.id}
        found.take(walked)
    winner = facts.winners.get(place)
    if winner is None:
        found.stuck = True
        return found
    order = {facts.order[position[c.id], act]: c.id for c in begin if (position[c.id], act) in facts.order}
    if env[node.id] is None or min(order) != facts.order[winner, act]:
        raise at.book.fail(f"{node.id} is won by {winner}, ended have {order}")
    return Walked()


def lock(at: Interpreter, node: Lock, place: Place, env: Env) -> Walked:
    """Its nodes run once it was granted; who may hold it when is the ledger's to know."""
    if place not in at.facts.granted:
        return Walked(stuck=True)
    inner = at.sequence(node.do, place[1], env)
    if inner.done and place not in at.facts.nodes:
        return Walked(stuck=True)
    return inner


# ---- what computes --------------------------------------------------------------------------------------------------


def state(at: Interpreter, node: State, place: Place, env: Env) -> Walked:
    made = template(node.value, env)
    if (walked := ended(at, node, place, may_fail=False)) is not None:
        return walked
    if at.facts.nodes[place] != made:
        raise at.book.fail(f"{node.id} begins as {at.facts.nodes[place]!r}, {made!r} follows")
    env[node.id] = Cell(made)
    return Walked()


def assign(at: Interpreter, node: Assign, place: Place, env: Env) -> Walked:
    before = look(node.state, env)
    made = {**before, **template(node.fields, env)} if node.fields else template(node.value, env)
    if place in at.facts.faults:
        raise at.book.fail(f"{node.id} fails with {at.facts.faults[place]}")
    if place not in at.facts.assigned:
        return Walked(stuck=True)
    if at.facts.assigned[place] != made:
        raise at.book.fail(f"{node.id} makes {node.state} {at.facts.assigned[place]!r}, {made!r} follows")
    env[node.state].value = made
    return Walked()


def decision(at: Interpreter, node: Decision, place: Place, env: Env) -> Walked:
    chosen = next((name for name, cond in node.cases.items() if cond is None or holds(cond, env)), None)
    if chosen is None:
        fault = at.facts.faults.get(place)
        if place in at.facts.nodes or fault not in (None, "NoCase"):
            raise at.book.fail(f"{node.id} ends with {at.facts.nodes.get(place, fault)!r}, no case holds")
        return Walked(stuck=fault is None, faults=["NoCase"] if fault else [])
    return _computed(at, node, place, env, chosen)


def transform(at: Interpreter, node: Transform, place: Place, env: Env) -> Walked:
    found = items(node.items, env)
    if node.filter is not None:
        found = [item for item in found if holds(node.filter, {**env, node.as_: item})]
    if node.enrich and found:
        raise Broken  # the generator makes numbers, and only objects can be enriched
    if node.map is not None:
        found = [total(node.map, {**env, node.as_: item}) for item in found]
    if node.reduce is None:
        return _computed(at, node, place, env, found)
    result = template(node.reduce.initial, env)
    for item in found:
        result = total(node.reduce.value, {**env, node.as_: item, node.reduce.total: result})
    return _computed(at, node, place, env, result)


def _computed(at: Interpreter, node: Node, place: Place, env: Env, made: Any) -> Walked:
    if (walked := ended(at, node, place, may_fail=False)) is not None:
        return walked
    env[node.id] = made
    at.expect(node, place, env)
    return Walked()


def emit(at: Interpreter, node: Emit, place: Place, env: Env) -> Walked:
    made = (template(node.emit, env), template(node.data, env))
    if place in at.facts.faults:
        raise at.book.fail(f"{node.id} fails with {at.facts.faults[place]}")
    if place not in at.facts.emitted:
        return Walked(stuck=True)
    if at.facts.emitted[place] != made:
        raise at.book.fail(f"{node.id} publishes {at.facts.emitted[place]!r}, {made!r} follows")
    return Walked()
