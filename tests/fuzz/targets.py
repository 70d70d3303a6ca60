"""Every decoder that meets bytes or text from outside, as a function of bytes. `test_fuzz.py` and `fuzz.py` share them.

A target returns, or it found a bug: it lets pass only the errors that its decoder declares, and asserts whatever must
hold afterwards.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import NamedTuple

import actor_targets as actors
import data_targets as data
import text_targets as texts
from mutations import mutated_bytes, mutated_frame, mutated_json, mutated_msgpack

Mutate = Callable[[bytes, Random], bytes]


class Target(NamedTuple):
    """``run`` takes any bytes; ``seeds`` are valid inputs; ``mutate`` knows how they are built.

    ``slow``: each input starts an actor of its own, so fewer of them are tried.
    """

    run: Callable[[bytes], None]
    seeds: list[bytes]
    mutate: Mutate
    slow: bool = False


def _mutated_row(row: bytes, random: Random) -> bytes:
    return row[:1] + mutated_msgpack(row[1:], random)


def _mutated_record(record: bytes, random: Random) -> bytes:
    head = data.HEADER_BYTES
    if random.random() < 0.3:
        return mutated_bytes(record, random)
    return record[:head] + mutated_msgpack(record[head:], random)


TARGETS: dict[str, Target] = {
    "frame-header": Target(actors.frame_header, actors.HEADERS, mutated_msgpack),
    "coordinator-front": Target(actors.coordinator_front, actors.FRONT, mutated_frame, slow=True),
    "coordinator-back": Target(actors.coordinator_back, actors.BACK, mutated_frame, slow=True),
    "shard-client": Target(actors.shard_client, actors.SHARD_CLIENT, mutated_frame, slow=True),
    "shard-worker": Target(actors.shard_worker, actors.SHARD_WORKER, mutated_frame, slow=True),
    "worker": Target(actors.worker, actors.WORKER, mutated_frame),
    "client-session": Target(actors.client_session, actors.SESSION, mutated_frame, slow=True),
    "deploy": Target(actors.deployed, texts.CANONICAL, mutated_json, slow=True),
    "definition-yaml": Target(texts.definition_yaml, texts.YAML, mutated_bytes, slow=True),
    "definition-json": Target(texts.definition_json, texts.JSON, mutated_json),
    "expression": Target(texts.expression, texts.EXPRESSIONS, mutated_bytes),
    "template": Target(texts.template, texts.TEMPLATES, mutated_json),
    "duration": Target(texts.duration, texts.DURATIONS, mutated_bytes),
    "run-id": Target(texts.run_id, texts.RUN_IDS, mutated_bytes),
    "list-cursor": Target(texts.list_cursor, texts.CURSORS, mutated_msgpack),
    "payload": Target(texts.payload, texts.PAYLOADS, mutated_msgpack),
    "configuration": Target(texts.configuration, texts.CONFIGURATION, mutated_bytes),
    "trace": Target(texts.trace, texts.TRACES, mutated_json),
    "cli-input": Target(texts.cli_input, texts.CLI_INPUTS, mutated_json),
    "log-record": Target(data.log_record, data.LOG_RECORDS, _mutated_record),
    "store-row": Target(data.store_row, data.STORE_ROWS, _mutated_row),
    "snapshot": Target(data.snapshot, data.SNAPSHOTS, mutated_msgpack),
}
