"""The ``wfe`` command: parse, call, print. No logic.

One module per group of commands, imported only when one of its commands runs; nothing here imports asyncio or zmq
before that, so ``wfe --help`` is quick. `params` parses what people type, `output` prints and gives
exit codes: 0 success, 1 the run or the check failed, 2 usage or refused, 3 cannot reach the server,
4 ``--timeout`` ended first.
"""

from __future__ import annotations


def main() -> None:
    """The console script."""
    from wfe.cli.group import run_command_line

    run_command_line()
