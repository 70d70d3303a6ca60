"""Open approvals of all runs: every partition is asked on its own, and their pages are merged. A part of the client."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from wfe.client.connection import Connection
from wfe.client.listing import LIST_TIMEOUT_S
from wfe.client.replies import decoder_of
from wfe.client.views import rfc3339, time_of_ms
from wfe.errors import Disconnected, InvalidInput, Unavailable
from wfe.limits import LIST_LIMIT_DEFAULT
from wfe.model.definition import Definition, walk
from wfe.model.nodes import Approval, DurableCall
from wfe.wire.approvals import ApprovalPage, ApprovalsQuery, OpenApproval
from wfe.wire.frames import Kind
from wfe.wire.payload import decode_any

_decode_page = decoder_of(ApprovalPage)


@dataclass(frozen=True, slots=True)
class ApprovalInfo:
    """An open approval. ``to``: who is asked (a name, a list, or None: anybody); ``form``: the schema of its data."""

    run_id: str
    workflow: str
    key: str | None
    node: str
    name: str
    to: Any
    due: datetime | None
    level: int
    form: Any
    due_ms: int = 0


class Approving:
    """Mixed into the client, which has the connection."""

    def _open(self) -> Connection:
        raise NotImplementedError

    async def approvals(
        self, *, to: str | None = None, workflow: str | None = None, limit: int = LIST_LIMIT_DEFAULT
    ) -> list[ApprovalInfo]:
        """Decisions that runs wait for, oldest run first. ``to``: only those that this person is asked for."""
        connection = self._open()
        partitions = range(connection.welcome.partitions)
        pages = await asyncio.gather(*(self._page(connection, n, workflow or "", limit) for n in partitions))
        found = [_info(approval) for page in pages for approval in page]
        if to is not None:
            found = [each for each in found if each.to == to or (isinstance(each.to, list) and to in each.to)]
        found.sort(key=lambda each: (each.run_id[2:], each.node))
        return found[:limit]

    async def _page(self, connection: Connection, partition: int, workflow: str, limit: int) -> list[OpenApproval]:
        found: list[OpenApproval] = []
        query = ApprovalsQuery("", limit, workflow)
        while True:
            try:
                reply = await connection.ask(
                    Kind.APPROVALS, query, partition=partition, timeout_s=LIST_TIMEOUT_S, patient=False
                )
            except (Unavailable, Disconnected):
                return found
            page = _decode_page(reply)
            found += page.approvals
            if not page.more or len(found) >= limit:
                return found
            query = ApprovalsQuery(page.approvals[-1].run_id, limit, workflow)


def check_approval_name(definition: Definition, name: str) -> None:
    """InvalidInput when no run of this definition ever asks under this name: the decision would be kept for nobody.
    A durable function's names are not known before it asks, so any is right."""
    nodes = list(walk(definition.nodes))
    names = sorted({node.approval for node in nodes if isinstance(node, Approval)})
    if name in names or any(isinstance(node, DurableCall) for node in nodes):
        return
    there = f"it has: {', '.join(names)}" if names else "it has none"
    raise InvalidInput(f"the workflow {definition.workflow!r} has no approval {name!r}; {there}", "name")


def _info(approval: OpenApproval) -> ApprovalInfo:
    return ApprovalInfo(
        approval.run_id,
        approval.workflow,
        approval.key or None,
        approval.node,
        approval.name,
        decode_any(approval.to),
        time_of_ms(approval.due_ms),
        approval.level,
        decode_any(approval.form),
        approval.due_ms,
    )


def approval_document(approval: ApprovalInfo) -> dict[str, Any]:
    """The JSON form."""
    return {
        "run": approval.run_id,
        "workflow": approval.workflow,
        "key": approval.key,
        "node": approval.node,
        "name": approval.name,
        "to": approval.to,
        "due": rfc3339(approval.due_ms),
        "escalations": approval.level,
        "form": approval.form,
    }
