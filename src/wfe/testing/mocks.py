"""Mocks of tasks: what a task does in a test instead of calling its function."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import msgspec

from wfe.errors import InvalidInput
from wfe.model.registered import RegisteredTask
from wfe.wire import payload
from wfe.wire.blobs import input_of
from wfe.wire.messages import TaskSpec


class Call(tuple[Any, ...]):
    """The arguments of one call, in the order of the task's parameters, decoded into their types.

    Equal to a plain tuple of them; each is an attribute as well: ``mock.calls[0].order``.
    """

    _names: tuple[str, ...]

    def __new__(cls, values: tuple[Any, ...], names: tuple[str, ...]) -> Call:
        made = super().__new__(cls, values)
        made._names = names
        return made

    def __getattr__(self, name: str) -> Any:
        if name in self._names:
            return self[self._names.index(name)]
        raise AttributeError(f"the task has no parameter {name!r} (it has: {', '.join(self._names) or 'none'})")


class Mock:
    """Stands in for a task, in all versions. Until it is told otherwise it returns None.

    ``calls``: the arguments of every attempt so far, oldest first.
    """

    def __init__(self, task: RegisteredTask) -> None:
        self._task = task
        self.calls: list[Call] = []
        self._plan: list[tuple[int | None, Callable[..., Any]]] = [(None, _nothing)]
        self._params = payload.params_of(task.function)

    @property
    def task(self) -> str:
        """The name of the task."""
        return self._task.name

    def returns(self, value: Any, *, times: int | None = None) -> Mock:
        """Every call (the next ``times`` calls) returns this. Chains with `raises`."""
        return self._then(lambda *_, **__: value, times)

    def raises(self, error: BaseException | type[BaseException], *, times: int | None = None) -> Mock:
        """Every call (the next ``times`` calls) raises this; afterwards the rest of the plan, or the task itself."""
        kind = error if isinstance(error, type) else type(error)
        if not issubclass(kind, BaseException):
            raise InvalidInput(
                f"raises({error!r:.100}): an exception or a class of them, as in raises(ValueError('no'))"
            )

        def fail(*_: Any, **__: Any) -> Any:
            raise error

        return self._then(fail, times)

    def does(self, function: Callable[..., Any], *, times: int | None = None) -> Mock:
        """Every call (the next ``times`` calls) is handed to this function, which may be async."""
        if not callable(function):
            raise InvalidInput(f"does({function!r:.100}): a function that takes the task's arguments (or returns(...))")
        return self._then(function, times)

    def _then(self, function: Callable[..., Any], times: int | None) -> Mock:
        if times is not None and (isinstance(times, bool) or not isinstance(times, int) or times < 1):
            raise InvalidInput(f"times={times!r}: a number of at least 1, or None for every call from now on")
        if self._plan and self._plan[-1][0] is None:
            self._plan.pop()
        self._plan.append((times, function))
        return self

    def called(self, spec: TaskSpec) -> Callable[[], Any]:
        """Notes a call and gives what it does."""
        given = msgspec.msgpack.decode(input_of(spec), type=dict[str, msgspec.Raw])
        names = tuple(param.name for param in self._params)
        values = tuple(
            payload.decode_as(param.type, given[param.name]) if param.name in given else param.default
            for param in self._params
        )
        self.calls.append(Call(values, names))
        function = self._next()
        return lambda: function(*values)

    def _next(self) -> Callable[..., Any]:
        if not self._plan:  # every `times` is spent: the task itself
            return self._task.function
        times, function = self._plan[0]
        if times is not None:
            if times == 1:
                self._plan.pop(0)
            else:
                self._plan[0] = (times - 1, function)
        return function


def _nothing(*_: Any, **__: Any) -> None:
    return None
