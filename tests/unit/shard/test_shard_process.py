"""The loop's own decisions."""

from __future__ import annotations

from wfe.shard.process import pays_to_wait


def test_a_slow_commit_waits_for_the_other_half_but_not_for_stragglers_nor_for_nothing():
    assert pays_to_wait(tasks_out=100, runs_taken_in=100)
    assert not pays_to_wait(tasks_out=20, runs_taken_in=180)
    assert not pays_to_wait(tasks_out=0, runs_taken_in=1)
    assert not pays_to_wait(tasks_out=100, runs_taken_in=0)
