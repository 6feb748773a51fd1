"""What a chunk still has to do: items due, items that wait for their next attempt, attempts so far.

Plain values and a clock, no I/O. An item is in exactly one of three places: due, later, or in the hands of whoever
took it; it leaves for good when it is concluded.
"""

from collections import deque
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Generic, TypeVar

from app.jobs.records import Outcome
from app.provider_errors import ProviderError, policy_of
from app.settings import Settings
from app.work.retries import backoff_seconds

Item = TypeVar("Item")

#: Attempts so far, not before (epoch seconds), last reason: what `chunks.retries` keeps for an item.
Attempt = tuple[int, float, str]


class Agenda(Generic[Item]):
    """The open items of one lease, by number. `retries` is what earlier leases left; it is kept true for the next.

    `now` is the database's clock (epoch seconds): other hosts' leases read the moments that this one leaves.
    `max_attempts` None: as the settings say. `goal` is what an attempt is to bring, for people.
    """

    def __init__(
        self,
        items: Mapping[int, Item],
        retries: dict[int, Attempt],
        settings: Settings,
        *,
        max_attempts: int | None = None,
        goal: str = "verdict",
        now: Callable[[], float],
    ) -> None:
        self.items = dict(items)
        self.retries = {no: kept for no, kept in retries.items() if no in self.items}
        self.is_changed = False
        self._settings = settings
        self._max_attempts = max_attempts or settings.item_max_attempts
        self._goal = goal
        self._now = now
        moment = now()
        self.due = deque(no for no in self.items if self._not_before(no) <= moment)
        self._later = {no for no in self.items if self._not_before(no) > moment}

    def __bool__(self) -> bool:
        return bool(self.items)

    @property
    def has_more(self) -> bool:
        """True while something is due or waits for its next attempt."""
        return bool(self.due or self._later)

    def fail(self, item_no: int, error: ProviderError) -> str | None:
        """Take an error in: due again or due later, None; or why, in words, there is no further attempt.

        Then it is for the caller to conclude the item.
        """
        policy = policy_of(error)
        if not policy.counts_attempt:
            self.due.append(item_no)
            return None
        attempts = self.retries.get(item_no, (0, 0.0, ""))[0] + 1
        if policy.retry and attempts < self._max_attempts:
            delay = max(backoff_seconds(attempts, self._settings), error.retry_after or 0)
            self.retries[item_no] = (attempts, self._now() + delay, error.message)
            self.is_changed = True
            self._later.add(item_no)
            return None
        tries = f"after {attempts} attempts" if attempts > 1 else "at the first attempt"
        return f"No {self._goal} {tries}: {error.message}"

    def seconds_to_next(self) -> float:
        """Return how long until the nearest item that waits is due."""
        return min(self._not_before(no) for no in self._later) - self._now()

    def next_moment(self) -> datetime:
        """Return when the nearest item that waits is due."""
        return datetime.fromtimestamp(min(self._not_before(no) for no in self._later), UTC)

    def wake(self) -> None:
        """Make due what has waited long enough."""
        moment = self._now()
        ready = {no for no in self._later if self._not_before(no) <= moment}
        self._later -= ready
        self.due.extend(sorted(ready))

    def changes(self) -> dict[int, Attempt] | None:
        """Return the attempts when they changed since the last time, else None."""
        if not self.is_changed:
            return None
        self.is_changed = False
        return dict(self.retries)

    def _not_before(self, item_no: int) -> float:
        return self.retries[item_no][1] if item_no in self.retries else 0.0

    def conclude(self, outcome: Outcome) -> Outcome:
        """Take an item out for good."""
        if self.retries.pop(outcome.item_no, None):
            self.is_changed = True
        del self.items[outcome.item_no]
        return outcome
