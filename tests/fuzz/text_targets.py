"""What people and files say: definitions, expressions, templates, durations, run ids, configuration, traces, inputs."""

from __future__ import annotations

import os
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import click
import msgspec
from msgspec import Struct

from support.shards import Host
from wfe.authoring.yaml_reader import read_text
from wfe.cli.params import Duration, JsonInput, Tag
from wfe.client.bench.replay import read_trace
from wfe.client.runs import check_run_id
from wfe.config import ServeOptions, WorkerOptions, load_options
from wfe.core.canonical import canonical, definition_hash
from wfe.core.compile import compile_plan
from wfe.core.expressions import Absent, compile_expression, compile_template, unparse
from wfe.errors import ConfigError, ExpressionError, InvalidInput, UnknownRun
from wfe.model.definition import Branch, Definition, Map, Set, Task, When
from wfe.model.durations import DurationError, format_duration, parse_duration
from wfe.model.ids import is_run_id, mint_run_id, partition_of, time_of
from wfe.wire import messages as m
from wfe.wire.frames import Kind
from wfe.wire.payload import decode_any, decode_as, encode_value

RUN_ID = mint_run_id(0, 1_000_000_000, 7)


def text_of(data: bytes) -> str:
    """Text as the system hands it over: bytes that are no UTF-8 become lone surrogates."""
    return data.decode("utf-8", "surrogateescape")


# ---- definitions ----------------------------------------------------------------------------------------------------

YAML = [
    b"""workflow: checkout
version: 2
params: {order: Order, n: {type: integer, default: 3}}
types: {Order: {type: object, required: [id], properties: {id: {type: string}, items: {type: array}}}}
nodes:
  - {when: order.total > 1000, do: [{approval: manager, timeout: 2d}]}
  - catch: [CardDeclined]
    id: declined
    do: [{task: charge, with: {order: "${order}"}, retry: {max_attempts: 5, initial_delay: 100ms}}]
  - {when: declined.failed, do: [{fail: CardDeclined, message: "${declined.message}"}]}
  - {map: order.items, id: packed, as: item, max_parallel: 10, do: [{task: pack, with: {item: "${item}"}}]}
  - parallel:
    - {sleep: 5s}
    - {signal: go, timeout: 1h, default: null}
output: {order: "${order.id}", packed: "${packed}"}
""",
    b"workflow: a\nnodes:\n  - set: '${1 + 1}'\n    id: x\noutput: ${x}\n---\nworkflow: b\noutput: |\n  text\n",
]
JSON = [
    b'{"workflow": "a", "params": {"n": {"type": "integer"}}, "nodes": [{"task": "t", "with": {"x": "${n}"}, '
    b'"id": "t"}, {"sleep": "5s"}], "output": "${t}"}'
]


def _definitions(data: bytes, file: str) -> None:
    reading = read_text(text_of(data), file)
    if not reading.ok:
        assert all(str(finding) for finding in reading.findings)
        return
    for definition in reading.definitions:
        assert canonical(definition)
        compile_plan(definition, definition_hash(definition))


def definition_yaml(data: bytes) -> None:
    _definitions(data, "app.yaml")


def definition_json(data: bytes) -> None:
    _definitions(data, "app.json")


CANONICAL = [
    msgspec.json.encode(definition)
    for definition in (
        Definition("good", nodes=(Set(id="a", value={"x": [1, "${1 + 1}"]}),), output="${a}"),
        Definition(
            "flow",
            3,
            params={"n": {"type": "integer", "default": 1}, "items": {"$ref": "#/types/A"}},
            types={"A": {"type": "array", "items": {"type": "integer", "minimum": 0}, "default": [1]}},
            nodes=(
                Task(id="t", task="double", with_={"n": "${n}"}, timeout_ms=5),
                When(id="w", branches=(Branch("n > 3", (Set(id="b", value="${t}"),)), Branch(None, ()))),
                Map(id="m", items="items", as_="i", do=(Task(id="u", task="double", with_={"n": "${i}"}),)),
            ),
            output={"m": "${m}", "b": "${merge(b, null)}"},
            timeout_ms=1_000,
            tags={"team": "${n}"},
            description="what it does",
        ),
    )
]

# ---- expressions ----------------------------------------------------------------------------------------------------

EXPRESSIONS = [
    b"order.total > 1000 && !(n in [1, 2, 3]) || has(order.id)",
    b"items.filter(i, i % 2 == 0).map(i, {'v': i * 2})[0].v + size(name) - -3",
    b"n > 0 ? 'a' + string(n) : b'\\x00\\377'.size() == 2 ? \"\\u00e9\" : r'\\d+'",
    b"name.matches('^(a|b)*$') && timestamp('2024-01-01T00:00:00Z') + duration('1h30m') < now()",
    b"merge(order.missing, n / 2, 1e308 * 10.0, 9223372036854775807 + n, 0x7fu)",
]
TEMPLATES = [
    b'"${order.total}"',
    b'{"a": ["x ${n} y", "$${literal}", {"b": "${items.map(i, i)}"}], "c": null}',
]
_VALUES: dict[str, Any] = {
    "n": 7,
    "name": "abab",
    "items": [1, 2, 3],
    "order": {"id": "o", "total": 12.5, "items": [{"x": None}]},
    "now()": 1_700_000_000_000,
}


def _lookup(name: str) -> Any:
    try:
        return _VALUES[name]
    except KeyError:
        raise Absent(f"{name} has no value") from None


def expression(data: bytes) -> None:
    try:
        compiled = compile_expression(text_of(data))
        assert unparse(compiled.ast)
        encode_value(compiled.evaluate(_lookup))
    except (ExpressionError, InvalidInput):
        return


def template(data: bytes) -> None:
    try:
        value = msgspec.json.decode(data)
    except (ValueError, RecursionError):
        value = text_of(data)
    try:
        encode_value(compile_template(value).evaluate(_lookup))
    except (ExpressionError, InvalidInput):
        return


# ---- small texts ----------------------------------------------------------------------------------------------------

DURATIONS = [b"100ms", b"1h30m", b"1.5s", b"7d", b"0s", b"36500d"]


def duration(data: bytes) -> None:
    text = text_of(data)
    try:
        found = parse_duration(text)
    except DurationError:
        found = None
    if found is not None:
        assert parse_duration(format_duration(found)) == found
    try:
        Duration().convert(text, None, None)
    except click.UsageError:
        assert found is None


RUN_IDS = [RUN_ID.encode(), b"zz" + b"0" * 24]


def run_id(data: bytes) -> None:
    text = text_of(data)
    try:
        check_run_id(text)
    except UnknownRun:
        assert not is_run_id(text)
        return
    assert 0 <= partition_of(text) < 1024
    assert time_of(text) >= 0


@cache
def _listing() -> Host:
    host = Host(Definition("good", output=1))
    host.start("good", None)
    host.checkpoint()
    return host


CURSORS = [msgspec.msgpack.encode(m.ListRuns(limit=limit, after=RUN_ID)) for limit in (1, 10)]


def list_cursor(data: bytes) -> None:
    """A list from anywhere on; what follows from the first page is the next cursor."""
    host = _listing()
    try:
        query: Any = msgspec.msgpack.decode(data, type=m.ListRuns)
    except (ValueError, RecursionError):
        query = m.ListRuns(after=data.decode("utf-8", "replace"))
    found = host.ask(Kind.LIST, 0, query, m.RunPage)
    assert isinstance(found, (m.RunPage, m.ErrorReply))
    assert isinstance(host.ask(Kind.LIST, 0, m.ListRuns(), m.RunPage), m.RunPage)


# ---- files ----------------------------------------------------------------------------------------------------------


@cache
def _file(name: str) -> Path:
    return Path(tempfile.mkdtemp(prefix="wfe-fuzz-")) / name


def _written(name: str, data: bytes) -> Path:
    file = _file(f"{os.getpid()}-{name}")
    file.write_bytes(data)
    return file


CONFIGURATION = [
    b'[serve]\nshards = 2\nlisten = "tcp://127.0.0.1:7700"\nlease = "10s"\napps = ["a.py", "b.yaml"]\n'
    b'durability = "os"\n\n[worker]\nslots = 4\nlabels = ["zone=a"]\nresources = ["gpu=1"]\n'
]


def configuration(data: bytes) -> None:
    file = _written("wfe.toml", data)
    for kind in (ServeOptions, WorkerOptions):
        try:
            load_options(kind, file=file, environ={})
        except ConfigError:
            continue
    text = text_of(data).replace("\0", "")
    for variable in ("WFE_SHARDS", "WFE_LEASE", "WFE_APPS", "WFE_DURABILITY"):
        try:
            load_options(ServeOptions, environ={variable: text})
        except ConfigError:
            continue


TRACES = [
    b'{"name": "w", "schemaVersion": "1.5", "workflow": {"specification": {"tasks": [{"id": "a", "parents": []}, '
    b'{"id": "b", "parents": ["a"]}]}, "execution": {"tasks": [{"id": "a", "runtimeInSeconds": 1.5}, '
    b'{"id": "b", "runtimeInSeconds": 2}]}}}'
]


def trace(data: bytes) -> None:
    try:
        found = read_trace(_written("trace.json", data))
    except InvalidInput:
        return
    assert 0 <= found.critical_path_s() < float("inf")


CLI_INPUTS = [b'{"a": [1, 2.5, null, "x"]}', b'"text"', b"[[[]]]"]


def cli_input(data: bytes) -> None:
    """``-i`` as text, and as a file; what is JSON becomes an input, or is refused as one."""
    text = text_of(data).replace("\0", "")
    if text[:1] not in ("@", "-"):
        _cli_input(text)
    _cli_input(f"@{_written('input.json', data)}")
    try:
        Tag().convert(text, None, None)
    except click.UsageError:
        return


def _cli_input(text: str) -> None:
    try:
        encode_value(JsonInput().convert(text, None, None).value)
    except (click.UsageError, InvalidInput):
        return


class Order(Struct):
    id: str
    total: float = 0.0
    items: list[dict[str, int]] = []


PAYLOADS = [msgspec.msgpack.encode(value) for value in (Order("a", 1.5, [{"x": 1}]), {"a": [1, None, "é"]}, 5, b"xyz")]


def payload(data: bytes) -> None:
    """A payload as plain values and as types."""
    for kind in (Any, Order, int, str, bytes, dict[str, Any], list[Order]):
        try:
            decode_as(kind, data)
        except InvalidInput:
            continue
    try:
        encode_value(decode_any(data))
    except InvalidInput:
        return
