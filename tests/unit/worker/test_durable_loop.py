"""The loop of durable functions: what asyncio offers works on it, in an order that a re-run repeats."""

from __future__ import annotations

import asyncio
import asyncio.events
import inspect
import threading
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from wfe.errors import GraphError
from wfe.worker.durable import loop as module
from wfe.worker.durable.loop import REFUSED, DurableLoop, Restless, Timer


class Bench:
    """A loop whose timers are fired by hand, earliest first."""

    def __init__(self) -> None:
        self.loop = DurableLoop(self)
        self.due: dict[int, tuple[int, Timer]] = {}
        self.stopped: list[int] = []
        self._seq = 0

    def start_timer(self, timer: Timer, delay_ms: int) -> None:
        timer.seq = self._seq
        self.due[self._seq] = (self.loop.time_ms + delay_ms, timer)
        self._seq += 1

    def stop_timer(self, timer: Timer) -> None:
        self.stopped.append(timer.seq)
        del self.due[timer.seq]

    def start(self, coro: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        task = self.loop.create_task(coro)
        self.loop.pump()
        return task

    def run(self, coro: Coroutine[Any, Any, Any]) -> Any:
        """To its end, with every timer fired at its time."""
        task = self.start(coro)
        while not task.done():
            seq, (due_ms, timer) = min(self.due.items(), key=lambda item: (item[1][0], item[0]))
            del self.due[seq]
            self.loop.time_ms = max(due_ms, self.loop.time_ms)
            self.loop.fire(timer)
            self.loop.pump()
        return task.result()


@pytest.fixture
def bench() -> Bench:
    return Bench()


def test_tasks_run_in_the_order_in_which_they_became_ready(bench):
    seen = []

    async def one(name: str) -> str:
        seen.append(name)
        await asyncio.sleep(0)
        seen.append(name.upper())
        return name

    async def main() -> list[str]:
        late = asyncio.create_task(one("c"))
        return [*await asyncio.gather(one("a"), one("b")), await late]

    assert bench.run(main()) == ["a", "b", "c"]
    assert seen == ["c", "a", "b", "C", "A", "B"]


def test_a_sleep_is_a_timer_and_the_clock_is_the_records(bench):
    async def main() -> float:
        loop = asyncio.get_running_loop()
        began = loop.time()
        await asyncio.sleep(2.5)
        return loop.time() - began

    assert bench.run(main()) == 2.5
    assert bench.stopped == []


def test_a_timer_that_is_not_wanted_any_more_is_stopped(bench):
    async def main() -> str:
        gate = asyncio.Event()

        async def opens() -> None:
            await asyncio.sleep(1)
            gate.set()

        opening = asyncio.create_task(opens())
        async with asyncio.timeout(5):
            await gate.wait()
        await opening
        return "open"

    assert bench.run(main()) == "open"
    assert bench.stopped == [0]
    assert bench.due == {}


def test_time_limits_end_what_takes_too_long(bench):
    async def main() -> list[str]:
        found = []
        try:
            async with asyncio.timeout(1):
                await asyncio.sleep(10)
        except TimeoutError:
            found.append("timeout")
        try:
            await asyncio.wait_for(asyncio.sleep(10), 2)
        except TimeoutError:
            found.append("wait_for")
        done, pending = await asyncio.wait([asyncio.create_task(asyncio.sleep(9))], timeout=3)
        found.append(f"wait {len(done)} {len(pending)}")
        for task in pending:
            task.cancel()
        return found

    assert bench.run(main()) == ["timeout", "wait_for", "wait 0 1"]
    assert bench.loop.time_ms == 6_000


def test_a_delay_of_nothing_needs_no_timer(bench):
    async def main() -> list[int]:
        seen: list[int] = []
        loop = asyncio.get_running_loop()
        loop.call_later(0, seen.append, 1)
        loop.call_at(loop.time(), seen.append, 2)
        loop.call_soon(seen.append, 3)
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        return seen

    assert bench.run(main()) == [1, 2, 3]


def test_a_group_ends_its_tasks_when_one_fails(bench):
    ended = []

    async def waits(name: str) -> None:
        try:
            await asyncio.sleep(100)
        finally:
            ended.append(name)

    async def fails() -> None:
        await asyncio.sleep(1)
        raise ValueError("no")

    async def main() -> str:
        try:
            async with asyncio.TaskGroup() as group:
                for name in "abcdefgh":
                    group.create_task(waits(name))
                group.create_task(fails())
        except ExceptionGroup as errors:
            return str(errors.exceptions[0])
        return "none"

    assert bench.run(main()) == "no"
    assert ended == list("abcdefgh")


def test_locks_queues_events_and_shields_work(bench):
    async def main() -> list[Any]:
        found: list[Any] = []
        lock, queue = asyncio.Lock(), asyncio.Queue[int](maxsize=1)

        async def put() -> None:
            for number in range(3):
                async with lock:
                    await queue.put(number)

        putting = asyncio.create_task(put())
        found += [await queue.get() for _ in range(3)]
        await putting
        inner = asyncio.create_task(asyncio.sleep(1, "kept"))
        outer = asyncio.create_task(asyncio.wait_for(asyncio.shield(inner), 0.5))
        with pytest.raises(TimeoutError):
            await outer
        found.append(await inner)
        return found

    assert bench.run(main()) == [0, 1, 2, "kept"]


def test_sets_of_tasks_and_futures_are_walked_in_the_same_order_again(bench):
    async def main() -> tuple[list[int], list[int]]:
        await asyncio.gather(*(asyncio.sleep(0) for _ in range(1_000)))
        tasks = [asyncio.create_task(asyncio.sleep(1, number)) for number in range(50)]
        done, _ = await asyncio.wait(tasks)
        futures = {asyncio.get_running_loop().create_future() for _ in range(50)}
        return [task.result() for task in done], [hash(future) for future in futures]

    kept = [object() for _ in range(1_000)]  # so that what comes lies at other addresses than in the other run
    assert bench.run(main()) == Bench().run(main())
    assert kept


def test_as_completed_takes_tasks(bench):
    async def main() -> list[int]:
        tasks = [asyncio.create_task(asyncio.sleep(delay, delay)) for delay in (3, 1, 2)]
        return [await one for one in asyncio.as_completed(tasks)]

    assert bench.run(main()) == [1, 2, 3]


def test_as_completed_over_coroutines_says_that_they_have_no_order(bench):
    sleeps = [asyncio.sleep(1, 1), asyncio.sleep(2, 2)]

    async def main() -> list[int]:
        return [await one for one in asyncio.as_completed(sleeps)]

    with pytest.raises(GraphError, match=r"asyncio\.create_task"):
        bench.run(main())
    for left_over in sleeps:  # one was closed when it was refused, the other was never begun: Python would warn of it
        left_over.close()


@pytest.mark.parametrize(
    ("touches", "says"),
    [
        (lambda: asyncio.to_thread(print), "to_thread"),
        (lambda: asyncio.open_connection("127.0.0.1", 9), "create_connection"),
        (lambda: asyncio.create_subprocess_exec("true"), "subprocess_exec"),
        (lambda: asyncio.start_server(lambda r, w: None), "create_server"),
    ],
)
def test_what_touches_the_world_names_a_task(bench: Bench, touches: Callable[[], Any], says: str):
    async def main() -> None:
        await touches()

    with pytest.raises(GraphError, match=says) as error:
        bench.run(main())
    assert "@wfe.task" in str(error.value)
    assert error.value.file == __file__


def test_every_method_of_a_loop_is_either_there_or_refused():
    methods = {name for name, _ in inspect.getmembers(asyncio.AbstractEventLoop, inspect.isfunction)}
    own = {name for name in methods if getattr(DurableLoop, name) is not getattr(asyncio.AbstractEventLoop, name)}
    assert methods - own - {"__init__"} == set()
    assert set(REFUSED) & {"call_soon", "create_task", "time"} == set()


def test_a_thread_cannot_wake_it(bench):
    raised: list[BaseException] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        loop.call_soon_threadsafe(raised.clear)

        def work() -> None:
            try:
                loop.call_soon_threadsafe(print)
            except GraphError as error:
                raised.append(error)

        thread = threading.Thread(target=work)
        thread.start()
        thread.join()
        await asyncio.sleep(0)

    bench.run(main())
    assert raised == []  # the thread's complaint came first, and what was asked from within did run
    assert bench.start(main()).done()


def test_going_round_for_ever_is_found(bench, monkeypatch):
    monkeypatch.setattr(module, "DURABLE_STEPS_MAX", 100)

    async def main() -> None:
        while True:
            await asyncio.sleep(0)

    with pytest.raises(Restless, match="100 steps"):
        bench.run(main())


def test_the_outer_loop_and_its_hooks_are_put_back(bench):
    async def inner() -> asyncio.AbstractEventLoop:
        return asyncio.get_running_loop()

    async def generates():
        yield 1
        yield 2

    async def outer() -> bool:
        loop, waiting = asyncio.get_running_loop(), asyncio.get_running_loop().create_future()

        def pump() -> None:
            waiting.set_result(bench.run(inner()))

        loop.call_soon(pump)
        inside = await waiting
        async for value in generates():
            assert value
        return inside is bench.loop and asyncio.get_running_loop() is loop

    assert asyncio.run(outer())


def test_exit_raised_in_a_function_is_its_outcome_and_ends_nothing_else(bench):
    async def leaves() -> None:
        raise SystemExit(3)

    task = bench.start(leaves())
    assert task.done()
    with pytest.raises(SystemExit):
        task.result()


def test_a_generator_that_is_let_go_cleans_up_on_the_loop(bench):
    seen = []

    async def numbers():
        try:
            yield 1
            yield 2
        finally:
            await asyncio.sleep(0)
            seen.append("clean")

    async def main() -> None:
        async for _ in numbers():
            break
        await asyncio.sleep(1)

    bench.run(main())
    assert seen == ["clean"]
