"""`wfe replay`: recorded runs re-run against an app's code here, without effects; `wfe deploy --check` asks it, too.

The records come through a client; what is judged is the code of the app, in this process.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from msgspec import Struct

from wfe.limits import LIST_LIMIT_MAX
from wfe.wire.durable import decode_record
from wfe.worker.durable.functions import DurableFunction
from wfe.worker.durable.replay import Recorded, check

if TYPE_CHECKING:
    from wfe.authoring.apps import App
    from wfe.client.sync import Client
    from wfe.client.sync_runs import Run

ENDED = ("completed", "failed", "cancelled")
LIVE = ("pending", "running", "waiting", "paused")


class Replayed(Struct):
    """``outcome``: same, differs, or skipped when it cannot be judged; ``reason`` says what differs, or why not."""

    run_id: str
    workflow: str
    status: str
    outcome: str
    reason: str = ""


def replay(client: Client, app: App, run_ids: Iterable[str]) -> Iterator[Replayed]:
    """Each run against the durable function of its name. UnknownRun when there is none of this id."""
    judge = _judge(app)
    for run_id in run_ids:
        yield judge(client.get(run_id))


def replay_live(client: Client, app: App) -> Iterator[Replayed]:
    """All runs of the app's durable functions that have not ended."""
    judge = _judge(app)
    for name, workflow in app.workflows.items():
        if workflow.__wfe_workflow__.kind == "durable":
            for status in LIVE:
                for run in client.list(status=status, workflow=name, limit=LIST_LIMIT_MAX):
                    yield judge(run)


def _judge(app: App) -> Callable[[Run[object]], Replayed]:
    functions: dict[str, DurableFunction] = {}

    def judge(run: Run[object]) -> Replayed:
        info = run.describe()
        workflow = app.workflows.get(info.workflow)
        if workflow is None or workflow.__wfe_workflow__.kind != "durable":
            reason = f"the app has no durable function {info.workflow!r}"
            if workflow is not None:
                reason = (
                    f"{info.workflow!r} is a graph, which needs no replay: a run keeps the graph it was started with"
                )
            return Replayed(run.id, info.workflow, info.status, "skipped", reason)
        if info.workflow not in functions:
            functions[info.workflow] = DurableFunction(workflow.__wfe_workflow__)
        past = run.past(recorded=True)
        if not past.record:
            reason = f"it is a graph, which this app has as a durable function {info.workflow!r}"
            return Replayed(run.id, info.workflow, info.status, "skipped", reason)
        found = Recorded(decode_record(past.record), past.had, past.status if past.status in ENDED else "")
        reason = check(functions[info.workflow], run.id, found)
        return Replayed(run.id, info.workflow, info.status, "differs" if reason else "same", reason)

    return judge
