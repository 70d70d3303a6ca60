"""Re-running recorded runs against other code, without effects: does this code do what is recorded?

The record is what a worker would be given for the run's next turn, of its last round; runs that have ended have one,
too. Pure but for the function's own code, which is run.
"""

from __future__ import annotations

from msgspec import Struct

from wfe.wire.durable import DurableRecord
from wfe.worker.durable.functions import DurableFunction
from wfe.worker.durable.instance import Instance
from wfe.worker.durable.loop import Restless

_OVER = {"": False, "completed": True}
"""By status, whether the function has ended; a run that failed or was cancelled may have been ended from outside."""


class Recorded(Struct):
    """The last round of a run. ``had``: completions that the function has had; ``status``: how the run ended, or ""."""

    record: DurableRecord
    had: int
    status: str = ""


def check(function: DurableFunction, run_id: str, found: Recorded) -> str:
    """ "" when the function does what is recorded; else what differs, with both sequences."""
    if not (found.record.calls or found.had or found.status == "completed"):
        return ""  # nothing is recorded that could differ
    instance = Instance(function, run_id, function.name, found.record)
    try:
        return instance.replay(found.record, found.had, over=_OVER.get(found.status))
    except Restless as error:
        return f"{function.name!r} goes round for ever on its re-run: {error}"
    finally:
        instance.close()
