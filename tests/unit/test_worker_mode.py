"""What a dedicated worker's environment must look like."""

from typing import Any
from uuid import UUID

import pytest

from app.errors import Misconfigured
from app.settings import Settings
from routing.worker_configs import ClientLane
from tasks import worker_mode

CLIENT = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
QUEUE = "verification-queue:client-acme"


def settings(**changes: Any) -> Settings:
    values = {
        "secret_key": "x" * 32,
        "encryption_keys": "x" * 44,
        "worker_mode": "dedicated",
        "dedicated_client_id": CLIENT,
        "verification_queue": QUEUE,
        "mailtester_api_keys": "mt_abc123xyz789,mt_def456uvw012",
        "mailtester_key_spacings": "250,125",
        "mailtester_key_daily_limits": "500000,400000",
        "mailtester_key_requests_per_30s": "165,164",
    }
    return Settings(**(values | changes))


def lane(queue: str | None) -> ClientLane:
    return ClientLane(UUID(CLIENT), "acme", "client@example.com", queue)


def test_keys_are_read_with_their_limits() -> None:
    first, second = worker_mode.environment_keys(settings())
    assert (first.spacing_ms, first.daily_limit, first.requests_per_30s) == (250, 500_000, 165)
    assert (second.spacing_ms, second.daily_limit, second.requests_per_30s) == (125, 400_000, 164)
    assert "mt_abc" not in repr(first)


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mailtester_key_spacings": "250"}, "MAILTESTER_KEY_SPACINGS has 1"),
        ({"mailtester_key_daily_limits": "1,2,3"}, "MAILTESTER_KEY_DAILY_LIMITS has 3"),
        ({"mailtester_key_requests_per_30s": ""}, "MAILTESTER_KEY_REQUESTS_PER_30S has 0"),
        (
            {"mailtester_key_daily_limits": "0,5"},
            "MAILTESTER_KEY_DAILY_LIMITS has a number below 1",
        ),
    ],
)
def test_lists_that_do_not_fit_are_refused(changes: dict[str, str], says: str) -> None:
    with pytest.raises(Misconfigured, match=says):
        worker_mode.environment_keys(settings(**changes))


def test_a_missing_queue_or_client_is_refused() -> None:
    with pytest.raises(Misconfigured, match="needs VERIFICATION_QUEUE"):
        worker_mode.dedicated_queue(settings(verification_queue=None))
    for wrong in (None, "acme"):
        with pytest.raises(Misconfigured, match="needs DEDICATED_CLIENT_ID"):
            worker_mode.dedicated_client(settings(dedicated_client_id=wrong))


def test_an_unknown_client_is_refused() -> None:
    with pytest.raises(Misconfigured, match="neither a user nor a client"):
        worker_mode.check_client(settings(), None)


def test_another_queue_than_the_tables_is_a_warning() -> None:
    assert worker_mode.check_client(settings(), lane(QUEUE)) is None
    other = worker_mode.check_client(settings(), lane("verification-queue:client-other"))
    assert other is not None
    assert "verification-queue:client-other" in other
    none = worker_mode.check_client(settings(), lane(None))
    assert none is not None
    assert "no active dedicated row" in none


def test_it_consumes_only_its_queue() -> None:
    assert worker_mode.consumed_queues(settings()) == [QUEUE]
    assert QUEUE not in worker_mode.consumed_queues(settings(worker_mode="shared"))
