"""Deleting a version while shards come and go: what the coordinator asks, holds back, gives up and remembers."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from support.coordinator_world import CLIENT, OTHER, World, constant, decode, encode
from wfe.core.canonical import canonical
from wfe.limits import COMMANDS_KNOWN_MAX, USAGE_ANSWER_MS
from wfe.model.definition import Definition, SubWorkflow
from wfe.wire.definitions import DefinitionChanged, DefinitionCommand, Usage, UsageQuestion
from wfe.wire.frames import Kind, decode_header, header
from wfe.wire.messages import Deploy, Resolve, StartRun

DELETE = DefinitionCommand("delete", "flow", 1, command_id="c1")


@pytest.fixture
def world() -> World:
    world = World(shards=2).serving()
    world.hello()
    world.hello(OTHER)
    world.deploy(constant("flow", 1))
    world.deploy(constant("flow", 2))
    world.effects.back.clear()
    return world


def ask(world: World, command: DefinitionCommand = DELETE) -> DefinitionChanged | str:
    """The answer, or the code of a refusal."""
    world.send(CLIENT, Kind.DEFINE, command)
    head, body = world.answer()
    if head.kind == Kind.ERROR:
        return str(world.error().code)
    changed: DefinitionChanged = decode(body, DefinitionChanged)
    return changed


def questions(world: World) -> list[UsageQuestion]:
    sent = [parts for _, parts in world.effects.back if decode_header(parts[-2]).kind == Kind.USAGE]
    return [decode(parts[-1], UsageQuestion) for parts in sent]


def answer(world: World, shard: int, number: int, runs: dict[str, str] | None = None) -> None:
    world.from_shard(shard, [header(Kind.USED), encode(Usage(number, runs or {}))])


def kept(world: World) -> list[int]:
    return sorted(world.catalogue.versions("flow"))


def test_nothing_is_deleted_before_every_shard_has_answered(world: World) -> None:
    assert ask(world) == DefinitionChanged("flow", [], done=False)
    first, second = questions(world)
    assert first == second
    answer(world, 0, first.number)
    answer(world, 0, first.number)
    assert ask(world) == DefinitionChanged("flow", [], done=False)
    assert kept(world) == [1, 2]
    answer(world, 1, first.number)
    assert kept(world) == [2]
    assert ask(world) == DefinitionChanged("flow", [1])
    assert ask(world) == DefinitionChanged("flow", [1]), "the same command gets the same answer"
    assert ask(world, msgspec.structs.replace(DELETE, command_id="c2")) == DefinitionChanged("flow", []), "it is gone"
    assert len(questions(world)) == 2


def test_one_run_is_enough_to_keep_it_and_late_answers_change_nothing(world: World) -> None:
    ask(world)
    [question, _] = questions(world)
    answer(world, 0, question.number, {question.hashes[0]: "0" * 26})
    assert ask(world) == "definition_in_use"
    assert "run 00000000000000000000000000 refers" in world.error().message
    answer(world, 1, question.number)
    assert kept(world) == [1, 2]
    assert ask(world, msgspec.structs.replace(DELETE, command_id="c2")) == DefinitionChanged("flow", [], done=False)


def test_no_run_of_it_begins_while_shards_are_asked(world: World) -> None:
    ask(world)
    start = encode([StartRun("0" * 26, msgspec.Raw(b"\xc0"))])
    world.effects.back.clear()
    world.send(OTHER, Kind.START, start, partition=0, workflow="flow", version=1)
    assert world.error(OTHER).code == "busy"
    world.from_shard(0, [header(Kind.RESOLVE), encode(Resolve("flow", 1))])
    assert world.effects.back == [], "the shard asks again"
    world.send(OTHER, Kind.START, start, partition=0, workflow="flow")
    world.from_shard(0, [header(Kind.RESOLVE), encode(Resolve("flow", 2))])
    assert len(world.effects.back) == 2, "other versions go on"
    number = 1
    answer(world, 0, number)
    answer(world, 1, number)
    world.send(OTHER, Kind.START, start, partition=0, workflow="flow", version=1)
    assert world.error(OTHER).code == "unknown_workflow"


def test_a_shard_that_ends_or_says_nothing_ends_the_deletion(world: World) -> None:
    ask(world)
    world.actor.on_child_exit("shard-1", 1, world.now_ms)
    assert ask(world) == "unavailable"
    assert kept(world) == [1, 2]
    assert ask(world, msgspec.structs.replace(DELETE, command_id="c2")) == "unavailable", "it does not serve yet"
    world.shard_hello(world.last_options("shard-1"))
    later = msgspec.structs.replace(DELETE, command_id="c3")
    assert ask(world, later) == DefinitionChanged("flow", [], done=False)
    world.pass_time(USAGE_ANSWER_MS)
    assert ask(world, later) == "unavailable"
    start: Any = encode([StartRun("0" * 26, msgspec.Raw(b"\xc0"))])
    world.effects.back.clear()
    world.send(OTHER, Kind.START, start, partition=0, workflow="flow", version=1)
    assert len(world.effects.back) == 1, "starts go on"


def test_a_version_that_is_made_current_while_shards_are_asked_is_kept(world: World) -> None:
    ask(world)
    [question, _] = questions(world)
    assert ask(world, DefinitionCommand("use", "flow", 1)) == DefinitionChanged("flow", [1])
    answer(world, 0, question.number)
    answer(world, 1, question.number)
    assert ask(world) == "definition_in_use"
    assert "is the current one" in world.error().message
    assert kept(world) == [1, 2]


def test_a_version_that_is_called_by_what_was_deployed_while_shards_are_asked_is_kept(world: World) -> None:
    ask(world)
    [question, _] = questions(world)
    caller = Definition("caller", nodes=(SubWorkflow(id="call", workflow="flow", version=1),))
    world.send(OTHER, Kind.DEPLOY, encode(Deploy([canonical(caller)])))
    answer(world, 0, question.number)
    answer(world, 1, question.number)
    assert ask(world) == "definition_in_use"
    assert "starts workflow 'flow'" in world.error().message
    assert kept(world) == [1, 2]


def test_commands_that_are_none_are_refused(world: World) -> None:
    assert ask(world, DefinitionCommand("delete", "flow", 1)) == "protocol"
    assert ask(world, DefinitionCommand("explode", "flow")) == "protocol"
    assert ask(world, DefinitionCommand("deprecate", "nobody")) == "unknown_workflow"
    assert ask(world, DefinitionCommand("deprecate", "flow", note="x" * 100_000)) == "invalid_input"
    world.send(CLIENT, Kind.DEFINE, b"\xff")
    assert world.error().code == "protocol"


def test_a_command_that_comes_again_does_not_undo_what_was_wished_since(world: World) -> None:
    def current() -> int:
        [found] = [each for each in world.catalogue.list() if each.name == "flow" and each.current]
        return found.version

    first, second = (Deploy([msgspec.json.encode(constant("flow", number))]) for number in (3, 4))
    world.send(CLIENT, Kind.DEPLOY, first, request=5)
    told = world.answer()
    world.send(OTHER, Kind.DEPLOY, second, request=5)
    assert current() == 4
    world.send(CLIENT, Kind.DEPLOY, first, request=5)
    assert (current(), world.answer()) == (4, told)
    use = DefinitionCommand("use", "flow", 1)
    world.send(OTHER, Kind.DEFINE, use, request=6)
    world.send(CLIENT, Kind.DEPLOY, first, request=6)
    world.hello(OTHER)
    world.send(OTHER, Kind.DEFINE, use, request=6)
    assert current() == 3


def test_a_command_that_comes_again_over_another_connection_is_answered_as_it_was(world: World) -> None:
    def current() -> int:
        [found] = [each for each in world.catalogue.list() if each.name == "flow" and each.current]
        return found.version

    deploy = Deploy([msgspec.json.encode(constant("flow", 3))], command_id="d1")
    untag = DefinitionCommand("untag", "flow", tag="stable", command_id="u1")
    refused = DefinitionCommand("use", "flow", 9, command_id="r1")
    world.send(CLIENT, Kind.DEFINE, DefinitionCommand("tag", "flow", 1, "stable", command_id="t1"), request=1)
    told = {}
    for request, (kind, wanted) in enumerate(
        [(Kind.DEPLOY, deploy), (Kind.DEFINE, untag), (Kind.DEFINE, refused)], start=2
    ):
        world.send(CLIENT, kind, wanted, request=request)
        told[request, kind] = (wanted, world.answer())
    world.send(OTHER, Kind.DEFINE, DefinitionCommand("use", "flow", 1, command_id="o1"), request=2)
    world.send(OTHER, Kind.DEFINE, DefinitionCommand("tag", "flow", 1, "stable", command_id="o2"), request=3)
    world.hello(b"client-again")
    for (request, kind), (wanted, answer) in told.items():
        world.send(b"client-again", kind, wanted, request=request)
        assert world.answer(b"client-again") == answer
    assert decode(told[3, Kind.DEFINE][1][1], DefinitionChanged).versions == [1], "there was such a tag"
    assert (current(), world.catalogue.tags("flow")) == (1, {"stable": 1})


def test_of_commands_only_the_last_ones_are_known_and_ids_are_short(world: World) -> None:
    use = DefinitionCommand("use", "flow", 1, command_id="first")
    assert ask(world, use) == DefinitionChanged("flow", [1])
    for number in range(COMMANDS_KNOWN_MAX):
        ask(world, DefinitionCommand("use", "flow", 1 + (number + 1) % 2, command_id=f"c{number}"))
    assert ask(world, use) == DefinitionChanged("flow", []), "it is forgotten, and changes nothing"
    assert ask(world, msgspec.structs.replace(use, command_id="x" * 1_000)) == "protocol"
    check = Deploy([msgspec.json.encode(constant("flow", 3))], check=True, command_id="d")
    world.send(CLIENT, Kind.DEPLOY, check, request=90)
    world.send(CLIENT, Kind.DEPLOY, msgspec.structs.replace(check, check=False), request=91)
    assert kept(world) == [1, 2, 3], "a check is no deploy"


def test_a_refusal_stays_one_when_the_command_comes_again(world: World) -> None:
    use = DefinitionCommand("use", "flow", 3)
    world.send(CLIENT, Kind.DEFINE, use, request=5)
    assert world.error().code == "unknown_workflow"
    world.deploy(constant("flow", 3))
    world.deploy(constant("flow", 4))
    world.send(CLIENT, Kind.DEFINE, use, request=5)
    assert world.error().code == "unknown_workflow"
    world.send(CLIENT, Kind.DEFINE, use, request=6)
    assert world.answer()[0].kind == Kind.REPLY
