"""Simulated clients: the production session, and people who start, repeat, signal, pause, cancel and ask at random.

Plays `client.connection`. Everything that the server answered is told to the auditor. A client forgets nothing of what
it started, so that its later commands meet runs that go on, have ended, or never were.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from msgspec import Raw, msgpack

from wfe.client.session import Session
from wfe.client.starts import StartBatch
from wfe.errors import Busy, Disconnected, InvalidInput, RunClosed, Unavailable, UnknownRun, WfeError
from wfe.model.ids import partition_of, partition_of_key
from wfe.sim.catalogue import Cataloguing
from wfe.sim.chance import SeededRandom
from wfe.sim.interventions import LOOKED_AT, Interventions
from wfe.sim.messages import HUGE, HUGE_SHARE, WRONG_INPUTS, is_refused, message
from wfe.sim.node import Node, Violation
from wfe.wire.frames import Kind
from wfe.wire.messages import (
    ControlRun,
    FindRun,
    GetRun,
    HistoryPage,
    HistoryQuery,
    ListRuns,
    RunPage,
    RunView,
    SignalRun,
    StartRun,
)

if TYPE_CHECKING:
    from wfe.sim.world import World

RELINK_MS = 10_000
encode = msgpack.Encoder().encode
_decode_view = msgpack.Decoder(RunView).decode
_decode_page = msgpack.Decoder(HistoryPage).decode
_decode_list = msgpack.Decoder(RunPage).decode
MAYBE = (Disconnected, Busy, Unavailable)
"""Errors that say nothing about what happened."""
KEYS = 12
PATIENCE = 5
"""How much longer somebody waits who is not answered."""
ENOUGH = 0.95
"""Share of starts that are left when there are enough runs."""


class ClientNode(Node):
    """One client process. ``busy``: it goes on acting at random."""

    def __init__(self, world: World, name: str) -> None:
        super().__init__(world, name)
        self.offset_ms = world.chance("clocks").randint(0, 10**9)
        self._random = world.chance(name)
        self._dice = SeededRandom(self._random.getrandbits(64))
        self.runs: list[str] = []
        self._events: list[tuple[str, str, str, Any, str]] = []
        self.busy = True
        self.open = 0
        """Requests that wait for an answer."""
        self._timer_ms = 0
        self._timer_number = 0
        self._relinked_ms = self.now_ms()
        self._dealer: Any = None
        self._interventions = Interventions(self, world.interventions)
        self._cataloguing = Cataloguing(self, world.catalogued)
        self.watching: set[Any] = set()
        """Ends that were asked for and not heard yet."""
        self.session = Session(self._send, self._dice, lambda: "token", who=("sim", ""))
        self.after(self._random.randint(1_000, 200_000), f"boot {name}", self._boot)

    # ---- the loop's side --------------------------------------------------------------------------------------------

    def _boot(self) -> None:
        self._link()
        self.session.open(self.now_ms())
        self._arm()
        self._act()

    def _link(self) -> None:
        if self._dealer is not None:
            self._dealer.close()

        def on_frame(_peer: bytes, parts: list[bytes]) -> None:
            if self._dealer is dealer:
                self.session.on_frame(parts, self.now_ms())
                self._arm()

        identity = self.world.fresh_identity(self.name)
        dealer = self._dealer = self.world.network.connect(
            self.name, self.world.front_address, identity, self.incoming(on_frame)
        )

    def _send(self, parts: list[bytes]) -> bool:
        sent: bool = self._dealer.send(b"", parts)
        return sent

    def _arm(self) -> None:
        due_ms = self.session.due_ms
        if self.session.failed is not None:
            raise Violation(f"{self.name}'s session has failed: {self.session.failed!r}")
        if due_ms >= 1 << 61 or (self._timer_ms and self._timer_ms <= due_ms):
            return
        self._timer_ms = due_ms
        self._timer_number += 1
        delay_us = max(0, due_ms - self.now_ms()) * 1_000 + 1_000
        self.world.schedule.after(delay_us, self._timer, self._timer_number)

    def _timer(self, number: int) -> None:
        if number == self._timer_number and self.alive:
            self._step(f"timer {self.name}", self._tick, ())

    def _tick(self) -> None:
        self._timer_ms = 0
        now_ms = self.now_ms()
        self.session.on_tick(now_ms)
        if self.session.silent_ms(now_ms) > RELINK_MS and now_ms - self._relinked_ms > RELINK_MS:
            self._relinked_ms = now_ms
            self._link()
            self.session.reopened(now_ms)
        self._arm()

    def die(self, code: int) -> None:
        if self.alive:
            super().die(code)
            if self._dealer is not None:
                self._dealer.close()
            self.world.ended(self, code)

    # ---- what people do ---------------------------------------------------------------------------------------------

    def _act(self) -> None:
        if not self.busy:
            return
        pause_us = self.world.swarm.pause_us
        if self.session.welcome is None or self.open >= 20:
            pause_us *= PATIENCE
        else:
            name = self._random.choice(self.world.swarm.actions)
            action: Callable[[], None] = getattr(self, f"_{name}")
            action()
            self._interventions.act()
            self._cataloguing.act()
            self._arm()
        self.after(int(self._random.expovariate(1 / pause_us)) + 1, f"act {self.name}", self._act)

    def go_on(self) -> None:
        """Act again, after a time of quiet."""
        self.busy = True
        self._act()

    def _enough(self) -> bool:
        """Whether there is work enough. Now and then it does not matter: what goes on may all wait for signals."""
        world = self.world
        return world.auditor.open_runs >= world.swarm.open_runs_max and self._random.random() < ENOUGH

    def _start(self) -> None:
        if self._enough():
            return
        workflow = self._random.choice(self.world.program.started)
        runs = [
            StartRun("", Raw(encode(self._random.randint(1, 6))), watch=True)
            for _ in range(self._random.choice((1, 1, 1, 2, 5, 20)))
        ]
        self._submit(workflow, runs)

    def _start_key(self) -> None:
        if self._enough():
            return
        workflow = self._random.choice(self.world.program.started)
        runs = [
            StartRun(
                "",
                Raw(encode(self._random.choice((1, 1, 1, 2)))),
                f"key-{self._random.randint(1, KEYS)}",
                watch=self._random.random() < 0.5,
            )
            for _ in range(self._random.choice((1, 1, 3)))
        ]
        self._submit(workflow, runs)

    def _start_badly(self) -> None:
        value = HUGE if self._random.random() < HUGE_SHARE else self._random.choice(WRONG_INPUTS)
        self._submit(self._random.choice(self.world.program.started), [StartRun("", Raw(encode(value)))])

    def _submit(self, workflow: str, runs: list[StartRun]) -> None:
        auditor = self.world.auditor
        self.world.expiry.named.update(auditor.key_of(workflow, run.key) for run in runs if run.key)
        asked = [(run.input, run.key) for run in runs]
        minted: list[str] = []

        def each(index: int, error: WfeError | None) -> None:
            self.open -= 1
            self._started(workflow, asked[index], minted[index] if minted else "", batch, index, error)

        batch = StartBatch(runs, each=each, bulk=len(runs) > 1)
        self.open += len(runs)
        self.session.start(workflow, 0, batch, self.now_ms())
        minted += [run.run_id for run in runs]
        for run_id, (data, key) in zip(minted, asked, strict=True):
            auditor.answers.start_asked(run_id, workflow, data, key)
        for watch in batch.watches:
            if watch is not None:
                self._follow(watch)

    def _started(
        self, workflow: str, asked: tuple[Raw, str], minted: str, batch: StartBatch, index: int, error: WfeError | None
    ) -> None:
        run_id = batch.runs[index].run_id
        if error is None:
            self.runs.append(run_id)
            self.world.auditor.answers.start_answered(minted, run_id, workflow, *asked, batch.created[index])
            return
        self.watching.discard(batch.watches[index])
        if isinstance(error, Busy) and error.retry_after_s <= 0:
            raise Violation(f"a start of {workflow} is refused as {error!r}, without a word when to come again")
        if not isinstance(error, MAYBE):
            self.world.auditor.answers.start_refused(minted, workflow, *asked, error)

    def _follow(self, watch: Any) -> None:
        def settled() -> None:
            self.watching.discard(watch)
            if watch.outcome is not None:
                self.world.auditor.answers.outcome_seen(watch.outcome)

        self.watching.add(watch)
        watch.when_settled(settled)

    def _request(
        self, kind: Kind, body: Any, then: Callable[[bytes | None, WfeError | None], None], partition: int
    ) -> None:
        def done(reply: bytes | None, error: WfeError | None) -> None:
            self.open -= 1
            if not isinstance(error, MAYBE):
                then(reply, error)

        self.open += 1
        self.session.request(kind, encode(body), done, self.now_ms(), partition=partition)
        self._arm()

    def _some_run(self) -> str:
        run_id = self._random.choice(self.runs[-200:]) if self.runs else ""
        self.world.expiry.named.add(run_id)
        return run_id

    def _waiting_run(self) -> str:
        """One that waits for a signal, if chance finds one; else any."""
        runs = self.world.auditor.runs
        for run_id in self._random.choices(self.runs[-200:], k=LOOKED_AT) if self.runs else ():
            if runs[run_id].awaited:
                self.world.expiry.named.add(run_id)
                return run_id
        return self._some_run()

    def _signal(self) -> None:
        if not (run_id := self._waiting_run()):
            return
        if self._events and self._random.random() < 0.2:
            self.signal(*self._random.choice(self._events[-20:]))
            return
        number = self._random.randint(0, 10**6)
        wanted = list(self.world.auditor.runs[run_id].awaited.values())
        if wanted and self._random.random() < 0.5:
            name, correlation = self._random.choice(wanted)
            payload = message(number, name)[2]
        else:
            name, correlation, payload = message(number)
        said = (run_id, name, f"{self.name}-{number}-{len(self._events)}", payload, correlation)
        self._events.append(said)
        self.signal(*said)

    def signal(self, run_id: str, name: str, event_id: str, payload: Any, correlation: str = "") -> None:
        refused = is_refused(self.world.auditor.runs[run_id].shape.definition, name, payload)

        def then(reply: bytes | None, error: WfeError | None) -> None:
            if isinstance(error, UnknownRun):
                self.world.expiry.forgotten(run_id, f"signal {name}")
            elif error is None and not refused:
                self.world.auditor.answers.signal_answered(run_id, name, event_id)
            elif not isinstance(error, RunClosed) and not (refused and isinstance(error, InvalidInput)):
                raise Violation(f"signal {name} with {payload!r} to {run_id} is answered with {error!r}")

        asked = SignalRun(run_id, name, Raw(encode(payload)), event_id, correlation)
        self._request(Kind.SIGNAL, asked, then, partition_of(run_id))

    def _cancel(self) -> None:
        self.control(self._some_run(), "cancel", compensate=self._random.random() < 0.7)

    def _pause(self) -> None:
        self.control(self._some_run(), "pause")

    def _resume(self) -> None:
        self.control(self._some_run(), "resume")

    def control(self, run_id: str, action: str, *, compensate: bool = True) -> None:
        if not run_id:
            return
        command = f"{self.name}-{self._dice.bits(64):x}"
        if not compensate:
            self.world.auditor.hard.add(command)

        def then(reply: bytes | None, error: WfeError | None) -> None:
            if isinstance(error, UnknownRun):
                self.world.expiry.forgotten(run_id, action)
            elif error is None:
                self.world.auditor.answers.control_answered(run_id, action, command)
            elif not isinstance(error, RunClosed):
                raise Violation(f"{action} of {run_id} is answered with {error!r}")

        self._request(Kind.CONTROL, ControlRun(run_id, action, command, compensate), then, partition_of(run_id))

    def _get(self) -> None:
        if not (run_id := self._some_run()):
            return
        floor = self.world.auditor.known_seq(run_id)

        def then(reply: bytes | None, error: WfeError | None) -> None:
            if isinstance(error, UnknownRun):
                return self.world.expiry.forgotten(run_id, "a read")
            if error is not None or reply is None:
                raise Violation(f"the acknowledged run {run_id} is answered with {error!r}")
            return self.world.auditor.answers.view_seen(_decode_view(reply), floor)

        self._request(Kind.GET, GetRun(run_id), then, partition_of(run_id))

    def _find(self) -> None:
        workflow, key = self._random.choice(self.world.program.started), f"key-{self._random.randint(1, KEYS)}"
        bound = self.world.auditor.key_of(workflow, key)
        self.world.expiry.named.add(bound)

        def then(reply: bytes | None, error: WfeError | None) -> None:
            if reply is not None:
                self.world.auditor.answers.found(workflow, key, _decode_view(reply))
            elif isinstance(error, UnknownRun) and bound is not None:
                self.world.expiry.forgotten(bound, f"key {key}")
            elif not isinstance(error, UnknownRun):
                raise Violation(f"key {key} of {workflow} names {bound}, but is answered with {error!r}")

        partitions = self.world.partitions
        partition = partition_of_key("default", workflow, key, partitions)
        self._request(Kind.FIND, FindRun(workflow, key), then, partition)

    def _history(self) -> None:
        if not (run_id := self._some_run()):
            return
        floor = self.world.auditor.known_seq(run_id)

        def then(reply: bytes | None, error: WfeError | None) -> None:
            if isinstance(error, UnknownRun):
                return self.world.expiry.forgotten(run_id, "the history")
            if error is not None or reply is None:
                raise Violation(f"the history of the acknowledged run {run_id} is answered with {error!r}")
            return self.world.auditor.answers.history_seen(run_id, _decode_page(reply), floor)

        self._request(Kind.HISTORY, HistoryQuery(run_id), then, partition_of(run_id))

    def _list(self) -> None:
        self.list_runs(self._random.randrange(self.world.partitions), 10_000)

    def list_runs(self, partition: int, limit: int) -> None:
        floor = self.world.auditor.runs_of(partition)

        def then(reply: bytes | None, error: WfeError | None) -> None:
            if error is not None or reply is None:
                raise Violation(f"a list is answered with {error!r}")
            self.world.auditor.answers.list_seen(partition, _decode_list(reply), floor)

        self._request(Kind.LIST, ListRuns(limit=limit), then, partition)

    def _deploy(self) -> None:
        self._cataloguing.deploy(self.world.program.another())

    def follow(self, run_id: str) -> None:
        """Ask for a run's end."""
        self._follow(self.session.watch(run_id, self.now_ms()))
        self._arm()
