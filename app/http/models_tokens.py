"""Tokens as the API takes and shows them."""

from datetime import datetime
from typing import Annotated
from uuid import UUID

from pydantic import Field, StringConstraints

from app.accounts.api_tokens import Scope
from app.http.model_bases import Out
from app.http.models_enrichment import CamelInput
from app.http.moments import Moment


class TokenIn(CamelInput):
    name: Annotated[str, StringConstraints(min_length=1, max_length=100)] = Field(
        description="What it is for."
    )
    scopes: Annotated[list[Scope], Field(min_length=1, max_length=4)]
    expires_at: Moment | None = Field(default=None, description="Void from then on; null: never.")


class TokenOut(Out):
    id: UUID
    name: str
    hint: str = Field(description="Its last four characters.")
    scopes: list[Scope]
    created_at: datetime
    expires_at: datetime | None
    last_used_at: datetime | None = Field(description="To the minute.")
    revoked_at: datetime | None
    made_by: str | None


class NewTokenOut(TokenOut):
    token: str = Field(description="Shown once. Send it as `Authorization: Bearer lw_…`.")


class TokenListOut(Out):
    tokens: list[TokenOut]
