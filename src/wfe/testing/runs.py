"""A run in an `Env`: the handle of `wfe.connect`, whose `result` moves the virtual clock."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from wfe.client.runs import PUBLISHED, AsyncRun, failure_of, published
from wfe.client.views import HistoryItem, RunInfo
from wfe.wire.messages import RunOutcome
from wfe.wire.payload import decode_as
from wfe.wire.rounds import RunPast

if TYPE_CHECKING:
    from wfe.testing.env import Env


class EnvRun:
    """One run. ``id`` as everywhere."""

    def __init__(self, env: Env, run: AsyncRun[Any]) -> None:
        self._env, self._run, self.id = env, run, run.id

    def __repr__(self) -> str:
        return repr(self._run)

    def describe(self) -> RunInfo:
        """The run as it is now."""
        return self._env._drive(self._run.describe())

    def status(self) -> str:
        """pending running waiting paused completed failed cancelled."""
        return self._env._drive(self._run.status())

    def result(self, timeout_s: float | None = None) -> Any:
        """The run's output, typed. While the run waits, the clock moves on to the next timer of any run.

        RunFailed, RunCancelled; `Stuck`, with the reason, when only a signal (or a worker) can help; TimeoutError when
        it takes longer than ``timeout_s`` of virtual time.
        """
        outcome = self.outcome(timeout_s)
        if outcome.status == "completed":
            return decode_as(self._run._returns, outcome.output)
        raise failure_of(outcome)

    def outcome(self, timeout_s: float | None = None) -> RunOutcome:
        """How the run ended, whichever way; waits as `result` does."""
        timeout_ms = None if timeout_s is None else round(timeout_s * 1000)
        return self._env._drive(self._env._await(self._run, timeout_ms))

    def signal(self, name: str, payload: Any = None, *, event_id: str | None = None, correlation: str = "") -> None:
        """Sends a signal; one that comes early is queued."""
        self._env._drive(self._run.signal(name, payload, event_id=event_id, correlation=correlation))

    def approve(self, name: str, approved: bool = True, *, by: str = "", comment: str = "", data: Any = None) -> None:
        """Decides an approval of this name."""
        self.signal(name, {"approved": approved, "by": by, "comment": comment, "data": data})

    def cancel(self, *, compensate: bool = True) -> None:
        self._env._drive(self._run.cancel(compensate=compensate))

    def pause(self) -> None:
        self._env._drive(self._run.pause())

    def resume(self) -> None:
        self._env._drive(self._run.resume())

    def retry(self) -> None:
        """A failed run goes on from what failed."""
        self._env._drive(self._run.retry())

    def skip(self, node: str, output: Any = None, *, activation: int | None = None) -> None:
        """Ends an open node with this value (a failed run is retried first)."""
        self._env._drive(self._run.skip(node, output, activation=activation))

    def fork(
        self, *, node: str | None = None, event: int | None = None, changes: Mapping[str, Any] | None = None
    ) -> EnvRun:
        """A new run from a point of this one, see `AsyncRun.fork`."""
        return EnvRun(self._env, self._env._drive(self._run.fork(node=node, event=event, changes=changes)))

    def past(self, event: int | None = None) -> RunPast:
        """The run's whole state as of one of its events (None: now)."""
        return self._env._drive(self._run.past(event))

    def stream(self) -> list[Any]:
        """What the run has published so far."""
        return [published(item) for item in self.history() if item.type in PUBLISHED]

    def history(self) -> list[HistoryItem]:
        """The run's events."""

        async def listed() -> list[HistoryItem]:
            return await self._run.history()

        return self._env._drive(listed())
