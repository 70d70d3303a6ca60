"""The front door: tokens, routing without decoding, definitions, and every frame that makes no sense."""

from __future__ import annotations

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.coordinator_world import CLIENT, OTHER, TOKEN, WORKER, World, constant, decode, encode
from wfe.limits import BUSY_RETRY_MS, PEER_IDLE_MS, PEER_PROBE_MS, PEERS_MAX
from wfe.model.definition import Definition, Task
from wfe.wire.frames import PROTOCOL, Header, Kind, decode_header, encode_header, header
from wfe.wire.messages import (
    DefinitionFound,
    DefinitionQuery,
    Deploy,
    DeployOutcome,
    Hello,
    KnownWorkers,
    Resolve,
    Resolved,
    ServerStatus,
    Welcome,
)


def deploy_body(*definitions: Definition, check: bool = False, replace: bool = False) -> Deploy:
    return Deploy([msgspec.json.encode(definition) for definition in definitions], check, replace)


# ---- hello ----


def test_the_right_token_is_welcomed_with_what_a_client_needs() -> None:
    world = World(partitions=4).serving()
    world.send(CLIENT, Kind.HELLO, Hello(TOKEN), request=7)
    head, body = world.answer()
    welcome = decode(body, Welcome)
    assert (head.kind, head.request) == (Kind.WELCOME, 7)
    assert (welcome.server, welcome.partitions, welcome.time_ms) == ("server-1", 4, 1_700_000_000_000)
    assert [shard.up for shard in welcome.shards] == [True, True]


@pytest.mark.parametrize("token", ["", "wrong", TOKEN + "x", "é"])
def test_a_wrong_token_is_unauthorized_and_says_what_to_do(token: str) -> None:
    world = World().serving()
    world.send(CLIENT, Kind.HELLO, Hello(token), request=7)
    assert world.error().code == "unauthorized"
    assert "WFE_TOKEN" in world.error().message
    assert world.answer()[0].request == 7
    world.send(CLIENT, Kind.STATUS)
    assert world.error().code == "unauthorized"


def test_a_wrong_token_does_not_cost_a_known_peer_its_place() -> None:
    world = World().serving()
    world.hello()
    world.hello(token="wrong")
    world.send(CLIENT, Kind.PING, request=9)
    assert world.answer()[0] == Header(PROTOCOL, Kind.REPLY, request=9)


def test_nothing_but_hello_is_answered_before_hello() -> None:
    world = World().serving()
    for kind in (Kind.PING, Kind.STATUS, Kind.START, Kind.DEPLOY, Kind.WORKER_HELLO):
        world.send(CLIENT, kind, partition=0)
        assert world.error().code == "unauthorized"
    assert world.effects.back == []


# ---- routing ----


def test_a_frame_goes_to_the_shard_of_its_partition_with_the_clients_identity_and_an_untouched_body() -> None:
    world = World(shards=2, partitions=4).serving()
    world.hello()
    world.send(CLIENT, Kind.GET, b"\xffnot msgpack at all", partition=3, request=5)
    [(shard, parts)] = world.effects.back
    assert shard == world.identity(1)
    assert parts[0] == CLIENT
    assert parts[2] == b"\xffnot msgpack at all"
    head = decode_header(parts[1])
    assert (head.kind, head.partition, head.request) == (Kind.GET, 3, 5)


def test_the_principal_and_the_definition_are_the_coordinators_word() -> None:
    world = World().serving()
    world.deploy(constant("hello"))
    world.hello()
    world.send(CLIENT, Kind.START, b"x", partition=0, workflow="hello", principal="root", definition="forged")
    world.send(CLIENT, Kind.GET, b"x", partition=0, principal="root", definition="forged")
    start, get = (decode_header(parts[1]) for _, parts in world.effects.back)
    digest, version = world.catalogue.resolve("hello") or ("", 0)
    assert (start.definition, start.version, start.principal) == (digest, version, "token")
    assert (get.definition, get.principal) == ("", "token")


def test_a_start_of_a_version_gets_that_versions_definition() -> None:
    world = World().serving()
    world.deploy(constant("hello", 1))
    world.deploy(constant("hello", 2))
    world.hello()
    for version in (0, 1, 2):
        world.send(CLIENT, Kind.START, b"x", partition=0, workflow="hello", version=version)
    heads = [decode_header(parts[1]) for _, parts in world.effects.back]
    assert [head.version for head in heads] == [2, 1, 2]
    assert heads[0].definition == heads[2].definition != heads[1].definition


@pytest.mark.parametrize(
    ("name", "version", "hint"),
    [("other", 0, "deploy"), ("hallo", 0, "did you mean 'hello'?"), ("hello", 9, "it has 1")],
)
def test_an_unknown_workflow_or_version_is_refused_by_name(name: str, version: int, hint: str) -> None:
    world = World().serving()
    world.deploy(constant("hello"))
    world.hello()
    world.send(CLIENT, Kind.START, b"x", partition=0, workflow=name, version=version, request=3)
    assert world.error().code == "unknown_workflow"
    assert hint in world.error().message
    assert world.answer()[0].request == 3
    assert world.effects.back == []


def test_an_answer_goes_back_to_its_client_unread() -> None:
    world = World().serving()
    world.from_shard(0, [CLIENT, b"any header", b"any body"])
    assert world.effects.front[-1] == (CLIENT, [b"any header", b"any body"])


def test_a_partition_whose_shard_does_not_serve_is_unavailable_with_a_time_to_wait() -> None:
    world = World(shards=2).start()
    world.shard_hello(world.last_options("shard-0"))
    world.hello()
    world.send(CLIENT, Kind.GET, b"x", partition=1, request=4)
    assert world.error().code == "unavailable"
    assert world.error().retry_after_ms > 0
    world.effects.back.clear()
    world.send(CLIENT, Kind.GET, b"x", partition=0)
    assert [shard for shard, _ in world.effects.back] == [world.identity(0)]


def test_a_shard_whose_queue_is_full_is_busy_with_a_time_to_wait() -> None:
    world = World().serving()
    world.hello()
    world.effects.unreachable.add(world.identity(0))
    world.send(CLIENT, Kind.GET, b"x", partition=0)
    assert (world.error().code, world.error().retry_after_ms) == ("busy", BUSY_RETRY_MS)


# ---- frames that make no sense ----


@pytest.mark.parametrize("parts", [[], [b""], [b"x"], [b"x", b"y", b"z"], [b"\xc1", b""], [b"\x91" * 5_000, b""]])
def test_a_malformed_frame_is_answered_as_a_protocol_error_and_costs_nobody_else_anything(parts: list[bytes]) -> None:
    world = World().serving()
    world.hello(OTHER)
    world.actor.on_front(CLIENT, parts, world.now_ms)
    assert world.error(CLIENT).code == "protocol"
    world.send(OTHER, Kind.PING, request=1)
    assert world.answer(OTHER)[0].kind == Kind.REPLY


def test_another_protocol_version_is_told_to_upgrade() -> None:
    world = World().serving()
    head = encode_header(Header(PROTOCOL + 1, Kind.HELLO))
    world.actor.on_front(CLIENT, [head, encode(Hello(TOKEN))], world.now_ms)
    assert world.error().code == "protocol"
    assert "upgrade" in world.error().message


@pytest.mark.parametrize("partition", [-1, 4, 1 << 40])
def test_a_partition_that_does_not_exist_is_a_protocol_error(partition: int) -> None:
    world = World(partitions=4).serving()
    world.hello()
    world.send(CLIENT, Kind.GET, b"x", partition=partition)
    assert world.error().code == "protocol"


@pytest.mark.parametrize("kind", [0, Kind.WELCOME, Kind.REPLY, Kind.SHARD_HELLO, Kind.MAIL, Kind.DRAIN, 999])
def test_a_kind_that_clients_do_not_speak_is_a_protocol_error(kind: int) -> None:
    world = World().serving()
    world.hello()
    world.send(CLIENT, kind, partition=0)
    assert world.error().code == "protocol"
    assert world.effects.back == []


@pytest.mark.parametrize("kind", [Kind.HELLO, Kind.DEPLOY, Kind.DEFINITION])
@pytest.mark.parametrize("body", [b"", b"\xc1", b"\x91" * 5_000, b"\x93\x01\x02\x03"])
def test_a_malformed_body_is_a_protocol_error(kind: Kind, body: bytes) -> None:
    world = World().serving()
    world.hello()
    world.send(CLIENT, kind, body, request=2)
    assert world.error().code == "protocol"
    assert world.answer()[0].request == 2


@given(parts=st.lists(st.binary(max_size=60), max_size=5), known=st.booleans())
def test_no_frame_of_any_bytes_raises(parts: list[bytes], known: bool) -> None:
    world = World().serving()
    if known:
        world.hello()
    world.actor.on_front(CLIENT, parts, world.now_ms)
    world.actor.on_back(world.identity(0), parts, world.now_ms)
    world.actor.on_back(b"shard-9-9", parts, world.now_ms)


@given(kind=st.sampled_from(list(Kind)), body=st.binary(max_size=60), partition=st.integers(-2, 5))
def test_no_body_of_any_kind_raises(kind: Kind, body: bytes, partition: int) -> None:
    world = World().serving()
    world.hello()
    world.send(CLIENT, kind, body, partition=partition)
    world.from_shard(0, [header(kind, partition), body])


def test_a_worker_id_beyond_all_measure_is_refused() -> None:
    world = World().serving()
    world.hello(WORKER, role="worker", worker="w" * 100_000)
    assert world.error(WORKER).code == "protocol"
    assert world.effects.back == []


# ---- definitions ----


def test_a_deployed_definition_is_found_by_name_version_and_hash() -> None:
    world = World().serving()
    world.hello()
    world.send(CLIENT, Kind.DEPLOY, deploy_body(constant("hello", 1), constant("other", 1)))
    outcome = decode(world.answer()[1], DeployOutcome)
    told = [(d.workflow, d.version, d.changed, d.new) for d in outcome.deployed]
    assert told == [("hello", 1, True, True), ("other", 1, True, True)]
    digest = outcome.deployed[0].hash
    for query in (DefinitionQuery("hello"), DefinitionQuery("hello", 1), DefinitionQuery(hash=digest)):
        world.send(CLIENT, Kind.DEFINITION, query)
        found = decode(world.answer()[1], DefinitionFound)
        assert (found.workflow, found.version, found.hash) == ("hello", 1, digest)
        assert msgspec.json.decode(found.definition, type=Definition) == constant("hello", 1)


def test_a_list_of_definitions_has_all_versions_without_their_graphs() -> None:
    world = World().serving()
    world.deploy(constant("hello", 1))
    world.deploy(constant("hello", 2))
    world.hello()
    world.send(CLIENT, Kind.DEFINITION, DefinitionQuery())
    found = decode(world.answer()[1], list[DefinitionFound])
    assert [(f.version, f.current, f.definition) for f in found] == [(2, True, b""), (1, False, b"")]


def test_the_same_graph_again_changes_nothing_and_another_one_counts_up() -> None:
    world = World().serving()
    world.deploy(constant("hello", 1))
    world.hello()
    for value, expected in ((1, (1, False)), (2, (2, True))):
        world.send(CLIENT, Kind.DEPLOY, deploy_body(constant("hello", value)))
        [deployed] = decode(world.answer()[1], DeployOutcome).deployed
        assert (deployed.version, deployed.changed) == expected
        assert deployed.new is (deployed.changed and deployed.version == 1)


def test_an_explicit_version_with_another_graph_is_a_conflict_unless_it_may_be_replaced() -> None:
    world = World().serving()
    world.deploy(constant("hello", 1, version=3))
    world.hello()
    changed = constant("hello", 2, version=3)
    world.send(CLIENT, Kind.DEPLOY, deploy_body(changed))
    assert world.error().code == "version_conflict"
    world.send(CLIENT, Kind.DEPLOY, deploy_body(changed, replace=True))
    assert [d.version for d in decode(world.answer()[1], DeployOutcome).deployed] == [3]


def test_a_check_says_what_would_happen_and_registers_nothing() -> None:
    world = World().serving()
    world.hello()
    world.send(CLIENT, Kind.DEPLOY, deploy_body(constant("hello"), check=True))
    assert [d.changed for d in decode(world.answer()[1], DeployOutcome).deployed] == [True]
    assert world.catalogue.list() == []


def test_one_bad_definition_keeps_its_companions_out_and_all_findings_are_named() -> None:
    world = World().serving()
    world.hello()
    bad = Definition("bad", nodes=(Task(id="a", task="t", with_={"x": "${nowhere}"}),), output="${neither}")
    body = deploy_body(constant("good"), bad)
    body.definitions += [b"{", b'{"workflow": "x", "surprise": 1}', b"[" * 100_000]
    world.send(CLIENT, Kind.DEPLOY, body)
    error = world.error()
    assert error.code == "definition"
    assert all(text in error.message for text in ("nowhere", "neither", "definition 3", "surprise", "definition 5"))
    assert world.catalogue.list() == []


def test_a_workflow_twice_in_one_deploy_is_refused() -> None:
    world = World().serving()
    world.hello()
    world.send(CLIENT, Kind.DEPLOY, deploy_body(constant("hello", 1), constant("hello", 2)))
    assert world.error().code == "definition"
    assert "twice" in world.error().message


def test_an_unknown_hash_is_an_unknown_workflow() -> None:
    world = World().serving()
    world.hello()
    world.send(CLIENT, Kind.DEFINITION, DefinitionQuery(hash="0" * 32))
    assert world.error().code == "unknown_workflow"


def test_a_shard_resolves_by_hash_and_by_name_and_hears_of_what_is_not_there() -> None:
    world = World().serving()
    world.deploy(constant("hello"))
    digest = (world.catalogue.resolve("hello") or ("", 0))[0]
    for question in (Resolve(hash=digest), Resolve("hello"), Resolve("hello", 1)):
        world.from_shard(0, [header(Kind.RESOLVE, request=8), encode(question)])
        shard, (head, body) = world.effects.back[-1][0], world.effects.back[-1][1]
        answer = decode(body, Resolved)
        assert shard == world.identity(0)
        assert decode_header(head).request == 8
        assert (answer.workflow, answer.version, answer.hash) == (question.workflow, question.version, question.hash)
        assert answer.found_hash == digest
        assert msgspec.json.decode(answer.definition, type=Definition) == constant("hello")
    for question in (Resolve(hash="0" * 32), Resolve("nobody"), Resolve("hello", 5)):
        world.from_shard(0, [header(Kind.RESOLVE), encode(question)])
        answer = decode(world.effects.back[-1][1][1], Resolved)
        assert (answer.found_hash, answer.definition) == ("", b"")


# ---- workers, status, memory ----


def test_shards_hear_which_workers_there_are_when_one_comes_and_when_one_says_bye() -> None:
    world = World(shards=2).serving()
    world.hello(WORKER, role="worker", worker="w1")
    heard = [decode(parts[1], KnownWorkers) for _, parts in world.effects.back]
    assert [(known.workers, known.gone) for known in heard] == [(["w1"], []), (["w1"], [])]
    world.send(WORKER, Kind.BYE)
    assert decode(world.effects.back[-1][1][1], KnownWorkers).workers == []


def test_a_worker_that_comes_back_under_another_identity_is_the_same_worker() -> None:
    world = World().serving()
    world.hello(WORKER, role="worker", worker="w1")
    world.hello(b"worker-1-again", role="worker", worker="w1")
    assert world.actor.peers.workers() == {"w1": b"worker-1-again"}
    assert world.actor.peers.get(WORKER) is None


def test_a_worker_that_cannot_be_reached_is_forgotten() -> None:
    world = World().serving()
    world.hello(WORKER, role="worker", worker="w1")
    world.effects.unreachable.add(WORKER)
    world.pass_time(PEER_PROBE_MS)
    known = decode(world.effects.back[-1][1][1], KnownWorkers)
    assert (known.workers, known.gone) == ([], [])


def test_a_client_that_was_silent_for_long_says_hello_again() -> None:
    world = World().serving()
    world.hello()
    world.hello(OTHER)
    world.pass_time(PEER_IDLE_MS)
    world.send(OTHER, Kind.PING)
    world.pass_time(PEER_PROBE_MS)
    world.send(CLIENT, Kind.PING)
    assert world.error(CLIENT).code == "unauthorized"
    world.send(OTHER, Kind.PING)
    assert world.answer(OTHER)[0].kind == Kind.REPLY


def test_the_number_of_known_identities_is_bounded_and_workers_stay() -> None:
    world = World().serving()
    world.hello(WORKER, role="worker", worker="w1")
    for i in range(PEERS_MAX + 10):
        world.actor.peers.admit(b"%d" % i, Hello(TOKEN), world.now_ms)
    assert len(world.actor.peers) == PEERS_MAX
    assert world.actor.peers.get(WORKER) is not None
    assert world.actor.peers.get(b"0") is None


def test_status_names_shards_workers_and_workflows() -> None:
    world = World(shards=2).serving()
    world.deploy(constant("hello"))
    world.hello(WORKER, role="worker", worker="w1")
    world.hello()
    world.send(CLIENT, Kind.STATUS)
    status = decode(world.answer()[1], ServerStatus)
    assert (status.state, status.workflows, status.address) == ("serving", 1, "tcp://127.0.0.1:7700")
    assert [(shard.state, shard.partitions) for shard in status.shards] == [("serving", [0, 2]), ("serving", [1, 3])]
    assert [(worker.id, worker.local) for worker in status.workers] == [("w1", False)]
