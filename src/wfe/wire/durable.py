"""Durable functions between worker and shard: what a turn is given (`TaskSpec.recorded`) and what it answers
(`TaskResult.turn`). The Structs are those of `model.durable`, which events and snapshots hold as well.

* ``TaskSpec.task`` is ``"durable:" + function``, ``durable`` is 1 plus the number of completions that the function has
  had before this turn (0: an ordinary task), ``recorded`` an encoded `DurableRecord`.
* ``TaskResult.status``: 3 suspended, 0 returned ``value``, 1 raised ``error``, 2 ended by a cancellation; ``turn`` is
  an encoded `DurableTurn` with what the function did before. 4: it does not do what is recorded (``error`` tells both
  sequences). 5: the worker has no live instance for a partial record; the same attempt is given out again in full.
* ``TaskResult.turn`` of a task that a function called, whose coroutine is live in the same worker: an encoded
  `TurnAhead`, what the function made of the result. It counts if the result is recorded next, else it is dropped.
* A reference with attempt 0 in CANCEL_TASKS: the run's function is not wanted in this worker any more.
"""

from __future__ import annotations

from msgspec.msgpack import Decoder, Encoder

from wfe.model.durable import (
    CALL_APPROVAL,
    CALL_NAMES,
    CALL_PUBLISH,
    CALL_SIGNAL,
    CALL_SLEEP,
    CALL_START,
    CALL_TASK,
    CALL_VERSION,
    CALL_WORKFLOW,
    CANCEL,
    CANCELLED,
    CONTINUE_WITH,
    DONE,
    FAILED,
    NEED_ALL,
    NO_TIMEOUT,
    NONDETERMINISTIC,
    RUN_CANCELLED,
    SUSPENDED,
    TASK_PREFIX,
    TIMED_OUT,
    ApprovalBody,
    Called,
    ChildBody,
    DurableCommand,
    DurableCompletion,
    DurableRecord,
    DurableTurn,
    SignalBody,
    SleepBody,
    TaskBody,
    TurnAhead,
)

__all__ = [
    "CALL_APPROVAL",
    "CALL_NAMES",
    "CALL_PUBLISH",
    "CALL_SIGNAL",
    "CALL_SLEEP",
    "CALL_START",
    "CALL_TASK",
    "CALL_VERSION",
    "CALL_WORKFLOW",
    "CANCEL",
    "CANCELLED",
    "CONTINUE_WITH",
    "DONE",
    "FAILED",
    "NEED_ALL",
    "NONDETERMINISTIC",
    "NO_TIMEOUT",
    "RUN_CANCELLED",
    "SUSPENDED",
    "TASK_PREFIX",
    "TIMED_OUT",
    "ApprovalBody",
    "Called",
    "ChildBody",
    "DurableCommand",
    "DurableCompletion",
    "DurableRecord",
    "DurableTurn",
    "SignalBody",
    "SleepBody",
    "TaskBody",
    "TurnAhead",
    "decode_record",
    "decode_turn",
    "encode_ahead",
    "encode_record",
    "encode_turn",
]

decode_record = Decoder(DurableRecord).decode
decode_turn = Decoder(DurableTurn).decode
encode_record = Encoder().encode
encode_turn = Encoder().encode
encode_ahead = Encoder().encode
