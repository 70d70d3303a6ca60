"""`@wfe.resource`: one instance per process of something costly (a pool, a client, a model), opened at first use.

May touch locks and `atexit`; asyncio only where an asynchronous resource is used. Invariants: a resource is opened at
most once, whichever thread asks first; resources are closed in the reverse order of their opening (so what one needs
outlives it); a resource that failed to open is tried again at the next use.
"""

from __future__ import annotations

import atexit
import inspect
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from typing import Any, Generic, TypeVar, overload

from wfe import observe

T = TypeVar("T")

_opened: list[_Opened] = []
_lock = threading.Lock()
_logger = observe.get_logger("wfe.resource")


class _Opened:
    """An instance that must be closed: by running its generator to the end."""

    def __init__(self, name: str, source: Any, forget: Callable[[], None]) -> None:
        self.name, self.source, self.forget = name, source, forget


class Resource(Generic[T]):
    """What `@wfe.resource` makes of a generator function: call it in a task to get the instance."""

    def __init__(self, function: Callable[[], Iterator[T]]) -> None:
        self.__wfe_resource__ = function
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self._lock = threading.RLock()
        self._opening = False
        self._values: list[T] = []

    def __call__(self) -> T:
        """The one instance of this process, opened now if it is not open yet."""
        if self._values:
            return self._values[0]
        with self._lock:
            if not self._values:
                if self._opening:
                    raise RuntimeError(f"resource {self.__name__!r} needs itself")
                self._opening = True
                try:
                    self._open()
                finally:
                    self._opening = False
            return self._values[0]

    def _open(self) -> None:
        source = iter(self.__wfe_resource__())
        try:
            value = next(source)
        except StopIteration:
            raise RuntimeError(f"resource {self.__name__!r} ended without a yield") from None
        self._values.append(value)
        _remember(_Opened(self.__name__, source, self._values.clear))

    def __repr__(self) -> str:
        return f"<wfe.resource {self.__name__} {'open' if self._values else 'closed'}>"


class AsyncResource(Generic[T]):
    """The same of an asynchronous generator function, for asynchronous tasks: ``await pool()``."""

    def __init__(self, function: Callable[[], AsyncIterator[T]]) -> None:
        self.__wfe_resource__ = function
        self.__doc__ = function.__doc__
        self.__name__ = function.__name__
        self._opening: Any = None
        self._values: list[T] = []

    def __call__(self) -> Awaitable[T]:
        """The one instance of the worker's event loop; whoever asks first opens it, others wait for that."""
        return self._get()

    async def _get(self) -> T:
        import asyncio

        while not self._values:
            if self._opening is None:
                # A task of its own: the cancellation of whoever asked first must not spoil it for the others.
                self._opening = asyncio.ensure_future(self._open())
                self._opening.add_done_callback(self._settled)
            await asyncio.shield(self._opening)
        return self._values[0]

    def _settled(self, _: Any) -> None:
        self._opening = None

    async def _open(self) -> None:
        source = aiter(self.__wfe_resource__())
        try:
            value = await anext(source)
        except StopAsyncIteration:
            raise RuntimeError(f"resource {self.__name__!r} ended without a yield") from None
        self._values.append(value)
        _remember(_Opened(self.__name__, source, self._values.clear))


@overload
def resource(function: Callable[[], Iterator[T]]) -> Resource[T]: ...


@overload
def resource(function: Callable[[], AsyncIterator[T]]) -> AsyncResource[T]: ...


def resource(function: Callable[[], Any]) -> Any:
    """Decorates a generator function without parameters that yields once: what it yields is the resource.

    What follows the yield runs when the process ends. Raises TypeError for anything else.
    """
    if inspect.signature(function).parameters:
        raise TypeError(
            f"resource {function.__qualname__} has parameters; a resource is one per process and takes none"
        )
    if inspect.isasyncgenfunction(function):
        return AsyncResource(function)
    if inspect.isgeneratorfunction(function):
        return Resource(function)
    raise TypeError(f"resource {function.__qualname__} is no generator function: it must yield what it opens, once")


def close_resources() -> None:
    """Closes the open synchronous resources, the last one first. An error in one does not keep the others open."""
    for opened in _take(lambda source: not hasattr(source, "__anext__")):
        try:
            for _ in opened.source:
                raise RuntimeError("a resource yields once")
        except Exception:
            _logger.exception("a resource failed to close", resource=opened.name)


async def close_async_resources() -> None:
    """Closes the open asynchronous resources, the last one first; call it on the loop that opened them."""
    for opened in _take(lambda source: hasattr(source, "__anext__")):
        try:
            async for _ in opened.source:
                raise RuntimeError("a resource yields once")
        except Exception:
            _logger.exception("a resource failed to close", resource=opened.name)


def _remember(opened: _Opened) -> None:
    with _lock:
        _opened.append(opened)


def _take(matches: Callable[[Any], bool]) -> list[_Opened]:
    with _lock:
        taken = [opened for opened in reversed(_opened) if matches(opened.source)]
        _opened[:] = [opened for opened in _opened if not matches(opened.source)]
    for opened in taken:
        opened.forget()
    return taken


atexit.register(close_resources)
