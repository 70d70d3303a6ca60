"""Whether and when a failed attempt is followed by another."""

from __future__ import annotations

from collections.abc import Callable

from wfe.limits import DURATION_MAX_MS
from wfe.model.policy import ErrorInfo, RetryPolicy


def retry_delay_ms(
    policy: RetryPolicy | None, failures: int, error: ErrorInfo, random: Callable[[], float]
) -> int | None:
    """The delay before the next attempt in ms, or None when the fault is final.

    ``failures`` counts the failed attempts, this one included. ``random`` gives a number in [0, 1) for the jitter. A
    task's own ``RetryAfter`` sets the delay, but the policy still bounds the attempts.
    """
    if policy is None or error.fatal:
        return None
    if policy.max_attempts is not None and failures >= policy.max_attempts:
        return None
    if any(error.is_a(name) for name in policy.never) or not any(error.is_a(name) for name in policy.on):
        return None
    if error.retry_after_ms is not None:
        return min(max(error.retry_after_ms, 0), DURATION_MAX_MS)
    exponent = min(failures - 1, 1_000)
    try:
        delay_ms = min(policy.initial_delay_ms * policy.backoff**exponent, policy.max_delay_ms)
    except OverflowError:
        delay_ms = policy.max_delay_ms
    return max(round(delay_ms * (1 + policy.jitter * (2 * random() - 1))), 0)
