"""What a dedicated worker's environment must look like."""

from typing import Any
from uuid import UUID

import pytest

from app.errors import Misconfigured
from app.settings import Settings
from app.work.key_forms import provider_key, public_facts
from routing.worker_configs import ClientLane
from tasks import worker_mode
from tasks.greeting import banner
from tasks.worker_mode import DedicatedLane

CLIENT = "a1b2c3d4-e5f6-7890-abcd-ef1234567890"
OTHER = "b1b2c3d4-e5f6-7890-abcd-ef1234567890"
QUEUE = "verification-queue:client-acme"
SECOND = "verification-queue:client-birch"
TWO = {"dedicated_client_id": f"{CLIENT}, {OTHER}", "verification_queue": f"{QUEUE}, {SECOND}"}
NO_KEYS = dict.fromkeys(
    (
        "mailtester_api_keys",
        "mailtester_key_spacings",
        "mailtester_key_daily_limits",
        "mailtester_key_requests_per_30s",
    ),
    "",
)


@pytest.fixture(autouse=True)
def _fingerprints(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("app.work.key_forms.fingerprint", lambda *_: "ab" * 16)


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


def grouped(keys: str, spacings: str, rest: str) -> dict[str, str]:
    """Return the lists; `rest` stands for the daily limits and the windows."""
    return dict(zip(NO_KEYS, (keys, spacings, rest, rest), strict=True))


def lane(queue: str | None, slug: str = "acme") -> ClientLane:
    return ClientLane(UUID(CLIENT), slug, "client@example.com", queue)


def test_keys_are_read_with_their_limits() -> None:
    first, second = worker_mode.environment_keys(settings())
    assert (first.spacing_ms, first.daily_limit, first.requests_per_30s) == (250, 500_000, 165)
    assert (second.spacing_ms, second.daily_limit, second.requests_per_30s) == (125, 400_000, 164)
    assert {first.client_id, second.client_id} == {UUID(CLIENT)}
    assert "mt_abc" not in repr(first)


@pytest.mark.parametrize("none", ["0", "1000000000", "2000000000"])
def test_zero_and_the_number_of_before_stand_for_no_limit(none: str) -> None:
    lists = {
        "mailtester_key_daily_limits": f"{none},5",
        "mailtester_key_requests_per_30s": f"{none},7",
    }
    free, bound = map(provider_key, worker_mode.environment_keys(settings(**lists)))
    assert (free.windows, free.daily_limit) == ((), None)
    assert (bound.windows, bound.daily_limit) == (((7, 30_000),), 5)
    shown = public_facts(worker_mode.environment_keys(settings(**lists))[0])
    assert (shown["requests_per_window"], shown["daily_limit"]) == (None, None)


def test_a_window_that_would_block_redis_is_refused_at_start() -> None:
    (key, _) = worker_mode.environment_keys(settings(mailtester_key_requests_per_30s="100001,1"))
    says = r"…z789 of MAILTESTER_API_KEYS.*100,000 calls.*0 stands for none in MAILTESTER_KEY_REQ"
    with pytest.raises(Misconfigured, match=says):
        public_facts(key)


def test_a_shared_workers_keys_are_nobodys() -> None:
    shared = settings(worker_mode="shared", dedicated_client_id="", verification_queue="")
    assert {key.client_id for key in worker_mode.environment_keys(shared)} == {None}
    with pytest.raises(Misconfigured, match="A shared worker has one list"):
        worker_mode.environment_keys(settings(worker_mode="shared", mailtester_api_keys="a;b"))


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        ({"mailtester_key_spacings": "250"}, "MAILTESTER_KEY_SPACINGS has 1: give"),
        ({"mailtester_key_daily_limits": "1,2,3"}, "MAILTESTER_KEY_DAILY_LIMITS has 3: give"),
        ({"mailtester_key_requests_per_30s": ""}, "MAILTESTER_KEY_REQUESTS_PER_30S has 0: give"),
        (
            {"mailtester_key_daily_limits": "-1,5"},
            "MAILTESTER_KEY_DAILY_LIMITS has a number below 1",
        ),
        ({"mailtester_api_keys": "a;b"}, "has 2 groups but DEDICATED_CLIENT_ID has 1 client:"),
        (TWO, "has 1 group but DEDICATED_CLIENT_ID has 2 clients"),
        (
            TWO | grouped("a;b", "250;250", "100"),
            "MAILTESTER_KEY_DAILY_LIMITS has 1 group but",
        ),
        (
            TWO | grouped("a,b;c", "250;250", "100;100"),
            f"MAILTESTER_API_KEYS has 2 entries but MAILTESTER_KEY_SPACINGS has 1 for the client {CLIENT}",
        ),
    ],
)
def test_lists_that_do_not_fit_are_refused(changes: dict[str, str], says: str) -> None:
    with pytest.raises(Misconfigured, match=says):
        worker_mode.environment_keys(settings(**changes))


@pytest.mark.parametrize(
    ("lists", "of_first", "of_second"),
    [
        (grouped("a,b;c", "250,250;125", "100,100;200"), ["a", "b"], ["c"]),
        (grouped(";c", ";125", ";200"), [], ["c"]),
        (grouped("a;", "250 ; ", "100;"), ["a"], []),
        (grouped(";", "", ""), [], []),
        (NO_KEYS, [], []),
    ],
)
def test_each_of_several_clients_has_its_group_of_keys(
    lists: dict[str, str], of_first: list[str], of_second: list[str]
) -> None:
    keys = worker_mode.environment_keys(settings(**(TWO | lists)))
    found = [(key.client_id, key.secret.get_secret_value()) for key in keys]
    assert found == [
        *((UUID(CLIENT), secret) for secret in of_first),
        *((UUID(OTHER), secret) for secret in of_second),
    ]


def test_a_missing_queue_or_client_is_refused() -> None:
    with pytest.raises(Misconfigured, match="needs VERIFICATION_QUEUE"):
        worker_mode.dedicated_lanes(settings(verification_queue=""))
    for wrong in ("", "acme", f"{CLIENT},acme"):
        with pytest.raises(Misconfigured, match="needs DEDICATED_CLIENT_ID"):
            worker_mode.dedicated_lanes(settings(dedicated_client_id=wrong))


def test_each_client_has_its_queue_in_the_same_order() -> None:
    assert worker_mode.dedicated_lanes(settings(**TWO)) == [
        DedicatedLane(UUID(CLIENT), QUEUE),
        DedicatedLane(UUID(OTHER), SECOND),
    ]


@pytest.mark.parametrize(
    ("changes", "says"),
    [
        (
            {"dedicated_client_id": f"{CLIENT},{OTHER}"},
            "VERIFICATION_QUEUE has 1 queue but DEDICATED_CLIENT_ID has 2 clients",
        ),
        (
            {"verification_queue": f"{QUEUE},{SECOND}"},
            "VERIFICATION_QUEUE has 2 queues but DEDICATED_CLIENT_ID has 1 client:",
        ),
        (TWO | {"verification_queue": f"{QUEUE},{QUEUE}"}, f"VERIFICATION_QUEUE has {QUEUE} twice"),
        (TWO | {"dedicated_client_id": f"{CLIENT},{CLIENT}"}, f"DEDICATED_CLIENT_ID has {CLIENT}"),
    ],
)
def test_clients_and_queues_that_do_not_fit_are_refused(changes: dict[str, str], says: str) -> None:
    with pytest.raises(Misconfigured, match=says):
        worker_mode.dedicated_lanes(settings(**changes))


def test_more_queues_than_redis_should_be_asked_for_at_once_are_refused() -> None:
    def many(n: int) -> Settings:
        return settings(
            dedicated_client_id=",".join(str(UUID(int=i)) for i in range(n)),
            verification_queue=",".join(f"{QUEUE}-{i}" for i in range(n)),
        )

    assert len(worker_mode.dedicated_lanes(many(49))) == 49
    with pytest.raises(Misconfigured, match=r"has 50 queues.*asks Redis.*second worker"):
        worker_mode.dedicated_lanes(many(50))


def test_an_unknown_client_is_refused() -> None:
    with pytest.raises(Misconfigured, match=f"DEDICATED_CLIENT_ID={CLIENT} is neither a user"):
        worker_mode.check_client(DedicatedLane(UUID(CLIENT), QUEUE), None)


def test_two_ids_of_one_client_are_refused() -> None:
    worker_mode.check_clients_differ([lane(QUEUE), lane(SECOND, "birch")])
    with pytest.raises(Misconfigured, match="names the client acme twice"):
        worker_mode.check_clients_differ([lane(QUEUE), lane(SECOND, "birch"), lane(QUEUE)])


def test_another_queue_than_the_tables_is_a_warning() -> None:
    mine = DedicatedLane(UUID(CLIENT), QUEUE)
    assert worker_mode.check_client(mine, lane(QUEUE)) is None
    other = worker_mode.check_client(mine, lane("verification-queue:client-other"))
    assert other is not None
    assert "verification-queue:client-other" in other
    none = worker_mode.check_client(mine, lane(None))
    assert none is not None
    assert "no active dedicated row" in none


def test_it_consumes_only_its_queues() -> None:
    assert worker_mode.consumed_queues(settings()) == [QUEUE]
    assert worker_mode.consumed_queues(settings(**TWO)) == [QUEUE, SECOND]
    assert QUEUE not in worker_mode.consumed_queues(settings(worker_mode="shared"))


def test_the_first_words_of_a_worker_for_one_client() -> None:
    keys = worker_mode.environment_keys(settings())
    assert banner(worker_mode.dedicated_lanes(settings()), keys).splitlines() == [
        "🔒 DEDICATED WORKER MODE",
        f"   Client ID: {CLIENT}",
        f"   Queue: {QUEUE}",
        "   Keys: 2",
        f"🚀 Starting queue poller for: {QUEUE}",
        "🔒 Dedicated mode - processing only jobs from this queue",
    ]


def test_the_first_words_name_every_client() -> None:
    several = settings(**(TWO | grouped("a;", "250;", "100;")))
    keys = worker_mode.environment_keys(several)
    assert banner(worker_mode.dedicated_lanes(several), keys).splitlines() == [
        "🔒 DEDICATED WORKER MODE",
        f"   Client ID: {CLIENT}",
        f"   Queue: {QUEUE}",
        "   Keys: 1",
        f"   Client ID: {OTHER}",
        f"   Queue: {SECOND}",
        "   Keys: 0 (none here: the client's keys of the database are used)",
        f"🚀 Starting queue poller for: {QUEUE}",
        f"🚀 Starting queue poller for: {SECOND}",
        "🔒 Dedicated mode - processing only jobs from these queues",
    ]
