"""Whether a run id is fresh is told by its text, as if its start time had been read from it."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from wfe.limits import FRESH_ID_MS
from wfe.model.ids import mint_run_id, time_of
from wfe.shard.starts import fresh_times

NOW_MS = 1_700_000_000_000
times = st.integers(0, (1 << 50) - 1) | st.integers(NOW_MS - 2 * FRESH_ID_MS, NOW_MS + 2 * FRESH_ID_MS)


@given(times, st.sampled_from([NOW_MS, 0, FRESH_ID_MS // 2]) | times.map(lambda time_ms: time_ms >> 1), st.integers(0))
def test_fresh_times_enclose_the_start_times_that_are_near(time_ms: int, now_ms: int, bits: int) -> None:
    run_id = mint_run_id(7, time_ms, bits)
    low, high = fresh_times(now_ms)
    assert (low <= run_id[2:12] <= high) == (abs(now_ms - time_of(run_id)) <= FRESH_ID_MS)
