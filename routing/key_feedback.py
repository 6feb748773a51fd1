"""Sends the limiter what became of calls. Nothing is lost while Redis is away.

Clean calls are counted and sent together; what narrows a key down (a 429, a refusal, an error) goes
at once, and the slots that are held on a key which must rest are given up.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable

from routing.provider_key import Grant, Outcome
from routing.rate_limits.calls import clean_reports
from routing.rate_limits.errors import LimitsUnavailable
from routing.rate_limits.limiter import AsyncLimiter
from routing.rate_limits.limits import Report

log = logging.getLogger(__name__)
#: Clean calls matter to keys that were slowed down or tried again: a second does not.
FLUSH_SECONDS = 1.0
RETRY_SECONDS = 1.0
#: How long a key rests after a 429 that does not say.
REST_SECONDS = 1.0
#: Reports kept while Redis is away; the oldest go first.
KEPT = 10_000


class KeyFeedback:
    """The reports of one pool; used on its loop. `drop_slots(fingerprint)` gives up held slots."""

    def __init__(self, limiter: AsyncLimiter, drop_slots: Callable[[str], int]) -> None:
        self._limiter = limiter
        self._drop_slots = drop_slots
        self._clean: Counter[str] = Counter()
        self._urgent: list[Report] = []
        self.due_at = float("inf")

    def add_clean(self, fingerprint: str) -> bool:
        """Count a clean call; tell whether it is the first of a batch."""
        self._clean[fingerprint] += 1
        if self.due_at != float("inf"):
            return False
        self.due_at = asyncio.get_running_loop().time() + FLUSH_SECONDS
        return True

    async def add(self, grant: Grant, outcome: Outcome, after: float | None, why: str) -> None:
        """Send a report that narrows the key down."""
        fingerprint = grant.key.fingerprint
        if outcome == "throttled":
            rest = REST_SECONDS if after is None else max(after, 0.0)
            report = Report("throttled", fingerprint, str(round(rest * 1e3)), grant.at_ms)
        else:
            report = Report(outcome, fingerprint, why or outcome)
        if outcome in {"throttled", "unauthorized"}:
            self._drop_slots(fingerprint)
        self._urgent = [*self._urgent[1 - KEPT :], report]
        await self.flush()

    async def flush_if_due(self) -> None:
        """Send what has waited long enough."""
        if asyncio.get_running_loop().time() >= self.due_at:
            await self.flush()

    async def flush(self) -> None:
        """Send all reports; keep them where Redis does not answer."""
        urgent, self._urgent = self._urgent, []
        clean, self._clean = self._clean, Counter()
        self.due_at = float("inf")
        # Clean calls first: they were made before what is reported after them.
        reports = clean_reports(clean) + urgent
        if not reports:
            return
        try:
            states = await self._limiter.report(reports)
        except BaseException as error:
            self._urgent = urgent + self._urgent
            self._clean.update(clean)
            self.due_at = asyncio.get_running_loop().time() + RETRY_SECONDS
            if not isinstance(error, LimitsUnavailable):
                raise
            log.warning("reports on provider keys wait: %s", error.message)
            return
        for report, state in zip(reports, states, strict=True):
            if state == "open":
                self._drop_slots(report.key_id)
