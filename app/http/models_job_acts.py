"""What the job API takes to choose jobs and to act on them, and what it answers about many."""

from datetime import datetime
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import BeforeValidator, Field, StringConstraints, model_validator

from app.http.model_bases import Input, Out
from app.http.models import Cursor, JobOut, JobState, _empty_is_none
from app.http.models_enrichment import CamelInput, Tag
from app.http.moments import Moment
from app.jobs.acts import MOST_TAGS, Act, Action
from app.jobs.listing import JobFilter
from app.jobs.metrics import Metrics, Percentiles, Sums

#: All types of jobs that a list may have: those that requests make, and acts on many.
JobKind = Literal[
    "single_lead_enrichment",
    "batch_lead_enrichment",
    "company_data_update",
    "social_profile_discovery",
    "email_validation",
    "bulk",
]
Optional = BeforeValidator(_empty_is_none)


class FilterIn(CamelInput):
    """Which jobs; what is not said does not matter."""

    status: Annotated[JobState | None, Optional] = None
    type: Annotated[JobKind | None, Optional] = None
    tag: Annotated[Tag | None, Optional] = None
    priority: Annotated[Annotated[int, Field(ge=1, le=5)] | None, Optional] = None
    created_after: Annotated[Moment | None, Optional] = None
    created_before: Annotated[Moment | None, Optional] = None
    q: Annotated[Annotated[str, StringConstraints(max_length=200)] | None, Optional] = Field(
        default=None, description="Any part of the title."
    )

    def as_filter(self) -> JobFilter:
        """Return it as the ledger takes it."""
        return JobFilter(
            statuses=(self.status,) if self.status else None,
            kinds=(self.type,) if self.type else None,
            tag=self.tag,
            priority=self.priority,
            created_after=self.created_after,
            created_before=self.created_before,
            search=self.q,
        )


class JobListIn(FilterIn):
    cursor: Annotated[Cursor | None, Optional] = None
    limit: int = Field(default=25, ge=1, le=100)
    counts: bool = False


class EditIn(CamelInput):
    """What is to change; what is not said stays. `null` takes an address or a time away, as does an empty text."""

    priority: int = Field(default=3, ge=1, le=5)
    webhook_url: Annotated[str | None, Optional] = None
    tags: Annotated[list[Tag], Field(max_length=MOST_TAGS)] = Field(default_factory=list)
    scheduled_for: Moment | None = None

    @model_validator(mode="after")
    def _says_something(self) -> "EditIn":
        if not self.model_fields_set:
            raise ValueError("says nothing; give priority, webhookUrl, tags or scheduledFor")
        return self

    def changes(self) -> dict[str, Any]:
        """Return what was said."""
        return self.model_dump(mode="json", include=self.model_fields_set)


class BulkIn(CamelInput):
    """Jobs by their ids or by a filter, and what to do with them."""

    action: Action
    job_ids: Annotated[list[UUID], Field(min_length=1, max_length=10_000)] | None = None
    filter: FilterIn | None = None
    priority: int | None = Field(default=None, ge=1, le=5)
    tag: Tag | None = None

    @model_validator(mode="after")
    def _says_which(self) -> "BulkIn":
        if (self.job_ids is None) == (self.filter is None):
            raise ValueError("needs either jobIds or filter")
        if self.filter is not None and self.filter.as_filter() == JobFilter():
            raise ValueError(
                "has a filter that says nothing, which would mean every job; say which"
            )
        return self

    def as_act(self) -> Act:
        """Return what to do. Raises `InvalidInput`."""
        act = Act(self.action, self.priority, self.tag)
        act.check()
        return act


class SkippedOut(Out):
    id: UUID
    reason: str


class BulkOut(Out):
    action: Action
    matched: int = Field(
        description="Jobs that the filter fits, or that `jobIds` names and are there."
    )
    done: int | None = Field(description="None: a job does it.")
    skipped: list[SkippedOut] = Field(
        description="Jobs to which it can't be done, with the reason."
    )
    unknown: list[UUID] = Field(description="Of `jobIds`, those that are no jobs of this client.")
    job: JobOut | None = Field(description="The job that acts on many; watch it like any other.")


class MetricsIn(Input):
    window: int = Field(default=3600, ge=60, le=86_400 * 31, description="Seconds, until now.")


class PercentilesOut(Out):
    p50: float | None
    p90: float | None
    p99: float | None


class SumsOut(Out):
    created: int
    completed: int
    failed: int
    dead_letter: int
    cancelled: int
    items_done: int
    items_failed: int
    success_rate: float | None
    error_rate: float | None

    @staticmethod
    def fields_of(sums: Sums) -> dict[str, Any]:
        """Return the fields as they are sent."""
        return vars(sums) | {"success_rate": sums.success_rate, "error_rate": sums.error_rate}


class KindOut(SumsOut):
    type: str
    latency_ms: PercentilesOut


class ProviderOut(Out):
    provider: str
    calls: int
    errors: int
    latency_ms: PercentilesOut


class MinuteOut(SumsOut):
    minute: datetime


class QueueOut(Out):
    kind: str = Field(description="Of chunk: parse, verify, enrich …")
    depth: int = Field(
        description="Chunks that are due and not with a worker; counting stops at 10,000."
    )
    oldest_seconds: float


class MetricsOut(Out):
    """Figures of whole minutes; times are known to within a fifth."""

    at: datetime
    window_seconds: int
    jobs: SumsOut
    latency_ms: PercentilesOut = Field(description="From when a job was due to its end.")
    by_type: list[KindOut]
    by_provider: list[ProviderOut]
    step_seconds: int = Field(
        description="Of `per_minute`: 60, or in a longer window 300, 900, 3600 or 21600: some 170 steps at most."
    )
    per_minute: list[MinuteOut]
    queue: list[QueueOut]

    @classmethod
    def of(cls, found: Metrics) -> "MetricsOut":
        """Return the figures as they are sent."""

        def latency(told: Percentiles) -> PercentilesOut:
            return PercentilesOut.model_validate(told)

        return cls(
            at=found.at,
            window_seconds=found.window_seconds,
            step_seconds=found.step_seconds,
            jobs=SumsOut.model_validate(found.sums),
            latency_ms=latency(found.latency),
            by_type=[
                KindOut(type=k.kind, latency_ms=latency(k.latency), **SumsOut.fields_of(k.sums))
                for k in found.by_kind
            ],
            by_provider=[
                ProviderOut(
                    provider=p.provider,
                    calls=p.calls,
                    errors=p.errors,
                    latency_ms=latency(p.latency),
                )
                for p in found.by_provider
            ],
            per_minute=[
                MinuteOut(minute=m.minute, **SumsOut.fields_of(m.sums)) for m in found.minutes
            ],
            queue=[QueueOut.model_validate(w) for w in found.waiting],
        )
