"""Those who watch one client's jobs, and what they are to be told next.

A job is told at most once a second, however often it changes. Where more change than a page could follow, its viewers are
told once to read their list again. Times are the loop's, in seconds.
"""

from uuid import UUID

from app.http.live.viewer import Viewer

#: So long a change waits for others of the same job, such as those of one transaction.
SETTLE_SECONDS = 0.05
EVERY_SECONDS = 1.0
#: Jobs that are told one by one; more at once are a `reset`.
MOST_JOBS = 100
RESET_EVERY_SECONDS = 5.0


class Audience:
    """To be used on the loop only."""

    def __init__(self) -> None:
        self.viewers: set[Viewer] = set()
        self.is_reading = False
        self._due: dict[UUID, float] = {}
        self._told_at: dict[UUID, float] = {}
        self._wants_reset = False
        self._next_reset = 0.0

    def note(self, job_id: UUID, now: float) -> None:
        """Have a job told soon. While a reset is due anyway, nothing needs to be kept."""
        if self._wants_reset or job_id in self._due:
            return
        told_at = self._told_at.get(job_id, float("-inf"))
        self._due[job_id] = max(now + SETTLE_SECONDS, told_at + EVERY_SECONDS)
        if len(self._due) > MOST_JOBS:
            self.reset_soon()

    def reset_soon(self) -> None:
        """Have everybody read their list again, instead of all that was to be told."""
        self._due.clear()
        self._wants_reset = True

    def take_reset(self, now: float) -> bool:
        """Return whether to send a reset now; then it is taken as sent."""
        if not self._wants_reset or now < self._next_reset:
            return False
        self._wants_reset = False
        self._next_reset = now + RESET_EVERY_SECONDS
        return True

    def take_due(self, now: float) -> list[UUID]:
        """Return the jobs to read and tell now; then they are taken as told."""
        ready = [job for job, at in self._due.items() if at <= now]
        for job in ready:
            del self._due[job]
            self._told_at[job] = now
        if len(self._told_at) > 10 * MOST_JOBS:
            self._told_at = {
                job: at for job, at in self._told_at.items() if at > now - EVERY_SECONDS
            }
        return ready

    def send(self, data: bytes, now: float) -> None:
        """Send the same bytes to everybody."""
        for viewer in list(self.viewers):
            viewer.send(data, now)
