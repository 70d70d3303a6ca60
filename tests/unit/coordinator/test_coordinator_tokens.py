"""Tokens: made once, private, found by peers of the same user, gone when the server is."""

from __future__ import annotations

from pathlib import Path

import pytest

from wfe.config import find_token, token_path
from wfe.coordinator.tokens import publish_token, server_token, withdraw_token, write_private
from wfe.errors import ConfigError, DataError

ADDRESS = "tcp://127.0.0.1:7700"


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.delenv("WFE_TOKEN", raising=False)
    return tmp_path


def test_a_token_is_long_random_private_and_kept(home: Path) -> None:
    token = server_token(home)
    assert len(bytes.fromhex(token)) == 32
    assert (home / "token").stat().st_mode & 0o777 == 0o600
    assert server_token(home) == token
    other = home / "other"
    other.mkdir()
    assert server_token(other) != token


def test_a_token_file_that_was_cut_off_is_made_anew(home: Path) -> None:
    (home / "token").write_text("ab")
    assert len(server_token(home)) == 64


def test_the_environment_decides_for_server_and_peer(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WFE_TOKEN", "x" * 40)
    assert server_token(home) == find_token(ADDRESS) == "x" * 40
    monkeypatch.setenv("WFE_TOKEN", "short")
    with pytest.raises(ConfigError, match="too short"):
        server_token(home)


def test_a_directory_that_cannot_be_written_is_a_data_error(home: Path) -> None:
    with pytest.raises(DataError, match="token"):
        server_token(home / "missing")


def test_a_published_token_is_found_by_address_and_withdrawn_with_its_server(home: Path) -> None:
    path = publish_token(ADDRESS, "secret")
    assert path == token_path(ADDRESS)
    assert path.stat().st_mode & 0o777 == 0o600
    assert find_token(ADDRESS) == "secret"
    assert find_token("tcp://localhost:7700") == "secret"
    assert find_token("tcp://127.0.0.1:7701") == ""
    withdraw_token(path, "secret")
    assert find_token(ADDRESS) == ""


def test_a_server_does_not_withdraw_what_its_successor_published(home: Path) -> None:
    path = publish_token(ADDRESS, "first")
    assert path is not None
    publish_token(ADDRESS, "second")
    withdraw_token(path, "first")
    assert find_token(ADDRESS) == "second"


def test_a_home_that_cannot_be_written_is_no_error(home: Path) -> None:
    (home / "state").write_text("a file, not a directory")
    assert publish_token(ADDRESS, "secret") is None


def test_a_private_file_is_replaced_as_a_whole(home: Path) -> None:
    path = home / "file"
    path.write_text("public")
    path.chmod(0o644)
    write_private(path, "private")
    assert (path.read_text(), path.stat().st_mode & 0o777) == ("private", 0o600)
    assert [entry.name for entry in home.iterdir()] == ["file"]
