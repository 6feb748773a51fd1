"""What the API sends and takes, as Pydantic models: the contract that `/api/openapi.json` shows.

Times are ISO 8601 in UTC. Where a field may be null it says so; nothing is left out.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    BeforeValidator,
    ConfigDict,
    Field,
    StringConstraints,
    field_validator,
)

from app.http.model_bases import Input, Out
from app.jobs.queries import JobView
from app.jobs.status import JobStatus

Verdict = Literal[
    "valid",
    "invalid",
    "catch_all",
    "unknown",
    "found",
    "partial",
    "not_found",
    "done",
    "skipped",
]
JobState = Literal[
    "scheduled",
    "pending",
    "processing",
    "retrying",
    "waiting",
    "completed",
    "failed",
    "cancelled",
    "dead_letter",
]
Cursor = Annotated[str, StringConstraints(max_length=100)]


def _empty_is_none(value: object) -> object:
    """A form's select without a choice sends an empty value."""
    return None if value == "" else value


class LoginIn(Input):
    model_config = ConfigDict(extra="forbid")

    email: str = Field(max_length=320)
    password: str = Field(max_length=1000)


class TokenOut(Out):
    access_token: str
    token_type: Literal["Bearer"] = "Bearer"  # noqa: S105 - the name of a scheme, RFC 6750
    expires_in: int = Field(description="Seconds.")


class ResultListIn(Input):
    cursor: Annotated[Cursor | None, BeforeValidator(_empty_is_none)] = None
    limit: int = Field(default=50, ge=1, le=500)
    verdict: Annotated[Verdict | None, BeforeValidator(_empty_is_none)] = None
    q: Annotated[
        Annotated[str, StringConstraints(max_length=254)] | None, BeforeValidator(_empty_is_none)
    ] = Field(default=None, description="Any part of the address.")


class ExportIn(Input):
    verdict: Annotated[Verdict | None, BeforeValidator(_empty_is_none)] = None


class CountsOut(Out):
    valid: int
    invalid: int
    catch_all: int
    unknown: int
    found: int
    partial: int
    not_found: int


class LinksOut(Out):
    self: str
    status: str
    results: str
    csv: str


class JobOut(Out):
    id: UUID
    kind: str
    title: str
    status: JobState
    priority: int
    tags: list[str]
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    scheduled_for: datetime | None
    max_retries: int | None = Field(description="None: as the installation says.")
    created_by: str | None
    webhook_url: str | None
    error: str | None
    lane: str | None = Field(description="The queue of the job's present work.")
    total: int
    done: int
    counts: CountsOut
    failed: int = Field(description="Rows without a provider's verdict; they can be retried.")
    bad_rows: int
    duplicate_rows: int
    links: LinksOut

    @classmethod
    def of(cls, job: JobView) -> "JobOut":
        """Return a job as it is sent."""
        base = f"/api/enrichment/jobs/{job.id}"
        links = LinksOut(
            self=base, status=f"{base}/status", results=f"{base}/results", csv=f"{base}/results.csv"
        )
        return cls.model_validate({**vars(job), "links": links})


class RetriedOut(JobOut):
    retried_rows: int


class JobListOut(Out):
    jobs: list[JobOut]
    next_cursor: str | None
    counts: dict[JobState, int] | None = Field(
        description="By status, among the jobs that the filter without its status fits; when asked for."
    )
    counts_limit: int = Field(description="Counting stops here: this many, or more.")


class StatusLaneOut(Out):
    queue: str | None
    workers: int
    dedicated: bool
    fallback_since: datetime | None = Field(
        description="The client's own lane has had no worker; the shared one does its work since."
    )


class WaitingOut(Out):
    reason: str
    text: str
    until: datetime | None


class StatusOut(Out):
    id: UUID
    status: JobState
    total: int
    done: int
    counts: CountsOut
    failed: int
    bad_rows: int
    duplicate_rows: int
    rate_per_second: float | None = Field(description="Over the last ten seconds.")
    eta_seconds: int | None
    lane: StatusLaneOut
    waiting: WaitingOut | None
    last_progress_at: datetime | None
    health: Literal["ok", "slow", "stuck", "waiting", "ended"]
    error: str | None
    updated_at: datetime

    @classmethod
    def of(cls, status: JobStatus) -> "StatusOut":
        """Return a job's state as it is sent."""
        lane = StatusLaneOut(
            queue=status.job.lane,
            workers=status.workers,
            dedicated=status.is_dedicated,
            fallback_since=status.fallback_since,
        )
        return cls.model_validate({**vars(status.job), **vars(status), "lane": lane})


class ResultOut(Out):
    item_no: int
    line_no: int
    email: str
    verdict: Verdict | None
    code: str | None
    message: str | None
    mx: str | None
    provider: str | None
    checked_at: datetime | None
    failed: bool
    duplicate_of: int | None
    lead_id: str | None = Field(description="The caller's own id of the lead.")
    data: dict[str, Any] | None = Field(
        description="Of a lead: what providers found (`fields`), what each came to (`providers`), and what was wanted and came with "
        "the lead (`given`, where there is such)."
    )

    @field_validator("data", mode="before")
    @classmethod
    def _in_utc(cls, data: Any) -> Any:
        """Rows of before 0030 have their times with +00:00."""
        if not isinstance(data, Mapping) or not isinstance(fields := data.get("fields"), Mapping):
            return data
        return {**data, "fields": {name: _with_z(found) for name, found in fields.items()}}


def _with_z(found: Mapping[str, Any]) -> dict[str, Any]:
    return {**found, "found_at": str(found["found_at"]).replace("+00:00", "Z")}


class ResultListOut(Out):
    results: list[ResultOut]
    next_cursor: str | None
    total_for_filter: int | None


class RowErrorOut(Out):
    line_no: int
    reason: str
    excerpt: str


class RowErrorListOut(Out):
    errors: list[RowErrorOut]
    total: int


class ColumnOut(Out):
    index: int
    name: str


class PreviewProblemOut(Out):
    code: str
    detail: str


class PreviewOut(Out):
    format: str | None
    encoding: str | None
    columns: list[str]
    email_column: ColumnOut | None
    lead_columns: dict[str, ColumnOut] = Field(
        description="Fields of a lead with the columns that seem to hold them: first_name, company …"
    )
    sample: list[list[str]]
    problem: PreviewProblemOut | None


class HealthOut(Out):
    status: str
    service: str
    version: str
    reasons: list[str] = Field(default_factory=list)


class ProblemOut(Out):
    """RFC 9457."""

    type: str
    title: str
    status: int
    detail: str
    code: str
    instance: str
    request_id: str | None
