"""What a word on the command line names: a workflow of an app, a registered one, or that of a run; and its drawings."""

from __future__ import annotations

import os
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from wfe.cli.output import fail_usage
from wfe.cli.params import connected

if TYPE_CHECKING:
    from wfe.model.definition import Definition

LOOK_TIMEOUT_S = 3.0
"""How long a server is looked for when a word may name something that it has."""


def is_registered_name(what: str) -> bool:
    """Whether a word can only be the name of a registered workflow: it is no file, and no module that can be found."""
    from wfe.authoring.apps import TEXT_SUFFIXES

    name, at, _ = what.partition("@")
    if at:
        return True
    if ":" in what or os.sep in what or what.endswith((".py", *TEXT_SUFFIXES)):
        return False
    first = name.partition(".")[0]
    if not first.isidentifier():
        return True
    return not Path(first).is_dir() and not Path(f"{first}.py").is_file() and find_spec(first) is None


def definitions_of(what: str, address: str | None) -> list[Definition]:
    """The definitions that a word names: APP, APP:NAME, NAME[@VERSION] or a run's id."""
    from wfe.authoring.apps import load_app
    from wfe.cli.oneshot import split_app
    from wfe.errors import AppError, Disconnected
    from wfe.model.ids import is_run_id

    if is_run_id(what):
        with connected(address) as client:
            return [client.definition(hash=client.view(what).definition)]
    if is_registered_name(what):
        try:
            with connected(address, LOOK_TIMEOUT_S) as client:
                return [client.definition(what)]
        except Disconnected as error:
            raise AppError(
                f"there is no file and no module {what!r}, and no server to ask for a workflow: {error}"
            ) from None
    app, name = split_app(what)
    found: dict[str, Definition] = {each.workflow: each for each in load_app([app]).definitions()}
    if name is not None and name in found:
        return [found[name]]
    if name is None and found:
        return list(found.values())
    known = f"it has {', '.join(sorted(found))}" if found else "it has no workflow"
    fail_usage(f"name the workflow as {app}:NAME; {known}")


def drawn(definition: Definition, form: str) -> str:
    """A definition as text in one of the formats svg, dot, mermaid and yaml."""
    if form == "yaml":
        from wfe.authoring.yaml_writer import write_yaml

        return write_yaml(definition)
    from wfe.authoring.drawing import to_dot, to_mermaid, to_svg

    draw = {"svg": to_svg, "dot": to_dot, "mermaid": to_mermaid}[form]
    return draw(definition)
