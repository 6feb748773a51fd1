"""Lists of jobs by what they are, page by page, newest first, with counts by status. Read inside a tenant's scope.

Only conditions that were asked for stand in the statement, so that each has the index that fits it. A job's id begins with
the time of its making (UUIDv7), so the order of ids is the order of time, and a range of time is a range of ids.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import Connection, text

from app.jobs.queries import STATUSES, JobView, view_of

#: Counting stops here: somebody with a million jobs wants to know that there are many, not to wait.
COUNT_LIMIT = 10_000
#: A search by title reads jobs until it has a page; among a million it may find none.
_SEARCH_TIMEOUT = text("SET LOCAL statement_timeout = '10s'")


@dataclass(frozen=True)
class JobFilter:
    """What jobs to list; None: whatever. `kinds` and `statuses` any of these; `search` any part of the title."""

    statuses: tuple[str, ...] | None = None
    kinds: tuple[str, ...] | None = None
    tag: str | None = None
    priority: int | None = None
    created_after: datetime | None = None
    created_before: datetime | None = None
    search: str | None = None

    def conditions(self, *, with_status: bool = True) -> tuple[str, dict[str, Any]]:
        """Return the conditions on `jobs` in SQL, and their values."""
        told: list[tuple[str, str, Any]] = [
            # One of one is an equation: the index gives the order then, and nothing is sorted.
            _any_of("kind", self.kinds),
            ("tags @> ARRAY[CAST(:tag AS text)]", "tag", self.tag),
            ("priority = :priority", "priority", self.priority),
            ("id >= uuid7_floor(:created_after)", "created_after", self.created_after),
            ("id < uuid7_floor(:created_before)", "created_before", self.created_before),
            ("title ILIKE :search", "search", self.search and f"%{_escaped(self.search)}%"),
        ]
        if with_status:
            told.insert(0, _any_of("status", self.statuses))
        used = [(condition, name, value) for condition, name, value in told if value is not None]
        parts = ["tenant_id = laneway_tenant()", *(condition for condition, _, _ in used)]
        return " AND ".join(parts), {name: value for _, name, value in used}


def list_jobs(
    connection: Connection, wanted: JobFilter, *, limit: int, after: UUID | None = None
) -> list[JobView]:
    """Return up to `limit` jobs, newest first, those older than `after`."""
    where, values = wanted.conditions()
    if wanted.search:
        connection.execute(_SEARCH_TIMEOUT)
    if after is not None:
        where, values = f"{where} AND id < :after", {**values, "after": after}
    # The page first, then what there is to say about its jobs.
    page = f"SELECT id FROM jobs WHERE {where} ORDER BY id DESC LIMIT :n"  # noqa: S608 - conditions are constants
    statement = (
        f"SELECT v.* FROM ({page}) page JOIN job_overview v ON v.id = page.id ORDER BY v.id DESC"  # noqa: S608
    )
    rows = connection.execute(text(statement), {**values, "n": limit})
    return [view_of(row) for row in rows]


def count_by_status(connection: Connection, wanted: JobFilter) -> dict[str, int]:
    """Return how many jobs of each status there are among those wanted, whatever their status; each up to COUNT_LIMIT."""
    where, values = wanted.conditions(with_status=False)
    if wanted.search:
        connection.execute(_SEARCH_TIMEOUT)
    counts = ", ".join(
        f"(SELECT count(*) FROM (SELECT 1 FROM jobs WHERE {where} AND status = '{status}' LIMIT {COUNT_LIMIT}) s) AS {status}"  # noqa: S608
        for status in STATUSES
    )
    return dict(connection.execute(text(f"SELECT {counts}"), values).one()._mapping)


def _any_of(column: str, wanted: tuple[str, ...] | None) -> tuple[str, str, Any]:
    if wanted and len(wanted) == 1:
        return f"{column} = :{column}", column, wanted[0]
    return f"{column} = ANY (:{column})", column, list(wanted) if wanted else None


def _escaped(said: str) -> str:
    """Return the text for LIKE, where it stands for itself."""
    return said.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_")
