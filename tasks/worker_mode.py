"""What this worker is: shared, or dedicated to one client, with what that asks of its environment.

A dedicated worker consumes only VERIFICATION_QUEUE, for DEDICATED_CLIENT_ID, with the keys of its environment. What
can't be right is refused at start with a sentence that says what to change; what may be on purpose is a warning.
"""

from dataclasses import dataclass
from uuid import UUID

from pydantic import SecretStr

from app.errors import Misconfigured
from app.settings import Settings
from routing import queues
from routing.worker_configs import ClientLane

LISTS = {
    "MAILTESTER_KEY_SPACINGS": "mailtester_key_spacings",
    "MAILTESTER_KEY_DAILY_LIMITS": "mailtester_key_daily_limits",
    "MAILTESTER_KEY_REQUESTS_PER_30S": "mailtester_key_requests_per_30s",
}


@dataclass(frozen=True)
class EnvironmentKey:
    """One provider key of the environment with its limits."""

    secret: SecretStr
    spacing_ms: int
    daily_limit: int
    requests_per_30s: int


def consumed_queues(settings: Settings) -> list[str]:
    """Return the queues that a worker consumes when its command line names none."""
    if settings.worker_mode == "dedicated":
        # Without a name the worker is refused before it consumes anything (`dedicated_queue`).
        return [settings.verification_queue] if settings.verification_queue else []
    return [queues.INGEST, queues.VERIFICATION, queues.MAINTENANCE]


def dedicated_queue(settings: Settings) -> str:
    """Return the queue of a dedicated worker. Raises `Misconfigured` when it is not named."""
    if not settings.verification_queue:
        raise Misconfigured(
            "WORKER_MODE=dedicated needs VERIFICATION_QUEUE: the verification_queue of the client's row in worker_configs."
        )
    return settings.verification_queue


def dedicated_client(settings: Settings) -> UUID:
    """Return the client's id. Raises `Misconfigured` when it is missing or not a UUID."""
    try:
        return UUID(settings.dedicated_client_id or "")
    except ValueError:
        raise Misconfigured(
            "WORKER_MODE=dedicated needs DEDICATED_CLIENT_ID: the UUID of the client's user "
            "(SELECT id FROM users WHERE email = '...')."
        ) from None


def environment_keys(settings: Settings) -> list[EnvironmentKey]:
    """Return the keys of the environment. Raises `Misconfigured` when the lists differ in length or a number is no limit."""
    secrets = settings.mailtester_api_keys
    columns: list[list[int]] = []
    for variable, field in LISTS.items():
        numbers = getattr(settings, field)
        if len(numbers) != len(secrets):
            raise Misconfigured(
                f"MAILTESTER_API_KEYS has {len(secrets)} entries but {variable} has {len(numbers)}: "
                f"give each key its number, in the same order, separated by commas."
            )
        lowest = 0 if variable == "MAILTESTER_KEY_SPACINGS" else 1
        if any(number < lowest for number in numbers):
            raise Misconfigured(f"{variable} has a number below {lowest}.")
        columns.append(numbers)
    return [
        EnvironmentKey(secret, spacing, daily, window)
        for secret, spacing, daily, window in zip(secrets, *columns, strict=True)
    ]


def check_client(settings: Settings, lane: ClientLane | None) -> str | None:
    """Check the client of a dedicated worker against the database.

    Returns a warning when its row names another queue, None when all is well. Raises `Misconfigured` when there is
    no such client.
    """
    queue = dedicated_queue(settings)
    if lane is None:
        raise Misconfigured(
            f"DEDICATED_CLIENT_ID={settings.dedicated_client_id} is neither a user nor a client of this database. "
            "Its id stands in the table users, beside its e-mail address."
        )
    if lane.queue is None:
        return (
            f"The client {lane.tenant_slug} has no active dedicated row in worker_configs, so its work goes to the shared "
            f"lane and this worker will get none. It starts at once when the row is there: no restart needed."
        )
    if lane.queue != queue:
        return (
            f"The client {lane.tenant_slug} is routed to {lane.queue}, but this worker consumes {queue}: it will get no "
            f"work. Make VERIFICATION_QUEUE and worker_configs.verification_queue the same."
        )
    return None
