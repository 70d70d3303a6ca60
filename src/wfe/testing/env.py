"""`Env`: an engine in the test's own process, on a virtual clock. See docs/testing.md.

The production's coordinator, shard, journal and worker protocol, without processes and sockets. Every call returns when
nothing more happens until time passes or somebody asks for something, so that what a test looks at does not depend on
luck. One `Env` belongs to one thread, and to code that is not async itself.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Iterable, Mapping
from datetime import UTC, datetime, timedelta
from types import TracebackType
from typing import Any, TypeVar

from wfe import observe
from wfe.authoring.apps import App, app_of_module, load_app
from wfe.authoring.workflows import DurableFunction
from wfe.client.aclient import AsyncClient, Many
from wfe.client.approvals import ApprovalInfo
from wfe.client.arguments import Args
from wfe.client.connection import Link, OnFrames
from wfe.client.runs import AsyncRun, fetch_view
from wfe.client.watches import ENDED
from wfe.errors import InvalidInput, Stuck, WfeError
from wfe.limits import LIST_LIMIT_DEFAULT
from wfe.model.durations import parse_duration
from wfe.model.registered import RegisteredTask
from wfe.sim.engine import TOKEN
from wfe.testing.mocks import Mock
from wfe.testing.runs import EnvRun
from wfe.testing.world import TestWorld
from wfe.wire.messages import Deployed, RunOutcome
from wfe.worker.builtin import with_builtin

T = TypeVar("T")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LOOK_S, LOOK_BUSY_S = 0.002, 0.02
LOOKS_MAX = 20_000
"""Virtual time within which an engine whose clock stands still must come to rest: 40 s."""
TASK_MAX_S = 3_700.0
"""Virtual time that an async task may sleep."""
CLIENT_TIMEOUT_S = 3_600.0


class Env:
    """An engine of its own per test. ``apps``: files or modules to deploy at once, as in ``wfe serve --app``.

    Workflows that are started are deployed with all that their module can see; ``seed`` makes the order of what happens
    at the same time another one. ``rerun``: durable functions are re-run from their record after every step, so that
    one that does not do the same again shows it; False keeps them live between steps, as a server's worker does.
    """

    _world_class = TestWorld

    def __init__(self, *apps: str, seed: int = 0, rerun: bool = True) -> None:
        if isinstance(seed, bool) or not isinstance(seed, int):
            raise InvalidInput(f"Env(seed={seed!r:.100}): a seed is a whole number")
        observe.configure("error")  # a crash that a test asks for is no news
        self._world = self._world_class(seed, rerun=rerun)
        self._closed = False
        self._deployed: dict[str, object] = {}
        client = AsyncClient(
            self._open_link,
            "front",
            lambda: TOKEN,
            connect_timeout_s=CLIENT_TIMEOUT_S,
            request_timeout_s=CLIENT_TIMEOUT_S,
        )
        self.client: AsyncClient = self._drive(client.open())
        for app in apps:
            self.load(app)

    def __enter__(self) -> Env:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Ends the engine; what it kept is gone. Idempotent."""
        if not self._closed:
            self._closed = True
            loop = self._world.loop
            loop.run_until_complete(self.client.close())
            self._world.let_go()
            left = asyncio.all_tasks(loop)
            for task in left:
                task.cancel()
            if left:
                loop.run_until_complete(asyncio.gather(*left, return_exceptions=True))
            loop.close()

    # ---- definitions ------------------------------------------------------------------------------------------------

    def load(self, app: str) -> None:
        """Deploys what a file or module offers, as ``--app`` does: ``file.py``, ``file.yaml``, ``package.module``."""
        self._deploy_app(load_app(app))

    def deploy(self, *workflows: Any) -> list[Deployed]:
        """Deploys decorated workflows, `Definition`s or their JSON. DefinitionError, GraphError."""
        for workflow in workflows:
            self._offer(workflow)
        return self._drive(self.client.deploy(*workflows))

    def mock(self, task: Any) -> Mock:
        """From now on the task does what the `Mock` is told: ``env.mock(charge).returns("ch_1")``.

        ``task``: the decorated function, or the name of one that every worker has: ``"wfe.http"``, or a node type of a
        plugin. Its ``calls`` are the arguments of every attempt.
        """
        registered = _builtin(task) if isinstance(task, str) else getattr(task, "__wfe_task__", None)
        if registered is None:
            raise InvalidInput(f"{task!r} is no task: pass the function decorated with @wfe.task")
        mock = self._world.mocks[registered.name] = Mock(registered)
        self._world.offer({(registered.name, registered.version): registered})
        return mock

    def _offer(self, workflow: Any) -> None:
        registered = getattr(workflow, "__wfe_workflow__", None)
        if registered is None:
            return
        known = self._deployed.get(registered.name)
        if known is workflow:
            return
        self._deployed[registered.name] = workflow
        import sys

        module = sys.modules.get(registered.function.__module__)
        if module is not None:
            self._deploy_app(app_of_module(module), besides=registered.name)
        if isinstance(workflow, DurableFunction):  # its module need not see it: one inside a test function is run, too
            offered = workflow.offered
            self._world.offer({(offered.name, offered.version): offered})
        self._drive(self.client.deploy(workflow, replace=True))

    def _deploy_app(self, app: App, besides: str = "") -> None:
        self._world.offer(app.tasks)
        wanted: list[Any] = []
        for name, workflow in app.workflows.items():
            if name != besides and name not in self._deployed:
                self._deployed[name] = workflow
                wanted.append(workflow)
        if app.texts:
            wanted += [found for found in app.definitions() if found.workflow not in app.workflows]
        if wanted:
            self._drive(self.client.deploy(*wanted, replace=True))

    # ---- runs -------------------------------------------------------------------------------------------------------

    def start(self, workflow: Any, *args: Any, **kwargs: Any) -> EnvRun:
        """As `Client.start`. The workflow (a decorated function, or the name of one that is deployed) goes on until
        it waits for time, a signal, or somebody."""
        self._offer(workflow)
        return EnvRun(self, self._drive(self.client.start(workflow, *args, **kwargs)))

    def start_many(self, workflow: Any, items: Iterable[Any], **kwargs: Any) -> list[EnvRun]:
        """As `Client.start_many`."""
        self._offer(workflow)
        return [EnvRun(self, run) for run in self._drive(self.client.start_many(workflow, items, **kwargs))]

    def run(self, workflow: Any, *args: Any, **kwargs: Any) -> Any:
        """Starts a run and gives its result; see `EnvRun.result`."""
        return self.start(workflow, *args, **kwargs).result()

    def get(self, run_id: str, workflow: Any = None) -> EnvRun:
        """As `Client.get`."""
        return EnvRun(self, self._drive(self.client.get(run_id, workflow)))

    def find(self, workflow: Any, key: str) -> EnvRun:
        """As `Client.find`."""
        return EnvRun(self, self._drive(self.client.find(workflow, key)))

    def list(
        self,
        *,
        status: str | None = None,
        workflow: Any = None,
        key: str | None = None,
        tags: Mapping[str, str] | None = None,
        limit: int = LIST_LIMIT_DEFAULT,
    ) -> list[EnvRun]:
        """As `Client.list`: newest first."""
        asked = self.client.list(status=status, workflow=workflow, key=key, tags=tags, limit=limit)
        return [EnvRun(self, run) for run in self._drive(asked)]

    def signal(
        self, workflow: Any, key: str, name: str, payload: Any = None, *, event_id: str | None = None,
        correlation: str = "", start: Args | None = None,
    ) -> EnvRun:  # fmt: skip
        """As `Client.signal`: by workflow and key."""
        self._offer(workflow)
        sent = self.client.signal(workflow, key, name, payload, event_id=event_id, correlation=correlation, start=start)
        return EnvRun(self, self._drive(sent))

    def approvals(self, *, to: str | None = None) -> Many[ApprovalInfo]:
        """As `Client.approvals`: decisions that runs wait for."""
        return self._drive(self.client.approvals(to=to))

    # ---- time and crashes -------------------------------------------------------------------------------------------

    @property
    def now(self) -> datetime:
        """The engine's wall clock, UTC."""
        return _EPOCH + timedelta(milliseconds=self._world.now_ms())

    def skip(self, duration: str | timedelta) -> None:
        """Lets time pass: ``env.skip("2d")``. Whatever is due on the way happens at its time, in order."""
        delta_ms = round(duration / timedelta(milliseconds=1)) if isinstance(duration, timedelta) else None
        until_ms = self._world.now_ms() + (parse_duration(duration) if delta_ms is None else delta_ms)
        self._drive(self._until(until_ms))

    def crash(self) -> None:
        """``kill -9`` of the whole engine, which is then started again on what its disk holds."""
        self._world.engine.die(-9)
        self._drive(asyncio.sleep(0))

    async def _until(self, until_ms: int) -> None:
        world = self._world
        await self._rest()
        while (due_ms := world.next_timer_ms()) is not None and due_ms <= until_ms:
            world.jump(due_ms - world.now_ms())
            await self._rest()
        world.jump(until_ms - world.now_ms())

    @staticmethod
    def crash_everywhere(scenario: Callable[[Env], T], *, apps: Iterable[str] = (), seed: int = 0) -> T:
        """Runs the scenario once without a crash, then once for each commit with a ``kill -9`` of the engine right
        before it and once right after it, and demands the same value each time. Gives that value.

        A commit is one step of a run on disk: between two of them there is nothing that a crash could tear. Tasks may
        run again, as they may after any crash: mocks with ``times=`` count attempts.
        """
        if not callable(scenario):
            raise InvalidInput(
                f"crash_everywhere({scenario!r:.100}): the scenario is a function that takes an Env and gives a value"
            )
        expected, points = _scene(scenario, tuple(apps), seed, -1)
        for at in range(points):
            found, _ = _scene(scenario, tuple(apps), seed, at)
            if found != expected:
                when = f"{'after' if at % 2 else 'before'} commit {at // 2 + 1} of {(points + 1) // 2}"
                raise AssertionError(f"with a crash {when} the scenario gives {found!r}, without a crash {expected!r}")
        return expected

    # ---- the loop ---------------------------------------------------------------------------------------------------

    def _drive(self, work: Coroutine[Any, Any, T]) -> T:
        """Runs a coroutine on the virtual loop, then everything that follows without time passing."""
        if self._closed:
            work.close()
            raise WfeError("this Env is closed")
        try:
            asyncio.get_running_loop()
        except RuntimeError:
            pass
        else:
            work.close()
            raise WfeError("wfe.testing.Env drives a loop of its own: use it in a test that is not async")
        return self._world.loop.run_until_complete(self._and_rest(work))

    async def _and_rest(self, work: Coroutine[Any, Any, T]) -> T:
        value = await work
        await self._rest()
        return value

    async def _rest(self) -> None:
        """Until nothing happens any more. Tasks that sleep pass virtual time, as they would pass real time."""
        quiet = looks = 0
        end_s = self._world.loop.time() + TASK_MAX_S
        while looks < LOOKS_MAX and self._world.loop.time() < end_s:
            quiet = quiet + 1 if self._world.idle() else 0
            if quiet == 2:
                return
            looks += not self._world.busy_tasks
            await asyncio.sleep(LOOK_BUSY_S if self._world.busy_tasks else LOOK_S)
        if self._world.busy_tasks:
            raise Stuck(f"a task runs for longer than {TASK_MAX_S:g} s: mock it, or let the workflow do the waiting")
        raise Stuck("the engine does not come to rest: some run goes on for ever without waiting for time")

    async def _await(self, run: AsyncRun[Any], timeout_ms: int | None) -> RunOutcome:
        """Waits for the end of a run, moving the clock from timer to timer. Stuck when only a signal can help.

        Looks at the run instead of awaiting its end: a server forgets those who await when hours pass without a word.
        """
        world = self._world
        limit_ms = None if timeout_ms is None else world.now_ms() + timeout_ms
        while True:
            await self._rest()
            view = await fetch_view(self.client._open(), run.id)
            if view.status in ENDED:
                return RunOutcome(run.id, view.status, view.output, view.error)
            due_ms = world.next_timer_ms()
            if limit_ms is not None and (due_ms is None or due_ms > limit_ms):
                world.jump(limit_ms - world.now_ms())
                raise TimeoutError(f"run {run.id} has not ended within {timeout_ms} ms; it goes on")
            if due_ms is None:
                raise Stuck(await self._why(run))
            world.jump(due_ms - world.now_ms())

    async def _why(self, run: AsyncRun[Any]) -> str:
        info = await run.describe()
        waits = [f"{wait.kind} {wait.node!r}{f' ({wait.detail})' if wait.detail else ''}" for wait in info.waiting_for]
        return f"run {run.id} of {info.workflow!r} is {info.status} and no time helps; it waits for: " + (
            ", ".join(waits) or "nothing that is known"
        )

    def _open_link(self, address: str, on_frames: OnFrames) -> Link:
        world = self._world

        def deliver(peer: bytes, parts: list[bytes]) -> None:
            on_frames([(peer, parts)])

        return world.network.connect("client", address, world.fresh_identity("client"), deliver)


def _builtin(name: str) -> RegisteredTask:
    known = {task.name: task for task in with_builtin({}).values()}
    if name not in known:
        raise InvalidInput(f"no worker has a task {name!r} by itself; those that have a name: {', '.join(known)}")
    return known[name]


def _scene(scenario: Callable[[Env], T], apps: tuple[str, ...], seed: int, at: int) -> tuple[T, int]:
    with Env(*apps, seed=seed) as env:
        crashes = env._world.crashes
        crashes.at, crashes.seen = at, 0
        value = scenario(env)
        return value, crashes.seen
