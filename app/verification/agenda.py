"""What a chunk still has to do: items due, items that wait for their next attempt, attempts so far.

Plain values and a clock, no I/O. An item is in exactly one of three places: due, later, or in the hands of whoever
took it; it leaves for good when it is concluded.
"""

from collections import deque
from collections.abc import Callable, Iterable
from datetime import UTC, datetime

from app.jobs.lease import Outcome
from app.provider_errors import ProviderError, policy_of
from app.settings import Settings
from app.verification.provider import Answer
from app.verification.retries import backoff_seconds
from app.verification.verdicts import Verdict

#: Attempts so far, not before (epoch seconds), last reason: what `chunks.retries` keeps for an item.
Attempt = tuple[int, float, str]


class Agenda:
    """The open items of one lease. `retries` is what earlier leases left; it is kept true for the next.

    `now` is the database's clock (epoch seconds): other hosts' leases read the moments that this one leaves.
    """

    def __init__(
        self,
        items: Iterable[tuple[int, str]],
        retries: dict[int, Attempt],
        settings: Settings,
        *,
        provider: str,
        now: Callable[[], float],
    ) -> None:
        self.emails = dict(items)
        self.retries = {no: kept for no, kept in retries.items() if no in self.emails}
        self.is_changed = False
        self._settings = settings
        self._provider = provider
        self._now = now
        moment = now()
        self.due = deque(no for no in self.emails if self._not_before(no) <= moment)
        self._later = {no for no in self.emails if self._not_before(no) > moment}

    def __bool__(self) -> bool:
        return bool(self.emails)

    @property
    def has_more(self) -> bool:
        """True while something is due or waits for its next attempt."""
        return bool(self.due or self._later)

    def answer(self, item_no: int, answer: Answer) -> Outcome:
        """Conclude an item with a verdict."""
        return self._conclude(
            Outcome(
                item_no,
                answer.verdict.value,
                answer.code,
                answer.message,
                answer.mx,
                answer.provider,
                answer.checked_at,
            )
        )

    def fail(self, item_no: int, error: ProviderError) -> Outcome | None:
        """Take an error in: due again, due later, or (after the last attempt) concluded without a verdict."""
        policy = policy_of(error)
        if not policy.counts_attempt:
            self.due.append(item_no)
            return None
        attempts = self.retries.get(item_no, (0, 0.0, ""))[0] + 1
        if policy.retry and attempts < self._settings.item_max_attempts:
            delay = max(backoff_seconds(attempts, self._settings), error.retry_after or 0)
            self.retries[item_no] = (attempts, self._now() + delay, error.message)
            self.is_changed = True
            self._later.add(item_no)
            return None
        tries = f"after {attempts} attempts" if attempts > 1 else "at the first attempt"
        message = f"No verdict {tries}: {error.message}"
        return self._conclude(
            Outcome(
                item_no,
                Verdict.UNKNOWN.value,
                error.code,
                message,
                None,
                self._provider,
                datetime.now(UTC),
                is_failure=True,
            )
        )

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

    def _conclude(self, outcome: Outcome) -> Outcome:
        if self.retries.pop(outcome.item_no, None):
            self.is_changed = True
        del self.emails[outcome.item_no]
        return outcome
