"""A slice of the simulation for every test run, and the seeds that found bugs."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

from wfe.sim.simulation import simulate

FOUND = {
    0: "a start that arrived twice while its id was looked up made two runs",
    11: "a fork of a fork, from where that one began, opened nothing and waited for ever",
    12: "a fork from inside a lock of all runs was written, though it was refused",
    28: "a task that was queued twice was leased twice",
    42: "a version that was made current while shards were asked about it was to be deleted",
    61: "a deploy that was sent twice made an old version current again",
    76: "a run that went on while its snapshot was written left memory, and came back as it was before",
    81: "lines that were lost with a shard came again behind others, and were called out of order",
    99: "an idle shard kept all credit while the tasks of another waited for ever",
    133: "a run that expired while its history was read had an empty one, instead of being unknown",
    141: "a start that was put off was not said to be resent: the run that its double had begun was made again",
    152: "results were acknowledged before the run that they belong to was loaded",
    203: "an acknowledgement of the old conversation followed the welcome of the new one",
    216: "a fork that was asked for again after it had left memory began anew",
    542: "a fork that went on compensating could be retried, though all that it did was undone",
    595: "a net that could not pass a node by was judged as one that had ended and found no way out",
    1052: "a map that was skipped after its last item was announced was judged as not open",
    1706: "a checkpoint held a settlement that was not in the log, and after a crash a letter was taken twice",
    2085: "a net in a child that could not pass a node by was judged as one that had ended and found no way out",
    2098: "a loop that an item broke which went on after its map was left was judged as not to be over",
    3542: "commands on a workflow that crossed on their way were believed in the order of their answers",
    5786: "a resume gave out again what a worker from before the restart still held",
    6006: "a turn that a worker had no coroutine for ran twice, for the worker said so again after a hello",
    20212: "an approval that was refused, asked for again by a retry and cancelled was judged as still refused",
    50144: "a deploy that was never answered brought a definition back whose deletion was believed",
}


@pytest.mark.parametrize("seed", FOUND, ids=FOUND.get)
def test_a_seed_that_found_a_bug_finds_it_no_more(seed: int):
    outcome = simulate(seed, 4_000)
    assert outcome.ok, outcome.failure


@pytest.mark.parametrize("first", range(1_000, 1_100, 10))
def test_every_promise_is_kept_under_random_faults(first: int):
    for seed in range(first, first + 10):
        outcome = simulate(seed, 1_500)
        assert outcome.ok, f"wfe sim --seed {seed} --steps 1500: {outcome.failure}"


def test_the_same_seed_gives_the_same_trace_under_another_hash_seed():
    code = "from wfe.sim.simulation import simulate; print(simulate(5, 1500).trace_hash)"
    hashes = {
        subprocess.run(
            [sys.executable, "-c", code],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(hashes) == 1
    assert hashes.pop().strip() == simulate(5, 1_500).trace_hash


def test_other_seeds_give_other_traces():
    assert simulate(5, 500).trace_hash != simulate(6, 500).trace_hash
