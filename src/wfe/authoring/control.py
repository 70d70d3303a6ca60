"""What a Graph offers to steer a run beside choices: loops and their state, races, locks, named decisions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, TypeVar, cast

from wfe.authoring import blocks
from wfe.authoring.assignments import declare
from wfe.authoring.functions import Functions
from wfe.authoring.races import Race
from wfe.authoring.refs import state_of
from wfe.authoring.templates import key_template
from wfe.model import definition as model

T = TypeVar("T")


class Control(Functions):
    """The methods of a Graph about repetition, competition and exclusion."""

    __slots__ = ()

    def loop(self, *, max_iterations: int | None = 10_000, id: str | None = None) -> blocks.BlockContext[None]:
        """``with wf.loop():`` repeats its lines until ``wf.break_if`` holds; past the bound: a fault LoopLimit.

        What lives longer than an iteration is kept in ``wf.state``. ``None`` (no bound) only if the body waits.
        """
        canvas = self._active()
        whole = isinstance(max_iterations, int) and not isinstance(max_iterations, bool)
        if max_iterations is not None and (not whole or max_iterations < 1):
            raise canvas.fail(f"wf.loop(max_iterations={max_iterations!r}): a number of at least 1, or None")
        return blocks.loop_block(canvas, max_iterations, id)

    def break_if(self, condition: bool = True, *, id: str | None = None) -> None:
        """Ends the innermost loop around it if the condition holds, at this line."""
        canvas = self._active()
        inner = next((scope for scope, _ in reversed(canvas.path()) if scope.kind in ("loop", "map")), None)
        if inner is None:
            raise canvas.fail("wf.break_if stands inside `with wf.loop():`, which it ends")
        if inner.kind == "map":
            raise canvas.fail(
                "wf.break_if cannot leave the body of wf.map: items end by themselves (wf.when leaves lines out)"
            )
        text = "true"
        if condition is not True:
            text = blocks.condition_text(canvas, self._condition(condition, "wf.break_if(...)"), "wf.break_if(...)")
        canvas.add(model.BreakIf(id=canvas.node_id("break_if", id), cond=text))

    def state(self, value: T, *, id: str | None = None) -> T:
        """``s = wf.state(Progress(count=0))``: an object whose fields change by ``s.count = s.count + 1``, anywhere."""
        return cast(T, declare(self._active(), value, id))

    def race(self, *, id: str | None = None) -> blocks.BlockContext[Race]:
        """``with wf.race() as r:`` starts its lines (or branches) together: the first to end wins, the rest is
        withdrawn. ``r.won(x)`` asks whether the child that made x has won."""
        return blocks.race_block(self._active(), id)

    def lock(
        self, name: str | Sequence[str], key: object = None, *, per_run: int | None = None, id: str | None = None
    ) -> blocks.BlockContext[None]:
        """``with wf.lock("printer"):`` one holder at a time among all runs; ``key``: apart for each key.

        ``per_run=1`` makes it a lock of this run alone, with that many holders at once; only such locks may be taken
        several at a time, all or none.
        """
        canvas = self._active()
        names = (name,) if isinstance(name, str) else tuple(name) if isinstance(name, (list, tuple)) else (name,)
        if not names or not all(isinstance(each, str) and each for each in names):
            raise canvas.fail("wf.lock takes a name as plain text, known while drawing; what differs goes in key=")
        if per_run is None and len(names) > 1:
            raise canvas.fail("several locks at once are the run's own: wf.lock([...], per_run=1); else nest blocks")
        if per_run is not None and (isinstance(per_run, bool) or not isinstance(per_run, int) or per_run < 1):
            raise canvas.fail(f"wf.lock(per_run={per_run!r}): how many may hold it at once, at least 1")
        if per_run is not None and key is not None:
            raise canvas.fail("wf.lock(key=...) is for locks that runs share; a lock per_run has none")
        for each in names:
            if canvas.locks.setdefault(each, per_run) != per_run:
                raise canvas.fail(f"the lock {each!r} is used above with another per_run=: they are the same lock")
        drawn_key = None if key is None else key_template(canvas, key, "wf.lock(key=...)")
        return blocks.lock_block(canvas, names, drawn_key, id)

    def decision(self, cases: Mapping[str, bool], *, default: str | None = None, id: str | None = None) -> str:
        """``size = wf.decision({"small": n < 10, "large": n < 100}, default="huge")``: the name of the first case that
        holds. Without a default, no case is a fault NoCase."""
        canvas = self._active()
        if state_of(cases) is not None or not isinstance(cases, Mapping) or not cases:
            raise canvas.fail("wf.decision takes a dict of names and conditions")
        texts: dict[str, str | None] = {}
        for name, condition in cases.items():
            what = f"wf.decision({{{name!r}: ...}})"
            if not isinstance(name, str) or not name:
                raise canvas.fail(f"wf.decision: a case has a name as plain text, not {name!r}")
            texts[name] = blocks.condition_text(canvas, self._condition(condition, what), what)
        if default is not None:
            if not isinstance(default, str) or not default or default in texts:
                raise canvas.fail(f"wf.decision(default={default!r}): a name that no other case has")
            texts[default] = None
        node_id = canvas.node_id("decision", id)
        canvas.add(model.Decision(id=node_id, cases=texts))
        made: Any = canvas.value_of(node_id, str)
        return cast(str, made)
