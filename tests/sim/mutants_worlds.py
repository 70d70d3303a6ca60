"""Which worlds can show a planted bug at all, where that is few of them: only their seeds are tried. Part of `mutants`.

A world has *traits*: the kinds of nodes that its programs are focused on, its faults, and how it is furnished. What is
said here is what a bug needs in order to matter, never a seed: worlds change with every change of the code.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import count
from random import Random

from wfe.sim.swarm import Swarm, choose
from wfe.sim.tasks import LARGE

Wanted = Callable[[frozenset[str]], bool]
FEW, OFTEN, ASKING_OFTEN = 3, 0.1, 0.5
OFTEN_US, SLOW_NETWORK_US, SLOW_TURN_US = 300_000, 4_000, 5_000
AT_ONCE = {"Map", "Parallel", "Graph", "Race"}
"""Kinds within which several nodes are open at once."""
LETTERS = {"StartWorkflow", "SubWorkflow", "Lock"}
"""Kinds that send mail to other partitions."""
SHARD_ENDS = {"shard_crash", "commit_crash", "write_crash", "disk_error"}
WHERE: dict[str, Wanted] = {
    "a worker has other large values than its shard thinks": lambda has: {"focus", "graphs", "large"} <= has,
    "mail is taken out of order": lambda has: (
        {"graphs", "shards", "few partitions", "often few faults", "queue_full"} <= has and bool(has & LETTERS)
    ),
    "an old acknowledgement follows a hello": lambda has: {"moves", "shards", "slow network", "slow turns"} <= has,
    "the count of a loop is lost in a checkpoint": lambda has: {"graphs", "Loop", "shard ends"} <= has,
    "credit is never called back": lambda has: "shards" in has,
    "a catch takes every error": lambda has: {"graphs", "Catch"} <= has,
    "a map forgets what it grew by": lambda has: {"graphs", "Map"} <= has,
    "a shared lock goes to who came last": lambda has: {"graphs", "Lock"} <= has,
    "two hold one lock": lambda has: {"graphs", "Lock"} <= has and bool(has & AT_ONCE),
    "signals ignore their correlation": lambda has: {"graphs", "WaitSignal"} <= has,
    "the next owner is written down before the partition is handed over": (
        lambda has: {"moves", "shards", "engine_crash"} <= has and bool(has & SHARD_ENDS)
    ),
    "commands on definitions count again": lambda has: "doubles" in has,
    "a task settles the grant of another": lambda has: {"graphs", "asking"} <= has,
}
"""By the name of the bug. Others are looked for in all worlds."""


def traits(swarm: Swarm) -> frozenset[str]:
    """What a world has, in words."""
    found = {kind.__name__ for kind in swarm.kinds} | set(swarm.faults)
    for name, present in (
        ("focus", bool(swarm.kinds)),
        ("graphs", swarm.graphs),
        ("functions", swarm.functions),
        ("large", LARGE in swarm.tasks),
        ("shards", swarm.shards > 1),
        ("few partitions", swarm.partitions <= FEW),
        ("often few faults", len(swarm.faults) <= FEW and swarm.mean_fault_us <= OFTEN_US),
        ("moves", swarm.moves),
        ("asking", swarm.asking > ASKING_OFTEN),
        ("doubles", swarm.weather.duplicate >= OFTEN),
        ("slow network", swarm.weather.delay_max_us >= SLOW_NETWORK_US),
        ("slow turns", swarm.turn_us >= SLOW_TURN_US),
        ("shard ends", bool(SHARD_ENDS & set(swarm.faults))),
    ):
        if present:
            found.add(name)
    return frozenset(found)


def seeds(name: str, first: int) -> Iterator[int]:
    """The seeds from ``first`` on whose worlds can show this bug."""
    wanted = WHERE.get(name)
    for seed in count(first):
        if wanted is None or wanted(traits(choose(Random(f"{seed}/swarm")))):
            yield seed
