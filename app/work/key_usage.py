"""What each key was used for, kept in PostgreSQL: outlives the limiter's state in Redis.

When that state is lost, this is how the limiter knows how much of the day is spent and whether a key has been used
within its window. Counts are written at most a second late, by fingerprint, for the key's own day, which the database
knows (`usage_day`); no secret is near. What is read is never too little, also where the hour of the day was another when
it was written (`used_so_far`).
"""

from collections import Counter
from collections.abc import Mapping
from datetime import datetime

from sqlalchemy import text

from app.db.scope import system_scope
from routing.rate_limits.registration import PriorUse

_BEGIN = text("""
    WITH prior AS (
        SELECT max(last_used_at) AS last_used_at, used_so_far(:fingerprint) AS used
        FROM key_usage WHERE fingerprint = :fingerprint
    ), begun AS (
        INSERT INTO key_usage (fingerprint, day, last_used_at) VALUES (:fingerprint, usage_day(:fingerprint), now())
        ON CONFLICT (fingerprint, day) DO UPDATE SET last_used_at = now()
    )
    SELECT last_used_at, used FROM prior
""")
#: Day and moment by one clock: a row counts by when it was last used, which is never after its day.
_ADD = text("""
    INSERT INTO key_usage (fingerprint, day, used, last_used_at)
    SELECT f, usage_day(f), n, now()
    FROM unnest(CAST(:fingerprints AS text[]), CAST(:counts AS integer[])) AS t(f, n)
    ON CONFLICT (fingerprint, day) DO UPDATE SET used = key_usage.used + excluded.used, last_used_at = now()
""")


class KeyUsage:
    """The `UsageLedger` of the limiter, over the table `key_usage`."""

    def begin_use(self, fingerprint: str) -> PriorUse:
        """Note that the key is about to be used, and return what is known of its use before."""
        with system_scope() as connection:
            row = connection.execute(_BEGIN, {"fingerprint": fingerprint}).one()
        last: datetime | None = row.last_used_at
        return PriorUse(last_used_at=last, used_today=row.used)

    def add(self, calls: Mapping[str, int]) -> None:
        """Add calls by fingerprint to the counts of each key's day."""
        # In one order everywhere, so that two processes never wait for each other.
        fingerprints = sorted(calls)
        with system_scope() as connection:
            connection.execute(
                _ADD, {"fingerprints": fingerprints, "counts": [calls[f] for f in fingerprints]}
            )


class CallCounter:
    """Counts calls between two writes; used on the loop only."""

    def __init__(self) -> None:
        self._calls: Counter[str] = Counter()

    def count(self, fingerprint: str) -> None:
        """Count one call."""
        self._calls[fingerprint] += 1

    def take(self) -> dict[str, int]:
        """Return the counts since the last time and start anew."""
        taken, self._calls = dict(self._calls), Counter()
        return taken

    def give_back(self, calls: Mapping[str, int]) -> None:
        """Put counts back that could not be written."""
        self._calls.update(calls)
