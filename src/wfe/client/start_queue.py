"""START frames that wait and those under way, so that one shard's silence holds up no other's starts.

Sans-IO. Each partition has its own share of the window: if all shared one, the starts for a shard that does not answer
(stopped, or on a disk that stalls) would soon fill it. Single starts and bulk ones have a window each, so that a start
never waits for the million that `start_many` has before it. Invariants: a lane (a partition, bulk or not) has at most
its share under way, and sends in the order in which it was given frames.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Iterator

from wfe.client.questions import NEVER, StartRequest
from wfe.client.starts import START_WINDOW, StartBatch

Lane = tuple[int, bool]


def _lane(request: StartRequest) -> Lane:
    return request.partition, request.batch.bulk


class StartQueue:
    """Iterating gives the requests that wait."""

    def __init__(self) -> None:
        self._waiting: dict[Lane, deque[StartRequest]] = {}
        self._under_way: Counter[Lane] = Counter()
        self._moved_ms: dict[Lane, int] = {}
        """When a start of a bulk lane was last taken or refused for good."""
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
        self._waiting.setdefault(_lane(request), deque()).append(request)

    def take(self) -> list[StartRequest]:
        """Those that may leave now; they are under way from then on, until `ended`."""
        taken = []
        for lane, requests in list(self._waiting.items()):
            for _ in range(min(self._share - self._under_way[lane], len(requests))):
                taken.append(requests.popleft())
                self._under_way[lane] += 1
            if not requests:
                del self._waiting[lane]
        return taken

    def ended(self, request: StartRequest) -> None:
        """Answered, or given up."""
        self._under_way[_lane(request)] -= 1

    def moved(self, request: StartRequest, now_ms: int) -> None:
        """Some of its runs were taken or refused for good: whatever waits for that in bulk gets its time anew."""
        if request.batch.bulk:
            request.batch.moved_ms = self._moved_ms[_lane(request)] = now_ms

    @property
    def due_ms(self) -> int:
        """When the next of those that wait may be overdue."""
        return min((self._deadline_ms(requests[0]) for requests in self._waiting.values()), default=NEVER)

    def overdue(self, now_ms: int) -> list[StartRequest]:
        """Takes out what has waited for too long. The first of a lane is the first to be due: all have one timeout."""
        late = []
        for lane, requests in list(self._waiting.items()):
            while requests and self._deadline_ms(requests[0]) <= now_ms:
                late.append(requests.popleft())
            if not requests:
                del self._waiting[lane]
        return late

    def _deadline_ms(self, request: StartRequest) -> int:
        if request.timeout_ms is None or not request.batch.bulk:
            return request.deadline_ms
        return max(request.batch.moved_ms, self._moved_ms.get(_lane(request), 0)) + request.timeout_ms

    def withdraw(self, batch: StartBatch) -> list[StartRequest]:
        """Takes out all that waits of a batch."""
        found = []
        for lane, requests in list(self._waiting.items()):
            found += [request for request in requests if request.batch is batch]
            others = deque(request for request in requests if request.batch is not batch)
            if others:
                self._waiting[lane] = others
            else:
                del self._waiting[lane]
        return found

    def clear(self) -> None:
        """Nothing waits, nothing is under way."""
        self._waiting.clear()
        self._under_way.clear()
        self._moved_ms.clear()
