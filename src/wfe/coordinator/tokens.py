"""The token of a server: in its data directory, and by address in the user's state directory for peers of that user.

Both files are 0600 and written whole or not at all. WFE_TOKEN, where it is set, is the token instead.
"""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from wfe.config import token_path
from wfe.errors import ConfigError, DataError

TOKEN_FILE = "token"
_TOKEN_BYTES = 32
_TOKEN_CHARS_MIN = 16


def server_token(data: Path) -> str:
    """This server's token; made at the first start, the same from then on, so that peers survive its restarts."""
    if given := os.environ.get("WFE_TOKEN", "").strip():
        if len(given) < _TOKEN_CHARS_MIN:
            raise ConfigError(f"WFE_TOKEN is too short to be a token: use {_TOKEN_CHARS_MIN} random characters or more")
        return given
    path = data / TOKEN_FILE
    try:
        if (kept := path.read_text(encoding="ascii").strip()) and len(kept) >= _TOKEN_CHARS_MIN:
            return kept
    except FileNotFoundError:
        pass
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read the token in {path}: {error}") from error
    token = secrets.token_hex(_TOKEN_BYTES)
    try:
        write_private(path, token + "\n")
    except OSError as error:
        raise DataError(f"cannot write the token to {path}: {error.strerror}") from error
    return token


def publish_token(address: str, token: str) -> Path | None:
    """Leaves the token where clients of the same user look for it; None when there is no such place."""
    path = token_path(address)
    try:
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        write_private(path, token + "\n")
    except OSError:
        return None
    return path


def withdraw_token(path: Path, token: str) -> None:
    """Removes what `publish_token` left, unless another server has written there since."""
    try:
        if path.read_text(encoding="ascii").strip() == token:
            path.unlink()
    except OSError:
        return


def write_private(path: Path, text: str) -> None:
    """Replaces a file as a whole; only this user may read it."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(text)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
