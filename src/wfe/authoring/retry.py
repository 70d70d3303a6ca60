"""Options that authors give as Python values: retry policies, durations. Mistakes are GraphErrors at their line."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import timedelta
from typing import TypeAlias

from wfe.authoring.current import current_canvas
from wfe.authoring.places import caller
from wfe.errors import GraphError
from wfe.model.durations import parse_duration
from wfe.model.policy import RetryPolicy

Duration: TypeAlias = str | timedelta
ErrorTypes: TypeAlias = type[BaseException] | str | Iterable[type[BaseException] | str]


def mistake(message: str) -> GraphError:
    """A GraphError at the author's line, inside a drawing or not."""
    canvas = current_canvas()
    if canvas is not None:
        return canvas.fail(message)
    place = caller()
    return GraphError(message, file=place.file, line=place.line)


def duration_ms(value: Duration, what: str) -> int:
    """Milliseconds of ``"30s"`` or a timedelta; ``what`` names the parameter in the message."""
    try:
        return parse_duration(value)
    except (ValueError, TypeError) as error:
        raise mistake(f"{what}: {error}") from error


def optional_ms(value: Duration | None, what: str) -> int | None:
    """`duration_ms` of what may be None; a limit of no time at all is refused."""
    if value is None:
        return None
    result = duration_ms(value, what)
    if result <= 0:
        raise mistake(f"{what} must be longer than 0")
    return result


def error_names(types: ErrorTypes, what: str) -> tuple[str, ...]:
    """Names of error types, given as types or names."""
    given = (types,) if isinstance(types, (str, type)) else tuple(types)
    for kind in given:
        if isinstance(kind, str) and kind:
            continue
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise mistake(f"{what} takes types of errors or their names, not {kind!r}")
    return tuple(kind if isinstance(kind, str) else kind.__name__ for kind in given)


class Retry:
    """A retry policy: ``wfe.Retry(max_attempts=5, initial_delay="100ms", on=(TimeoutError, "HttpError"))``.

    ``max_attempts`` counts the first attempt too; None: no limit. The delay before attempt n+1 is
    ``initial_delay * backoff ** (n - 1)``, at most ``max_delay``, times a random factor in 1 +- ``jitter``.
    ``on``: which errors are tried again, ``never``: which are not; types or names, base classes count.
    """

    __slots__ = ("policy",)

    def __init__(
        self,
        max_attempts: int | None = 3,
        initial_delay: Duration = "1s",
        backoff: float = 2.0,
        max_delay: Duration = "60s",
        jitter: float = 0.1,
        on: ErrorTypes = (Exception,),
        never: ErrorTypes = (),
    ) -> None:
        if max_attempts is not None and (isinstance(max_attempts, bool) or max_attempts < 1):
            raise mistake(f"Retry(max_attempts={max_attempts!r}): at least 1, the first attempt counts; None: no limit")
        if backoff < 1:
            raise mistake(f"Retry(backoff={backoff!r}): at least 1.0, which keeps the delay as it is")
        if not 0 <= jitter <= 1:
            raise mistake(f"Retry(jitter={jitter!r}): a fraction from 0 to 1")
        self.policy = RetryPolicy(
            max_attempts=max_attempts,
            initial_delay_ms=duration_ms(initial_delay, "Retry(initial_delay=...)"),
            backoff=float(backoff),
            max_delay_ms=duration_ms(max_delay, "Retry(max_delay=...)"),
            jitter=float(jitter),
            on=error_names(on, "Retry(on=...)"),
            never=error_names(never, "Retry(never=...)"),
        )

    def __repr__(self) -> str:
        return f"Retry({self.policy!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Retry) and other.policy == self.policy

    def __hash__(self) -> int:
        return hash(self.policy)


def policy_of(retry: Retry | None, what: str) -> RetryPolicy | None:
    """The policy as data."""
    if retry is None:
        return None
    if not isinstance(retry, Retry):
        raise mistake(f"{what} takes wfe.Retry(...), not {retry!r}: write retry=wfe.Retry(max_attempts=3)")
    return retry.policy
