"""Secrets: read from the environment or from files, and masked in whatever this process logs from then on.

May read files and the environment; knows no socket, no loop.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from pathlib import Path

from wfe.errors import ConfigError

SECRETS_DIRECTORY = "/run/secrets"
_MASK = "********"
_MASKED_CHARS_MIN = 4
_SECRET_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")


class _Secrets:
    """Values that must not show up in a log. One per process on purpose: any task may read a secret at any time."""

    def __init__(self) -> None:
        self._values: frozenset[str] = frozenset()
        self._pattern: re.Pattern[str] | None = None

    def add(self, value: str) -> None:
        # Values of a few characters are left alone: masking every "1" would hide the log, not the secret.
        forms = {f for f in (value, value.strip(), json.dumps(value)[1:-1]) if len(f) >= _MASKED_CHARS_MIN}
        if not forms <= self._values:
            self._values |= forms
            longest_first = sorted(self._values, key=len, reverse=True)
            self._pattern = re.compile("|".join(map(re.escape, longest_first)))

    def mask(self, text: str) -> str:
        return text if self._pattern is None else self._pattern.sub(_MASK, text)


_secrets = _Secrets()


def read_secret(name: str, *, environ: Mapping[str, str] = os.environ) -> str:
    """A secret: the environment variable ``name``, else the file ``name`` in WFE_SECRETS_DIR (default /run/secrets).

    The value is masked in this process's log from then on. Raises ConfigError when there is none; the message names
    both places and never a value.
    """
    if not _SECRET_NAME.fullmatch(name):
        raise ConfigError(f"{name!r} cannot name a secret: use letters, digits, '_', '.' and '-'")
    value = environ.get(name)
    if value is None:
        file = Path(environ.get("WFE_SECRETS_DIR") or SECRETS_DIRECTORY) / name
        try:
            # Editors and `echo` end a file with a newline that is not part of the secret.
            value = file.read_text(encoding="utf-8").removesuffix("\n").removesuffix("\r")
        except (OSError, UnicodeDecodeError):
            raise ConfigError(
                f"no secret {name!r}: set the environment variable {name} or make the file {file}"
            ) from None
    add_secret(value)
    return value


def add_secret(value: str) -> None:
    """Mask this text in the log from now on (a token, a password that came another way)."""
    _secrets.add(value)


def mask_secrets(text: str) -> str:
    """The text with every known secret replaced; what `observe.configure(mask=...)` takes."""
    return _secrets.mask(text)
