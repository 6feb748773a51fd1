"""What the API takes and sends about keys. The pages' forms are read with the same models.

A key's secret comes in and never goes out: every answer names a key by its last four characters.
"""

import re
from dataclasses import asdict
from typing import Annotated, Any, Literal
from uuid import UUID

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    SecretStr,
    WithJsonSchema,
    model_validator,
)

from app.clients.key_limits import windows_as_json
from app.clients.keys import PROVIDERS
from app.clients.usual_limits import usual_limits
from app.http.model_bases import Input, Out
from app.settings import get_settings
from routing.rate_limits.limits import MAX_WINDOW_CALLS

SHORTEST_SECRET, LONGEST_SECRET = 8, 512
_WINDOW = re.compile(r"(\d{1,9})\s*(?:/|in|per)\s*(\d{1,9})\s*s?")


def _empty_is_none(value: object) -> object:
    """A form sends an empty field as an empty text."""
    return None if isinstance(value, str) and not value.strip() else value


def _read_windows(value: object) -> object:
    """A form writes windows as text: `1000 in 3600, 50 in 60`."""
    if not isinstance(value, str):
        return value
    windows = []
    for part in filter(None, (part.strip() for part in value.split(","))):
        found = _WINDOW.fullmatch(part)
        if found is None:
            raise ValueError("write windows as calls in seconds, with commas: 1000 in 3600")
        windows.append({"requests": int(found[1]), "seconds": int(found[2])})
    return windows


Optional = BeforeValidator(_empty_is_none)
Notes = Annotated[Annotated[str, Field(max_length=500)] | None, Optional]
Count = Annotated[Annotated[int, Field(ge=1, le=1_000_000_000)] | None, Optional]
WindowCalls = Annotated[int, Field(ge=1, le=MAX_WINDOW_CALLS)]


def _check_secret(secret: SecretStr) -> SecretStr:
    if not SHORTEST_SECRET <= len(secret) <= LONGEST_SECRET:
        raise ValueError(f"A key has {SHORTEST_SECRET} to {LONGEST_SECRET} characters")
    return secret


Secret = Annotated[
    SecretStr,
    AfterValidator(_check_secret),
    WithJsonSchema(
        {
            "type": "string",
            "format": "password",
            "writeOnly": True,
            "minLength": SHORTEST_SECRET,
            "maxLength": LONGEST_SECRET,
        }
    ),
]


class WindowIn(Input):
    requests: WindowCalls
    seconds: int = Field(ge=1, le=86_400)


class KeyLimitsIn(Input):
    """A key's limits as its plan has them. null: no such limit."""

    spacing_ms: int = Field(default=250, ge=0, le=3_600_000, description="Between two calls.")
    per_30s: Annotated[WindowCalls | None, Optional] = 165
    daily_limit: Count = 500_000
    reset_hour: int = Field(default=0, ge=0, le=23, description="UTC; the day begins.")
    extra_windows: Annotated[list[WindowIn], BeforeValidator(_read_windows)] = Field(
        default_factory=list, max_length=8
    )
    notes: Notes = None


class KeyIn(KeyLimitsIn):
    """Limits that are not said are the provider's usual ones."""

    secret: Secret = Field(description="Never sent back.")
    provider: Literal["mailtester", "hunter", "apollo", "clearbit"] = "mailtester"

    @model_validator(mode="before")
    @classmethod
    def _usual_limits(cls, said: Any) -> Any:
        provider = said.get("provider") if isinstance(said, dict) else None
        if not isinstance(provider, str) or provider not in PROVIDERS:
            return said
        usual = asdict(usual_limits(provider, get_settings()))
        windows = windows_as_json(usual.pop("extra_windows"))
        return {**usual, "extra_windows": windows, **said}


class KeyChangeIn(KeyLimitsIn):
    """Only what is named is changed."""

    enabled: bool = True


class KeysIn(Input):
    keys: list[KeyIn] = Field(min_length=1, max_length=100)


class KeysAddedOut(Out):
    key_ids: list[UUID]
    warnings: list[str] = Field(description="What was done all the same and wants a look.")


class KeyRemovedOut(Out):
    warnings: list[str] = Field(description="What was done all the same and wants a look.")


class KeyTestOut(Out):
    ok: bool
    detail: str
    ms: int | None
