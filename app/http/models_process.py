"""What driving work takes and answers."""

from pydantic import Field

from app.http.model_bases import Out
from app.http.models_enrichment import CamelInput


class ProcessIn(CamelInput):
    max_jobs: int = Field(default=10, ge=1, le=1_000, description="Chunks at most.")
    timeout: int = Field(default=25_000, ge=2_000, le=55_000, description="Milliseconds at most.")


class DrivenOut(Out):
    chunks: int
    by_ending: dict[str, int]
    has_more: bool = Field(description="It stopped for want of time or number; call again.")
    ms: int
