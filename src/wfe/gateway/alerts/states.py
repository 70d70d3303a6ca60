"""What is to be said when: hold times, repeats, all-clears. Pure: values and time come in, messages go out.

A rule's subject (a workflow, a shard) is *pending* while its condition holds, *firing* once it has held for the rule's
``for``, and over once it has not held for as long. Invariants: a subject that fires is announced once, and again only
after ``repeat``; its end is announced once, and only when its beginning was. What is not known changes nothing.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

from wfe.gateway.alerts.conditions import Values, breaks, shown
from wfe.gateway.alerts.rules import CONDITIONS, Rule
from wfe.wire.alerts import AlertView

SUBJECTS_MAX = 1_000
"""Of one rule; further ones are not judged."""


class Notice(Struct, frozen=True):
    """Something to be said. ``id`` is the same however often it is sent; ``kind``: firing, resolved or test."""

    id: str
    kind: str
    rule: str
    severity: str
    subject: str
    summary: str
    value: str
    limit: str
    since_ms: int
    at_ms: int
    to: tuple[str, ...]


class _State(Struct):
    since_ms: int
    value: float
    firing: bool = False
    fired_ms: int = 0
    said_ms: int = 0
    fine_ms: int = 0
    """Since when the condition does not hold; 0: it holds."""


class States:
    """All subjects of one rule."""

    def __init__(self, rule: Rule) -> None:
        self.rule = rule
        self._states: dict[str, _State] = {}

    def restore(self, views: Iterable[AlertView]) -> None:
        """What an earlier process knew: what it has announced is not announced again."""
        for view in views:
            if view.rule == self.rule.name and view.state == "firing" and view.since_ms and view.said_ms:
                self._states[view.subject] = _State(view.since_ms, view.raw, True, view.fired_ms, view.said_ms)

    def judge(self, now_ms: int, values: Values | None) -> list[Notice]:
        """Takes new values (None: unknown); what is to be said now."""
        if values is None:
            return []
        notices = []
        for subject in [*values, *(known for known in self._states if known not in values)]:
            value = values.get(subject)
            if value is not None and breaks(self.rule, value):
                notices += self._holds(now_ms, subject, value)
            else:
                notices += self._is_fine(now_ms, subject, value)
        return notices

    def views(self) -> list[AlertView]:
        """The rule's subjects that are not fine, or one line that says that all are."""
        rule = self.rule
        found = [
            AlertView(
                rule.name, rule.when, rule.severity, "firing" if state.firing else "pending", subject,
                shown(rule, state.value), limit_of(rule), state.since_ms, state.fired_ms, state.said_ms, state.value,
                summary_of(rule, subject, state.value), list(rule.to),
            )
            for subject, state in self._states.items()
        ]  # fmt: skip
        fine = AlertView(rule.name, rule.when, rule.severity, "ok", limit=limit_of(rule), to=list(rule.to))
        return found or [fine]

    def _holds(self, now_ms: int, subject: str, value: float) -> list[Notice]:
        state = self._states.get(subject)
        if state is None:
            if len(self._states) >= SUBJECTS_MAX:
                return []
            state = self._states[subject] = _State(now_ms, value)
        state.value, state.fine_ms = value, 0
        if not state.firing:
            if now_ms - state.since_ms < self.rule.for_ms:
                return []
            state.firing, state.fired_ms = True, now_ms
        elif now_ms - state.said_ms < self.rule.repeat_ms:
            return []
        state.said_ms = now_ms
        return [self._notice("firing", subject, state, now_ms)]

    def _is_fine(self, now_ms: int, subject: str, value: float | None) -> list[Notice]:
        state = self._states.get(subject)
        if state is None:
            return []
        if not state.firing:
            del self._states[subject]
            return []
        state.fine_ms = state.fine_ms or now_ms
        if value is not None:
            state.value = value
        if now_ms - state.fine_ms < self.rule.for_ms:
            return []
        del self._states[subject]
        return [self._notice("resolved", subject, state, now_ms)]

    def _notice(self, kind: str, subject: str, state: _State, now_ms: int) -> Notice:
        rule = self.rule
        return Notice(
            f"alert_{rule.name}_{_plain(subject)}_{state.since_ms}_{kind}_{state.said_ms}", kind, rule.name,
            rule.severity, subject, summary_of(rule, subject, state.value), shown(rule, state.value), limit_of(rule),
            state.since_ms, now_ms, rule.to,
        )  # fmt: skip


def test_notice(rule: Rule, now_ms: int) -> Notice:
    """What `wfe alerts test` sends."""
    text = f"A test of the rule {rule.name}: nothing is wrong. {summary_of(rule, '', rule.limit)}"
    return Notice(
        f"alert_{rule.name}_test_{now_ms}", "test", rule.name, rule.severity, "", text, shown(rule, rule.limit),
        limit_of(rule), now_ms, now_ms, rule.to,
    )  # fmt: skip


def limit_of(rule: Rule) -> str:
    """``above 5 %``."""
    condition = CONDITIONS[rule.when]
    if condition.unit == "flag":
        return ""
    return f"{'above' if condition.is_above else 'below'} {shown(rule, rule.limit)}"


def summary_of(rule: Rule, subject: str, value: float) -> str:
    """One sentence for people."""
    if rule.summary:
        return f"{rule.summary} ({subject})" if subject else rule.summary
    where = f" of {subject}" if subject else ""
    limit = limit_of(rule)
    if not limit:
        return "the server does not answer"
    return f"{CONDITIONS[rule.when].meaning}{where}: {shown(rule, value)}, {limit}"


def _plain(text: str) -> str:
    return "".join(each if each.isascii() and each.isalnum() else "-" for each in text)[:60]
