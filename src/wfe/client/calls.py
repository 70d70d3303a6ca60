"""What a caller names (a decorated workflow, or ``"name"`` or ``"name@version"``) as what the wire carries.

Invariant: only a name and an input leave a client, never a graph; types are used on this side alone.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

import msgspec
from msgspec import Raw

from wfe.client.arguments import Args
from wfe.client.labels import checked_text
from wfe.errors import InvalidInput, WfeError
from wfe.limits import NAME_CHARS_MAX
from wfe.model.definition import Definition
from wfe.model.registered import RegisteredWorkflow
from wfe.wire.payload import Param, bind_input, encode_value, params_of, return_type_of


class Target(NamedTuple):
    """A workflow to start: ``version`` 0 is the current one; ``params`` None: not known here."""

    name: str
    version: int
    params: tuple[Param, ...] | None
    returns: Any

    def input_of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> Raw:
        """The encoded input of a run started with these arguments. InvalidInput when they do not fit."""
        return encode_value(bind_input(self.params, args, kwargs, f"workflow {self.name!r}"))

    def goes_by_name(self, kwargs: Mapping[str, Any]) -> bool:
        """Whether the input is an object of arguments whose parameters only the server knows."""
        return self.params is None and bool(kwargs)

    def item_goes_by_name(self, item: Any) -> bool:
        """The same for one item of ``start_many``."""
        return isinstance(item, Args) and self.goes_by_name(item.kwargs)

    def input_of_item(self, item: Any) -> Raw:
        """The same for one item of ``start_many``: `Args`, or the single input."""
        if isinstance(item, Args):
            return self.input_of(item.args, item.kwargs)
        return self.input_of((item,), {})


def call_of(args: tuple[Any, ...], kwargs: dict[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """The arguments of a call, which may be one `Args` instead."""
    if len(args) == 1 and not kwargs and isinstance(args[0], Args):
        return args[0].args, args[0].kwargs
    return args, kwargs


def target_of(workflow: object) -> Target:
    """The target that a decorated workflow or a name stands for. A plain function or a task is refused."""
    if isinstance(workflow, str):
        return _by_name(workflow)
    registered = getattr(workflow, "__wfe_workflow__", None)
    if isinstance(registered, RegisteredWorkflow):
        return _registered(registered.name, registered.function)
    if getattr(workflow, "__wfe_task__", None) is not None:
        raise InvalidInput(f"{workflow!r} is a task: call it in a @wfe.workflow, and start that")
    raise InvalidInput(f"{workflow!r} is no workflow: pass a function decorated with @wfe.workflow, or its name")


def _by_name(text: str) -> Target:
    name, at, version = text.partition("@")
    if at and not version.isdecimal():
        raise InvalidInput(f"{text!r}: the version after the @ must be a number", "workflow")
    if not name:
        raise InvalidInput("the name of the workflow is empty", "workflow")
    checked_text(name, "the name of a workflow", "workflow", NAME_CHARS_MAX)
    return Target(name, int(version) if at else 0, None, Any)


@lru_cache(maxsize=1024)
def _registered(name: str, function: Any) -> Target:
    try:
        return Target(name, 0, params_of(function, skip=1), return_type_of(function))
    except NameError as error:
        raise WfeError(
            f"the annotations of workflow {name!r} name {error.name!r}, which its module has only for type checkers: "
            "import it at run time"
        ) from error


def definition_json(workflow: Any) -> bytes:
    """The JSON of what a caller wants deployed: a decorated workflow, a `Definition`, or its JSON. GraphError."""
    if isinstance(workflow, bytes):
        return workflow
    if not isinstance(workflow, Definition):
        target_of(workflow)
        workflow = workflow.definition()
    return msgspec.json.encode(workflow)
