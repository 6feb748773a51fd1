"""A client's own signing secret: it signs the events that go to the `webhook_url` of a job.

It is made when the first such event is sent, by whichever worker comes first. Nobody has seen it then; a rotation makes a
new one and shows it once, while the one before signs as well for some hours.
"""

from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection, text

from app.crypto import encrypt
from app.webhooks.signing import new_secret

_MAKE = text("""
    INSERT INTO webhook_secrets (secret_encrypted) VALUES (:secret) ON CONFLICT (tenant_id) DO NOTHING
""")
_GET = text("SELECT secret_encrypted FROM webhook_secrets")
_SHOW = text("SELECT created_at, shown_at, previous_until FROM webhook_secrets")
_ROTATE = text("""
    INSERT INTO webhook_secrets AS s (secret_encrypted, shown_at) VALUES (:secret, clock_timestamp())
    ON CONFLICT (tenant_id) DO UPDATE SET
        previous_encrypted = s.secret_encrypted, previous_until = clock_timestamp() + make_interval(secs => :seconds),
        secret_encrypted = excluded.secret_encrypted, created_at = clock_timestamp(), shown_at = clock_timestamp()
""")


@dataclass(frozen=True)
class SecretState:
    """What may be told of the secret. `shown_at` None: nobody has seen it; `previous_until`: the one before signs till then."""

    created_at: datetime | None
    shown_at: datetime | None
    previous_until: datetime | None


def ensure_secret(connection: Connection) -> bytes:
    """Return the encrypted secret of the scope's client, made if there is none."""
    connection.execute(_MAKE, {"secret": encrypt(new_secret())})
    secret: bytes = connection.execute(_GET).scalar_one()
    return secret


def show(connection: Connection) -> SecretState:
    """Return what may be told of the secret of the scope's client."""
    row = connection.execute(_SHOW).one_or_none()
    return SecretState(*row) if row else SecretState(None, None, None)


def rotate(connection: Connection, *, overlap_seconds: float) -> str:
    """Make a new secret and return it, the only time it is seen."""
    secret = new_secret()
    connection.execute(_ROTATE, {"secret": encrypt(secret), "seconds": overlap_seconds})
    return secret
