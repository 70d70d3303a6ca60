"""Methods of a Graph that a later version brings, with the signatures that they will have: each refuses at the line."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NoReturn, Protocol, TypeVar

from wfe.authoring.canvas import Canvas
from wfe.authoring.results import Approval
from wfe.authoring.retry import Duration

T = TypeVar("T")


class Race(Protocol):
    """The value of ``with wf.race() as r``."""

    def won(self, value: object) -> bool:
        """Whether the child that made this value ended first."""
        ...


class Later:
    """Names that are reserved, with their signatures, and that this version does not have."""

    __slots__ = ()

    def _active(self) -> Canvas:
        raise NotImplementedError

    def _later(self, what: str, instead: str) -> NoReturn:
        raise self._active().fail(f"{what} comes in a later version of wfe; {instead}")

    def loop(self, *, max_iterations: int | None = 10_000) -> AbstractContextManager[None, None]:
        """Repeats its block until ``break_if``."""
        self._later("wf.loop", "repeat in a task, or let a sub-workflow call itself")

    def break_if(self, condition: bool = True) -> None:
        """Ends the innermost loop."""
        self._later("wf.break_if", "repeat in a task, or let a sub-workflow call itself")

    def state(self, value: T) -> T:
        """A value that changes while the run goes on."""
        self._later("wf.state", "use wf.merge(...) for values out of blocks")

    def race(self) -> AbstractContextManager[Race, None]:
        """The first child to end wins."""
        self._later("wf.race", "give wf.wait_signal a timeout")

    def approval(
        self,
        name: str,
        *,
        to: str | None = None,
        timeout: Duration | None = None,
        on_timeout: str = "fail",
        on_reject: str = "fail",
    ) -> Approval:
        """Waits for a person's decision."""
        self._later("wf.approval", f"use wf.wait_signal({name!r}, wfe.Approval) and wf.when on its .approved")

    def compensate_with(self, task: object, /, *args: object, **kwargs: object) -> None:
        """Runs a task if the run fails from here on."""
        self._later("wf.compensate_with", "use wf.catch and call the task in `with wf.when(caught.failed)`")

    def compensate(self) -> None:
        """Runs the compensations registered so far."""
        self._later("wf.compensate", "use wf.catch and call the task in `with wf.when(caught.failed)`")

    def lock(self, name: str, key: object = None) -> AbstractContextManager[None, None]:
        """Only one run at a time is inside."""
        self._later("wf.lock", "serialise in the service that the task calls")

    def emit(self, type: str, data: object = None) -> None:
        """Publishes an event."""
        self._later("wf.emit", "publish in a task")

    def http(self, method: str, url: str, **options: Any) -> Any:
        """An HTTP call by the engine."""
        self._later("wf.http", "call it in a task")
