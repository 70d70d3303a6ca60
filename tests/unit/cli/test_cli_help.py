"""``wfe --help`` must stay quick: it may import only what it prints."""

from __future__ import annotations

import subprocess
import sys

from wfe.cli.catalogue import definitions_command
from wfe.cli.group import COMMANDS

HEAVY = ("asyncio", "zmq", "msgspec", "rich", "uvloop", "lmdb")

SCRIPT = f"""
import sys
from wfe.cli.group import run_command_line
try:
    run_command_line(["--help"])
except SystemExit as end:
    assert end.code == 0, end.code
print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)
"""


def test_help_imports_neither_asyncio_nor_zmq() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
    assert "history" in done.stdout


def test_the_commands_that_the_help_names_below_definitions_are_there() -> None:
    named = COMMANDS["definitions"][1].rstrip(".").partition(": ")[2].split(", ")
    assert set(named) <= set(definitions_command.commands)
