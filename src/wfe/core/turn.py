"""A turn: one run taking in one command, until nothing more follows from it."""

from __future__ import annotations

from collections.abc import Callable

from wfe.core.evolve import book
from wfe.core.plan import Plan
from wfe.model.event import RunEvent
from wfe.model.mail import MailBody
from wfe.model.state import RunState

ALL = -1
"""All joins of a net."""


class Turn:
    """The run, its plan, the time, and what the turn brings about.

    ``events``: to be committed. ``enabled``: places that can go on (a place ``key``: open this node; ``~key``: this
    block, map or frame may close). Effects, to leave only after the commit: ``ready`` (keys of tasks to dispatch),
    ``armed`` (timers as
    (due_ms, timer key)), ``withdrawn`` (key, attempt of tasks that no longer count), ``mail`` (receiver's run id,
    body). ``nets``: open nets that changed, with bits of the joins that this may let fire (`core.nets.play`).
    """

    __slots__ = (
        "armed",
        "enabled",
        "events",
        "first_event",
        "mail",
        "nets",
        "now_ms",
        "partitions",
        "plan",
        "random",
        "ready",
        "run",
        "withdrawn",
    )

    def __init__(
        self,
        run: RunState,
        plan: Plan,
        now_ms: int,
        partitions: int,
        random: Callable[[], float],
        events: list[RunEvent] | None = None,
    ) -> None:
        self.run = run
        self.plan = plan
        self.now_ms = now_ms
        self.partitions = partitions
        self.random = random
        self.events: list[RunEvent] = [] if events is None else events
        self.first_event = len(self.events)
        self.enabled: list[int] = []
        self.ready: list[int] = []
        self.armed: list[tuple[int, int]] = []
        self.withdrawn: list[tuple[int, int]] = []
        self.mail: list[tuple[str, MailBody]] = []
        self.nets: dict[int, int] = {}

    def clear(self) -> None:
        """Its effects were taken: with another run, plan, time and events it is another turn."""
        self.ready.clear()
        self.enabled.clear()
        self.armed.clear()
        self.withdrawn.clear()
        self.mail.clear()
        self.nets.clear()

    def emit(self, event: RunEvent) -> None:
        """Record an event and book it at once, so that what follows sees its outcome."""
        self.events.append(event)
        book(self.run, self.plan, event, self.enabled)

    def arm(self, due_ms: int, timer: int) -> None:
        """Note a timer that the last event put into the state."""
        self.armed.append((due_ms, timer))

    def touch(self, net: int, joins: int) -> None:
        """Note that a net changed."""
        self.nets[net] = self.nets.get(net, 0) | joins
