"""Questions about definitions and their runs: the processed graph with recorded times, and differences. A part of the
client; the answers are computed on this side, by `core.study`, which is imported when it is needed only."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from wfe.client.connection import Connection
from wfe.client.listing import list_runs
from wfe.client.runs import AsyncRun, fetch_view
from wfe.errors import InvalidInput
from wfe.limits import LIST_LIMIT_MAX, STUDIED_RUNS_MAX
from wfe.model.ids import is_run_id
from wfe.wire.messages import ListRuns

if TYPE_CHECKING:
    from wfe.core.study import Differences, ProcessedGraph
    from wfe.model.definition import Definition

HISTORIES_AT_ONCE = 8


class Studying:
    """Mixed into the client, which has the connection and finds definitions."""

    def _open(self) -> Connection:
        raise NotImplementedError

    async def definition(self, workflow: Any = "", *, version: int = 0, hash: str = "") -> Definition:
        raise NotImplementedError

    async def graph(self, what: Any, *, runs: int = 20, paths: int = 10) -> ProcessedGraph:
        """The processed graph of a workflow or of a run's definition (a run's id), with recorded times of its nodes.

        The times are those of the run, or of the last ``runs`` completed ones of exactly this version; ``paths``: how
        many of the ways through it are listed. UnknownWorkflow, UnknownRun.
        """
        from wfe.core.study import processed_graph, times_of_run, times_of_runs

        if not 0 <= runs <= STUDIED_RUNS_MAX:
            raise InvalidInput(f"runs must be between 0 and {STUDIED_RUNS_MAX}", "runs")
        connection = self._open()
        if is_run_id(what):
            view = await fetch_view(connection, what)
            definition = await self.definition(hash=view.definition)
            found: Sequence[AsyncRun[Any]] = [AsyncRun(connection, view.id)]
        else:
            definition = await self.definition(what)
            found = await self._last(connection, definition, runs) if runs else []
        gate = asyncio.Semaphore(HISTORIES_AT_ONCE)

        async def times(run: AsyncRun[Any]) -> dict[str, int]:
            async with gate:
                return times_of_run(await run.history())

        recorded = times_of_runs(await asyncio.gather(*(times(run) for run in found)))
        return processed_graph(definition, times=recorded, runs=len(found), paths_max=paths)

    async def diff(self, old: Any, new: Any) -> Differences:
        """What changed between two registered versions: ``client.diff("checkout@1", "checkout")``. UnknownWorkflow."""
        from wfe.core.study import differences

        one, two = await asyncio.gather(self.definition(old), self.definition(new))
        return differences(one, two)

    @staticmethod
    async def _last(connection: Connection, definition: Definition, runs: int) -> list[AsyncRun[Any]]:
        from wfe.core.canonical import definition_hash

        digest = definition_hash(definition)
        limit = min(10 * runs, LIST_LIMIT_MAX)
        found = await list_runs(connection, ListRuns("completed", definition.workflow, limit=limit), "default")
        same = [run for run in found if run.info and run.info.view and run.info.view.definition == digest]
        return same[:runs]
