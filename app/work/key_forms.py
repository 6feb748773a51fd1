"""A key as the pools want it, from a row of the database or from the environment of a worker."""

import time
from typing import Any, Protocol
from uuid import UUID

from pydantic import SecretStr
from sqlalchemy import Row

from app.crypto import decrypt, fingerprint, hint
from app.errors import Misconfigured
from app.settings import NO_LIMIT
from routing.provider_key import ProviderKey

#: Whose keys the environment of a worker may hold.
ENVIRONMENT_PROVIDER = "mailtester"
ENVIRONMENT_WINDOW_SECONDS = 30
#: Limits of the environment are as new as the process: an older row with the same key does not undo them.
STARTED_MS = int(time.time() * 1_000)


class EnvironmentKey(Protocol):
    """A key of the worker's environment with its limits. `client_id` is a user's or a tenant's; None: a shared worker's."""

    @property
    def secret(self) -> SecretStr: ...
    @property
    def spacing_ms(self) -> int: ...
    @property
    def daily_limit(self) -> int: ...
    @property
    def requests_per_30s(self) -> int: ...
    @property
    def client_id(self) -> UUID | None: ...


def stored_key(row: Row[Any]) -> ProviderKey:
    """Return a stored key in the pool's form. Raises `Misconfigured` for a secret that can't be read."""
    per_window = row.requests_per_window
    return ProviderKey(
        fingerprint=row.fingerprint,
        secret=SecretStr(decrypt(row.secret_encrypted)),
        hint=row.hint,
        spacing_ms=row.spacing_ms,
        windows=(
            *(((per_window, row.window_seconds * 1000),) if per_window else ()),
            # A number in JSON may be written 60.0.
            *(
                (int(extra["requests"]), int(extra["seconds"]) * 1000)
                for extra in row.extra_windows
            ),
        ),
        daily_limit=row.daily_limit,
        reset_hour=row.reset_hour,
        # A process that still has the row as it was must not put the old limits back.
        version=int(row.updated_at.timestamp() * 1_000),
    )


def public_facts(key: EnvironmentKey) -> dict[str, object]:
    """Return what may be shown of a key of the environment: never the secret. Raises `Misconfigured`."""
    known = provider_key(key)
    return {
        "client_id": key.client_id and str(key.client_id),
        "fingerprint": known.fingerprint,
        "hint": known.hint,
        "spacing_ms": key.spacing_ms,
        "requests_per_window": _limit(key.requests_per_30s),
        "window_seconds": ENVIRONMENT_WINDOW_SECONDS,
        "daily_limit": known.daily_limit,
    }


def provider_key(key: EnvironmentKey) -> ProviderKey:
    """Return a key of the environment in the pool's form. Raises `Misconfigured` for impossible limits."""
    secret = key.secret.get_secret_value()
    per_30s = _limit(key.requests_per_30s)
    found = ProviderKey(
        fingerprint=fingerprint(ENVIRONMENT_PROVIDER, secret),
        secret=key.secret,
        hint=hint(secret),
        spacing_ms=key.spacing_ms,
        windows=((per_30s, ENVIRONMENT_WINDOW_SECONDS * 1000),) if per_30s else (),
        daily_limit=_limit(key.daily_limit),
        version=STARTED_MS,
    )
    try:
        _ = found.limits
    except Misconfigured as error:
        raise Misconfigured(
            f"The key …{found.hint} of MAILTESTER_API_KEYS can't have these limits. {error.message} "
            "0 stands for none in MAILTESTER_KEY_REQUESTS_PER_30S and MAILTESTER_KEY_DAILY_LIMITS."
        ) from error
    return found


def _limit(number: int) -> int | None:
    return number if 0 < number < NO_LIMIT else None
