"""The addresses that vendors are told for answers that come later, and what such an address proves.

An address names provider, tenant and call, and carries a token over tenant and call that only this installation can
make. Whoever knows it was told it; so the tenant in it may be believed, and nothing is looked up to find it out.
"""

from dataclasses import dataclass
from typing import Final
from urllib.parse import urlencode
from uuid import UUID

from app.enrichment.signatures import make_token, verify_token
from app.settings import Settings

PATH: Final = "/api/enrichment/webhook"


@dataclass(frozen=True, slots=True)
class Ticket:
    """Whose call an answer belongs to: one request to one provider, about one lead or several of one chunk."""

    provider: str
    tenant_id: UUID
    request: UUID

    def address(self, settings: Settings) -> str | None:
        """Return where the vendor may call; None where this installation can't be reached."""
        if settings.public_url is None:
            return None
        query = {
            "provider": self.provider,
            "tenant": str(self.tenant_id),
            "request": str(self.request),
            "token": make_token(_key(settings), tenant=str(self.tenant_id), request=self._name),
        }
        return f"{settings.public_url}{PATH}?{urlencode(query)}"

    def is_proved_by(self, token: str, settings: Settings) -> bool:
        """Tell whether an address with this token is one that `address` gave out."""
        return verify_token(token, _key(settings), tenant=str(self.tenant_id), request=self._name)

    @property
    def _name(self) -> str:
        """The provider is part of it: an address of one vendor says nothing about another's answers."""
        return f"{self.provider}:{self.request}"


def _key(settings: Settings) -> bytes:
    return settings.secret_key.get_secret_value().encode()
