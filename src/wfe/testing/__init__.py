"""The users' test kit: an engine in the test's process, on a virtual clock. ``from wfe.testing import Env``."""

from wfe.errors import Stuck
from wfe.testing.env import Env
from wfe.testing.mocks import Call, Mock
from wfe.testing.runs import EnvRun

__all__ = ["Call", "Env", "EnvRun", "Mock", "Stuck"]
