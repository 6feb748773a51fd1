"""What a worker writes of a chunk that it holds: the answers for its items, once each, under the chunk's fence.

Each record renews the lease. When another fence has been given out since, nothing is written and the caller is told so.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson
import psycopg2
from sqlalchemy import Connection, Engine

from app.db.scope import statement_cursor, tenant_scope
from app.jobs.lease import Lease


@dataclass
class Outcome:
    """The answer for one item. `is_failure`: no verdict could be had, and the row may be retried."""

    item_no: int
    verdict: str
    code: str | None
    message: str | None
    mx: str | None
    provider: str
    checked_at: datetime
    is_failure: bool = False
    #: What else is known, as JSON: the fields found of a lead.
    data: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Recorded:
    """What came of a record: `held` False means the chunk is another's and nothing was written."""

    held: bool
    cancel: bool
    recorded: int


#: In the driver's own words: workers say it all the time, and SQLAlchemy's reading of a text costs as much as sending it.
_RECORD = """
    SELECT held, cancel, recorded FROM ledger_record(%s, %s, %s, CAST(%s AS json), CAST(%s AS jsonb))
"""
_RECORD_FOR = """
    SELECT held, cancel, recorded FROM ledger_record_for(%s, %s, %s, %s, CAST(%s AS json), CAST(%s AS jsonb))
"""


def record(
    connection: Connection,
    lease: Lease,
    outcomes: Sequence[Outcome],
    *,
    seconds: float,
    retries: Mapping[int, tuple[int, float, str]] | None = None,
) -> Recorded:
    """Record outcomes once each and renew the lease for `seconds`; with no outcomes it only renews."""
    row = connection.exec_driver_sql(
        _RECORD, record_values(lease, outcomes, seconds, retries)
    ).one()
    return Recorded(held=row.held, cancel=bool(row.cancel), recorded=row.recorded)


def record_alone(
    lease: Lease,
    outcomes: Sequence[Outcome],
    *,
    seconds: float,
    retries: Mapping[int, tuple[int, float, str]] | None = None,
    engine: Engine | None = None,
) -> Recorded:
    """Do as `record` in a transaction of its own, in one exchange with the server instead of five.

    Raises `SQLAlchemyError` as the others do: where it fails it is said once more in the usual way, which is harmless,
    because what was recorded is not recorded again.
    """
    values = record_values(lease, outcomes, seconds, retries)
    try:
        with statement_cursor(engine) as cursor:
            cursor.execute(_RECORD_FOR, (str(lease.tenant_id), *values))
            held, cancel, recorded = cursor.fetchone()
    except psycopg2.Error:
        with tenant_scope(lease.tenant_id, engine) as connection:
            return record(connection, lease, outcomes, seconds=seconds, retries=retries)
    return Recorded(held=held, cancel=bool(cancel), recorded=recorded)


def record_values(
    lease: Lease,
    outcomes: Sequence[Outcome],
    seconds: float,
    retries: Mapping[int, tuple[int, float, str]] | None,
) -> tuple[Any, ...]:
    """Return what `ledger_record` is told, in its order."""
    return (
        lease.chunk_id,
        lease.fence,
        seconds,
        orjson.dumps([vars(outcome) for outcome in outcomes]).decode() if outcomes else None,
        None if retries is None else json.dumps(retries),
    )
