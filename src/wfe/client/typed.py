"""What a type checker sees of a decorated workflow: enough to type ``client.start(checkout, order)`` and its result."""

from __future__ import annotations

from typing import ParamSpec, Protocol, TypeVar

from wfe.model.registered import RegisteredWorkflow

P = ParamSpec("P")
R_co = TypeVar("R_co", covariant=True)


class TypedWorkflow(Protocol[P, R_co]):
    """A decorated workflow with its parameters (without the graph) and its result."""

    @property
    def __wfe_workflow__(self) -> RegisteredWorkflow: ...

    def __wfe_types__(self, *args: P.args, **kwargs: P.kwargs) -> R_co: ...
