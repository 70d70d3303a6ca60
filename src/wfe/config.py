"""Typed options of every process, where they come from, and the tokens and secrets that peers find by themselves.

May read files and the environment; knows no socket, no loop. Invariants: an option struct is complete (whoever holds
one needs no environment), is passed down by `bootstrap`, and travels to child processes as JSON. Durations are ms.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Literal

from msgspec import Struct

from wfe.limits import LEASE_MS, PARTITIONS_DEFAULT, RECOVERY_GRACE_MS

Durability = Literal["sync", "os", "none"]
LogLevel = Literal["debug", "info", "warning", "error"]
LogFormat = Literal["auto", "console", "json"]

DEFAULT_ADDRESS = "tcp://127.0.0.1:7700"
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
    apps: list[str] = []
    listen: str = DEFAULT_ADDRESS
    http: str = ""
    partitions: int = PARTITIONS_DEFAULT
    durability: Durability = "sync"
    lease_ms: int = LEASE_MS
    recovery_grace_ms: int = RECOVERY_GRACE_MS
    replace: bool = False
    """Development mode: a changed graph may take over an explicit version."""
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    parent_fd: int = -1


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
    durability: Durability = "sync"
    lease_ms: int = LEASE_MS
    recovery_grace_ms: int = RECOVERY_GRACE_MS
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    parent_fd: int = -1


class WorkerOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """One worker process. ``worker``: its id, fresh per process start, minted by its parent ("": mint one yourself).

    ``index`` chooses the home shard; ``board``: path of the deadline board that its parent made and watches ("": none).
    """

    apps: list[str] = []
    connect: str = DEFAULT_ADDRESS
    token: str = ""
    slots: int = DEFAULT_SLOTS
    index: int = 0
    worker: str = ""
    local: bool = False
    board: str = ""
    lease_ms: int = LEASE_MS
    labels: dict[str, str] = {}
    log_level: LogLevel = "info"
    log_format: LogFormat = "auto"
    parent_fd: int = -1


class AppOptions(Struct, kw_only=True, forbid_unknown_fields=True):
    """Role ``read-app``: import apps, draw their workflows, and print the definitions."""

    apps: list[str]
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
