"""A server under load while it is killed, stopped, starved and cut off: `python tests/chaos/chaos.py --seconds 300`.

In rounds: runs of all kinds are kept in flight while faults that the seed draws strike; then the faults cease, every
run must end, and everything is checked (chaos_audit.py, chaos_leaks.py). The seed decides which faults, in which order
and when; what the kernel's scheduler makes of them, it does not. The first round with findings ends the campaign, with
the seed, the command that repeats it, and the directory with data and log.
"""

from __future__ import annotations

import argparse
import asyncio
import random
import shutil
import subprocess
import sys
import tempfile
import time
import traceback
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from chaos_audit import Effects, audit
from chaos_faults import STOPS, Faults
from chaos_isolation import FAR_TOO_SLOW, Isolation, measure
from chaos_leaks import Leaks
from chaos_load import Load
from chaos_server import WFE, Engine, NotServing

import wfe

SPECIAL = ("SIGSTOP", "a long SIGSTOP", "few descriptors", "a full disk", "other shards", "a bad network")
"""Faults beside kills: two in a round, each in its turn."""
SHOWN = 20
LOG_LINES = 30


class Chaos:
    """One campaign: rounds of faults until the time is over and there were kills enough."""

    def __init__(self, options: argparse.Namespace, directory: Path) -> None:
        self._options = options
        self._dice = random.Random(options.seed)
        self.engine = Engine(directory)
        self.faults = Faults(self.engine, random.Random(self._dice.random()))
        self.leaks = Leaks(self.engine)
        self.effects = Effects(self.engine.effects)
        self.rounds = self.runs = self.poisoned = 0
        self.findings: list[str] = []
        self._deck: list[str] = []
        self._began_s = time.monotonic()

    async def run(self) -> None:
        """Until the end, or the first round with findings."""
        try:
            await self.engine.start()
            async with wfe.aconnect(self.engine.address, self.engine.token) as client:
                while not self.findings and self._goes_on():
                    self.rounds += 1
                    await self._round(client)
            if not self.findings:
                self.findings += self.leaks.growth()
                await self._end_well()
        except* Exception as errors:  # noqa: BLE001 - whatever it is, the seed is to be told
            for error in leaves(errors):
                self.findings.append(str(error) if isinstance(error, NotServing) else trace_of(error))
        finally:
            await self.engine.end()

    def _goes_on(self) -> bool:
        elapsed_s: float = time.monotonic() - self._began_s
        options = self._options
        enough = elapsed_s >= options.seconds and self.faults.kills >= options.kills and self.rounds >= options.rounds
        return not enough

    async def _round(self, client: Any) -> None:
        load, stop = Load(client, random.Random(self._dice.random()), self.rounds), asyncio.Event()
        keeping = asyncio.create_task(load.keep(stop, self._options.in_flight))
        try:
            special = self._deal()
            self._say(f"round {self.rounds}: kills and {', '.join(special)}")
            await self._strike(special)
            await self.faults.settle(client)
            stop.set()
            await keeping
        finally:
            keeping.cancel()
        self.findings += await audit(client, load, self.effects)
        await self.faults.settle(client)
        self.findings += await self.leaks.look(client)
        self.runs += len(load.runs)
        self.poisoned += sum(run.error is not None for run in load.runs)

    async def _strike(self, special: list[str]) -> None:
        """The round's special faults, one after the other, and kills all the while."""
        dice, faults = self._dice, self.faults
        over = asyncio.Event()

        async def kills() -> None:
            while not over.is_set():
                await asyncio.sleep(dice.uniform(0.05, 0.45))
                await faults.kill()

        async def moves() -> None:
            while not over.is_set():
                await asyncio.sleep(0.2)
                await faults.move()

        async with asyncio.TaskGroup() as group:
            group.create_task(kills())
            group.create_task(moves())
            for name in special:
                await asyncio.sleep(dice.uniform(0.2, 1.0))
                await self._fault(name)
            over.set()

    def _fault(self, name: str) -> Coroutine[Any, Any, None]:
        faults, dice = self.faults, self._dice
        role = dice.choice(["shard", "worker"])
        match name:
            case "SIGSTOP":
                return faults.stop(dice.choice([role, role, "coordinator"]), dice.choice(STOPS))
            case "a long SIGSTOP":
                return faults.stop(role, STOPS[-1])
            case "few descriptors":
                return faults.starve(dice.choice([role, "coordinator"]))
            case "a full disk":
                return faults.fill_disk(everybody=dice.random() < 0.5)
            case "other shards":
                return faults.reshard(abruptly=dice.random() < 0.3)
            case _:
                return faults.detour(dice.uniform(4.0, 8.0))

    def _deal(self) -> list[str]:
        """Two special faults; in a few rounds each has its turn."""
        hand: list[str] = []
        while len(hand) < 2:
            if not self._deck:
                self._deck = [*self._options.only]
                self._dice.shuffle(self._deck)
            hand.append(self._deck.pop())
        return hand

    async def _end_well(self) -> None:
        """A planned stop that leaves nobody behind, and data in which `wfe verify` finds nothing."""
        await self.engine.stop()
        self.findings += [f"left behind: {p.pid} {p.cmdline()}" for p in self.engine.strays()]
        command = [*WFE, "verify", str(self.engine.data), "--json"]
        done = await asyncio.to_thread(subprocess.run, command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            self.findings.append(
                f"wfe verify: exit code {done.returncode}: {done.stdout[:2_000]} {done.stderr[:2_000]}"
            )

    def _say(self, text: str) -> None:
        elapsed_s = time.monotonic() - self._began_s
        print(f"{elapsed_s:6.0f} s  {text}; so far {self.faults.kills} kills, {self.runs} runs", flush=True)

    def report(self) -> str:
        """What was done, and the summary line."""
        lines = [f"  {times:6d}  {what}" for what, times in sorted(self.faults.counts.items())]
        for role, (first, last) in self.leaks.first_and_last().items():
            lines.append(
                f"  memory of a {role}: {first / 2**20:.0f} MiB in the first rounds, {last / 2**20:.0f} in the last"
            )
        stops = sum(times for what, times in self.faults.counts.items() if what.startswith("stop "))
        summary = (
            f"chaos: {self.faults.kills} kills ({self.faults.processes_killed} processes), {stops} stops, "
            f"{self.rounds} rounds, {self.runs} runs ({self.poisoned} poisoned), {self.effects.total} executions, "
            f"wrong results = {len(self.findings)}"
        )
        return "\n".join([*lines, summary])


def trace_of(error: BaseException) -> str:
    return "".join(traceback.format_exception(error))


async def isolations() -> list[Isolation]:
    """How much a shard's failure slows the other one, with an engine and data of its own."""
    with tempfile.TemporaryDirectory(prefix="wfe-chaos-") as directory:
        engine = Engine(Path(directory))
        try:
            return await measure(engine)
        finally:
            await engine.end()


def leaves(errors: BaseExceptionGroup[Any]) -> list[BaseException]:
    """The exceptions in a group and in the groups within."""
    found: list[BaseException] = []
    for error in errors.exceptions:
        found += leaves(error) if isinstance(error, BaseExceptionGroup) else [error]
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=None)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--kills", type=int, default=200, help="at least so many, however long it takes")
    parser.add_argument(
        "--rounds", type=int, default=0, help="as with --kills; in three rounds each fault has its turn"
    )
    parser.add_argument("--isolation", action="store_true", help="measure, too, how far one shard slows the other")
    parser.add_argument("--only", action="append", choices=SPECIAL, help="no other faults than this, kills apart")
    parser.add_argument("--in-flight", type=int, default=120)
    options = parser.parse_args()
    options.only = options.only or [*SPECIAL]
    if options.seed is None:
        options.seed = random.SystemRandom().getrandbits(32)
    chosen = f"--seconds {options.seconds:g} --kills {options.kills} --rounds {options.rounds}"
    if len(options.only) < len(SPECIAL):
        chosen += "".join(f" --only '{name}'" for name in options.only)
    command = f"python tests/chaos/chaos.py --seed {options.seed} {chosen} --in-flight {options.in_flight}"
    print(f"chaos: seed {options.seed}", flush=True)
    directory = Path(tempfile.mkdtemp(prefix="wfe-chaos-"))
    chaos = Chaos(options, directory)
    asyncio.run(chaos.run())
    print(chaos.report(), flush=True)
    if options.isolation and not chaos.findings:
        for isolation in asyncio.run(isolations()):
            print(isolation)
            if isolation.ratio > FAR_TOO_SLOW:
                chaos.findings.append(str(isolation))
    if not chaos.findings:
        shutil.rmtree(directory)
        return 0
    print(f"{len(chaos.findings)} findings:", *chaos.findings[:SHOWN], sep="\n  ")
    log = (directory / "log").read_text(errors="replace").splitlines()[-LOG_LINES:]
    print("the end of the server's log:", *log, sep="\n  ")
    print(f"data and log are in {directory}; to repeat it: {command}")
    return 1


if __name__ == "__main__":
    sys.exit(main())
