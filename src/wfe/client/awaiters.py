"""Runs that wait for a signal with a correlation, wherever they are. A part of the client."""

from __future__ import annotations

import asyncio

from wfe.client.connection import Connection
from wfe.client.listing import LIST_TIMEOUT_S
from wfe.client.replies import decoder_of
from wfe.model.state import channel_of
from wfe.wire.awaiters import Awaiters, AwaitersQuery
from wfe.wire.frames import Kind

_decode = decoder_of(Awaiters)


class Awaited:
    """Mixed into the client, which has the connection."""

    def _open(self) -> Connection:
        raise NotImplementedError

    async def awaiters(self, name: str, correlation: str) -> list[str]:
        """Ids of runs that wait for this signal with this correlation now; two of a partition are enough.

        Looks at every open run of the server. Unavailable when a shard does not answer: it may have the run.
        """
        connection = self._open()
        query = AwaitersQuery(channel_of(name, correlation))
        replies = await asyncio.gather(
            *(
                connection.ask(Kind.AWAITERS, query, partition=partition, timeout_s=LIST_TIMEOUT_S, patient=False)
                for partition in range(connection.welcome.partitions)
            )
        )
        return [run_id for reply in replies for run_id in _decode(reply).run_ids]
