"""Single starts that are made in one turn of the loop leave together, so that they can share frames."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import NamedTuple

from wfe.client.connection import Connection
from wfe.client.starts import StartBatch
from wfe.client.watches import Watch
from wfe.errors import WfeError
from wfe.wire.messages import StartRun


class _Pending(NamedTuple):
    run: StartRun
    future: asyncio.Future[Watch | None]


class Starter:
    """Collects starts per (workflow, version) until the end of the turn. ``connection``: raises when there is none."""

    def __init__(self, connection: Callable[[], Connection]) -> None:
        self._connection = connection
        self._pending: dict[tuple[str, int], list[_Pending]] = {}

    def start(self, workflow: str, version: int, run: StartRun) -> asyncio.Future[Watch | None]:
        """The run's watch, once its start is durable; ``run.run_id`` is its id then."""
        self._connection()
        loop = asyncio.get_running_loop()
        future: asyncio.Future[Watch | None] = loop.create_future()
        waiting = self._pending.get((workflow, version))
        if waiting is None:
            self._pending[workflow, version] = [_Pending(run, future)]
            loop.call_soon(self._flush, workflow, version)
        else:
            waiting.append(_Pending(run, future))
        return future

    def _flush(self, workflow: str, version: int) -> None:
        pending = self._pending.pop((workflow, version))

        def each(index: int, error: WfeError | None) -> None:
            future = pending[index].future
            if future.done():
                return
            if error is not None:
                future.set_exception(error)
            else:
                future.set_result(batch.watches[index])

        batch = StartBatch([start.run for start in pending], each=each)
        try:
            self._connection().submit(workflow, version, batch)
        except WfeError as error:
            for index in range(len(pending)):
                each(index, error)
        except Exception as error:  # noqa: BLE001  whoever waits for a start must hear of it
            # What cannot leave fails before anything of its batch is under way: the others leave one by one.
            if len(pending) == 1:
                each(0, _unsendable(error))
                return
            for start in pending:
                self._pending[workflow, version] = [start]
                self._flush(workflow, version)


def _unsendable(error: Exception) -> WfeError:
    found = WfeError(f"this start cannot be sent: {type(error).__name__}: {error}")
    found.__cause__ = error
    return found
