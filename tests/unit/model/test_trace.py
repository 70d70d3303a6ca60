"""W3C contexts of runs: what is taken from outside, what is derived, who is sampled."""

from __future__ import annotations

import pytest

from wfe.model.ids import mint_run_id
from wfe.model.trace import attempt_span, below, is_sampled, of_child, own_trace, parent_span, parse, run_span, trace_id

GIVEN = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
RUN = mint_run_id(3, 1_760_000_000_000, 5)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "nonsense",
        GIVEN.upper(),
        GIVEN[:-1],
        "ff" + GIVEN[2:],
        GIVEN + "-more",
        "00-" + "0" * 32 + GIVEN[35:],
        GIVEN[:36] + "0" * 16 + "-01",
        GIVEN + "\n",
    ],
)
def test_a_malformed_context_is_ignored(text: str) -> None:
    assert parse(text) == ""


def test_a_context_of_a_later_version_is_read_as_far_as_it_is_known() -> None:
    assert parse("cc" + GIVEN[2:] + "-what-comes-later") == GIVEN
    assert parse(GIVEN[:-2] + "ff") == GIVEN[:-2] + "03"


def test_a_run_without_a_caller_is_the_first_of_a_trace_of_its_own() -> None:
    context = own_trace(RUN, 1.0)
    assert parse(context) == context
    assert is_sampled(context)
    assert parent_span(context, RUN) == ""
    assert own_trace(RUN, 1.0) == context, "the same whoever asks, and when"


def test_a_run_with_a_caller_is_below_its_span() -> None:
    assert parent_span(GIVEN, RUN) == "00f067aa0ba902b7"
    assert trace_id(GIVEN) == "4bf92f3577b34da6a3ce929d0e0e4736"
    assert not is_sampled(GIVEN[:-1] + "0")
    assert not is_sampled("")


def test_what_a_run_starts_is_below_the_run_in_the_same_trace() -> None:
    child = of_child(GIVEN, RUN)
    assert trace_id(child) == trace_id(GIVEN)
    assert parent_span(child, mint_run_id(4, 1_760_000_000_000, 6)) == run_span(RUN)
    assert is_sampled(child)
    assert of_child("", RUN) == ""
    assert below("", "00f067aa0ba902b7") == ""


def test_the_share_of_sampled_runs_is_as_asked() -> None:
    runs = [mint_run_id(1, 1_760_000_000_000 + n, n) for n in range(2_000)]
    assert all(own_trace(run, 1.0) for run in runs)
    assert not any(own_trace(run, 0.0) for run in runs)
    some = {run for run in runs if own_trace(run, 0.1)}
    assert 120 < len(some) < 290
    assert some < {run for run in runs if own_trace(run, 0.5)}, "a larger share has all of a smaller one"


def test_spans_of_one_run_differ() -> None:
    spans = {attempt_span(RUN, node, act, attempt) for node in range(5) for act in range(5) for attempt in range(1, 5)}
    spans |= {run_span(RUN), run_span(RUN, 1)}
    assert len(spans) == 102
    assert all(len(span) == 16 for span in spans)
