"""Addresses from outside: what is refused, and with which words."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from wfe.errors import ConfigError
from wfe.limits import IPC_PATH_BYTES_MAX
from wfe.transport.endpoints import ipc_endpoint, is_loopback, listen_address, parse_tcp, runtime_directory


@pytest.mark.parametrize(
    ("address", "host", "port"),
    [
        ("tcp://127.0.0.1:7700", "127.0.0.1", 7700),
        ("tcp://localhost:0", "localhost", 0),
        ("tcp://[::1]:7700", "::1", 7700),
    ],
)
def test_an_address_is_read_and_written_back(address: str, host: str, port: int) -> None:
    assert parse_tcp(address) == (host, port)
    assert parse_tcp(address).text == address


@pytest.mark.parametrize(
    "address",
    [
        "7700",
        "127.0.0.1:7700",
        "http://127.0.0.1:7700",
        "tcp://:7700",
        "tcp://127.0.0.1",
        "tcp://::1:7700",
        "tcp://",
        "://",
        "tcp://127.0.0.1:",
        "tcp://127.0.0.1:65536",
        "tcp://127.0.0.1:x",
        "tcp://127.0.0.1:-1",
        "tcp://[::1:7700",
        "tcp://127.0.0.1:²",
    ],
)
def test_what_is_no_address_is_refused(address: str) -> None:
    with pytest.raises(ConfigError):
        parse_tcp(address)


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.1.5", "example.com", "*", "[::]"])
def test_listening_beyond_loopback_is_refused_without_encryption(host: str) -> None:
    with pytest.raises(ConfigError, match="CURVE"):
        listen_address(f"tcp://{host}:7700")


@pytest.mark.parametrize("host", ["127.0.0.1", "127.1.2.3", "localhost", "::1"])
def test_loopback_is_recognised(host: str) -> None:
    assert is_loopback(host)


def test_localhost_is_bound_as_a_number() -> None:
    assert listen_address("tcp://localhost:7700") == "tcp://127.0.0.1:7700"


@pytest.fixture
def short_runtime(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    base = tmp_path / "r"
    base.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(base))
    return base


def test_the_runtime_directory_is_private_and_the_same_for_the_same_data(tmp_path: Path, short_runtime: Path) -> None:
    first = runtime_directory(tmp_path / "data")
    assert first is not None
    assert first.stat().st_mode & 0o777 == 0o700
    assert runtime_directory(tmp_path / "data") == first
    assert runtime_directory(tmp_path / "other") != first


def test_a_directory_that_others_may_enter_is_not_used(tmp_path: Path, short_runtime: Path) -> None:
    first = runtime_directory(tmp_path / "data")
    assert first is not None
    first.chmod(0o755)
    assert runtime_directory(tmp_path / "data") != first


def test_a_long_base_is_passed_over_because_a_socket_path_must_be_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    deep = tmp_path / ("d" * 100)
    deep.mkdir()
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(deep))
    found = runtime_directory(tmp_path / "data")
    assert found is not None
    assert deep not in found.parents
    endpoint = ipc_endpoint(found, "shard-1023-1234567890")
    assert len(os.fsencode(endpoint.removeprefix("ipc://"))) <= IPC_PATH_BYTES_MAX


def test_without_a_directory_there_is_no_ipc_endpoint() -> None:
    assert ipc_endpoint(None, "front") == ""
