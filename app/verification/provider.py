"""What a verification provider gives to the rest of Laneway: one interface, one answer.

A provider is a class in a file of its own that satisfies `VerificationProvider`; it maps its vendor's
words in one table and raises only the errors of `app.provider_errors`. It keeps no limits: a call was
reserved before `verify` is called, and `verify` makes at most that one call.
"""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Protocol

from app.verdicts import Verdict

#: The `provider` of an answer that cost nothing because no provider was asked.
LOCAL = "local"


@dataclass(frozen=True, slots=True)
class Answer:
    """A verdict and where it comes from.

    `code` and `message` are the provider's own words (`message` at most 200 printable characters),
    `mx` the mail host it saw, `checked_at` UTC.
    """

    verdict: Verdict
    code: str
    message: str
    mx: str | None
    provider: str
    checked_at: datetime

    @property
    def is_paid(self) -> bool:
        """Tell whether a provider was asked for it."""
        return self.provider != LOCAL


class VerificationProvider(Protocol):
    """Asks one vendor about one address."""

    @property
    def name(self) -> str:
        """The provider's name as `api_keys.provider` and results carry it."""

    async def prepare(self, key_secret: str) -> None:
        """Get whatever `key_secret` needs before its first call (a token), so that no reserved
        moment is lost to it. Cheap when there is nothing to do. Raises `ProviderError`.
        """

    async def open_ahead(self) -> None:
        """Open a connection before the first call, without a key and at no cost. Raises nothing."""

    async def verify(self, email: str, key_secret: str) -> Answer:
        """Ask about `email`. Raises `ProviderError`; one call, no retries of its own."""


def utc_now() -> datetime:
    """Return the present, UTC and aware."""
    return datetime.now(UTC)
