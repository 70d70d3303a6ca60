"""What starts a workflow beside clients: ``@wfe.workflow(on=wfe.Webhook("orders"))``."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from wfe.authoring.retry import mistake
from wfe.model.net import Trigger

WORDS = ("manual", "api")


@dataclass(frozen=True, slots=True)
class Webhook:
    """A message to ``/hooks/<name>`` starts a run.

    ``input`` and ``key`` are templates over ``body`` and ``headers``, such as ``"${body.order}"`` and
    ``"${headers['x-request-id']}"``; without an input the body is it.
    """

    name: str
    input: Any = None
    key: Any = None


def triggers_of(on: object) -> tuple[Trigger, ...]:
    """The triggers that ``on=`` names: one or several of `Webhook`, "manual" and "api". GraphError."""
    given = list(on) if isinstance(on, (list, tuple)) else [] if on is None else [on]
    found = []
    for each in given:
        if isinstance(each, Webhook):
            found.append(Trigger(each.name, each.input, each.key))
        elif each in WORDS:
            found.append(Trigger(kind="manual" if each == "manual" else "api"))
        else:
            raise mistake(
                f'@wfe.workflow(on={each!r}): a trigger is wfe.Webhook("name"), "manual" or "api"; schedules and '
                "events come in a later version of wfe"
            )
    return tuple(found)
