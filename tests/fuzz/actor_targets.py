"""What arrives in frames: at the coordinator's front and back, at a shard from clients and workers, at a worker, at a
client's session. After every frame the actor must still serve a good one.
"""

from __future__ import annotations

from typing import Any

import msgspec
from msgspec import Raw
from mutations import join_parts, split_parts

from support import coordinator_world, worker_engine
from support.client_world import World as ClientWorld
from support.client_world import a_run
from support.shards import CLIENT, TOKEN, Host
from wfe.client.replies import decoder_of
from wfe.core.canonical import canonical, definition_hash
from wfe.errors import ProtocolError, WfeError
from wfe.model.definition import Definition, Map, Set, Sleep, Task, WaitSignal
from wfe.model.ids import mint_run_id
from wfe.model.policy import ErrorInfo
from wfe.wire import messages as m
from wfe.wire.definitions import CarryQuery, DefinitionCommand, Usage
from wfe.wire.frames import PROTOCOL, Header, Kind, decode_header, encode_header, header
from wfe.wire.rebalance import Adopted, Handed, Rebalance

encode = msgspec.msgpack.encode
NUMBER = {"type": "integer"}
FLOW = Definition(
    "flow",
    params={"n": NUMBER, "items": {}},
    nodes=(
        Map(id="each", items="items", as_="i", do=(Set(id="v", value={"i": "${i}"}),)),
        Task(id="t", task="double", with_={"n": "${n}"}, returns=NUMBER),
        Set(id="more", value="${t + 1}"),
        Map(id="odd", items="t", as_="j", do=(Set(id="w", value="${j}"),), if_="t != t + 0"),
        Sleep(id="nap", duration_ms=1_000),
        WaitSignal(id="go", signal="go", schema=NUMBER),
    ),
    output="${t + go}",
)
OTHER_FLOW = msgspec.structs.replace(FLOW, nodes=(*FLOW.nodes[1:], Set(id="last", value="${each}")))
INPUT = encode({"n": 5, "items": [1, 2]})
RUN_ID = mint_run_id(0, 1_000_000_000, 7)


def frame(kind: Kind, body: Any = None, **fields: Any) -> bytes:
    return join_parts([encode_header(Header(PROTOCOL, int(kind), **fields)), encode(body)])


# ---- decoders of headers --------------------------------------------------------------------------------------------


def frame_header(data: bytes) -> None:
    try:
        decode_header(data)
    except ProtocolError:
        return


HEADERS = [header(Kind.PING), encode_header(Header(PROTOCOL, 10, 3, 4, "flow", 1, "0" * 32, "token"))]


# ---- the coordinator ------------------------------------------------------------------------------------------------

FRONT = [
    frame(Kind.HELLO, m.Hello(coordinator_world.TOKEN, "client", "test")),
    frame(Kind.HELLO, m.Hello(coordinator_world.TOKEN, "worker", "test", "w1"), request=3),
    frame(Kind.START, [m.StartRun(RUN_ID, Raw(b"\x01"), "key")], partition=0, workflow="good", request=1),
    *(frame(kind, None, partition=1, request=2) for kind in (Kind.AWAIT, Kind.GET, Kind.LIST, Kind.CONTROL)),
    *(frame(kind, None, request=4) for kind in (Kind.PING, Kind.STATUS, Kind.BYE, Kind.HEARTBEAT)),
    frame(Kind.DEPLOY, m.Deploy([msgspec.json.encode(FLOW)], True), request=5),
    frame(Kind.DEFINITION, m.DefinitionQuery("good", 1)),
    frame(Kind.DEFINITION, m.DefinitionQuery("", 0, "0" * 32)),
    frame(Kind.DEFINE, DefinitionCommand("delete", "good", 1, command_id="c1"), request=6),
    frame(Kind.DEFINE, DefinitionCommand("tag", "good", 0, "stable", "why"), request=7),
    frame(Kind.DEFINE, DefinitionCommand("deprecate", "good", note="why"), request=8),
    frame(Kind.REBALANCE, Rebalance("a", [(0, 1), (2, 1)]), request=9),
    frame(Kind.REBALANCE, Rebalance("b", dry_run=True), request=10),
]


def coordinator_front(data: bytes) -> None:
    """Anybody's frame, before and after a hello."""
    world = coordinator_world.World().serving()
    world.deploy(coordinator_world.constant("good"))
    for peer in (b"stranger", coordinator_world.CLIENT):
        if peer == coordinator_world.CLIENT:
            world.hello(peer)
        world.actor.on_front(peer, split_parts(data), world.now_ms)
    world.pass_time(1_000)
    world.hello(b"honest")
    world.send(b"honest", Kind.DEFINITION, m.DefinitionQuery("good"), request=9)
    assert world.answer(b"honest")[0].kind == Kind.REPLY
    world.send(b"honest", Kind.GET, m.GetRun(RUN_ID), partition=0)
    moves = 0 in world.actor.topology.held  # as a client may ask for: then it is told to come again
    assert moves or world.effects.back[-1][1][0] == b"honest"


BACK = [
    frame(Kind.SHARD_STATS, m.ShardStats(0, 1, 5, {"commits": 1}, {"runs": 2}, {"commit": m.Latency(1, 2, 3, 4)})),
    frame(Kind.SHARD_HELLO, m.ShardHello(0, 1, 7, "ipc://a", "tcp://127.0.0.1:1", [0, 2])),
    frame(Kind.RESOLVE, m.Resolve("good", 0), request=3),
    frame(Kind.RESOLVE, m.Resolve("", 0, "0" * 32)),
    frame(Kind.MAIL, [m.Mail(0, 1, 1, 1, Raw(b"\xc0"))], partition=1),
    frame(Kind.MAIL_ACK, [m.MailAck(0, 1, 1)], partition=1),
    frame(Kind.DRAINED),
    frame(Kind.HANDED, Handed(1, 0)),
    frame(Kind.ADOPTED, Adopted(2, 0)),
    frame(Kind.USED, Usage(1, {"0" * 32: RUN_ID})),
    join_parts([b"client", header(Kind.REPLY), b"\xc0"]),
]


def coordinator_back(data: bytes) -> None:
    """A shard's frame."""
    world = coordinator_world.World().serving()
    world.deploy(coordinator_world.constant("good"))
    world.from_shard(0, split_parts(data))
    world.pass_time(1_000)
    world.hello()
    world.send(coordinator_world.CLIENT, Kind.STATUS)
    assert world.answer()[0].kind == Kind.REPLY
    world.effects.back.clear()
    world.from_shard(0, [header(Kind.RESOLVE), encode(m.Resolve("good"))])
    assert decode_header(world.effects.back[-1][1][0]).kind == Kind.RESOLVED


# ---- a shard --------------------------------------------------------------------------------------------------------

_START = {"workflow": "flow", "version": 1, "definition": definition_hash(FLOW)}
PARENT = m.NULL
SHARD_CLIENT = [
    frame(Kind.START, [m.StartRun(RUN_ID, Raw(INPUT), watch=True)], partition=0, request=1, **_START),
    frame(Kind.START, [m.StartRun(RUN_ID, Raw(INPUT), "k", 3, {"a": "b"})] * 2, partition=0, request=1, **_START),
    frame(Kind.AWAIT, [RUN_ID], partition=0, request=2),
    frame(Kind.GET, m.GetRun(RUN_ID), partition=0, request=3),
    frame(Kind.FIND, m.FindRun("flow", "k"), partition=0, request=4),
    frame(Kind.HISTORY, m.HistoryQuery(RUN_ID, 1, 10, True), partition=0, request=5),
    frame(Kind.HISTORY, m.HistoryQuery(RUN_ID), partition=0, request=5),
    frame(Kind.LIST, m.ListRuns("running", "flow", "k", {"a": "b"}, 10, RUN_ID), partition=0, request=6),
    frame(Kind.LIST, m.ListRuns(after=RUN_ID), partition=0, request=6),
    frame(Kind.SIGNAL, m.SignalRun(RUN_ID, "go", Raw(b"\x02"), "e1"), partition=0, request=7),
    frame(Kind.CONTROL, m.ControlRun(RUN_ID, "pause", "c1"), partition=0, request=8),
    frame(Kind.CARRY, CarryQuery("flow", canonical(OTHER_FLOW), definition_hash(OTHER_FLOW)), partition=0, request=9),
]


def _host() -> Host:
    """A shard with one run that waits for its task's result, which worker w1 holds."""
    host = Host(FLOW, tasks={"double": lambda n: 2 * n})
    host.hello()
    host.start("flow", {"n": 1, "items": [1]}, run_id=RUN_ID)
    return host


def _serves(host: Host) -> None:
    """A good start runs to its end, and lists answer."""
    for _ in range(5):
        host.turn()
    host.hello(b"honest", credit=1_000)
    started = host.start("flow", {"n": 21, "items": [1]})
    assert started.error is None, started
    for _ in range(6):
        host.turn()
        host.work(b"honest")
    assert isinstance(host.ask(Kind.LIST, 0, m.ListRuns(), m.RunPage), m.RunPage)
    found = host.get(started.run_id)
    assert isinstance(found, m.RunView), found
    assert host.shard.core.counters["runs_quarantined"] == 0


def shard_client(data: bytes) -> None:
    """A client's frame, as the coordinator passes it on."""
    host = _host()
    parts = split_parts(data)
    host.shard.on_back([CLIENT, *parts], host.now_ms)
    for _ in range(4):
        host.turn()
    host.back.clear()
    host.replies.clear()
    _serves(host)


SHARD_WORKER = [
    frame(Kind.WORKER_HELLO, m.WorkerHello(TOKEN, "w1", [("double", 1)], 4, [m.TaskRef(RUN_ID, 0, 0, 1)]), request=1),
    frame(Kind.WORKER_HELLO, m.WorkerHello(TOKEN, "w2", [("double", 1)], 4, [], True, 1, {"a": "b"})),
    frame(Kind.CREDIT, m.Credit(10, 1 << 20)),
    frame(Kind.RESULTS, m.Results(1, [m.TaskResult(RUN_ID, 0, 0, 1, 0, Raw(b"\x02"), None, 9)])),
    frame(Kind.RESULTS, m.Results(1, [m.TaskResult(RUN_ID, 0, 0, 1, 1, m.NULL, ErrorInfo("E", "no", types=("E",)))])),
    frame(Kind.HEARTBEAT, m.WorkerHeartbeat(1, 1, [m.TaskBeat(m.TaskRef(RUN_ID, 0, 0, 1), Raw(b"\x01"), 0.5)])),
    frame(Kind.RECALL),
    frame(Kind.BYE),
]


def shard_worker(data: bytes) -> None:
    """A frame of a worker that holds a task, and of one that nobody knows."""
    host = _host()
    for peer in (b"w1", b"stranger"):
        host.shard.on_worker(peer, split_parts(data), host.now_ms)
    host.worker_frame(Kind.RECALL, None)
    for _ in range(4):
        host.turn()
    host.workers.clear()
    _serves(host)


# ---- a worker -------------------------------------------------------------------------------------------------------

_SPECS = [worker_engine.spec("a", size=9), worker_engine.spec("b", previous=Raw(b"\x01"))]
_SHARDS = [m.ShardEndpoint(0, 1, "ipc://a", "tcp://b"), m.ShardEndpoint(1, 2, "", "")]
WORKER = [
    frame(Kind.WELCOME, m.Welcome("s", 4, 5, _SHARDS)),
    frame(Kind.ERROR, m.ErrorReply("unauthorized", "no")),
    frame(Kind.WORKER_WELCOME, m.WorkerWelcome(1, 10_000), request=1),
    frame(Kind.DISPATCH, m.Dispatch(1, _SPECS)),
    frame(Kind.RESULTS_ACK, m.Ack(1)),
    frame(Kind.LOAD, m.ShardLoad(3, 0)),
    frame(Kind.RETURNED, m.Credit(1, 2)),
    frame(Kind.CANCEL_TASKS, [m.TaskRef("a", 0, 0, 1)]),
    frame(Kind.REJECT),
]


def worker(data: bytes) -> None:
    """A frame from the coordinator and from a shard."""
    engine = worker_engine.Engine().join()
    for link in (worker_engine.COORDINATOR, 0, 5):
        engine.actor.on_frame(link, split_parts(data), engine.now_ms)
    for _ in range(3):
        engine.tick(1_000)
    while engine.started:  # a task that must be alone is started once the others have ended, and keeps new ones out
        specs, engine.started = engine.started, []
        engine.end(*(worker_engine.result_of(spec) for spec in specs))
        engine.tick()
    engine.welcome()
    engine.endpoints = [m.ShardEndpoint(0, 2**62, "ipc://new", "tcp://new")]
    engine.welcome()
    engine.welcome_from(0)
    engine.dispatch(0, 1, worker_engine.spec("good"))
    assert [spec.run_id for spec in engine.started] == ["good"]


# ---- a client -------------------------------------------------------------------------------------------------------

SESSION = [
    frame(Kind.WELCOME, m.Welcome("server", 4, 5, [m.ShardEndpoint(0, 1, "", "")], 1 << 23, 10_000), request=1),
    frame(Kind.REPLY, [m.StartOutcome(RUN_ID, True)], request=2),
    frame(Kind.REPLY, [m.StartOutcome(RUN_ID, False, m.ErrorReply("busy", "later", "", 10))], request=2),
    frame(Kind.REPLY, m.RunView(RUN_ID, "flow", 1, "running"), request=3),
    frame(Kind.ERROR, m.ErrorReply("unavailable", "later", "", 100), request=3),
    frame(Kind.ERROR, m.ErrorReply("invalid_input", "no", "$.a"), request=3),
    frame(Kind.ERROR, m.ErrorReply("unauthorized", "who?"), request=0),
    frame(Kind.OUTCOMES, [m.RunOutcome(RUN_ID, "completed", Raw(b"\x01")), m.RunOutcome(RUN_ID, "failed")]),
]


def client_session(data: bytes) -> None:
    """A frame from the server while a start, a question and a watch are open."""
    world = ClientWorld()
    world.front.deaf = True
    batch = world.start(a_run(key="k"), a_run())
    answers = world.ask(Kind.GET, m.GetRun(RUN_ID), partition=0, timeout_ms=5_000)
    watch = world.session.watch(RUN_ID, world.now_ms)
    world.run(10)
    world.session.on_frame(split_parts(data), world.now_ms)
    world.front.deaf = False
    world.run(60_000)
    if world.session.failed is None:
        assert batch.open == 0, "a start that nobody answered"
        assert len(answers) == 1, "a question that nobody answered"
        assert world.session.connected
        assert len(world.ask(Kind.STATUS, None)) == 1
    else:
        assert isinstance(world.session.failed, WfeError)
    assert watch.run_id


ANSWERS = [
    encode(m.RunView(RUN_ID, "flow", 1, "running", input=Raw(INPUT), waiting_for=[m.Waiting("task", "t")])),
    encode(m.RunPage([m.RunView(RUN_ID, "flow", 1, "completed", error=ErrorInfo("E", "no"))], True)),
    encode(m.HistoryPage([m.HistoryEvent(1, 5, "TaskDone", "t", 0, 1, Raw(INPUT))], True)),
    encode(m.ServerStatus("s", "serving", "1", "d", "sync", 4, 5, [m.ShardStatus(0, "serving")])),
]
_ANSWERS = [decoder_of(kind) for kind in (m.RunView, m.RunPage, m.HistoryPage, m.ServerStatus, m.DeployOutcome)]


def client_answer(data: bytes) -> None:
    """An answer's body, as the client's methods read it."""
    for decode in _ANSWERS:
        try:
            decode(data)
        except ProtocolError:
            continue


def deployed(data: bytes) -> None:
    """Canonical JSON at a deploy: refused with a finding, or a definition that a shard can compile and start."""
    from wfe.coordinator.deploys import Deploys
    from wfe.journal.catalogue import Catalogue

    catalogue = Catalogue(coordinator_world.MemoryStore(), partitions=4, server_id="s")
    try:
        outcome = Deploys(catalogue).deploy(m.Deploy([data]), 0)
    except WfeError:
        return
    stored = catalogue.definition(outcome.deployed[0].hash)
    assert stored is not None
    host = Host(FLOW)
    compiled = host.shard.loader.compile(outcome.deployed[0].hash, stored)
    assert canonical(compiled.plan.definition) == stored
    host.definitions["fuzzed"] = compiled.plan.definition
    host.start("fuzzed", None)
    host.turn()
    assert host.shard.core.counters["runs_quarantined"] == 0
