"""When a delivery is tried again, what an answer says of the endpoint, the pace, and the signature."""

import base64
import json
from datetime import UTC, datetime, timedelta, timezone

import pytest
from standardwebhooks import Webhook, WebhookVerificationError

from app.webhooks.pace import MAX_PAUSE_SECONDS, PATIENCE, Pace
from app.webhooks.schedule import DELAYS, Answer, judge
from app.webhooks.signing import Signer, new_secret


def failed(status: int | None = 500, **more: object) -> Answer:
    return Answer(status, 12, **more)  # type: ignore[arg-type]


def test_the_schedule_is_the_one_that_receivers_know() -> None:
    waits = [judge(failed(), attempt, chance=0.0).wait for attempt in range(1, 10)]
    assert waits == [5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400]
    assert judge(failed(), 10).status == "failed"
    assert len(DELAYS) == 10


@pytest.mark.parametrize("chance", [0.0, 0.5, 1.0])
def test_jitter_only_lengthens(chance: float) -> None:
    wait = judge(failed(), 2, chance=chance).wait
    assert wait == pytest.approx(300 * (1 + 0.1 * chance))


@pytest.mark.parametrize("status", [200, 201, 202, 204, 299])
def test_every_2xx_is_a_delivery(status: int) -> None:
    assert judge(failed(status), 1).status == "delivered"


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_a_failure_that_says_so(status: int) -> None:
    verdict = judge(failed(status), 1)
    assert verdict.status == "pending"
    assert "not followed" in str(verdict.error)


def test_410_ends_it_for_good() -> None:
    verdict = judge(failed(410), 1)
    assert (verdict.status, verdict.is_gone, verdict.wait) == ("failed", True, None)


@pytest.mark.parametrize("status", [429, 503])
def test_retry_after_holds_for_the_event_and_the_endpoint(status: int) -> None:
    verdict = judge(failed(status, retry_after=120.0), 1, chance=0.0)
    assert (verdict.wait, verdict.pause) == (120.0, 120.0)


def test_retry_after_never_comes_earlier_than_the_schedule_nor_after_a_day() -> None:
    assert judge(failed(503, retry_after=1.0), 3, chance=0.0).wait == 1800
    assert judge(failed(503, retry_after=1e9), 1, chance=0.0).wait == 86_400
    assert judge(failed(500, retry_after=60.0), 1, chance=0.0).pause is None


def test_what_can_never_go_better_is_not_tried_again() -> None:
    verdict = judge(failed(None, error="Not sent: no.", is_final=True), 1)
    assert (verdict.status, verdict.error) == ("failed", "Not sent: no.")


def test_an_endpoint_that_fails_gets_fewer_and_then_none_for_a_while() -> None:
    pace = Pace(16, 0)
    assert pace.limit == 16
    for _ in range(PATIENCE - 1):
        pace.note(is_good=False)
        assert pace.pause is None
    pace.note(is_good=False)
    assert pace.limit == 1
    assert pace.pause == 5


def test_the_pause_grows_with_failures_of_earlier_runs_up_to_a_bound() -> None:
    pauses = []
    for failures in (0, 5, 10, 500):
        pace = Pace(16, failures)
        for _ in range(PATIENCE):
            pace.note(is_good=False)
        pauses.append(pace.pause)
    assert pauses == [5, 10, 20, MAX_PAUSE_SECONDS]


def test_a_success_starts_afresh() -> None:
    pace = Pace(16, 50)
    assert pace.limit == 1
    for _ in range(4):
        pace.note(is_good=True)
    assert pace.limit == 16
    for _ in range(PATIENCE - 1):
        pace.note(is_good=False)
    assert pace.pause is None


def test_a_pause_that_was_asked_for_is_kept() -> None:
    pace = Pace(16, 0)
    pace.note(is_good=False, pause=90.0)
    assert pace.pause == 90.0


def test_a_secret_is_as_the_standard_has_it() -> None:
    secret = new_secret()
    assert secret.startswith("whsec_")
    assert len(base64.b64decode(secret.removeprefix("whsec_"))) == 32
    assert new_secret() != secret


def test_a_signature_verifies_with_each_secret_that_is_in_force() -> None:
    new, old, other = new_secret(), new_secret(), new_secret()
    body = json.dumps({"type": "job.completed"})
    headers = Signer([new, old]).headers("msg_1", body)
    assert headers["webhook-signature"].count("v1,") == 2
    for secret in (new, old):
        assert Webhook(secret).verify(body, headers) == {"type": "job.completed"}
    with pytest.raises(WebhookVerificationError):
        Webhook(other).verify(body, headers)


def test_the_clock_s_zone_changes_nothing() -> None:
    secret, now = new_secret(), datetime.now(UTC)
    here = Signer([secret]).headers("msg_1", "{}", now)
    there = now.astimezone(timezone(timedelta(hours=5)))
    assert Signer([secret]).headers("msg_1", "{}", there) == here
    assert Webhook(secret).verify("{}", here) == {}
