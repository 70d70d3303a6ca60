"""Every bound of wfe, with its unit, and the relations between them. Nothing else holds a bare limit."""

from __future__ import annotations

from typing import Final

KIB: Final = 1024
MIB: Final = 1024 * KIB

# Payloads and frames
PAYLOAD_BYTES_MAX: Final = 8 * MIB
"""One input, output, signal or heartbeat detail, encoded."""
FRAME_BYTES_MAX: Final = 17 * MIB
"""One ZeroMQ part (ZMQ_MAXMSGSIZE is per part): two payloads (a run's input and output) and all that is around them."""
TASK_INPUT_BYTES_MAX: Final = FRAME_BYTES_MAX - MIB
"""All arguments of a task together: they travel in one frame."""
BLOB_BYTES_MIN: Final = 32 * KIB
"""A value from this size on is kept once by its content, and referred to (`model.blob`). Part of the format: evolve
decides by it, so that another number would make other states of the same events. A test pins it."""
BLOB_WINDOW_BYTES: Final = 64 * MIB
"""Blobs that a shard counts on a worker to have kept, so that they are not sent again."""
FRAME_PARTS_MAX: Final = 4
"""identity, client identity, header, body."""
FRAME_MESSAGES_MAX: Final = 100
"""Messages of one kind in a body; senders split, receivers refuse more than FRAME_MESSAGES_REFUSED."""
FRAME_MESSAGES_REFUSED: Final = 10_000
DRAIN_FRAMES_MAX: Final = 256
"""Frames that one turn takes from a socket, so that no peer starves another."""

# Definitions
DEFINITION_BYTES_MAX: Final = 4 * MIB
DEFINITION_NODES_MAX: Final = 10_000
DEFINITION_DEPTH_MAX: Final = 50
EXPRESSION_CHARS_MAX: Final = 10_000
EXPRESSION_DEPTH_MAX: Final = 100
DEFINITION_TREE_DEPTH_MAX: Final = 4 * DEFINITION_DEPTH_MAX + EXPRESSION_DEPTH_MAX + 20
"""Lists and objects inside each other in a definition's JSON; a `when` takes four levels, what is beyond its blocks are
values and schemas. Python's stack ends at about twice that."""
COMPREHENSION_DEPTH_MAX: Final = 4
EXPRESSION_STEPS_MAX: Final = 5_000_000
"""Parts of comprehension bodies that one evaluation computes, about a second of work at most."""
EXPRESSIONS_CACHED_MAX: Final = 10_000
REGEX_CHARS_MAX: Final = 1_000
REGEX_BYTES_MAX: Final = MIB
"""A compiled regular expression."""
NAME_CHARS_MAX: Final = 200
KEY_CHARS_MAX: Final = 400
LOCK_CAPACITY_MAX: Final = 10_000
LOCK_QUEUE_MAX: Final = 10_000
"""Places that hold or await a lock that runs share; further ones fail as LockQueueFull."""
LABELS_MAX: Final = 20
"""Labels, and resources, that one task asks for."""
RESOURCE_AMOUNT_MAX: Final = 1_000_000_000_000_000
"""Of one resource; a size is its bytes."""
NET_CHECK_STEPS_MAX: Final = 5_000_000
"""Nodes and edges that validation passes while it looks for joins that wait in vain; larger nets are judged in part."""
TAGS_MAX: Final = 20
TAG_CHARS_MAX: Final = 400
"""A tag's name or value."""
MAP_ITEMS_MAX: Final = 1_000_000
"""Items of one map, or of one loop."""
MAP_PAGE_ITEMS: Final = 1_024
"""A map of more items than that is paged: its items and results are kept by the page. Part of the format, as above."""
MAP_PARALLEL_MAX: Final = 16_384
"""Items of one map that run at once, whatever it asks for."""
MAP_GROWN_MAX: Final = 100_000
"""Items of a map that may grow: so many activations are reserved for it."""
TURN_EVENTS_MAX: Final = 1_000
"""A run that brought about so many events in one turn lets others have theirs: loops go on in the next one."""
NET_EVENTS_MAX: Final = 50_000
"""A net that brought about so many events in one turn goes round without ever waiting: a fault."""
SUBFLOW_DEPTH_MAX: Final = 50
DURABLE_CALLS_MAX: Final = 10_000
"""Recorded calls of one round of a durable function; ``wf.continue_with`` begins the next round."""
DURABLE_RECORD_BYTES_MAX: Final = 12 * MIB
"""Recorded values and arguments of one round: all of it travels in one frame when the function is re-run."""
DURABLE_CANCEL_GRACE_MS: Final = 60_000
"""A durable function that is cancelled may clean up for this long; then its run ends as cancelled."""
SIGNALS_BUFFERED_MAX: Final = 10_000
COMMANDS_DEFERRED_MAX: Final = 10_000
"""Commands that met a defect and wait for the run's resume, beyond which it takes no more signals."""
SIGNALS_BUFFERED_BYTES_MAX: Final = 32 * MIB
"""Signals of one run that nothing has taken yet, together."""
COMMANDS_REMEMBERED_MAX: Final = 64
"""Outcomes of recent commands that a run keeps, so that a repeated command gets the same answer."""

# Runs and partitions
PARTITIONS_DEFAULT: Final = 32
PARTITIONS_MAX: Final = 1024
"""Ten bits of the run id."""
LOSSES_MAX: Final = 3
"""Times that a task may be lost with its worker before it counts as poison."""
LOSSES_SUSPECT: Final = 2
"""A task that was lost so often shares a worker with no other such task: the one that kills it must not take the others
along until they count as poison, too."""
ERROR_MESSAGE_CHARS_MAX: Final = 10_000
TRACEBACK_CHARS_MAX: Final = 30_000
ROUND_EVENTS_MAX: Final = 100_000
"""Events of a run that is retried, forked or looked at as of an event: its history is replayed at once."""
LIST_LIMIT_DEFAULT: Final = 100
LIST_LIMIT_MAX: Final = 10_000
LIVE_RUNS_MAX: Final = 100_000
"""Runs that one shard keeps in memory before it evicts those that only wait."""

# Time, milliseconds unless the name says otherwise
HEARTBEAT_MS: Final = 1_000
LEASE_MS: Final = 10_000
"""A worker that was silent for this long has lost its tasks."""
RECOVERY_GRACE_MS: Final = 1_000
"""After recovery dispatch waits this long for workers to present what they hold."""
FRESH_ID_MS: Final = 10_000
"""A start whose id is younger than this needs no look-up in the store."""
RECENT_RUNS_MS: Final = 25_000
"""Ids of ended runs stay in memory for this long."""
CANCEL_GRACE_MS: Final = 10_000
"""After a cancel a task's result is ignored once this is over."""
DRAIN_MS: Final = 10_000
"""On SIGTERM running tasks get this long to finish."""
REQUEST_RESEND_MS: Final = 1_000
REWATCH_MS_MAX: Final = 60_000
"""A client asks again at least that often for what it waits for."""
ASKERS_MS: Final = 180_000
"""Who has not asked again for this long has left: a shard waits for him no longer."""
ASKERS_PER_RUN_MAX: Final = 10_000
DURATION_MAX_MS: Final = 100 * 365 * 86_400_000
MOMENT_MAX_MS: Final = 253_402_300_799_999
"""The end of the year 9999: no point in time that a workflow names is later."""

# Credit: what one worker process may hold of unfinished tasks
CREDIT_TASKS_MAX: Final = 4_000
CREDIT_BYTES_MAX: Final = 64 * MIB
CREDIT_TARGET_MS: Final = 20
"""Prefetch that much work, by the measured duration of recent tasks."""

# Durable functions in a worker
DURABLE_STEPS_MAX: Final = 1_000_000
"""Steps of a durable function between two waits; beyond it goes round for ever."""
DURABLE_LIVE_MAX: Final = 2_000
"""Functions that a worker keeps between their turns; who waited longest is let go, and re-run when it goes on."""
DURABLE_IDLE_MS: Final = 60_000
"""A function that waited for this long is let go."""
DURABLE_SLOW_MS: Final = 1_000
"""A function that does not wait for this long is named in the log: it holds up its worker."""
DURABLE_TURN_MAX_MS: Final = 30_000
"""A function that does not wait for this long is stuck: its worker is killed, and counts as lost with it."""

# Mail between partitions, per pair of them
MAIL_LETTERS_MAX: Final = 1_000
MAIL_BYTES_MAX: Final = 16 * MIB
"""Letters on the way that are not acknowledged; one letter is always sent."""
MAIL_RESEND_MAX_MS: Final = 8_000
"""What is not acknowledged is sent again after REQUEST_RESEND_MS, then ever more rarely, at last this often."""

# Journal
CHECKPOINT_BYTES: Final = 256 * KIB
"""History and snapshots that one checkpoint step writes."""
CHECKPOINT_RUNS: Final = 256
RUN_CHUNKS_MAX: Final = 1_000
"""Commits of one run that wait for a checkpoint; then one is due for its partition, however short the log's tail is."""
SWEEP_MS: Final = 60_000
"""Within this time each partition is looked through for runs that are kept no longer."""
SWEEP_AGE_MS_MAX: Final = 10_000
"""What was read of them longer ago is read again."""
RETENTION_MS_MIN: Final = 60_000
"""An ended run is kept for so long in any case: clients that lost an answer ask again."""
LOG_TAIL_BYTES_MAX: Final = 256 * MIB
"""Recovery replays at most this much; admission stops when the checkpoint falls that far behind."""
LOG_MAP_BYTES: Final = 64 * 1024 * MIB
STORE_MAP_BYTES: Final = 32 * 1024 * MIB
DISK_ALARM_PERCENT: Final = 70
DISK_REFUSE_PERCENT: Final = 85
"""Of an LMDB map: new runs are refused beyond it, what is under way goes on."""
DISK_FREE_BYTES_MIN: Final = 256 * MIB
"""Of the file system: as above when less is free."""
DISK_RETRY_S: Final = 5.0
MEMORY_REFUSE_PERCENT: Final = 80
"""Of the machine's (or container's) memory: with more in all shards' hands new runs are refused, by default."""
MEMORY_SHARD_BYTES_MIN: Final = 256 * MIB
"""A shard's share of that is no less, however few partitions it has: its process alone takes some 30 MiB."""
MEMORY_RETRY_S: Final = 2.0
AWAITERS_ASKED_MAX: Final = 10_000
"""Questions who awaits a signal, of one partition, that wait for their answers."""
MEMORY_AGAIN_PERCENT: Final = 75
"""Of the runs in memory when new ones were refused for want of it: with no more than that left, some are taken."""
MEMORY_GROWTH_PERCENT: Final = 3
"""Of the limit: a process that is over it takes runs until it has grown by so much."""
MEMORY_OVER_PERCENT: Final = 10
"""Of the limit: so far above it a process takes runs for a heartbeat at a time, whether it grows or not."""
EVICT_LOOK_RUNS: Final = 20_000
"""Runs looked at per heartbeat, while memory is short, for those that only wait."""
BUDGET_LOOK_MS: Final = 2_000
"""How often it is looked how much of its disk budget a shard has used."""
BUDGET_HURRY_PERCENT: Final = 80
"""From here on expired runs leave at once; at 100 new runs are refused, until there is room again."""

# Backup
BACKUP_BARRIER_MS: Final = 15_000
"""Within this time of the request all shards are quiet and have begun their snapshots, or the backup is given up."""
BACKUP_HOLD_MS: Final = 20_000
"""A shard holds its mail back for at most this long, whatever became of the backup."""
BACKUP_COPY_MS: Final = 6 * 3_600_000
"""Copying takes at most this long; then a disk or a shard is taken to be stuck."""
BACKUP_RESEND_MS: Final = 500
BACKUP_OUTCOMES_MAX: Final = 16
MOVE_RESEND_MS: Final = 500
"""After which an order to move a partition is said again."""
MOVE_PHASE_MS: Final = 15_000
"""A shard lets a partition go, or takes it over, within this time; then nobody waits for that any more."""
REBALANCE_OUTCOMES_MAX: Final = 16
"""Outcomes of backups that the coordinator remembers, for clients that ask again."""
RESTORE_EPOCHS: Final = 1_000_000
"""A restore raises the epoch by this much: more than the engine that it comes from can have given out since."""

# Admission, per shard
ADMIT_READY_MAX: Final = 500_000
"""Ready tasks of a shard beyond which new runs are refused as busy, by default."""
ADMIT_RUNS_MAX: Final = 1_000_000
ADMIT_COMMIT_US: Final = 500_000
"""While commits take this long on average, new runs are refused: those under way get what the disk can do."""
ADMIT_PROBE_MS: Final = 1_000
"""After so long without any commit a slow disk is tried again."""
ADMIT_COUNTED_PERCENT: Final = 50
"""Of that queue: from here on it is counted who starts how many runs."""
ADMIT_SHARED_PERCENT: Final = 90
"""Beyond it the rest is for clients that have had less than their share lately."""
BUSY_RETRY_MS: Final = 100
BUSY_RETRY_MAX_MS: Final = 2_000
"""Whoever is refused is told to come back after the first, or later, up to the second, when many are refused."""

# Supervision
RESTART_INTENSITY: Final = 5
RESTART_PERIOD_MS: Final = 30_000
"""More than RESTART_INTENSITY restarts within RESTART_PERIOD_MS: a shard is down (OTP's terms); workers never are."""
RESTART_BACKOFF_MS: Final = 100
"""The first restart within a period is immediate, the second waits this long, each further one twice as long."""
RESTART_BACKOFF_MAX_MS: Final = 5_000
STALLED_MS: Final = 5_000
"""A shard that lives but was silent for this long is reported as stalled (a slow disk, a stopped process)."""

# Configuration
CONFIG_BYTES_MAX: Final = 16 * KIB
"""A configuration file. Dotted keys take Python's TOML parser quadratic time."""

# Front door
PEERS_MAX: Final = 50_000
"""Identities that the coordinator remembers; beyond that the client that was silent longest says hello again."""
PEER_IDLE_MS: Final = 600_000
PEER_PROBE_MS: Final = 10_000
"""How often connected workers are looked for, and how recent a client must be to hear of shards that come and go."""
PEER_CHANGES_MAX: Final = 16
"""Answers to commands on definitions that are kept of each client, for those that come again."""
COMMANDS_KNOWN_MAX: Final = 256
"""The same of all clients together, for those that come again over another connection."""
DEPLOY_DEFINITIONS_MAX: Final = 1_000
STUDIED_RUNS_MAX: Final = 1_000
"""Runs whose histories are read for the recorded times of a workflow's nodes."""
DEFINITION_TAGS_MAX: Final = 100
"""Tags of a workflow's versions."""
USAGE_ANSWER_MS: Final = 60_000
"""Within this time all shards say whether they keep runs of a definition that is to be deleted: they read every row."""
UNAVAILABLE_RETRY_MS: Final = 200

# Sockets
SOCKET_QUEUE_FRAMES: Final = 10_000
"""Send and receive high-water mark per peer: a stop, not a budget (credit is the budget)."""
SOCKET_LINGER_MS: Final = 1_000
"""How long a closing socket tries to deliver what it still holds."""
SOCKET_HANDSHAKE_MS: Final = 5_000
SOCKET_HEARTBEAT_MS: Final = 5_000
SOCKET_SILENCE_MS: Final = 15_000
"""A connection without any sign of life for this long is closed, so that its identity is free again."""
DESCRIPTORS_SPARE: Final = 16
"""With fewer left to open a process takes no local connections: ZeroMQ ends it when it cannot accept one."""
DESCRIPTORS_LOOK_MS: Final = 250
SOCKET_RECONNECT_MS: Final = 50
SOCKET_RECONNECT_MAX_MS: Final = 1_000
ZERO_COPY_BYTES: Final = 64 * KIB
"""Parts above this size are sent without a copy; below, copying is cheaper than keeping count of references."""
IPC_PATH_BYTES_MAX: Final = 100
"""sun_path holds 107 bytes on Linux and 103 on macOS."""

# Metrics
TALLIES_MAX: Final = 500
"""Workflows, and tasks of workflows, that a shard counts by name; further ones are counted together."""

# The feed of all runs' events, per shard
FEED_BYTES_MAX: Final = 2 * MIB
"""Events that are kept while somebody watches; slower readers miss some."""
FEED_DECODED_BYTES_MAX: Final = MIB
"""Of these the encoded bytes of events that are kept decoded, too: decoded they take about eight times as much."""
FEED_IDLE_MS: Final = 30_000
"""Nothing is kept any more when nobody has asked for so long; clients repeat a question every 8 s."""
FEED_PAUSE_MS: Final = 100
FEED_PAGE_EVENTS: Final = 250
FEED_PAGE_CHUNKS: Final = 500
FEED_ANSWERS: Final = 2
"""Readers that get a page every FEED_PAUSE_MS, in turn: watchers cost a busy shard a few percent at most."""
FEED_DATA_BYTES_MAX: Final = 4 * KIB
"""An event's data; larger ones are left out."""
FEED_READERS_MAX: Final = 100
TRACES_KEPT_MAX: Final = 10_000
"""Ends of traced runs that a shard keeps for whoever exports them."""
TRACES_PAGE: Final = 500
"""Questions that wait at once; whoever asked first is told to come back."""

# What tasks print and log
LOG_LINE_CHARS_MAX: Final = 10_000
"""Longer lines are cut."""
LOG_ATTEMPT_BYTES: Final = 256 * KIB
"""Lines of one attempt that wait in its worker to be sent; beyond it the oldest go."""
LOG_WORKER_BYTES: Final = MIB
"""Lines of all attempts that wait in their worker."""
LOG_SEND_BYTES: Final = 128 * KIB
"""What a worker sends of them per tick of 100 ms; what it did not use it may send later, up to LOG_ATTEMPT_BYTES."""
LOG_RUN_BYTES: Final = MIB
"""Lines that are kept of one run; beyond it the oldest go."""
LOG_RUN_LINES: Final = 10_000
LOG_PENDING_BYTES: Final = 8 * MIB
"""Lines in a shard's memory that are not in a store yet; beyond it new ones are dropped, and counted."""
LOG_FLUSH_MS: Final = 200
"""A shard writes the lines of one partition, then waits for so long: their syncs must not compete with commits."""
LOG_WORKERS_MAX: Final = 10_000
"""Workers whose frames a shard knows to have come before."""
LOG_DISK_BYTES: Final = 1024 * MIB
"""What the lines of all runs of a server take on disk by default; beyond it those of the oldest runs go."""

# HTTP gateway
HTTP_BODY_BYTES_MAX: Final = PAYLOAD_BYTES_MAX + MIB
"""A request's body: a payload and what is around it."""
HOOK_BODY_BYTES_MAX: Final = MIB
HOOK_WINDOW_S: Final = 300
"""A webhook's signature is taken for this long before and after its time (Standard Webhooks)."""
STREAMS_MAX: Final = 256
"""Event streams and long polls that one gateway holds open; further ones are told to come back."""
STREAM_STALL_S: Final = 30.0
"""A reader that takes nothing for this long is cut off; it may go on from its last event."""
STREAM_BEAT_S: Final = 15.0
"""A silent stream says that it lives this often, so that proxies keep it and dead readers are noticed."""
HTTP_REQUEST_S: Final = 60.0
"""A request, head and body, is sent within this time, or its connection is closed."""
LONG_POLL_MAX_S: Final = 60.0
SESSIONS_ENDED_MAX: Final = 10_000
"""Sessions that were logged out, and that a gateway remembers; past that the oldest are forgotten."""
SESSION_S: Final = 30 * 86_400
"""A browser stays logged in for this long."""
BULK_RUNS_MAX: Final = 1_000
"""Runs that one bulk operation is done to; the answer says whether there are more."""
BULK_CONCURRENCY: Final = 50
DEFINITIONS_CACHED_MAX: Final = 256

assert 2 * PAYLOAD_BYTES_MAX + MIB <= FRAME_BYTES_MAX, (
    "a run's input and output must fit in a frame with their envelope"
)
assert DEFINITION_BYTES_MAX < FRAME_BYTES_MAX
assert MAP_PAGE_ITEMS < 1 << 16, "the length of a page has two bytes"
assert BLOB_WINDOW_BYTES >= 2 * PAYLOAD_BYTES_MAX
assert DURABLE_RECORD_BYTES_MAX + MIB <= TASK_INPUT_BYTES_MAX, "a re-run's record must fit into a frame"
assert FRAME_MESSAGES_MAX <= FRAME_MESSAGES_REFUSED
assert SWEEP_AGE_MS_MAX < RECENT_RUNS_MS < RETENTION_MS_MIN, "whoever is swept has left memory long ago"
assert RECENT_RUNS_MS > 2 * FRESH_ID_MS, "a repeated start must find the ended run in memory or be looked up"
assert LEASE_MS >= 3 * HEARTBEAT_MS, "one lost heartbeat must not lose a lease"
assert RECOVERY_GRACE_MS < LEASE_MS
assert ASKERS_MS >= 3 * REWATCH_MS_MAX, "one lost question must not lose its answer"
assert BACKUP_HOLD_MS > BACKUP_BARRIER_MS, "no shard may send while the coordinator still counts on its silence"
assert DISK_ALARM_PERCENT < DISK_REFUSE_PERCENT < 100
assert CREDIT_BYTES_MAX > PAYLOAD_BYTES_MAX
assert 0 < LOSSES_SUSPECT < LOSSES_MAX, "an innocent task must get a life to spare once it is kept apart"
assert SOCKET_SILENCE_MS >= 2 * SOCKET_HEARTBEAT_MS
assert SOCKET_LINGER_MS <= 2_000, "longer than that looks like a hang at shutdown"
assert HOOK_BODY_BYTES_MAX <= HTTP_BODY_BYTES_MAX
assert DEFINITION_BYTES_MAX <= HTTP_BODY_BYTES_MAX
assert STREAM_BEAT_S < STREAM_STALL_S
assert LOG_SEND_BYTES <= LOG_ATTEMPT_BYTES <= LOG_WORKER_BYTES < FRAME_BYTES_MAX - MIB
assert 2 * LOG_RUN_BYTES < LOG_PENDING_BYTES < FRAME_BYTES_MAX, "a run's lines are read in one answer"
assert 2 * FEED_PAGE_EVENTS * (FEED_DATA_BYTES_MAX + KIB) < FRAME_BYTES_MAX
