"""Starts: idempotent by run id and by (namespace, workflow, key); validated against the definition's schema.

A start's outcome is decided in one batch with whatever it creates, so that run and key row share one commit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from hashlib import blake2b

import msgspec
from msgspec import Raw, structs

from wfe.core import decide
from wfe.core.plan import Plan
from wfe.core.schemas import apply_defaults
from wfe.core.values import encode_value, evaluate
from wfe.errors import DefinitionDeprecated, ExpressionError, InvalidInput, KeyConflict, PayloadTooLarge, WfeError
from wfe.limits import (
    FRESH_ID_MS,
    KEY_CHARS_MAX,
    PAYLOAD_BYTES_MAX,
    TAG_CHARS_MAX,
    TAGS_MAX,
)
from wfe.model.command import Begin
from wfe.model.definition import Definition
from wfe.model.event import KeyBound, RunStarted
from wfe.model.ids import is_run_id, partition_of, partition_of_key, time_text
from wfe.model.malformed import MALFORMED
from wfe.model.state import ENDED, NULL, RunState
from wfe.model.trace import parse
from wfe.partition.entry import Entry
from wfe.partition.partition import Partition
from wfe.partition.views import outcome
from wfe.shard.admission import Admission
from wfe.shard.core import Found, ShardCore, error_reply
from wfe.shard.loading import Compiled, Loader
from wfe.shard.turns import Turns
from wfe.wire.messages import RunOutcome, StartOutcome, StartRun

_decode = msgspec.msgpack.Decoder().decode
_decode_arguments = msgspec.msgpack.Decoder(dict[str, Raw]).decode
Told = Callable[[StartOutcome], None]


@dataclass(slots=True)
class Origin:
    """Who asks for a start, and by which version (0: the one that the name was resolved to).

    ``client``: where to send the run's end, if it is watched; mail has a parent instead. ``refusal``: why no new run
    may begin; a run that is known already is no new one.
    """

    client: bytes = b""
    principal: str = ""
    parent: str = ""
    parent_node: int = 0
    parent_act: int = 0
    depth: int = 0
    version: int = 0
    by_mail: bool = False
    refusal: str = ""


class Starts:
    def __init__(self, core: ShardCore, loader: Loader, turns: Turns, tail_full: Callable[[], bool]) -> None:
        self._core = core
        self._loader = loader
        self._turns = turns
        self._admission = Admission(core, tail_full)
        self.settled_ms = 0
        """From this time on ids of recently ended runs are complete (a restart forgets them)."""

    def start(
        self, partition: Partition, compiled: Compiled, wanted: StartRun, origin: Origin, told: Told, now_ms: int
    ) -> None:
        """Decide a start; ``told`` hears its outcome, perhaps later (when something must be loaded first)."""
        try:
            self._check(partition, compiled, wanted)
            if wanted.named:
                wanted = _with_its_input(compiled.plan.definition, wanted)
        except WfeError as error:
            told(StartOutcome(wanted.run_id, False, error_reply(error)))
            return
        entry = partition.entries.get(wanted.run_id)
        if entry is None and not self._surely_new(partition, wanted, now_ms):
            self._loader.run(
                partition,
                wanted.run_id,
                lambda found, later_ms: self._known_or_new(partition, compiled, wanted, origin, told, found, later_ms),
                now_ms,
                begins=compiled.plan.hash,
            )
            return
        self._known_or_new(partition, compiled, wanted, origin, told, entry, now_ms)

    def _check(self, partition: Partition, compiled: Compiled, wanted: StartRun) -> None:
        if not is_run_id(wanted.run_id) or partition_of(wanted.run_id) != partition.number:
            raise InvalidInput(f"{wanted.run_id!r} is not an id of a run in partition {partition.number}", "run_id")
        if len(wanted.input) > PAYLOAD_BYTES_MAX:
            raise PayloadTooLarge(
                f"an input of {len(wanted.input)} bytes is above the limit of {PAYLOAD_BYTES_MAX}: pass a path or URL"
            )
        if wanted.key:
            if len(wanted.key) > KEY_CHARS_MAX:
                raise InvalidInput(f"a key has at most {KEY_CHARS_MAX} characters", "key")
            home = partition_of_key(
                wanted.namespace, compiled.plan.definition.workflow, wanted.key, self._core.settings.partitions_total
            )
            if home != partition.number:
                raise InvalidInput(f"key {wanted.key!r} belongs to partition {home}", "key")
        if len(wanted.tags) > TAGS_MAX:
            raise InvalidInput(f"a run has at most {TAGS_MAX} tags", "tags")
        if wanted.tags and any(len(text) > TAG_CHARS_MAX for tag in wanted.tags.items() for text in tag):
            raise InvalidInput(f"names and values of tags have at most {TAG_CHARS_MAX} characters", "tags")

    def _surely_new(self, partition: Partition, wanted: StartRun, now_ms: int) -> bool:
        """A fresh id that neither memory nor the recently ended know needs no look-up in the store."""
        low, high = fresh_times(now_ms)
        fresh = low <= wanted.run_id[2:12] <= high  # as numbers, since digits sort like what they stand for
        left = wanted.run_id in partition.recent or wanted.run_id in partition.evicted
        settled = now_ms >= self.settled_ms and now_ms >= partition.settled_ms
        return fresh and settled and not wanted.resent and not left

    def _known_or_new(
        self,
        partition: Partition,
        compiled: Compiled,
        wanted: StartRun,
        origin: Origin,
        told: Told,
        found: Found,
        now_ms: int,
    ) -> None:
        if found is not None:
            self._known(found, wanted, origin, told, now_ms)
        elif not wanted.key:
            self._create(partition, compiled, wanted, origin, told, now_ms)
        else:
            workflow = compiled.plan.definition.workflow
            self._loader.key(
                partition,
                wanted.namespace,
                workflow,
                wanted.key,
                lambda bound, later_ms: self._by_key(partition, compiled, wanted, origin, told, bound, later_ms),
                now_ms,
                begins=compiled.plan.hash,
            )

    def _by_key(
        self,
        partition: Partition,
        compiled: Compiled,
        wanted: StartRun,
        origin: Origin,
        told: Told,
        bound: tuple[str, bytes] | None,
        now_ms: int,
    ) -> None:
        if bound is None:
            self._create(partition, compiled, wanted, origin, told, now_ms)
            return
        run_id, digest = bound
        if digest != input_digest(wanted.input):
            error = KeyConflict(f"key {wanted.key!r} names run {run_id}, which was started with another input")
            told(StartOutcome(run_id, False, error_reply(error)))
            return

        def known(found: Found, later_ms: int) -> None:
            if found is None:
                told(StartOutcome(run_id, False))
            else:
                self._known(found, wanted, origin, told, later_ms)

        self._loader.run(partition, run_id, known, now_ms)

    def _known(self, found: Entry | RunState, wanted: StartRun, origin: Origin, told: Told, now_ms: int) -> None:
        run = found.run if isinstance(found, Entry) else found
        if wanted.watch and origin.client:
            self.watch(found, origin.client, now_ms)
        told(StartOutcome(run.id, False))

    def watch(self, found: Entry | RunState, client: bytes, now_ms: int) -> None:
        """Send the run's end to a client: now, when it has ended, else when it does."""
        run = found.run if isinstance(found, Entry) else found
        if run.status in ENDED:
            ends: list[RunOutcome] = self._core.outcomes.setdefault(client, [])
            ends.append(outcome(run))
            return
        self._core.watchers.ask(run.id, client, None, now_ms)

    def _create(
        self, partition: Partition, compiled: Compiled, wanted: StartRun, origin: Origin, told: Told, now_ms: int
    ) -> None:
        core = self._core
        try:
            if origin.refusal:
                raise DefinitionDeprecated(origin.refusal)
            if not origin.by_mail:  # sub-workflows' room was reserved when their parent was admitted
                self._admission.check(origin.client, now_ms)
            made = self._input(compiled, wanted)
        except WfeError as error:
            told(StartOutcome(wanted.run_id, False, error_reply(error)))
            return
        plan = compiled.plan
        self._loader.store_definition(partition, compiled)
        version = origin.version or compiled.version
        due_ms = now_ms + plan.timeout_ms if plan.timeout_ms else 0
        event = RunStarted(  # by position, which takes half as long as by name
            wanted.run_id, plan.definition.workflow, version, plan.hash, made, now_ms, wanted.namespace, wanted.key,
            wanted.priority, wanted.tags, origin.principal, due_ms, origin.parent, origin.parent_node,
            origin.parent_act, origin.depth, self._trace(wanted, origin),
        )  # fmt: skip
        run = decide.start(plan, event)
        if plan.tags:
            event = structs.replace(event, tags={**_tags(run, plan, now_ms), **wanted.tags})
            run = decide.start(plan, event)
        entry = Entry(partition.number, run, plan)
        partition.entries[wanted.run_id] = entry
        core.live_runs += 1
        core.open_runs += 1
        core.counters["runs_started"] += 1
        core.tallies.run_started(run)
        if wanted.key:
            digest = input_digest(wanted.input)
            partition.emit(KeyBound(wanted.namespace, run.workflow, wanted.key, run.id, digest))
        if wanted.watch and origin.client:
            core.watchers.ask(run.id, origin.client, None, now_ms)
        self._turns.run(entry, now_ms, lambda turn: decide.begin(turn, event), Begin())
        told(StartOutcome(wanted.run_id, True))

    def _trace(self, wanted: StartRun, origin: Origin) -> str:
        """The trace that the run belongs to: its caller's or parent's; one of its own only without them."""
        given = parse(wanted.trace) if wanted.trace else ""
        return given if given or origin.by_mail else self._core.traces.context_of(wanted.run_id)

    def _input(self, compiled: Compiled, wanted: StartRun) -> Raw:
        """The input, checked and completed with defaults. Most definitions' check costs well under a microsecond."""
        try:
            value = _decode(wanted.input)
        except MALFORMED as error:
            raise InvalidInput(f"the input is not msgpack: {error}") from error
        made = wanted.input
        if compiled.has_defaults:
            completed = apply_defaults(compiled.plan.definition, value)
            if completed is not value:
                value, made = completed, encode_value(completed)
        problem = compiled.validator.check(value)
        if problem is not None:
            raise InvalidInput(f"workflow {compiled.plan.definition.workflow}: {problem[1]}", problem[0])
        return made.copy()


@lru_cache(maxsize=1)
def fresh_times(now_ms: int) -> tuple[str, str]:
    """The first and the last start time of run ids that count as fresh, as it stands in them."""
    return time_text(max(0, now_ms - FRESH_ID_MS)), time_text(now_ms + FRESH_ID_MS)


def _with_its_input(definition: Definition, wanted: StartRun) -> StartRun:
    """Arguments by name as the input that the run has: no parameter: null, one: its value, several: the object.

    An object that names something else stays as it is, for the schema to judge.
    """
    if len(definition.params) > 1:
        return wanted
    try:
        given = _decode_arguments(wanted.input)
    except (msgspec.DecodeError, RecursionError) as error:
        raise InvalidInput(f"arguments by name are an object: {error}") from error
    if given and given.keys() != definition.params.keys():
        return wanted
    return structs.replace(wanted, input=next(iter(given.values()), NULL).copy(), named=False)


def _tags(run: RunState, plan: Plan, now_ms: int) -> dict[str, str]:
    """The tags that the definition computes from the input."""
    tags: dict[str, str] = {}
    for name, template in plan.tags.items():
        try:
            value = evaluate(run, plan, 0, 0, template, now_ms)
        except ExpressionError:
            continue  # a tag is a help for searching: it must not cost the run
        tags[name] = (value if isinstance(value, str) else str(value))[:TAG_CHARS_MAX]
    return tags


def input_digest(data: Raw | bytes) -> bytes:
    """What tells one input from another, for keys."""
    return blake2b(bytes(data), digest_size=16).digest()
