"""Random durable programs on the production's shard, with a crash of everything at random commits: the same values, and
everything published exactly once. Programs whose outcome a race decides are left to `test_durable_properties`.
"""

from __future__ import annotations

import asyncio
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

import wfe
from wfe.testing import Env


@wfe.task
async def echo(name: str) -> str:
    return name


@wfe.task
def refuse(name: str) -> str:
    raise LookupError(name)


LEAVES = st.sampled_from(["step", "plain", "fails", "sleep", "nap", "publish", "poll", "dice"]).map(lambda kind: [kind])
BLOCKS = st.sampled_from(["all", "gather", "group", "limited", "child", "rounds", "quiet"])
PROGRAMS = st.recursive(
    LEAVES, lambda inner: st.tuples(BLOCKS, st.lists(inner, min_size=1, max_size=3)).map(list), max_leaves=7
)


@wfe.workflow
async def interpret(wf: wfe.Durable, program: list[Any], name: str, left: int = 0) -> Any:
    if left:
        await echo(f"{name} round {left}")
        wf.continue_with(program, name, left - 1)
    return await run(wf, program, name)


async def run(wf: wfe.Durable, program: list[Any], name: str) -> Any:
    kind, parts = program[0], [(part, f"{name}.{number}") for number, part in enumerate(program[1:] and program[1])]
    match kind:
        case "step":
            return await echo(name)
        case "plain":
            return await wf.call(echo, name)
        case "fails":
            try:
                return await wf.call(refuse, name)
            except LookupError as error:
                return f"no {error}"
        case "sleep":
            return await wf.sleep("1h")
        case "nap":
            return await asyncio.sleep(0.25)
        case "publish":
            return wf.publish(name)
        case "poll":
            return await wf.wait_signal(name, str, timeout="0s", default="none")
        case "dice":
            return await echo(str(wf.random() < 2 and wf.version(name)))
        case "gather":
            return await asyncio.gather(*(run(wf, *part) for part in parts))
        case "group":
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(run(wf, *part)) for part in parts]
            return [task.result() for task in tasks]
        case "limited":
            async with asyncio.timeout(86_400):
                return [await run(wf, *part) for part in parts]
        case "child":
            return [await interpret(*part) for part in parts]
        case "rounds":
            return [await wf.call(interpret, part, inner, left=2) for part, inner in parts]
        case "quiet":
            tasks = [asyncio.create_task(run(wf, *part)) for part in parts]
            lost = asyncio.create_task(wf.sleep("9d"))
            await asyncio.sleep(0)
            lost.cancel()
            return [*await asyncio.gather(*tasks), type(await asyncio.gather(lost, return_exceptions=True)).__name__]
        case _:
            return [await run(wf, *part) for part in parts]


def scenario(env: Env, program: list[Any]) -> tuple[Any, list[str]]:
    run = env.start(interpret, program, "p")
    value = run.result()
    published = [event.data["value"] for event in run.history() if event.type == "Published"]
    return value, sorted(published)


def played(program: list[Any], at: int, rerun: bool) -> tuple[Any, int]:
    with Env(rerun=rerun) as env:
        crashes = env._world.crashes
        crashes.at, crashes.seen = at, 0
        found = scenario(env, program)
        assert (at < 0) or crashes.crashed or crashes.seen <= at
        return found, crashes.seen


@given(PROGRAMS, st.lists(st.integers(0, 10_000), min_size=3, max_size=3), st.booleans())
@settings(max_examples=12)
def test_a_crash_changes_neither_the_value_nor_what_is_published(program, moments, rerun):
    expected, points = played(program, -1, rerun)
    for moment in moments:
        assert played(program, moment % points, rerun)[0] == expected
