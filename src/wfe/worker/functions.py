"""Task functions made ready to run: decoders compiled once per task, so that an attempt pays only for its values.

May touch the user's function and its annotations; no threads, no loop. Invariants: a task whose annotations cannot be
compiled is still a task, one that fails each attempt with the reason; a secret is put in only here, on the way to the
function, never into anything that is sent or logged.
"""

from __future__ import annotations

from collections.abc import Callable
from inspect import Parameter, signature
from typing import Any, NotRequired, TypedDict

import msgspec
from msgspec import Raw

from wfe.errors import Fatal
from wfe.model.registered import SECRET_KEY, RegisteredTask
from wfe.secrets import read_secret
from wfe.wire import payload
from wfe.wire.blobs import input_of
from wfe.wire.messages import NULL, TaskSpec

_SECRET_MARK = SECRET_KEY.encode()
_ESTIMATE_UNKNOWN_US = 1_000.0

Decode = Callable[[Raw | bytes], Any]


class TaskFunction:
    """One registered task: `invoke(spec)` decodes, calls and gives the plain return value (or a coroutine).

    ``estimate_us``: a running average of what a call takes, by which the runner chooses how many threads to wake. It is
    written by several threads without a lock: a lost update makes an estimate a little older, nothing else.
    """

    __slots__ = ("_by_position", "_decode", "_function", "_takes_nothing", "beat", "estimate_us", "registered")

    def __init__(self, registered: RegisteredTask, beat: Callable[[Any, Raw, float], None] | None = None) -> None:
        self.registered = registered
        self.beat = beat
        """Takes a heartbeat: (job, details, progress). None outside a worker."""
        self.estimate_us = _ESTIMATE_UNKNOWN_US
        self._function = registered.function
        parameters = signature(registered.function).parameters.values()
        self._takes_nothing = all(p.default is not Parameter.empty for p in parameters)
        self._by_position = tuple(p.name for p in parameters if p.kind is Parameter.POSITIONAL_ONLY)
        self._decode = _arguments_decoder(registered)

    def invoke(self, spec: TaskSpec) -> Any:
        """Calls the function with its arguments. InvalidInput when they do not fit."""
        if self._takes_nothing and len(spec.input) == 1:  # the empty map; no other map is that short
            return self._function()
        arguments = self._arguments(spec)
        positional = [arguments.pop(name) for name in self._by_position if name in arguments]
        return self._function(*positional, **arguments)

    def took(self, elapsed_us: int, count: int = 1) -> None:
        """Learns from ``count`` calls that took so long together.

        A single call that waited for the interpreter's lock must not look like a slow task.
        """
        estimate_us = self.estimate_us
        mean_us = min(elapsed_us / count, 8 * estimate_us + 100)
        self.estimate_us += (mean_us - estimate_us) * min(count * 0.125, 0.5)

    def _arguments(self, spec: TaskSpec) -> dict[str, Any]:
        """Decodes the input and lets go of it: it is a view, which keeps a whole frame alive."""
        encoded = input_of(spec)
        spec.input, spec.blobs = NULL, None
        if _SECRET_MARK in encoded:
            encoded = msgspec.msgpack.encode(_with_secrets(payload.decode_any(encoded)))
        arguments: dict[str, Any] = self._decode(encoded)
        return arguments


def encode_result(value: Any) -> Raw:
    """A return value as a payload. InvalidInput or PayloadTooLarge when it cannot be one."""
    return NULL if value is None else payload.encode_value(value)


def _arguments_decoder(registered: RegisteredTask) -> Decode:
    """Decodes a map of arguments by name into the function's annotated types; unknown names are ignored."""
    try:
        params = payload.params_of(registered.function)
        fields: dict[str, Any] = {p.name: p.type if p.required else NotRequired[p.type] for p in params}
        form = TypedDict(f"{registered.qualname}_arguments", fields)  # type: ignore[misc]
        return payload.decoder_for(form)
    except (NameError, TypeError, AttributeError) as error:
        reason = (
            f"the annotations of task {registered.name!r} ({registered.file}:{registered.line}) cannot be used: {error}"
        )

        def refuse(raw: Raw | bytes) -> Any:
            raise Fatal(reason)

        return refuse


def _with_secrets(value: Any) -> Any:
    if isinstance(value, dict):
        if len(value) == 1 and isinstance(name := value.get(SECRET_KEY), str):
            return read_secret(name)
        return {key: _with_secrets(part) for key, part in value.items()}
    if isinstance(value, list):
        return [_with_secrets(part) for part in value]
    return value
