"""What people do to many jobs at once, by ids or by a filter: cancel, retry, another priority, tags.

A few are done at once. Many become a job of their own (kind `bulk`, an item a job), whose progress is that of any job; its
worker does each item and records it in one transaction, so that none is done twice or forgotten.
"""

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal
from uuid import UUID

from sqlalchemy import Connection, text

from app.errors import Conflict, InvalidInput, NotFound
from app.jobs import control
from app.jobs.listing import JobFilter
from app.jobs.submit import create_job, cut_chunks

Action = Literal["cancel", "retry", "priority", "tag", "untag"]
KIND: Final = "bulk"
#: So many are done within the request.
AT_ONCE: Final = 100
#: And so many at most; a filter that fits more is to be narrowed.
MOST: Final = 100_000
CHUNK_ITEMS: Final = 200
#: Tags of one job.
MOST_TAGS: Final = 20
_ADD = text("SELECT add_leads(:job, CAST(:items AS json))")
_KNOWN = text("SELECT id FROM jobs WHERE id = ANY(:jobs) ORDER BY id")
#: Locked, so that of two tags at once none is lost.
_TAGS = text("SELECT tags FROM jobs WHERE id = :job FOR NO KEY UPDATE")
_WORDS: Final = {
    "cancel": "Cancel",
    "retry": "Retry",
    "priority": "Change the priority of",
    "tag": "Tag",
    "untag": "Untag",
}


@dataclass(frozen=True)
class Act:
    """What to do. `priority` and `tag` where the action needs them."""

    action: Action
    priority: int | None = None
    tag: str | None = None

    def check(self) -> None:
        """Raise `InvalidInput` where something is missing."""
        if self.action == "priority" and self.priority is None:
            raise InvalidInput("The action `priority` needs `priority`, 1 to 5.", field="priority")
        if self.action in ("tag", "untag") and not self.tag:
            raise InvalidInput(f"The action `{self.action}` needs `tag`.", field="tag")

    def params(self) -> dict[str, Any]:
        """Return it as a job's params hold it."""
        return {"action": self.action, "priority": self.priority, "tag": self.tag}

    @classmethod
    def of(cls, params: Any) -> "Act":
        """Read it from a job's params."""
        return cls(params["action"], params["priority"], params["tag"])


def act_on(connection: Connection, job_id: UUID, act: Act) -> str | None:
    """Do it to one job of the scope's tenant; return why it could not be done, None when it was."""
    try:
        # A savepoint: a refusal by the database must not take with it what the caller does in the same transaction.
        with connection.begin_nested():
            _do(connection, job_id, act)
    except (Conflict, NotFound) as error:
        return error.message
    return None


def _do(connection: Connection, job_id: UUID, act: Act) -> None:
    if act.action == "cancel":
        control.cancel(connection, job_id)
    elif act.action == "retry":
        control.retry_failed(connection, job_id)
    elif act.action == "priority":
        control.edit(connection, job_id, {"priority": act.priority})
    else:
        _tag(connection, job_id, act)


def _tag(connection: Connection, job_id: UUID, act: Act) -> None:
    tags = connection.execute(_TAGS, {"job": job_id}).scalar_one_or_none()
    if tags is None:
        raise NotFound("There is no such job.")
    without = [tag for tag in tags if tag != act.tag]
    wanted = [*without, act.tag] if act.action == "tag" else without
    if len(wanted) > max(len(tags), MOST_TAGS):
        raise Conflict(f"The job has {len(tags)} tags, the most there may be; take one away first.")
    if wanted != list(tags):
        control.label(connection, job_id, [tag for tag in wanted if tag])


def find_jobs(connection: Connection, wanted: JobFilter) -> list[UUID]:
    """Return the jobs that a filter fits, oldest first. Raises `InvalidInput` for more than MOST."""
    where, values = wanted.conditions()
    statement = f"SELECT id FROM jobs WHERE {where} AND kind <> :bulk ORDER BY id LIMIT :n"  # noqa: S608 - constants
    found = connection.execute(text(statement), {**values, "bulk": KIND, "n": MOST + 1})
    ids = list(found.scalars())
    if len(ids) > MOST:
        raise InvalidInput(
            f"The filter fits more than {MOST:,} jobs; narrow it, by a range of time for instance.",
            field="filter",
        )
    return ids


def known_jobs(connection: Connection, job_ids: Collection[UUID]) -> list[UUID]:
    """Return those that are jobs of the scope's tenant, each once, oldest first."""
    return list(connection.execute(_KNOWN, {"jobs": list(set(job_ids))}).scalars())


def create_bulk_job(
    connection: Connection, job_ids: Sequence[UUID], act: Act, created_by: UUID | None
) -> UUID:
    """Make the job that acts on many, inside the tenant's scope; the caller commits."""
    job_id = create_job(
        connection,
        kind=KIND,
        title=f"{_WORDS[act.action]} {len(job_ids):,} jobs",
        params=act.params(),
        created_by=created_by,
        priority=2,
    )
    items = json.dumps([{"ref": str(each)} for each in job_ids])
    connection.execute(_ADD, {"job": job_id, "items": items})
    cut_chunks(connection, job_id, "act", len(job_ids), CHUNK_ITEMS)
    return job_id
