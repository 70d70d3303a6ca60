"""The envelope: every frame is ``[header, body]``, and routers see only the header.

Between a ROUTER and its peer, ZeroMQ puts the peer's identity in front. Between coordinator and shard a client's
frame travels as ``[client identity, header, body]``, so that the shard's answer finds its way back and the coordinator
never decodes a body. Bodies are msgpack: one Struct, or a list of Structs of one type, as `wire.messages` says per
kind.
"""

from __future__ import annotations

from enum import IntEnum

import msgspec
from msgspec import Struct

from wfe.errors import ProtocolError
from wfe.model.malformed import MALFORMED

PROTOCOL = 1
"""Version of header and messages. A peer of another version is answered with a `ProtocolError`, in this header."""


class Kind(IntEnum):
    """What a body holds. Numbers are never reused. The comment names the body and the direction."""

    # client or worker <-> coordinator
    HELLO = 1  # Hello ->
    WELCOME = 2  # <- Welcome; also sent unasked when shards come or go
    DEPLOY = 3  # Deploy ->, answered by REPLY DeployOutcome
    DEFINITION = 4  # DefinitionQuery ->, answered by REPLY DefinitionFound
    STATUS = 5  # nothing ->, answered by REPLY ServerStatus
    PING = 6  # nothing ->, answered by REPLY nothing

    # client -> coordinator -> shard, routed by the header's partition; answered by REPLY or ERROR
    START = 10  # list[StartRun], answered by REPLY list[StartOutcome]
    AWAIT = 11  # list[str] run ids; each answered by OUTCOMES once the run has ended
    GET = 12  # GetRun, answered by REPLY RunView
    FIND = 13  # FindRun, answered by REPLY RunView
    HISTORY = 14  # HistoryQuery, answered by REPLY HistoryPage
    LIST = 15  # ListRuns, answered by REPLY RunPage
    SIGNAL = 16  # SignalRun, answered by REPLY nothing
    CONTROL = 17  # ControlRun (cancel, pause, resume), answered by REPLY nothing
    OUTCOMES = 18  # list[RunOutcome], to a client, unasked or after AWAIT or a start with watch
    REPLY = 19
    RETRY = 21  # RetryRun (bodies of these four in wire.rounds), answered by REPLY nothing
    SKIP = 22  # SkipNode, answered by REPLY nothing
    FORK = 23  # ForkRun, answered by REPLY StartOutcome
    STATE = 24  # StateQuery, answered by REPLY RunPast
    APPROVALS = 25  # ApprovalsQuery (wire.approvals), answered by REPLY ApprovalPage
    WHY = 26  # GetRun, answered by REPLY RunWhy (wire.why)
    LOCK = 27  # LockQuery, answered by REPLY LockQueue
    FEED = 28  # FeedQuery (wire.feed), answered by REPLY FeedPage once there is something
    ERROR = 20  # ErrorReply

    # shard <-> coordinator
    SHARD_HELLO = 30  # ShardHello ->
    SHARD_STATS = 31  # ShardStats ->, every heartbeat
    MAIL = 32  # list[Mail], routed by the header's partition (the receiver's)
    MAIL_ACK = 33  # list[MailAck], routed by the header's partition (the sender's)
    RESOLVE = 34  # Resolve ->, answered by RESOLVED Resolved
    RESOLVED = 35
    WORKERS = 36  # <- KnownWorkers, after SHARD_HELLO and when a worker comes or goes
    DRAIN = 37  # <- nothing: stop admitting, checkpoint, say DRAINED, exit 0
    DRAINED = 38
    SERVES = 39  # <- list[int]: a shard that serves these partitions came up, send it again what it has not taken

    # worker <-> shard
    WORKER_HELLO = 50  # WorkerHello ->
    WORKER_WELCOME = 51  # <- WorkerWelcome
    CREDIT = 52  # Credit ->
    DISPATCH = 53  # <- Dispatch
    RESULTS = 54  # Results ->
    RESULTS_ACK = 55  # <- Ack
    HEARTBEAT = 56  # WorkerHeartbeat ->
    LOAD = 57  # <- ShardLoad: also the answer to HEARTBEAT
    RECALL = 58  # nothing ->: give back the credit that you have not used
    RETURNED = 59  # <- Credit
    CANCEL_TASKS = 60  # <- list[TaskRef]
    REJECT = 61  # <- nothing: I do not know you, say hello again
    BYE = 62  # nothing ->

    # resources of workers (bodies in wire.lending)
    GRANT = 118  # Grants ->: set aside for tasks of this shard
    UNUSED = 119  # <- Grants: granted in vain

    # backups (bodies in wire.backups): client -> coordinator, then coordinator <-> shard
    BACKUP = 70  # Backup ->, answered by REPLY BackupReport; asked again until it says done
    QUIESCE = 71  # <- Barrier: send no new letters to other shards, say QUIET once the sent ones are settled
    QUIET = 72  # Barrier ->
    CUT = 73  # <- Barrier with a directory: begin snapshots of log and stores, then copy them there
    CUT_BEGUN = 74  # Barrier ->: all snapshots have begun
    CUT_DONE = 75  # CutDone ->
    RELEASE = 76  # <- Release: mail goes on

    # definitions (bodies in wire.definitions)
    DEFINE = 80  # DefinitionCommand, client -> coordinator, answered by REPLY DefinitionChanged
    USAGE = 81  # UsageQuestion, coordinator -> shard
    USED = 82  # Usage ->
    CARRY = 83  # CarryQuery, client -> coordinator -> shard, answered by REPLY CarryPage

    # rebalance (bodies in wire.rebalance): client -> coordinator, then coordinator <-> shard
    REBALANCE = 100  # Rebalance ->, answered by REPLY RebalanceReport; asked again until it says done
    YIELD = 101  # <- Yield: write a partition into its store, close that, say HANDED
    HANDED = 102  # Handed ->
    ADOPT = 103  # <- Adopt: open a partition's store, serve it, say ADOPTED
    ADOPTED = 104  # Adopted ->

    # traces (bodies in wire.traces)
    TRACES = 115  # TracesQuery, client -> coordinator -> shard, answered by REPLY TracesPage once there are any
    AWAITERS = 116  # AwaitersQuery (wire.awaiters), client -> coordinator -> shard, answered by REPLY Awaiters

    # what tasks print and log (bodies in wire.task_logs)
    TASK_LOGS = 110  # LogFrame, worker -> shard
    LOGS = 111  # LogQuery, client -> coordinator -> shard, answered by REPLY LogPage
    TELL_ALERTS = 113  # AlertsState (wire.alerts), the process that judges rules -> coordinator; REPLY nothing
    ALERTS = 114  # nothing, client -> coordinator, answered by REPLY AlertsState
    LOGS_ACK = 112  # shard -> worker, Ack: everything up to this number is in a store, or counted as dropped


class Header(Struct, array_like=True, frozen=True):
    """``request`` pairs an answer with its question. ``definition`` is filled in by the coordinator on START.

    ``workflow`` and ``version`` (0: the current one) are set by clients on START; ``partition`` -1: not routed.
    ``refusal``: why the version takes no new runs, filled in by the coordinator on START; a start that is known already
    is answered all the same, and only a shard can tell.
    """

    protocol: int
    kind: int
    partition: int = -1
    request: int = 0
    workflow: str = ""
    version: int = 0
    definition: str = ""
    principal: str = ""
    refusal: str = ""


_encode = msgspec.msgpack.Encoder().encode
_decode_header = msgspec.msgpack.Decoder(Header).decode


def header(kind: Kind, partition: int = -1, request: int = 0) -> bytes:
    """An encoded header without workflow fields."""
    return _encode(Header(PROTOCOL, int(kind), partition, request))


def encode_header(value: Header) -> bytes:
    """An encoded header."""
    return _encode(value)


def decode_header(data: bytes) -> Header:
    """A header from bytes of outside. ProtocolError when malformed or of another protocol version."""
    try:
        value = _decode_header(data)
    except MALFORMED as error:
        raise ProtocolError(f"malformed frame header: {error}") from error
    if value.protocol != PROTOCOL:
        raise ProtocolError(
            f"protocol {value.protocol} is not spoken here, this side speaks {PROTOCOL}: upgrade the older one"
        )
    return value
