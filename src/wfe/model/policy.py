"""Policies and error facts as data. Durations are integer milliseconds; the authoring room reads ``"30s"``."""

from __future__ import annotations

from msgspec import Struct


class RetryPolicy(Struct, frozen=True, omit_defaults=True):
    """When and how often a failed task is tried again.

    ``max_attempts``: all attempts, the first included; None: no limit. The delay before attempt n+1 is
    ``initial_delay_ms * backoff ** (n - 1)``, at most ``max_delay_ms``, times a random factor in 1 +- ``jitter``.
    ``on`` and ``never`` are names of error types; the names of base classes count, ``Exception`` means any.
    """

    max_attempts: int | None = 3
    initial_delay_ms: int = 1_000
    backoff: float = 2.0
    max_delay_ms: int = 60_000
    jitter: float = 0.1
    on: tuple[str, ...] = ("Exception",)
    never: tuple[str, ...] = ()


class ErrorInfo(Struct, frozen=True, omit_defaults=True):
    """A failure as a fact: what a run's ``error`` and a catch block's value are made of.

    ``types`` are the names of the error's class and its bases, most derived first; ``node`` is the node's id;
    ``attempts`` counts the attempts that were spent (a task lost with its worker spends none).
    """

    type: str
    message: str = ""
    node: str = ""
    attempts: int = 0
    traceback: str = ""
    types: tuple[str, ...] = ()
    fatal: bool = False
    retry_after_ms: int | None = None

    def is_a(self, name: str) -> bool:
        """Whether the error is of this type or of a subclass of it, by name."""
        return name in (self.type, "Exception", "BaseException") or name in self.types
