"""What waits for people and messages, maps and compensation mean. Part of `walks`, whose rules hold."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from msgspec import UNSET
from msgspec.msgpack import decode

from wfe.model.definition import Approval, Compensate, CompensateWith, Map, WaitSignal
from wfe.sim.expressions import Broken, holds, items, template
from wfe.sim.facts import Walked
from wfe.sim.leaves import ended, told
from wfe.sim.tasks import argument

if TYPE_CHECKING:
    from wfe.sim.expressions import Env
    from wfe.sim.interpreter import Interpreter
    from wfe.sim.ledger_kinds import Place

# ---- waits ----------------------------------------------------------------------------------------------------------


def signal(at: Interpreter, node: WaitSignal, place: Place, env: Env) -> Walked:
    """Which message it takes, and whether one may be late, is the ledger's to know."""
    if place in at.facts.signals:
        env[node.id] = decode(at.facts.signals[place])
        return Walked()
    if (walked := ended(at, node, place, may_fail=True)) is not None:
        if walked.faults not in ([], ["TimedOut"]):
            raise at.book.fail(f"{node.id} fails with {walked.faults}")
        return walked
    env[node.id] = node.default
    at.expect(node, place, env)
    return Walked()


def approval(at: Interpreter, node: Approval, place: Place, env: Env) -> Walked:
    """Refused it is a fault, unless the author wants to go on."""
    facts = at.facts
    if place in facts.faults:
        if facts.faults[place] != "TimedOut" or node.on_timeout != "fail":
            raise at.book.fail(f"{node.id} fails with {facts.faults[place]}")
        return Walked(faults=["TimedOut"])
    if place not in facts.decided:
        return Walked(stuck=True)
    if place in facts.refused:
        return Walked(faults=["Rejected"])
    value, error = facts.decided[place]
    expected = {"approved": node.on_timeout == "approve", "by": "timeout", "comment": "", "data": None}
    if place in facts.signals:
        said = decode(facts.signals[place])
        expected = {"approved": said["approved"], "by": said.get("by") or "", "comment": "", "data": said.get("data")}
    fails = not expected["approved"] and node.on_reject == "fail"
    if value != expected or fails != (error is not None):
        raise at.book.fail(f"{node.id} is decided as {value!r} with {error}, {expected!r} follows")
    if fails:
        return Walked(faults=["Rejected"])
    env[node.id] = value
    return Walked()


# ---- maps -----------------------------------------------------------------------------------------------------------


def map_(at: Interpreter, node: Map, place: Place, env: Env) -> Walked:
    """Items that ended give its value, in their order, whether it waited for all of them or was left before."""
    facts = at.facts
    base = facts.bases.get(place)
    if base is None:
        return Walked(stuck=True)
    over = items(node.items, env) + facts.grown.get(place, [])
    left, failed = facts.left.get(place), facts.items.get(place, {})
    found, values, counts = Walked(), {}, {"done": 0, "failed": 0, "total": len(over)}
    for index, item in enumerate(over):
        inner: Env = {**env, node.as_: item}
        walked = at.sequence(node.do, base + index, inner)
        if index in failed:
            number, error = failed[index]
            if error.type not in walked.faults:
                raise at.book.fail(f"item {index} of {node.id} fails with {error.type}: {walked}")
            counts["failed"] += left is None or number < left
            continue
        if left is not None and _ended_at(at, node, place, index) > left:
            if node.rest == "continue":
                found.ends += walked.ends
                found.may_break = found.may_break or walked.breaks or walked.may_break
            continue
        values[index] = _item_value(at, node, place, index, walked, inner)
        found.take(walked)
    counts["done"] = len(values)
    _check_end(at, node, place, counts)
    env[node.id] = list(values.values())
    if node.tolerate_count is not None or node.tolerate_percent is not None:
        in_time = {i: error for i, (number, error) in sorted(failed.items()) if left is None or number < left}
        errors = [{"index": index, **told(error)} for index, error in in_time.items()]
        env[node.id] = {"values": list(values.values()), "indexes": list(values), "errors": errors}
    if place not in facts.order:
        found.stuck = True
    return found


def _ended_at(at: Interpreter, node: Map, place: Place, index: int) -> float:
    """The number of the event with which an item ended; one that is a task alone has no other."""
    if at.book.shape.single_task(place[0]) < 0:
        return at.facts.items_done.get(place, {}).get(index, float("inf"))
    return at.facts.order.get((place[0] + 1, at.facts.bases[place] + index), float("inf"))


def _item_value(at: Interpreter, node: Map, place: Place, index: int, walked: Walked, inner: Env) -> Any:
    if node.output is UNSET or not walked.done:
        last = inner.get(node.do[-1].id)
        return getattr(last, "value", last)
    try:
        return template(node.output, inner)
    except Broken:  # the generator makes none that breaks
        raise at.book.fail(f"item {index} of {node.id} has no value") from None


def _check_end(at: Interpreter, node: Map, place: Place, counts: dict[str, int]) -> None:
    """Whether the map may have ended as it did."""
    left = place in at.facts.left
    limit = node.tolerate_count
    if limit is not None and not left and counts["failed"] > limit:
        raise at.book.fail(f"{node.id} tolerates {counts['failed']} failures")
    if node.tolerate_percent is not None and counts["failed"] * 100 > node.tolerate_percent * counts["total"]:
        raise at.book.fail(f"{node.id} tolerates {counts['failed']} failures of {counts['total']}")
    if not left:
        return
    enough = node.complete_after is not None and counts["done"] + counts["failed"] >= node.complete_after
    if not enough and not (node.complete_when is not None and holds(node.complete_when, dict(counts))):
        raise at.book.fail(f"{node.id} is left with {counts}")


# ---- compensation ---------------------------------------------------------------------------------------------------


def compensate_with(at: Interpreter, node: CompensateWith, place: Place, env: Env) -> Walked:
    """What is to be called is computed here; in which order that happens is the ledger's to know."""
    made = {"x": template(node.with_["x"], env)}
    for data in at.facts.executed.get(place, ()):
        if argument(node.task, decode(data)) != made["x"]:
            raise at.book.fail(f"the handler of {node.id} got {decode(data)!r}, {made!r} follows")
    if place not in at.facts.registered:
        return Walked(stuck=True)
    if at.facts.registered[place] != made:
        raise at.book.fail(f"{node.id} registers {at.facts.registered[place]!r}, {made!r} follows")
    return Walked()


def compensate(at: Interpreter, node: Compensate, place: Place, env: Env) -> Walked:
    return Walked(stuck=place not in at.facts.compensated)
