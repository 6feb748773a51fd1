"""A waiting line that takes tenants in turns: many waiters of one never stand in front of another's.

Weighted fair queueing: each tenant has a tag that grows by 1/weight with every turn, the lowest tag
is next. A tenant that comes back after a pause starts at the present tag, so it can't save turns up.
Within a tenant the lowest rank (its work's priority) is served first, then the first come. Every operation is
O(log tenants), for a handful of ranks.
"""

import heapq
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Generic, TypeVar

T = TypeVar("T")


@dataclass(slots=True)
class _Line(Generic[T]):
    tag: float = 0.0
    #: rank -> waiters in order; a rank without waiters is not there.
    ranks: dict[int, deque[T]] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.ranks)

    def at(self, rank: int) -> deque[T]:
        """Return the waiters of a rank, to put one in."""
        waiters = self.ranks.get(rank)
        if waiters is None:
            waiters = self.ranks[rank] = deque()
        return waiters

    def take(self) -> T:
        """Take the first waiter of the lowest rank."""
        rank = min(self.ranks)
        waiter = self.ranks[rank].popleft()
        self.drop_if_empty(rank)
        return waiter

    def drop_if_empty(self, rank: int) -> None:
        """Forget a rank that nobody waits in."""
        if not self.ranks[rank]:
            del self.ranks[rank]


class FairQueue(Generic[T]):
    """Waiters of many tenants. Weights default to 1; they may be changed at any time."""

    def __init__(
        self,
        weights: Mapping[str, float] | None = None,
        *,
        is_waiting: Callable[[T], bool] = lambda _: True,
    ) -> None:
        self._is_waiting = is_waiting
        self.weights: Mapping[str, float] = {} if weights is None else weights
        self._lines: dict[str, _Line[T]] = {}
        #: (tag, tenant) of every tenant that has waiters, each once.
        self._turns: list[tuple[float, str]] = []
        self._now = 0.0
        self._length = 0

    def __len__(self) -> int:
        return self._length

    def push(self, tenant: str, waiter: T, rank: int = 0) -> None:
        """Put a waiter at the end of its rank in its tenant's line."""
        self._line_of(tenant).at(rank).append(waiter)
        self._length += 1

    def push_front(self, tenant: str, waiter: T, rank: int = 0) -> None:
        """Put a waiter back whose turn came to nothing: first of its rank, the turn refunded."""
        line = self._line_of(tenant)
        line.at(rank).appendleft(waiter)
        self._length += 1
        self._now = min(self._now, line.tag - self._step(tenant))
        self._set_tag(tenant, line, line.tag - self._step(tenant))

    def pop(self) -> T | None:
        """Take the waiter whose turn it is, None when nobody waits. Who gave up is passed over."""
        while self._turns:
            tag, tenant = heapq.heappop(self._turns)
            line = self._lines[tenant]
            waiter = line.take()
            self._length -= 1
            waits = self._is_waiting(waiter)
            if waits:
                self._now = tag
                line.tag = tag + self._step(tenant)
            if line:
                heapq.heappush(self._turns, (line.tag, tenant))
            elif len(self._lines) > 2 * len(self._turns) + 64:
                self._forget()
            if waits:
                return waiter
        return None

    def remove(self, tenant: str, waiter: T, rank: int = 0) -> bool:
        """Take a waiter out who gave up; tell whether it was there."""
        try:
            line = self._lines[tenant]
            line.ranks[rank].remove(waiter)
        except (KeyError, ValueError):
            return False
        line.drop_if_empty(rank)
        self._length -= 1
        if not line:
            self._turns.remove((line.tag, tenant))
            heapq.heapify(self._turns)
        return True

    def _step(self, tenant: str) -> float:
        return 1.0 / self.weights.get(tenant, 1.0)

    def _line_of(self, tenant: str) -> _Line[T]:
        line = self._lines.get(tenant)
        if line is None:
            line = self._lines[tenant] = _Line(self._now)
        if not line:
            line.tag = max(line.tag, self._now)
            heapq.heappush(self._turns, (line.tag, tenant))
        return line

    def _set_tag(self, tenant: str, line: _Line[T], tag: float) -> None:
        self._turns.remove((line.tag, tenant))
        line.tag = tag
        self._turns.append((tag, tenant))
        heapq.heapify(self._turns)

    def _forget(self) -> None:
        """Drop tenants that wait for nothing and owe nothing: there may be many in a week."""
        self._lines = {
            tenant: line for tenant, line in self._lines.items() if line or line.tag > self._now
        }
