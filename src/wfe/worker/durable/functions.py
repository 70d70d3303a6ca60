"""A durable function made ready to run: the decoder of its arguments, compiled once per process."""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, NotRequired, TypedDict

from msgspec import Raw

from wfe.errors import Fatal, InvalidInput
from wfe.model.calling import Caller
from wfe.model.registered import RegisteredWorkflow
from wfe.wire import payload


class DurableFunction:
    """One registered function. A function whose annotations cannot be compiled fails each run with the reason."""

    __slots__ = ("_decode", "_face", "_function", "module", "name")

    def __init__(self, registered: RegisteredWorkflow) -> None:
        assert registered.face is not None, "only durable functions come here"
        self.name = registered.name
        self.module: str = registered.function.__module__
        self._function, self._face = registered.function, registered.face
        self._decode = _decoder(registered)

    def start(self, caller: Caller, arguments: Raw) -> Coroutine[Any, Any, Any]:
        """The function's coroutine. InvalidInput when the arguments do not fit."""
        named = self._decode(arguments)
        try:
            made: Coroutine[Any, Any, Any] = self._function(self._face(caller), **named)
        except TypeError as error:
            raise InvalidInput(f"{self.name}() cannot be called with this input: {error}") from error
        return made


def _decoder(registered: RegisteredWorkflow) -> Callable[[Raw], dict[str, Any]]:
    try:
        params = payload.params_of(registered.function, skip=1)
        fields: dict[str, Any] = {p.name: p.type if p.required else NotRequired[p.type] for p in params}
        form = TypedDict(f"{registered.name}_arguments", fields)  # type: ignore[misc]
        return payload.decoder_for(form)
    except (NameError, TypeError, AttributeError) as error:
        place = f"{registered.file}:{registered.line}"
        reason = f"the annotations of the durable function {registered.name!r} ({place}) cannot be used: {error}"

        def refuse(raw: Raw) -> dict[str, Any]:
            raise Fatal(reason)

        return refuse
