"""Secrets of webhooks and the signatures made with them, as the Standard Webhooks library makes and verifies them."""

import base64
import secrets
from collections.abc import Sequence
from datetime import UTC, datetime

from standardwebhooks import Webhook

SECRET_BYTES = 32
USER_AGENT = "Laneway-Webhooks/1"


def new_secret() -> str:
    """Return a new secret, `whsec_…`."""
    return "whsec_" + base64.b64encode(secrets.token_bytes(SECRET_BYTES)).decode()


class Signer:
    """Signs with every secret that is in force: the present one first, then the one before a rotation."""

    def __init__(self, in_force: Sequence[str]) -> None:
        self._webhooks = [Webhook(secret) for secret in in_force]

    def headers(self, message_id: str, body: str, at: datetime | None = None) -> dict[str, str]:
        """Return the headers of one attempt at `at` (default: now). The same message has the same id each time."""
        # The library takes the clock's figures for UTC, whatever their zone.
        at = (at or datetime.now(UTC)).astimezone(UTC)
        signatures = [webhook.sign(message_id, at, body) for webhook in self._webhooks]
        return {
            "content-type": "application/json",
            "user-agent": USER_AGENT,
            "webhook-id": message_id,
            "webhook-timestamp": str(int(at.timestamp())),
            "webhook-signature": " ".join(signatures),
        }
