"""START frames that wait and those under way, per partition, so that one shard's silence holds up no other's starts.

Sans-IO. Each partition has its own share of the window: if all shared one, the starts for a shard that does not answer
(stopped, or on a disk that stalls) would soon fill it. Invariant: a partition has at most its share under way.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator

from wfe.client.questions import StartRequest
from wfe.client.starts import START_WINDOW


class StartQueue:
    """Iterating gives the requests that wait."""

    def __init__(self) -> None:
        self._waiting: dict[int, deque[StartRequest]] = {}
        self._under_way: Counter[int] = Counter()
        self._share = 1

    def share_among(self, partitions: int) -> None:
        """Divides the window."""
        self._share = max(1, START_WINDOW // partitions)

    def __iter__(self) -> Iterator[StartRequest]:
        for requests in self._waiting.values():
            yield from requests

    def __bool__(self) -> bool:
        return bool(self._waiting)

    def add(self, request: StartRequest) -> None:
        self._waiting.setdefault(request.partition, deque()).append(request)

    def take(self) -> list[StartRequest]:
        """Those that may leave now; they are under way from then on, until `ended`."""
        taken = []
        for partition, requests in list(self._waiting.items()):
            for _ in range(min(self._share - self._under_way[partition], len(requests))):
                taken.append(requests.popleft())
                self._under_way[partition] += 1
            if not requests:
                del self._waiting[partition]
        return taken

    def ended(self, request: StartRequest) -> None:
        """Answered, or given up."""
        self._under_way[request.partition] -= 1

    def clear(self) -> None:
        """Nothing waits, nothing is under way."""
        self._waiting.clear()
        self._under_way.clear()
