"""Checks of what a definition says beside its nodes: limits of time, tags, locks, triggers. Pure."""

from __future__ import annotations

from wfe.core.checks import name_problem
from wfe.core.findings import Findings, did_you_mean
from wfe.core.sites import TRIGGER_NAMES, SiteReader
from wfe.limits import DURATION_MAX_MS, LOCK_CAPACITY_MAX, TAGS_MAX
from wfe.model.definition import Definition


def check_settings(definition: Definition, findings: Findings) -> None:
    """Findings about timeout, retention, tags, locks and triggers."""
    if definition.timeout_ms is not None and definition.timeout_ms < 1:
        findings.error(None, "timeout", "the timeout must be longer than zero")
    if definition.retention_ms is not None and not 0 <= definition.retention_ms <= DURATION_MAX_MS:
        days = DURATION_MAX_MS // 86_400_000
        findings.error(None, "retention", f"{definition.retention_ms} ms is out of range: zero to {days} days")
    if len(definition.tags) > TAGS_MAX:
        findings.error(None, "tags", f"{len(definition.tags)} tags, the limit is {TAGS_MAX}")
    for name, capacity in definition.locks.items():
        problem = name_problem(name)
        if problem is not None:
            findings.error(None, f"locks.{name}", problem)
        if not 1 <= capacity <= LOCK_CAPACITY_MAX:
            findings.error(None, f"locks.{name}", f"{capacity} is out of range: 1 to {LOCK_CAPACITY_MAX}")
    _check_triggers(definition, findings)


def _check_triggers(definition: Definition, findings: Findings) -> None:
    reader = SiteReader(findings)
    seen: set[str] = set()
    for index, trigger in enumerate(definition.triggers):
        where = f"triggers[{index}]"
        named = f"{where}.webhook" if trigger.kind == "webhook" else where
        problem = name_problem(trigger.webhook) if trigger.kind == "webhook" else None
        if problem is not None:
            findings.error(None, named, problem)
        if trigger.kind != "webhook" and (trigger.webhook or trigger.input is not None or trigger.key is not None):
            findings.error(None, named, f"a trigger {trigger.kind} has no name, input or key: only a webhook has")
        if trigger.label in seen:
            what = f"the webhook {trigger.webhook!r}" if trigger.kind == "webhook" else repr(trigger.kind)
            findings.error(None, named, f"{what} is already a trigger of this workflow", "name each once")
        seen.add(trigger.label)
        for key, value in (("input", trigger.input), ("key", trigger.key)):
            for site in reader.template(None, f"{where}.{key}", value):
                for name in sorted(site.uses.names - TRIGGER_NAMES):
                    hint = did_you_mean(name, TRIGGER_NAMES) or "a trigger knows body and headers"
                    findings.error(None, site.where, f"unknown name {name!r}", hint)
