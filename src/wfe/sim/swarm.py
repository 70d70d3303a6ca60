"""Swarm testing: each seed switches on a random part of the faults, and sets how hard they hit.

A world with all faults at once finds less than many worlds with a few each: faults hide each other. The same holds for
kinds of nodes: half of all worlds are *focused*, with programs of a few kinds, so that those often meet each other.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from random import Random
from typing import Any

from wfe.limits import RETENTION_MS_MIN
from wfe.model.definition import Assign, BreakIf, Compensate, CompensateWith, Loop, Node, State
from wfe.sim.kinds import KINDS
from wfe.sim.network import Weather
from wfe.sim.pools import ASKING
from wfe.sim.tasks import LARGE, TASKS

FAULTS = (
    "shard_crash",
    "commit_crash",
    "write_crash",
    "disk_error",
    "worker_crash",
    "worker_stop",
    "shard_stop",
    "engine_crash",
    "client_crash",
    "reconnect",
    "cut",
    "queue_full",
    "wall_step",
    "slow_disk",
    "full_disk",
    "reshard",
    "drift",
)
ACTIONS = (
    "start",
    "start_key",
    "start_badly",
    "signal",
    "cancel",
    "pause",
    "resume",
    "get",
    "find",
    "history",
    "list",
    "deploy",
)
WEIGHTS = {"start": 6, "start_key": 2, "signal": 3, "get": 2, "resume": 2}
DELAYS_MAX_US = (400, 400, 400, 4_000, 40_000)
"""From one host to a network far away: the longer frames travel, the more of them cross."""
FOCUSED = 0.5
"""Of worlds."""
TOGETHER: dict[type[Node], type[Node]] = {
    Assign: State, State: Assign, BreakIf: Loop, Compensate: CompensateWith,
}  # fmt: skip
"""Kinds that mean nothing, or little, without another one."""
LARGE_SHARE = 0.2
"""Worlds in which tasks give values that are kept by reference: they are slower than others."""


@dataclass(slots=True)
class Swarm:
    """One seed's choice."""

    faults: tuple[str, ...]
    mean_fault_us: int
    actions: list[str]
    pause_us: int
    weather: Weather
    shards: int
    partitions: int
    local_workers: int
    remote_workers: int
    clients: int
    slots: int
    poison: float
    tasks: tuple[str, ...]
    open_runs_max: int
    """With so many open, clients rarely start more: so that runs meet faults during all of their lives."""
    backups: bool
    turn_us: int
    """From the first frame that waits at a shard to the turn that takes it, with all that came meanwhile."""
    expiry: bool = False
    """Ended runs expire: the server's policy is in ``shard_settings``, those of definitions are in the definitions."""
    shard_settings: dict[str, Any] = field(default_factory=dict)
    moves: bool = False
    """Somebody moves partitions between shards, again and again."""
    talks: bool = False
    """Tasks say something."""
    kinds: tuple[type[Node], ...] = ()
    """What programs are made of, tasks aside. Empty: of everything."""
    asking: float = ASKING
    """Of tasks, how many ask for labels or resources."""
    graphs: bool = True
    functions: bool = True
    """What clients start: graphs, durable functions."""

    def described(self) -> dict[str, Any]:
        """For reports."""
        return {
            "faults": list(self.faults), "loss": round(self.weather.loss, 3), "shards": self.shards,
            "duplicate": round(self.weather.duplicate, 3), "backups": self.backups,
            "workers": self.local_workers + self.remote_workers, "clients": self.clients,
            "moves": self.moves, "expiry": self.expiry, "budget": self.shard_settings.get("disk_budget_bytes", 0),
            "kinds": [kind.__name__ for kind in self.kinds],
        }  # fmt: skip


def choose(random: Random) -> Swarm:
    """A choice of faults, load and sizes."""
    mood = random.random()
    quiet = mood < 0.1
    if mood < 0.5:
        faults = () if quiet else tuple(random.sample(FAULTS, random.randint(1, 3)))
    else:
        faults = tuple(fault for fault in FAULTS if random.random() < 0.4)
    weather = Weather()
    if not quiet:
        if random.random() < 0.4:
            weather.loss = random.choice((0.001, 0.01, 0.1, 0.3))
        if random.random() < 0.4:
            weather.duplicate = random.choice((0.001, 0.01, 0.1, 0.5))
        if random.random() < 0.3:
            weather.spike = random.choice((0.0001, 0.01))
        weather.delay_max_us = random.choice(DELAYS_MAX_US)
    actions = [a for a in ACTIONS if a == "start" or random.random() < 0.6 for _ in range(WEIGHTS.get(a, 1))]
    tasks = ["echo", *(task for task in TASKS[1:] if random.random() < 0.5)]
    local = random.choice((0, 1, 1, 2))
    made = Swarm(
        faults=faults,
        mean_fault_us=random.choice((100_000, 300_000, 1_000_000, 3_000_000)),
        actions=actions,
        pause_us=random.choice((5_000, 20_000, 100_000)),
        weather=weather,
        shards=random.choice((1, 1, 2, 2, 3)),
        partitions=random.choice((2, 4, 8)),
        local_workers=local,
        remote_workers=random.choice((0, 1, 2)) if local else random.choice((1, 2)),
        clients=random.choice((1, 2, 3)),
        slots=random.choice((1, 4, 16)),
        poison=random.choice((0.05, 0.3)),
        tasks=tuple(tasks),
        backups=random.random() < 0.3,
        open_runs_max=random.choice((5, 20, 20, 60, 10_000)),
        turn_us=random.choice((50, 50, 500, 5_000, 20_000)),
        shard_settings=random.choice(
            ({}, {"live_runs_max": 5, "tail_bytes": 3_000, "ended_wait_ms": 20}, {"ready_max": 4})
        )
        | random.choice(({}, {"replayed_at_once": 0, "replayed_per_turn": 2})),
        moves=random.random() < 0.4,
        talks=random.random() < 0.3,
    )
    made.shards = min(made.shards, made.partitions)
    if random.random() < 0.3 and not made.backups and "wall_step" not in faults:
        made.expiry = True
        made.shard_settings |= {"retention_ms": random.choice((0, RETENTION_MS_MIN))}
    if random.random() < 0.15:
        made.shard_settings |= {"disk_budget_bytes": random.choice((1, 50_000, 300_000))}
    if random.random() < LARGE_SHARE:
        made.tasks = (*made.tasks, LARGE)
    if random.random() < FOCUSED:
        _focus(made, random)
    return made


def _focus(swarm: Swarm, random: Random) -> None:
    """A few kinds of nodes and of tasks only; graphs or functions only, perhaps."""
    drawn = random.sample(list(KINDS), random.randint(2, 5))
    drawn += [TOGETHER[kind] for kind in drawn if kind in TOGETHER]
    swarm.kinds = tuple(dict.fromkeys(drawn))
    others = swarm.tasks[1:]
    swarm.tasks = ("echo", *random.sample(others, min(len(others), random.randint(0, 2))))
    swarm.asking = random.choice((0.0, ASKING, 0.7))
    swarm.graphs, swarm.functions = random.choice(((True, True), (True, False), (True, False), (False, True)))
