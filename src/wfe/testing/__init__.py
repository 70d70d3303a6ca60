"""The users' test kit: an engine in the test's process, on a virtual clock. ``from wfe.testing import Env``.

Every name is imported at its first use: the pytest plugin lives here, and a test run that needs no engine loads none.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from wfe.errors import Stuck
    from wfe.testing.env import Env
    from wfe.testing.mocks import Call, Mock
    from wfe.testing.runs import EnvRun

_HOMES = {
    "Call": "wfe.testing.mocks",
    "Env": "wfe.testing.env",
    "EnvRun": "wfe.testing.runs",
    "Mock": "wfe.testing.mocks",
    "Stuck": "wfe.errors",
}
__all__ = ["Call", "Env", "EnvRun", "Mock", "Stuck"]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        if name not in _HOMES:
            raise AttributeError(f"module 'wfe.testing' has no attribute {name!r}")
        return getattr(import_module(_HOMES[name]), name)
