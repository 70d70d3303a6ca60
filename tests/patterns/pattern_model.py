"""What a pattern of the catalogue is, and how a case of it is played and judged, whatever engine it runs on.

A case is a conversation with one run. Signals stand for work that takes as long as the test likes, tasks
(`pattern_tasks`) show that the run has come past them. After each step the run is asked what it waits for, and its
history which tasks have ended since the step before; both must be exactly as written.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Protocol

from wfe.authoring.yaml_reader import read_definitions
from wfe.model.definition import Definition

MOVING = frozenset({"task", "worker", "retry", "loop"})
"""What goes on by itself: a run that waits for these has not come to rest."""
OUTSIDE = frozenset({"signal", "items", "approval", "timer"})
"""What somebody or time must bring; locks, joins and sub-workflows are what others in there must bring."""
NOTHING = object()


class Run(Protocol):
    """What a case needs of a run: the handles of `wfe.connect` and of `wfe.testing` have it."""

    def describe(self) -> Any: ...
    def history(self) -> Any: ...
    def signal(self, name: str, payload: Any = None, *, correlation: str = "") -> None: ...
    def cancel(self) -> None: ...


@dataclass(frozen=True)
class Waits:
    """The run comes to rest, and waits for exactly these; these tasks have ended since the last step."""

    names: tuple[str, ...]
    ran: tuple[str, ...]


@dataclass(frozen=True)
class Sends:
    name: str
    payload: Any = None
    correlation: str = ""


@dataclass(frozen=True)
class Ends:
    """The run ends like that."""

    status: str
    ran: tuple[str, ...]
    output: Any = NOTHING
    error: str = ""
    says: str = ""


Step = Waits | Sends | Ends


def waits(names: str, ran: str = "") -> Waits:
    """``waits("x, y", ran="a")``: signals by name (and correlation), everything else by its node."""
    return Waits(_words(names), _words(ran))


def send(name: str, payload: Any = None, correlation: str = "") -> Sends:
    return Sends(name, payload, correlation)


def ends(ran: str = "", *, output: Any = NOTHING, status: str = "completed", error: str = "", says: str = "") -> Ends:
    return Ends("failed" if error else status, _words(ran), output, error, says)


def _words(text: str) -> tuple[str, ...]:
    return tuple(sorted(part.strip() for part in text.split(",") if part.strip()))


@dataclass(frozen=True)
class Case:
    """``given``: the run's input."""

    name: str
    steps: tuple[Step, ...]
    given: Any = None


def case(name: str, *steps: Step, given: Any = None) -> Case:
    return Case(name, steps, given)


@dataclass(frozen=True)
class Pattern:
    """One of the 43. ``python``: the same process drawn in Python, if its structured forms can say it, judged by the
    same cases, or by ``python_cases`` where the drawing comes to the pattern in another way."""

    number: int
    name: str
    sentence: str
    yaml: str
    cases: tuple[Case, ...]
    python: Any = None
    python_cases: tuple[Case, ...] = ()
    family: str = field(default="", compare=False)

    def definition(self) -> Definition:
        """The YAML form, read."""
        (found,) = read_definitions(self.yaml, f"WCP-{self.number}")
        return found

    def forms(self) -> dict[str, tuple[Any, tuple[Case, ...]]]:
        """What can be deployed, and what is demanded of it, by language."""
        found: dict[str, tuple[Any, tuple[Case, ...]]] = {"yaml": (self.definition(), self.cases)}
        if self.python is not None:
            found["python"] = (self.python, self.python_cases or self.cases)
        return found

    def python_source(self) -> str:
        """The drawing as its author wrote it."""
        return inspect.getsource(self.python.__wfe_workflow__.function)


@dataclass
class Player:
    """Plays a case against a run. ``settle(ready, hint)`` returns when ``ready()``, or fails with ``hint()``."""

    settle: Callable[[Callable[[], bool], Callable[[], str]], None]
    said: list[Any] = field(default_factory=list)
    """What came out, step by step: equal whatever happens to the engine meanwhile."""

    def play(self, case: Case, run: Run) -> list[Any]:
        before: Counter[str] = Counter()
        for number, step in enumerate(case.steps):
            if isinstance(step, Sends):
                run.signal(step.name, step.payload, correlation=step.correlation)
                continue
            where = f"{case.name!r}, step {number + 1}"
            self._rest(run, step, where)
            ended = Counter(ended_tasks(run))
            ran = tuple(sorted((ended - before).elements()))
            assert ran == step.ran, f"{where}: ended since the step before: {ran}, not {step.ran}"
            before = ended
            if isinstance(step, Ends):
                self._judge(run, step, where)
            self.said.append((step, ran))
        return self.said

    def _rest(self, run: Run, step: Waits | Ends, where: str) -> None:
        expected = step.names if isinstance(step, Waits) else ()

        def at_rest() -> bool:
            info = run.describe()
            if isinstance(step, Ends):
                return bool(info.ended_at)
            return not any(wait.kind in MOVING for wait in info.waiting_for) and awaited(info) == expected

        def hint() -> str:
            info = run.describe()
            found = f"the run is {info.status} and waits for {[tuple(wait_words(w)) for w in info.waiting_for]}"
            wanted = f"waits for {expected}" if isinstance(step, Waits) else step.status
            return f"{where}: {found}, not {wanted}; error: {info.error}; ended: {ended_tasks(run)}"

        self.settle(at_rest, hint)

    def _judge(self, run: Run, step: Ends, where: str) -> None:
        info = run.describe()
        assert info.status == step.status, f"{where}: {info.status} ({info.error}), not {step.status}"
        if step.output is not NOTHING:
            assert info.output == step.output, f"{where}: {info.output!r}, not {step.output!r}"
        if step.error:
            assert info.error.type == step.error, f"{where}: {info.error}"
        assert step.says in (info.error.message if info.error else ""), f"{where}: {info.error}"


def wait_words(wait: Any) -> tuple[str, str, str]:
    return wait.kind, wait.node, wait.detail


def awaited(info: Any) -> tuple[str, ...]:
    """What only the outside can bring: signals by their name (and correlation), the rest by its node."""
    found = [
        wait.detail if wait.kind in ("signal", "items") else re.sub(r"\[\d+\]$", "", wait.node)
        for wait in info.waiting_for
        if wait.kind in OUTSIDE
    ]
    return tuple(sorted(found))


def ended_tasks(run: Run) -> list[str]:
    """Tasks that have ended, in order, by name: ``a_2`` is another node of the task ``a``."""
    return [re.sub(r"_\d+$", "", item.node) for item in run.history() if item.type == "TaskDone"]
