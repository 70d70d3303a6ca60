"""How code that stands in a durable function reaches whoever runs it: the meeting point of `authoring` and `worker`.

`authoring` makes `Call`s of what the author wrote; the worker's instance, a `Caller`, records them and awaits their
ends. `CALLER` names the instance in whose function the calling code stands; None: in none. Pure data and a Protocol.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextvars import ContextVar
from types import FrameType
from typing import Any, NoReturn, Protocol

from msgspec import Raw, Struct

from wfe.model.durable import NO_TIMEOUT


class Missing:
    """No default was given, where None is one."""


MISSING = Missing()


class Call(Struct):
    """One recorded call. ``kind``: `model.durable`'s CALL_ numbers; ``body``: encodes the Struct of the kind.

    ``decode`` makes the value that the author sees; ``returns`` is its type, for messages. ``default``: the value of a
    wait that was late. ``origin``: the frame that calls, where that is known without a search.
    """

    kind: int
    name: str
    body: Callable[[], Raw]
    decode: Callable[[Raw], Any]
    version: int = 0
    timeout_ms: int = NO_TIMEOUT
    returns: Any = Any
    default: Any = MISSING
    origin: FrameType | None = None


class Caller(Protocol):
    """The instance of a durable function, as the code inside it sees it. All of it is the same on a re-run."""

    @property
    def run_id(self) -> str: ...

    @property
    def run_key(self) -> str:
        """Empty: the run has none."""

    @property
    def now_ms(self) -> int:
        """The time of the last completion that was delivered."""

    def call(self, call: Call) -> Coroutine[Any, Any, Any]:
        """Records the call when it is first awaited; gives its value, raises its error. Cancelled: it is given up."""

    def tell(self, call: Call) -> None:
        """Records a call that nobody awaits."""

    def version(self, change: str) -> bool:
        """Whether this code has the change, or must do as the record does."""

    def random_bytes(self, count: int) -> bytes:
        """At most 64; made of the run's id and a counter."""

    def continue_with(self, arguments: Callable[[], Raw]) -> NoReturn:
        """Ends this round; the next one begins with these arguments by name, encoded."""

    def mistake(self, message: str) -> Exception:
        """A GraphError at the author's line."""


CALLER: ContextVar[Caller | None] = ContextVar("wfe_caller", default=None)
