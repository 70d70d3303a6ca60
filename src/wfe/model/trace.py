"""Trace context of runs, as W3C Trace Context writes it (https://www.w3.org/TR/trace-context/). Pure.

A run's context is one text, ``00-TRACE-PARENT-FLAGS``: "" says that it is not traced. All ids below a trace are derived
from what they stand for, never stored: a run's span from the run's id, an attempt's from (run, node, activation,
attempt). So whoever repeats something after a crash names the same span, and processes need not tell each other.
A run without a caller gets a trace of its own, whose id is derived from the run's; whether it is sampled is decided
once, at its start, from that id (as OpenTelemetry's TraceIdRatioBased does), and one that is not has no context.
"""

from __future__ import annotations

import re
from hashlib import blake2b

_SHAPE = re.compile(r"(?!ff)([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_FLAGS = 0x03
"""Sampled, and (level 2) that the trace id is random."""
_SAMPLED = 0x01
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


def parse(text: str) -> str:
    """A ``traceparent`` of outside in the form that is kept; "" for a malformed one, which is to be ignored."""
    found = _SHAPE.fullmatch(text)
    if found is None or found[2] == _NO_TRACE or found[3] == _NO_SPAN or (found[1] == "00" and found[5]):
        return ""
    return f"00-{found[2]}-{found[3]}-{int(found[4], 16) & _FLAGS:02x}"


def own_trace(run_id: str, share: float) -> str:
    """The context of a run without a caller; "" when it is not among the ``share`` (0 to 1) that is sampled."""
    trace = _derived(16, "trace", run_id)
    if int(trace[16:], 16) >= round(share * (1 << 64)):
        return ""
    return f"00-{trace}-{run_span(run_id)}-01"


def run_span(run_id: str, round: int = 0) -> str:
    """The id of a run's span; ``round``: of one that went on after it had failed."""
    return _derived(8, "run", run_id, *([str(round)] if round else []))


def attempt_span(run_id: str, node: int, activation: int, attempt: int) -> str:
    """The id of an attempt's span."""
    return _derived(8, "attempt", run_id, str(node), str(activation), str(attempt))


def below(context: str, span: str) -> str:
    """The context of what a span calls; "" stays ""."""
    return f"{context[:36]}{span}{context[52:]}" if context else ""


def of_child(context: str, run_id: str) -> str:
    """The context of what a run starts; "" stays ""."""
    return below(context, run_span(run_id)) if context else ""


def trace_id(context: str) -> str:
    """The trace in a context, 32 hexadecimal digits; "" when there is none."""
    return context[3:35]


def parent_span(context: str, run_id: str) -> str:
    """The span that a run's span is below; "" for the first of a trace."""
    parent = context[36:52]
    return "" if parent == run_span(run_id) else parent


def is_sampled(context: str) -> bool:
    """Whether spans are to be recorded."""
    return bool(context) and bool(int(context[53:], 16) & _SAMPLED)


def _derived(size: int, *parts: str) -> str:
    return blake2b("\x1f".join(parts).encode(), digest_size=size, person=b"wfe-trace").hexdigest()
