"""Random programs of asyncio's constructs as durable functions: whatever order calls end in, a live function and one
that is re-run from its record ask for the same and end the same (`Engine` compares every turn).
"""

from __future__ import annotations

import asyncio
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import wfe
from support.durable_engine import Engine
from wfe.model.durable import CALL_TASK, CANCELLED, DONE, FAILED


@wfe.task
async def step(name: str) -> str:
    raise NotImplementedError


@wfe.task
async def fails(name: str) -> str:
    raise NotImplementedError


LEAVES = st.sampled_from([["step"], ["fails"], ["sleep"], ["signal"], ["yield"], ["dice"], ["publish"], ["version"]])
BLOCKS = st.sampled_from(
    [
        *("all", "gather", "group", "first_done", "first_failed", "completed", "timeout", "shield"),
        *("cancel", "quiet", "lock", "swallow", "last"),
    ]
)
PROGRAMS = st.recursive(
    LEAVES,
    lambda inner: st.tuples(BLOCKS, st.lists(inner, min_size=1, max_size=4)).map(list),
    max_leaves=14,
)


class Interpreter:
    """Runs a program; what happens is told in ``said``, in its order."""

    def __init__(self, wf: wfe.Durable) -> None:
        self.wf, self.said, self.lock = wf, [], asyncio.Lock()  # type: ignore[var-annotated]

    async def run(self, program: list[Any], name: str) -> Any:
        try:
            value = await getattr(self, f"do_{program[0]}")(name, *program[1:])
        except BaseException as error:
            self.said.append(f"{name} {type(error).__name__}")
            raise
        self.said.append(f"{name} {value}")
        return value

    def tasks(self, name: str, parts: list[Any]) -> list[asyncio.Task[Any]]:
        return [asyncio.create_task(self.run(part, f"{name}.{number}")) for number, part in enumerate(parts)]

    async def do_step(self, name: str) -> str:
        return await step(name)

    async def do_fails(self, name: str) -> str:
        return await fails(name)

    async def do_sleep(self, name: str) -> None:
        await asyncio.sleep(len(name))

    async def do_signal(self, name: str) -> str:
        return await self.wf.wait_signal(name, str)

    async def do_yield(self, name: str) -> None:
        await asyncio.sleep(0)

    async def do_dice(self, name: str) -> float:
        return await step(str(self.wf.random())) and self.wf.now().timestamp()

    async def do_publish(self, name: str) -> None:
        self.wf.publish(name)

    async def do_version(self, name: str) -> bool:
        return self.wf.version(name)

    async def do_all(self, name: str, parts: list[Any]) -> list[Any]:
        return [await self.run(part, f"{name}.{number}") for number, part in enumerate(parts)]

    async def do_gather(self, name: str, parts: list[Any]) -> list[Any]:
        return await asyncio.gather(*(self.run(part, f"{name}.{number}") for number, part in enumerate(parts)))

    async def do_quiet(self, name: str, parts: list[Any]) -> list[str]:
        found = await asyncio.gather(*self.tasks(name, parts), return_exceptions=True)
        return [type(one).__name__ for one in found]

    async def do_group(self, name: str, parts: list[Any]) -> list[Any]:
        async with asyncio.TaskGroup() as group:
            made = [group.create_task(self.run(part, f"{name}.{number}")) for number, part in enumerate(parts)]
        return [task.result() for task in made]

    async def do_first_done(self, name: str, parts: list[Any]) -> int:
        return await self.until(name, parts, asyncio.FIRST_COMPLETED)

    async def do_first_failed(self, name: str, parts: list[Any]) -> int:
        return await self.until(name, parts, asyncio.FIRST_EXCEPTION)

    async def until(self, name: str, parts: list[Any], when: str) -> int:
        done, pending = await asyncio.wait(self.tasks(name, parts), return_when=when, timeout=7)
        for task in pending:
            task.cancel()
        for task in done:
            self.said.append(f"{name} done {task.exception() and 'error'}")
        await asyncio.gather(*pending, return_exceptions=True)
        return len(done)

    async def do_completed(self, name: str, parts: list[Any]) -> list[Any]:
        return [await one for one in asyncio.as_completed(self.tasks(name, parts))]

    async def do_timeout(self, name: str, parts: list[Any]) -> Any:
        try:
            async with asyncio.timeout(3):
                return await self.do_gather(name, parts)
        except TimeoutError:
            return await step(f"{name} late")

    async def do_shield(self, name: str, parts: list[Any]) -> Any:
        kept = asyncio.gather(*self.tasks(name, parts), return_exceptions=True)
        try:
            return len(await asyncio.wait_for(asyncio.shield(kept), 2))
        except TimeoutError:
            return -len(await kept)

    async def do_cancel(self, name: str, parts: list[Any]) -> int:
        tasks = self.tasks(name, parts)
        await step(f"{name} before")
        tasks[-1].cancel()
        found = await asyncio.gather(*tasks, return_exceptions=True)
        return sum(isinstance(one, asyncio.CancelledError) for one in found)

    async def do_lock(self, name: str, parts: list[Any]) -> int:
        async def alone(part: Any, number: int) -> None:
            async with self.lock:
                self.said.append(f"{name}.{number} holds")
                await step(f"{name}.{number} held")
            await self.run(part, f"{name}.{number}")

        return len(await asyncio.gather(*(alone(part, number) for number, part in enumerate(parts))))

    async def do_swallow(self, name: str, parts: list[Any]) -> int:
        swallowed = 0
        for number, part in enumerate(parts):
            try:
                await self.run(part, f"{name}.{number}")
            except (Exception, asyncio.CancelledError):  # noqa: BLE001  as careless authors do
                swallowed += 1
        return swallowed

    async def do_last(self, name: str, parts: list[Any]) -> None:
        try:
            await self.do_all(name, parts)
        finally:
            await step(f"{name} last")


@wfe.workflow
async def interpret(wf: wfe.Durable, program: list[Any]) -> list[str]:
    inside = Interpreter(wf)
    try:
        await inside.run(program, "p")
    except Exception:  # noqa: BLE001  what was said is the outcome
        inside.said.append("failed")
    return inside.said


def _ends(program: list[Any], seed: int, cancel_at: int, live: bool) -> tuple[Any, ...]:
    dice = Random(seed)
    engine = Engine(interpret, program, live=live)
    try:
        turns = 0
        while True:
            result = engine.turn()
            turns += 1
            if result.status in (DONE, FAILED, CANCELLED):
                return result.status, bytes(result.value), turns, engine.compared
            if turns == cancel_at:
                engine.cancel()
            waiting = engine.open()
            for _ in range(dice.randint(1, 3)):
                if waiting:
                    seq = waiting.pop(dice.randrange(len(waiting)))
                    engine.play(seq, {"step": lambda name: name, "fails": _fails})
            assert len(engine.completions) > engine.taken, "it waits for nothing"
    finally:
        engine.close()


def _fails(name: str) -> str:
    raise LookupError(name)


@given(PROGRAMS, st.integers(0, 10_000), st.integers(0, 8))
@settings(max_examples=150)
def test_a_re_run_is_the_live_run_whatever_order_calls_end_in(program, seed, cancel_at):
    live = _ends(program, seed, cancel_at, live=True)
    assert live == _ends(program, seed, cancel_at, live=False)
    assert live[2] == live[3] > 0


@given(PROGRAMS, st.integers(0, 10_000))
@settings(max_examples=100)
def test_a_function_that_goes_ahead_does_what_a_re_run_with_the_record_does(program, seed):
    dice, engine = Random(seed), Engine(interpret, program)
    try:
        result = engine.turn()
        while result.status not in (DONE, FAILED, CANCELLED):
            seq = dice.choice(engine.open())
            call = engine.calls[seq]
            if (call.kind, call.name) == (CALL_TASK, "step") and dice.random() < 0.8:
                result = engine.ahead(seq, engine.bodies[seq][0]["name"]) or engine.turn()
            else:
                engine.play(seq, {"step": lambda name: name, "fails": _fails})
                result = engine.turn()
        assert engine.compared == len(engine.results)
    finally:
        engine.close()
