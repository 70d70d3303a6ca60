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
from mutations import join_parts, mutated_bytes, mutated_frame, mutated_json, mutated_msgpack

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
    "client-answer": Target(actors.client_answer, actors.ANSWERS, mutated_msgpack),
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

_DEEP = 100_000
BOMBS: dict[str, bytes] = {
    "deep-msgpack": b"\x91" * _DEEP,
    "deep-msgpack-that-ends": b"\x91" * 700 + b"\xc0",
    "deep-maps": b"\x81\xa1a" * _DEEP,
    "deep-frame": join_parts([actors.header(actors.Kind.START), b"\x91" * _DEEP]),
    "huge-count": b"\xdd\xff\xff\xff\xff" * 10,
    "huge-bytes": b"\xc6\xff\xff\xff\xff",
    "huge-map": b"\xdf\xff\xff\xff\xff\xa1a",
    "deep-json": b"[" * _DEEP,
    "deep-json-that-ends": b"[" * 900 + b"]" * 900,
    "deep-objects": b'{"a":' * _DEEP,
    "deep-yaml-blocks": b"- " * _DEEP,
    "deep-yaml-keys": b"? " * _DEEP,
    "deep-toml": b"[serve]\nshards = " + b"[" * _DEEP,
    "dotted-toml": b"a." * 20_000 + b"a = 1",
    "aliases": b"a: &a [x, x, x, x, x, x, x, x]\n"
    + b"".join(b"%c: &%c [*%c, *%c, *%c, *%c]\n" % (c, c, c - 1, c - 1, c - 1, c - 1) for c in range(98, 123)),
    "deep-parentheses": b"(" * _DEEP,
    "deep-not": b"!" * _DEEP + b"true",
    "deep-members": b"a" + b".b" * _DEEP,
    "long-sum": b"1" + b"+1" * _DEEP,
    "long-integer": b"9" * _DEEP,
    "long-toml-integer": b"[serve]\nshards = " + b"9" * _DEEP,
    "long-yaml-integer": b"workflow: a\noutput: " + b"9" * _DEEP,
    "long-json-integer": b'{"workflow": "a", "output": ' + b"9" * 4_000 + b"}",
    "huge-exponent": b"1e999999999",
    "long-duration": b"9" * _DEEP + b"d",
    "many-openers": b'"' + b"${" * _DEEP + b'"',
    "many-escapes": b'"' + b"$${" * _DEEP + b'"',
    "comprehensions": b"items.all(a," * 200 + b"true" + b")" * 200,
    "growing-text": b"'" + b"a" * 1_000 + b"'" + b".replace('a', 'aaaaaaaaaa')" * 12,
    "growing-list": b"[1,2,3,4,5,6,7,8,9].map(a, " * 4 + b"items" + b")" * 4,
    "regex": b"name.matches('(a{1,1000}){1,1000}')",
    "no-utf8": b"\xff\xfe" * 100,
    "nul": b"\0" * 1_000,
}
"""Small inputs that ask for much: depth, counts, lengths, repetition."""
