"""Addresses: what may be listened on, and the short private directory for sockets on this host.

A socket file's path must fit ``sun_path`` (about 100 bytes), so it never lies in the data directory but in one of its
own, mode 0700, named after the data directory: a server that was killed leaves nothing that its successor does not
reuse. Without CURVE nothing listens beyond loopback.
"""

from __future__ import annotations

import hashlib
import ipaddress
import os
import stat
import sys
import tempfile
from pathlib import Path
from typing import NamedTuple

import zmq

from wfe.errors import ConfigError
from wfe.limits import IPC_PATH_BYTES_MAX

_NAME_BYTES = 32
"""Room for the name of a socket file in the runtime directory, e.g. ``shard-1023-1234567890``."""


class TcpAddress(NamedTuple):
    """``host`` without brackets; ``port`` 0: any free one."""

    host: str
    port: int

    @property
    def text(self) -> str:
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"tcp://{host}:{self.port}"


def parse_tcp(address: str) -> TcpAddress:
    """``tcp://host:port``. ConfigError for anything else."""
    scheme, separator, rest = address.partition("://")
    host, colon, port = rest.rpartition(":")
    wrong = ConfigError(f"{address!r} is not an address: write tcp://host:port, e.g. tcp://127.0.0.1:7700")
    if scheme != "tcp" or not separator or not colon or not host:
        raise wrong
    if host.startswith("[") != host.endswith("]") or (":" in host and not host.startswith("[")):
        raise ConfigError(f"{address!r}: an IPv6 host stands in brackets, e.g. tcp://[::1]:7700")
    if not (port.isascii() and port.isdigit() and int(port) < 65_536):
        raise wrong
    return TcpAddress(host.strip("[]"), int(port))


def is_loopback(host: str) -> bool:
    """Whether only this host can reach it."""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def listen_address(address: str) -> str:
    """The address as ZeroMQ binds it. ConfigError when malformed, or beyond loopback (that would need CURVE)."""
    parsed = parse_tcp(address)
    if not is_loopback(parsed.host):
        raise ConfigError(
            f"refusing to listen on {address}: frames beyond loopback would travel unencrypted, and this version has "
            "no CURVE yet; listen on 127.0.0.1 and use an SSH tunnel to reach it from other hosts"
        )
    host = "127.0.0.1" if parsed.host == "localhost" else parsed.host
    return TcpAddress(host, parsed.port).text


def runtime_directory(data: Path) -> Path | None:
    """A private directory for the socket files of the server on ``data``, made if need be; None: use TCP instead.

    Taken from the first of XDG_RUNTIME_DIR, the temporary directory and /tmp whose path is short enough. One that
    exists is used only when it is ours and nobody else may enter it.
    """
    if sys.platform == "win32" or not zmq.has("ipc"):
        return None
    name = f"wfe-{os.getuid()}-{hashlib.blake2b(os.fsencode(data.resolve()), digest_size=6).hexdigest()}"
    for base in (os.environ.get("XDG_RUNTIME_DIR", ""), tempfile.gettempdir(), "/tmp"):
        path = Path(base) / name
        if not base or len(os.fsencode(path)) + 1 + _NAME_BYTES > IPC_PATH_BYTES_MAX:
            continue
        try:
            path.mkdir(mode=0o700, exist_ok=True)
            found = path.lstat()
        except OSError:
            continue
        if stat.S_ISDIR(found.st_mode) and found.st_uid == os.getuid() and not found.st_mode & 0o077:
            return path
    return None


def ipc_endpoint(directory: Path | None, name: str) -> str:
    """The endpoint of a socket file in the runtime directory; "" without one."""
    return f"ipc://{directory / name}" if directory else ""
