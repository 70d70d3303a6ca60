"""The app of test_kinds_on_a_server: every kind of node that a real server has not run elsewhere."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import wfe


@dataclass
class Terms:
    discount: float


@wfe.task
def stamp(name: str) -> str:
    return f"stamped {name}"


@wfe.task
def undo(name: str) -> str:
    return f"undone {name}"


@wfe.task(retry=wfe.Retry(max_attempts=2, initial_delay="10ms"))
def undo_in_vain(name: str) -> str:
    raise OSError(f"{name} cannot be undone")


@wfe.workflow
def printed(wf: wfe.Graph, name: str, printer: str) -> str:
    with wf.lock("printer", key=printer):
        wf.wait_signal("paper")
        done = stamp(name)
    return done


@wfe.workflow
def offered(wf: wfe.Graph, total: float) -> dict[str, Any]:
    decision = wf.approval("terms", to="sales", form=Terms)
    return {"by": decision.by, "comment": decision.comment, "discount": decision.data}


@wfe.workflow
def escalated(wf: wfe.Graph) -> str:
    decision = wf.approval("terms", to="ann", escalate=[("50ms", "bob")])
    return decision.by


@wfe.workflow
def overdue(wf: wfe.Graph) -> bool:
    decision = wf.approval("terms", timeout="50ms", on_timeout="reject", on_reject="continue")
    return decision.approved


@wfe.workflow
def undoing(wf: wfe.Graph, fails: bool) -> str:
    stamp("first")
    wf.compensate_with(undo, "first")
    wf.compensate_with(undo_in_vain, "second")
    stamp("third")
    wf.compensate_with(undo, "third")
    with wf.when(fails):
        wf.fail("Broken", "it is")
    wf.wait_signal("go")
    return "done"


@wfe.workflow
def undone_on_the_way(wf: wfe.Graph) -> str:
    wf.compensate_with(undo, "first")
    with wf.catch("Broken"):
        wf.fail("Broken")
    wf.compensate()
    return stamp("after")


@wfe.workflow
def fetched(wf: wfe.Graph, url: str, private: bool) -> dict[str, Any]:
    with wf.when(private):
        found = wf.http(
            "POST",
            url,
            headers={"x-run": wf.run.id},
            query={"page": 2},
            json={"ask": [1, 2]},
            auth={"bearer": wfe.secret("KINDS_TOKEN")},
            retry=wfe.Retry(max_attempts=3, initial_delay="10ms"),
            accept=[404],
            allow_private=True,
        )
    with wf.otherwise():
        other = wf.http("GET", url)
    taken = wf.merge(found, other)
    return {"status": taken.status, "body": taken.body}


@wfe.workflow
def reported(wf: wfe.Graph, order: dict[str, Any]) -> str:
    wf.emit("order.seen", {"order": order})
    wf.emit(wf.format("order.{}", order["id"]), None)
    return wf.decision(
        {"small": wf.expr("o.total < 10", o=order), "large": wf.expr("o.total > 1000", o=order)}, default="usual"
    )


@dataclass
class Count:
    rounds: int = 0


@wfe.workflow
def counted(wf: wfe.Graph) -> int:
    s = wf.state(Count())
    with wf.loop():
        more = wf.wait_signal("more", bool)
        wf.break_if(wf.not_(more))
        s.rounds += 1
    return s.rounds
