"""Triggers in YAML: ``on: [manual, api, {webhook: name, input: ..., key: ...}]``."""

from __future__ import annotations

from typing import Any

from wfe.authoring.yaml_forms import TEMPLATE, Context, Form, Misread, text
from wfe.authoring.yaml_keys import Key, key
from wfe.authoring.yaml_nets import several, struct_form
from wfe.authoring.yaml_tree import Scalar, Tree
from wfe.core.findings import did_you_mean
from wfe.model.net import Trigger

_WEBHOOK = struct_form(
    "a trigger",
    Trigger,
    {
        "webhook": ("webhook", text("the name of a webhook"), True),
        "input": ("input", TEMPLATE, False),
        "key": ("key", TEMPLATE, False),
    },
)
_WORDS = ("manual", "api")
_LATER = ("cron", "event", "schedule")


def _read(context: Context, tree: Tree, where: str) -> Trigger:
    word = tree.value if isinstance(tree, Scalar) else None
    if isinstance(word, str):
        if word == "manual":
            return Trigger(kind="manual")
        if word == "api":
            return Trigger(kind="api")
        hint = did_you_mean(word, _WORDS) or "it is manual, api or {webhook: name}"
        raise Misread(f"there is no trigger {word!r}; {hint}", tree.mark)
    later = next((key for key in _LATER if key in getattr(tree, "entries", {})), None)
    if later is not None:
        raise Misread(f"a trigger by {later} comes in a later version of wfe", tree.mark)
    trigger: Trigger = _WEBHOOK.read(context, tree, where)
    return trigger


def _write(trigger: Trigger) -> Any:
    return _WEBHOOK.write(trigger) if trigger.kind == "webhook" else trigger.kind


_SCHEMA = {"anyOf": [{"enum": list(_WORDS)}, _WEBHOOK.schema]}
_TRIGGERS = several(Form(_read, _write, _SCHEMA), "triggers")
_WRITTEN = key("triggers", _TRIGGERS, ())
TRIGGERS_KEY = Key(
    lambda context, tree, _: {"triggers": _TRIGGERS.read(context, tree, "triggers")}, _WRITTEN.write, _WRITTEN.schema
)
"""Places are noted under the name that findings use, whichever of its names the key has."""
