"""Typed options of every process, where they come from, and the tokens that peers find by themselves.

May read files and the environment; knows no socket, no loop. Invariants: an option struct is complete (whoever holds
one needs no environment), is passed down by `bootstrap`, and travels to child processes as JSON. Durations are ms.
"""

from __future__ import annotations

import os
import re
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec
from msgspec import Struct

from wfe.errors import ConfigError
from wfe.limits import CONFIG_BYTES_MAX, KIB, LEASE_MS, LOG_DISK_BYTES, MIB, PARTITIONS_DEFAULT, RECOVERY_GRACE_MS
from wfe.model.needs import read_labels, read_resources

Durability = Literal["sync", "os", "none"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "console", "json"]

DEFAULT_ADDRESS = "tcp://127.0.0.1:7700"
DEFAULT_HTTP = "127.0.0.1:7780"
DEFAULT_SLOTS = 16


# ---- options --------------------------------------------------------------------------------------------------------


class ServeOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """`wfe serve`. ``partitions`` counts only when the data directory is made. ``http`` "" : no gateway.

    ``parent_fd``: a pipe whose closing means that the starter of this server is gone (-1: nobody watches).
    """

    data: str = "wfe-data"
    shards: int = 1
    workers: int = 0
    slots: int = DEFAULT_SLOTS
    labels: list[str] = []
    resources: list[str] = []
    """Of each local worker, see `WorkerOptions`."""
    apps: list[str] = []
    listen: str = DEFAULT_ADDRESS
    http: str = ""
    partitions: int = PARTITIONS_DEFAULT
    durability: Durability = "sync"
    lease_ms: int = LEASE_MS
    recovery_grace_ms: int = RECOVERY_GRACE_MS
    replace: bool = False
    """Development mode: a changed graph may take over an explicit version."""
    alone: bool = False
    """An engine of one caller, which no other worker joins: see `AppOptions`."""
    otel: str = ""
    """Where spans go, see `WorkerOptions`."""
    otel_sample: float = -1.0
    """Of runs without a caller's trace: the share that is traced; below 0: as OTEL_TRACES_SAMPLER says, else all."""
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    parent_fd: int = -1
    gateway: GatewayOptions | None = None
    """The table ``[gateway]``, with ``http`` as it is here."""
    retention_ms: int = 0
    """How long runs are kept that have ended, unless their definition says it; 0: for ever."""
    disk_budget_bytes: int = 0
    """What all shards may hold on disk before new runs are refused; 0: whatever there is."""
    ready_max: int = 0
    """Tasks of all shards that may wait for a worker before new runs are refused; 0: 500,000 for each shard."""
    memory_max_bytes: int = 0
    """What all shards may hold in memory before new runs are refused; 0: 80 % of what the machine or container has."""
    task_logs_bytes: int = LOG_DISK_BYTES
    """What is kept of the lines that tasks print and log; 0: nothing."""
    alerts: dict[str, Any] = {}
    """The table ``[alerts]``, see `gateway.alerts.rules`."""


class ShardOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """One shard process, for roles ``shard`` and ``shard-drain`` (which uses only index, epoch, data, partitions*).

    ``ipc`` ("" none) and ``tcp`` (port 0: any) are what it binds for workers; ``back_endpoint`` is where it connects to
    the coordinator with the identity ``shard-<index>-<epoch>``. ``token``: what workers must present.
    """

    index: int
    epoch: int
    data: str
    partitions: list[int]
    partitions_total: int
    server: str = ""
    back_endpoint: str = ""
    ipc: str = ""
    tcp: str = "tcp://127.0.0.1:0"
    token: str = ""
    trace_share: float = -1.0
    """Of runs without a caller's trace that get one of their own; below 0: nobody takes traces."""
    durability: Durability = "sync"
    lease_ms: int = LEASE_MS
    recovery_grace_ms: int = RECOVERY_GRACE_MS
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    parent_fd: int = -1
    retention_ms: int = 0
    ready_max: int = 0
    disk_budget_bytes: int = 0
    """Of the whole server."""
    memory_max_bytes: int = 0
    """Of this shard."""
    task_logs_bytes: int = LOG_DISK_BYTES
    """Of all shards."""


class WorkerOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """One worker process. ``worker``: its id, fresh per process start, minted by its parent ("": mint one yourself).

    ``index`` chooses the home shard; ``board``: path of the deadline board that its parent made and watches ("": none);
    ``only``: tasks (or durable functions) that it runs, none: all."""

    apps: list[str] = []
    connect: str = DEFAULT_ADDRESS
    token: str = ""
    slots: int = DEFAULT_SLOTS
    index: int = 0
    worker: str = ""
    local: bool = False
    board: str = ""
    lease_ms: int = LEASE_MS
    labels: list[str] = []
    resources: list[str] = []
    """What it has for tasks that ask for it, as ``gpu`` or ``zone=eu``, and ``gpu=2`` or ``memory=8GB``; ``*``: all."""
    only: list[str] = []
    otel: str = ""
    """Where spans go: the URL of a collector that takes OTLP over HTTP, ``env`` (as OTEL_* says), "" or ``off``."""
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    parent_fd: int = -1


class GatewayOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """`wfe gateway`, and the gateway beside `wfe serve --http`. ``http``: HOST:PORT; port 0: any.

    ``cors``: origins whose pages may use the API (none by default). ``hooks``: by a webhook's name, the name of the
    secret that signs it (default: ``WFE_HOOK_`` and the name); ``unsigned_hooks`` are taken from anybody.
    ``metrics_open``: /metrics needs no token. Beyond loopback it listens only with a certificate (``tls_cert`` and
    ``tls_key``, PEM files), or when ``trusted_network`` says that something else protects the way.
    """

    connect: str = DEFAULT_ADDRESS
    http: str = DEFAULT_HTTP
    token: str = ""
    cors: list[str] = []
    hooks: dict[str, str] = {}
    unsigned_hooks: list[str] = []
    metrics_open: bool = False
    tls_cert: str = ""
    tls_key: str = ""
    trusted_network: bool = False
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    parent_fd: int = -1


class TracerOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """The process that exports the spans of runs that have ended. ``otel``: where to, see `WorkerOptions`."""

    connect: str = DEFAULT_ADDRESS
    token: str = ""
    otel: str = ""
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    parent_fd: int = -1


class AppOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Role ``read-app``: import apps, draw their workflows, and print the definitions.

    ``alone``: refuse definitions that call a task which the apps lack, for no other worker will ever offer it.
    """

    apps: list[str]
    alone: bool = False
    parent_fd: int = -1


# ---- tokens ---------------------------------------------------------------------------------------------------------


def state_directory() -> Path:
    """The user's state directory: where a server leaves its token and where peers of the same user find it."""
    if explicit := os.environ.get("XDG_STATE_HOME"):
        return Path(explicit) / "wfe"
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA", Path.home() / "AppData" / "Local")) / "wfe"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "wfe"
    return Path.home() / ".local" / "state" / "wfe"


def token_path(address: str) -> Path:
    """The file in the state directory that holds the token of the server at this address."""
    address = address.replace("//localhost:", "//127.0.0.1:")
    name = "".join(c if c.isalnum() or c in ".-" else "_" for c in address)
    return state_directory() / "tokens" / name


def find_token(address: str) -> str:
    """The token for a server: WFE_TOKEN, else what a server of this user left; "" when there is neither."""
    if token := os.environ.get("WFE_TOKEN", "").strip():
        return token
    try:
        return token_path(address).read_text(encoding="ascii").strip()
    except OSError:
        return ""


# ---- reading: file, environment, flags ------------------------------------------------------------------------------

Options = TypeVar("Options", bound=Struct)

SECTIONS: dict[type[Struct], str] = {ServeOptions: "serve", WorkerOptions: "worker", GatewayOptions: "gateway"}
"""The options that people may set, and their table in a configuration file."""
ALERTS = "alerts"
"""A table of its own kind, see `read_table` and `gateway.alerts.rules`."""
_INTERNAL = frozenset({"parent_fd", "alone", "token", "index", "worker", "local", "board", "gateway", "alerts"})
"""Set by a parent process, never by people (a token comes from `find_token`, so that no file holds one)."""
_VARIABLES = {"connect": "WFE_ADDRESS"}
"""Where the variable is not WFE_ and the field: one name for the server, for clients and workers alike."""
_READERS = {"labels": read_labels, "resources": read_resources}
_SIZE_UNITS = {"b": 1, "kib": KIB, "mib": MIB, "gib": 1024 * MIB}


def load_options(
    kind: type[Options],
    flags: Mapping[str, object] | None = None,
    *,
    file: str | Path | None = None,
    environ: Mapping[str, str] = os.environ,
) -> Options:
    """Options from defaults < configuration file < environment < command line.

    A field is ``shards`` in the file's table, ``WFE_SHARDS`` in the environment (lists split at commas; a worker's
    ``connect`` is ``WFE_ADDRESS``). A field that ends in ``_ms`` or ``_bytes`` is written without that, as text:
    ``lease = "10s"``. Flags are by field name, integers in the field's own unit allowed; None, and an empty list, mean
    that the flag was not given. ``file`` None: what WFE_CONFIG names, if anything.
    Raises ConfigError naming the file and key, the variable or the flag.
    """
    values: dict[str, Any] = {}
    names = _public_names(kind)
    file = file or environ.get("WFE_CONFIG") or None
    if file is not None:
        for key, value in _read_table(Path(file), SECTIONS[kind]).items():
            if key not in names:
                raise ConfigError(
                    f"{file}: [{SECTIONS[kind]}] has no setting {key!r}; it has {', '.join(sorted(names))}"
                )
            values[names[key]] = _checked(kind, names[key], value, f"{file}: {SECTIONS[kind]}.{key}")
    for key, field in names.items():
        variable = _VARIABLES.get(key, f"WFE_{key.upper()}")
        if text := environ.get(variable):
            is_list = isinstance(_default(kind, field), list)
            given: object = [part.strip() for part in text.split(",") if part.strip()] if is_list else text
            values[field] = _checked(kind, field, given, f"environment variable {variable}")
    for field, value in (flags or {}).items():
        if value is not None and value not in ([], ()):
            flag = _public(field).replace("_", "-").removesuffix("s" if isinstance(value, list) else "")
            values[field] = _checked(kind, field, value, f"--{flag}")
    return kind(**values)


def parse_size(text: str) -> int:
    """Bytes from text such as ``"512 KiB"`` or ``"8MiB"``; a bare number is refused (ValueError)."""
    match = re.fullmatch(r"\s*(\d+)\s*([A-Za-z]+)\s*", text)
    factor = _SIZE_UNITS.get(match[2].lower()) if match else None
    if match is None or factor is None:
        raise ValueError(f'{text!r} is not a size: write for example "512KiB", "8MiB" or "1GiB"')
    return int(match[1]) * factor


def _public(field: str) -> str:
    return field.removesuffix("_ms").removesuffix("_bytes")


def _public_names(kind: type[Struct]) -> dict[str, str]:
    return {_public(field): field for field in kind.__struct_fields__ if field not in _INTERNAL}


def _default(kind: type[Struct], field: str) -> object:
    found = next(f for f in msgspec.structs.fields(kind) if f.name == field)
    return found.default_factory() if found.default_factory is not msgspec.NODEFAULT else found.default


def read_table(name: str, *, file: str | Path | None = None, environ: Mapping[str, str] = os.environ) -> dict[str, Any]:
    """A table of the configuration file (None: what WFE_CONFIG names) as it is; empty without one."""
    file = file or environ.get("WFE_CONFIG") or None
    return {} if file is None else _read_table(Path(file), name)


def _read_table(file: Path, section: str) -> dict[str, Any]:
    try:
        with file.open("rb") as stream:
            data = stream.read(CONFIG_BYTES_MAX + 1)
        if len(data) > CONFIG_BYTES_MAX:
            raise ConfigError(f"{file}: has more than {CONFIG_BYTES_MAX} bytes")
        document = tomllib.loads(data.decode())
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:  # not only TOMLDecodeError: integers of many digits, depth, UTF-8
        raise ConfigError(f"{file}: is not TOML: {error}") from error
    for name in document:
        if name not in (*SECTIONS.values(), ALERTS):
            raise ConfigError(
                f"{file}: unknown table or key {name!r}; there are {', '.join(SECTIONS.values())}, {ALERTS}"
            )
    table = document.get(section, {})
    if not isinstance(table, dict):
        raise ConfigError(f"{file}: {section!r} must be a table: [{section}]")
    return table


def _checked(kind: type[Struct], field: str, value: object, source: str) -> object:
    from wfe.model.durations import parse_duration

    try:
        if field.endswith(("_ms", "_bytes")) and not (source.startswith("--") and isinstance(value, int)):
            if not isinstance(value, str):
                raise ValueError(f'{value!r} has no unit: write text with a unit, for example "10s" or "8MiB"')
            value = parse_duration(value) if field.endswith("_ms") else parse_size(value)
        wanted = next(f.type for f in msgspec.structs.fields(kind) if f.name == field)
        found = msgspec.convert(value, wanted, strict=False)
        if read := _READERS.get(field):
            read(found)
        return found
    except StopIteration:
        raise ConfigError(f"{source}: there is no such setting") from None
    except (msgspec.ValidationError, ValueError) as error:
        raise ConfigError(f"{source}: {error}") from error
