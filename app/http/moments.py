"""Moments as the API takes them: with a zone, and in the years that a clock can show."""

from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, AwareDatetime

#: Years, both excluded, so that no zone leads beyond them.
_FIRST, _LAST = 1970, 3000


def _in_our_time(moment: datetime) -> datetime:
    """Return it in UTC. PostgreSQL knows fewer zones than ISO 8601, and a job's id no time before 1970."""
    if not _FIRST < moment.year < _LAST:
        raise ValueError("must be a time between 1971 and 2999")
    return moment.astimezone(UTC)


Moment = Annotated[AwareDatetime, AfterValidator(_in_our_time)]
