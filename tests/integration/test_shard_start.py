"""A shard that starts is waited for: it takes nothing along that only others need."""

from __future__ import annotations

import subprocess
import sys

NEVER = ("rich.console", "wfe.core.validate", "wfe.core.study.carry", "wfe.authoring", "wfe.gateway", "wfe.worker")
CODE = """
import sys
from wfe.bootstrap import roles
roles._start_fast()
import wfe.shard.process, wfe.transport.sockets
from wfe import observe
observe.configure("info", "console")
print(*[name for name in {never!r} if sys.modules.get(name) is not None])
"""


def test_a_shard_imports_nothing_that_draws_or_checks_definitions() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE.format(never=NEVER)], capture_output=True, text=True, check=False, timeout=60
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == []
