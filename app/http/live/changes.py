"""Which jobs changed lately, of all clients.

What is kept is only that a job changed and when; how it stands is read when it is sent. So whoever comes back after a
while gets each job that changed meanwhile once, as it stands now, from any web process that has listened long enough.
"""

from collections import deque
from uuid import UUID

#: Changes that are remembered, of all clients together: some hundred bytes each.
KEPT = 20_000
#: How much earlier than its last event a viewer is taken to have seen all: clocks of two hosts differ, and a change is sent
#: up to a second after it was noted.
MARGIN_SECONDS = 5.0


class RecentChanges:
    """The last changes in the order in which they were noted; times are seconds since the epoch."""

    def __init__(self, kept: int = KEPT) -> None:
        self._noted: deque[tuple[float, UUID, UUID]] = deque()
        self._kept = kept
        self._complete_since = float("inf")

    def begin(self, now: float) -> None:
        """Forget all: from now on nothing is missed, and what was before is not known."""
        self._noted.clear()
        self._complete_since = now

    def end(self) -> None:
        """Say that changes may be missed until `begin`."""
        self.begin(float("inf"))

    def note(self, now: float, tenant_id: UUID, job_id: UUID) -> None:
        """Remember that a job changed."""
        if len(self._noted) >= self._kept:
            self._complete_since = self._noted.popleft()[0]
        self._noted.append((now, tenant_id, job_id))

    def since(self, moment: float, now: float, tenant_id: UUID) -> set[UUID] | None:
        """Return a client's jobs that changed after a moment (and a little before it); None: that is not known."""
        wanted = moment - MARGIN_SECONDS
        if wanted < self._complete_since or moment > now + MARGIN_SECONDS:
            return None
        found = set()
        for at, whose, job in reversed(self._noted):
            if at < wanted:
                break
            if whose == tenant_id:
                found.add(job)
        return found
