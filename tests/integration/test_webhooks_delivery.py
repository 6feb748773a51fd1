"""From the job's end to the receiver, on the real database and over real HTTP."""

import asyncio
import re
import threading
import time
from datetime import datetime
from uuid import UUID

import pytest
from sqlalchemy import text
from sqlalchemy.exc import DataError
from standardwebhooks import Webhook, WebhookVerificationError

from app.db.scope import tenant_scope
from app.webhooks import client_secret
from app.webhooks.addresses import AddressRule
from app.webhooks.endpoints import rotate_secret, send_test
from tests.factories import Tenant, make_job, make_tenant, owner_sql
from tests.integration.webhook_world import (
    HERE,
    Received,
    Receiver,
    Reply,
    add,
    deliver,
    deliveries,
    end_job,
    make_due,
    release,
    run_all,
    run_receiver,
    spread,
    state,
)

pytestmark = pytest.mark.usefixtures("webhooks_only")
DAY = 86_400


def statuses(endpoint: UUID) -> list[str]:
    return [delivery["status"] for delivery in deliveries(endpoint)]


def seconds_away(value: str) -> float:
    at = datetime.fromisoformat(value)
    return (at - datetime.now(at.tzinfo)).total_seconds()


def test_a_completed_job_is_told_and_signed(receiver: Receiver, tenant: Tenant) -> None:
    endpoint, secret = add(tenant, receiver.url)
    job = make_job(tenant, 3, title="leads.csv")
    end_job(job)
    assert deliver() == ["done"]
    (got,) = receiver.received
    event = Webhook(secret).verify(got.body, got.headers)
    assert event["type"] == "job.completed"
    assert event["data"]["job"]["id"] == str(job)
    assert event["data"]["job"]["total"] == 3
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(got.body + " ", got.headers)
    (delivery,) = deliveries(endpoint)
    assert (delivery["status"], delivery["attempts"], delivery["answer_status"]) == (
        "delivered",
        1,
        200,
    )


def test_every_time_in_an_event_is_in_utc_with_a_z(receiver: Receiver, tenant: Tenant) -> None:
    endpoint, _ = add(tenant, receiver.url)
    with tenant_scope(tenant.id) as connection:
        send_test(connection, endpoint)
    end_job(make_job(tenant))
    assert deliver() == ["done"]
    by_type = {got.type: got.event for got in receiver.received}
    job = by_type["job.completed"]["data"]["job"]
    moments = [event["timestamp"] for event in by_type.values()]
    moments += [job[name] for name in ("created_at", "started_at", "finished_at") if job[name]]
    assert len(by_type) == 2
    assert len(moments) >= 4
    for moment in moments:
        assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z", moment)
        assert abs(seconds_away(moment)) < DAY


def test_a_failed_attempt_is_made_again_with_the_same_id_and_body(
    receiver: Receiver, tenant: Tenant
) -> None:
    endpoint, secret = add(tenant, receiver.url)
    end_job(make_job(tenant))
    receiver.answer = lambda _: Reply(500 if len(receiver.received) == 1 else 204, body=b"")
    assert deliver() == ["later"]
    (delivery,) = deliveries(endpoint)
    assert 4 < seconds_away(delivery["next_at"]) < 5.6
    assert state(endpoint)["failing_since"] is not None
    make_due()
    assert deliver() == ["done"]
    first, second = receiver.received
    assert first.id == second.id
    assert first.body == second.body
    Webhook(secret).verify(second.body, second.headers)
    assert statuses(endpoint) == ["delivered"]
    assert state(endpoint)["failing_since"] is None
    log = owner_sql("SELECT array_agg(answer_status ORDER BY id) FROM webhook_attempts")
    assert log == [500, 204]
    kept = owner_sql("SELECT string_agg(headers::text, ' ') FROM webhook_attempts")
    assert "webhook-id" in kept
    assert "v1," not in kept


def test_events_of_a_job_come_in_their_order_and_other_jobs_do_not_wait(
    receiver: Receiver, tenant: Tenant
) -> None:
    endpoint, _ = add(tenant, receiver.url, "job.completed", "job.failed")
    slow, quick = make_job(tenant), make_job(tenant)

    def fail_the_first(got: Received) -> Reply:
        return Reply(500 if len(receiver.of_job(slow)) == 1 and str(slow) in got.body else 200)

    receiver.answer = fail_the_first
    end_job(slow, "failed")
    end_job(slow, "processing")
    end_job(slow, "completed")
    end_job(quick)
    assert deliver() == ["later"]
    assert receiver.of_job(slow) == ["job.failed"], "the second waits for the first"
    assert receiver.of_job(quick) == ["job.completed"]
    assert statuses(endpoint) == ["pending", "waiting", "delivered"]
    make_due()
    assert deliver() == ["done"]
    assert receiver.of_job(slow) == ["job.failed", "job.failed", "job.completed"]


def test_a_later_event_is_sent_when_the_earlier_one_is_given_up(
    receiver: Receiver, tenant: Tenant
) -> None:
    endpoint, _ = add(tenant, receiver.url, "job.completed", "job.failed")
    job = make_job(tenant)
    receiver.answer = lambda got: Reply(500 if got.type == "job.failed" else 200)
    end_job(job, "failed")
    spread()
    owner_sql("UPDATE webhook_deliveries SET attempts = 9")
    end_job(job, "processing")
    end_job(job, "completed")
    assert deliver() == ["done"]
    assert receiver.of_job(job) == ["job.failed", "job.completed"]
    assert statuses(endpoint) == ["failed", "delivered"]


def test_410_switches_the_endpoint_off(receiver: Receiver, tenant: Tenant) -> None:
    endpoint, _ = add(tenant, receiver.url, "job.completed", "job.failed")
    job = make_job(tenant)
    receiver.answer = lambda _: Reply(410)
    end_job(job, "failed")
    end_job(job, "processing")
    end_job(job, "completed")
    assert deliver() == ["done"]
    assert len(receiver.received) == 1
    assert statuses(endpoint) == ["failed", "cancelled"]
    row = state(endpoint)
    assert (row["is_enabled"], row["disabled_reason"]) == (False, "gone")
    end_job(make_job(tenant))
    assert deliver() == []
    assert owner_sql("SELECT details ->> 'reason' FROM audit_events") == "gone"


def test_five_days_of_failure_switch_the_endpoint_off(receiver: Receiver, tenant: Tenant) -> None:
    endpoint, _ = add(tenant, receiver.url)
    receiver.answer = lambda _: Reply(500)
    end_job(make_job(tenant))
    assert deliver() == ["later"]
    since = "UPDATE webhook_endpoints SET failing_since = now() - make_interval(secs => :s)"
    owner_sql(since, {"s": 5 * DAY - 60})
    make_due()
    assert deliver() == ["later"]
    assert state(endpoint)["is_enabled"]
    owner_sql(since, {"s": 5 * DAY + 1})
    make_due()
    assert deliver() == ["done"]
    row = state(endpoint)
    assert (row["is_enabled"], row["disabled_reason"]) == (False, "failing")
    assert statuses(endpoint) == ["cancelled"]
    assert owner_sql("SELECT action FROM audit_events") == "webhook.disabled"


def test_retry_after_is_kept_for_the_endpoint(receiver: Receiver, tenant: Tenant) -> None:
    endpoint, _ = add(tenant, receiver.url)
    receiver.answer = lambda _: Reply(429, {"Retry-After": "600"})
    end_job(make_job(tenant))
    assert deliver() == ["later"]
    (delivery,) = deliveries(endpoint)
    assert 590 < seconds_away(delivery["next_at"]) < 602
    end_job(make_job(tenant))
    assert deliver() == [], "a new event does not overrun what the receiver asked for"
    assert len(receiver.received) == 1


def test_redirects_are_not_followed(receiver: Receiver, tenant: Tenant) -> None:
    endpoint, _ = add(tenant, receiver.url)
    with run_receiver() as other:
        receiver.answer = lambda _: Reply(307, {"Location": other.url})
        end_job(make_job(tenant))
        deliver()
        assert other.received == []
    (delivery,) = deliveries(endpoint)
    assert delivery["answer_status"] == 307
    assert "not followed" in delivery["error"]


def test_a_receiver_that_hangs_delays_no_other(receiver: Receiver, tenant: Tenant) -> None:
    """It answers only when the other has got everything: waiting for it would never end."""
    all_there = threading.Event()
    with run_receiver() as slow:
        slow.answer = lambda _: Reply(after=all_there)

        def count(_: Received) -> Reply:
            if len(receiver.received) == 30:
                all_there.set()
            return Reply()

        receiver.answer = count
        add(tenant, slow.url)
        add(tenant, receiver.url)
        for _ in range(30):
            end_job(make_job(tenant, 1))
        assert sorted(deliver()) == ["done", "done"]
    assert all_there.is_set()


def test_only_what_is_wanted_and_only_its_own_clients_events(
    receiver: Receiver, tenant: Tenant
) -> None:
    add(tenant, receiver.url, "job.failed")
    other = make_tenant()
    end_job(make_job(tenant))
    end_job(make_job(other), "failed")
    assert owner_sql("SELECT count(*) FROM webhook_events") == 0
    end_job(make_job(tenant), "failed")
    end_job(make_job(tenant), "cancelled")
    assert deliver() == ["done"]
    assert [got.type for got in receiver.received] == ["job.failed"]


def test_an_event_is_of_the_transaction_that_ends_the_job(
    receiver: Receiver, tenant: Tenant
) -> None:
    add(tenant, receiver.url)
    job = make_job(tenant)
    both = text("UPDATE jobs SET status = 'completed' WHERE id = :j; SELECT 1 / 0")
    with pytest.raises(DataError), tenant_scope(tenant.id) as c:
        c.execute(both, {"j": job})
    assert owner_sql("SELECT count(*) FROM webhook_events") == 0


def test_the_address_of_a_job_is_an_endpoint_signed_with_the_clients_secret(
    receiver: Receiver, tenant: Tenant
) -> None:
    first, second = make_job(tenant), make_job(tenant)
    owner_sql("UPDATE jobs SET webhook_url = :u", {"u": receiver.url})
    end_job(first)
    assert deliver() == ["done"]
    with tenant_scope(tenant.id) as c:
        assert client_secret.show(c).shown_at is None
        secret = client_secret.rotate(c, overlap_seconds=3600)
    end_job(second)
    assert deliver() == ["done"]
    before, after = receiver.received
    Webhook(secret).verify(after.body, after.headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(secret).verify(before.body, before.headers)
    assert after.headers["webhook-signature"].count("v1,") == 2
    assert owner_sql("SELECT count(*) FROM webhook_endpoints WHERE of_jobs") == 1


def test_an_address_that_is_changed_while_the_job_runs_gets_what_comes_then(
    receiver: Receiver, tenant: Tenant
) -> None:
    job = make_job(tenant)
    with run_receiver() as other:
        change = "UPDATE jobs SET webhook_url = :u WHERE id = :j"
        owner_sql(change, {"u": receiver.url, "j": job})
        end_job(job, "failed")
        owner_sql(change, {"u": other.url, "j": job})
        end_job(job, "processing")
        end_job(job, "completed")
        deliver()
        assert [got.type for got in receiver.received] == ["job.failed"]
        assert [got.type for got in other.received] == ["job.completed"]


def test_both_secrets_sign_after_a_rotation_until_the_overlap_is_over(
    receiver: Receiver, tenant: Tenant
) -> None:
    endpoint, old = add(tenant, receiver.url)
    with tenant_scope(tenant.id) as c:
        new = rotate_secret(c, endpoint, overlap_seconds=3600)
    end_job(make_job(tenant))
    deliver()
    for secret in (old, new):
        Webhook(secret).verify(receiver.received[0].body, receiver.received[0].headers)
    owner_sql("UPDATE webhook_endpoints SET previous_until = now()")
    end_job(make_job(tenant))
    deliver()
    Webhook(new).verify(receiver.received[1].body, receiver.received[1].headers)
    with pytest.raises(WebhookVerificationError):
        Webhook(old).verify(receiver.received[1].body, receiver.received[1].headers)


def test_what_was_sent_and_not_recorded_is_sent_again_with_the_same_id(
    receiver: Receiver, tenant: Tenant
) -> None:
    """The lease is another's by the time the answer is there, as after a kill or a long freeze."""
    endpoint, _ = add(tenant, receiver.url)
    end_job(make_job(tenant))

    def lose_the_lease(_: Received) -> Reply:
        if len(receiver.received) == 1:
            owner_sql(
                """UPDATE chunks SET status = 'ready', fence = fence + 1, leased_by = NULL, lease_until = NULL
                   WHERE kind = 'deliver' AND status = 'running'"""
            )
        return Reply()

    receiver.answer = lose_the_lease
    assert deliver() == ["lost"]
    assert statuses(endpoint) == ["pending"], "who lost the lease writes nothing"
    assert deliver() == ["done"]
    first, second = receiver.received
    assert first.id == second.id
    assert statuses(endpoint) == ["delivered"]


def test_a_private_address_is_not_reached_whatever_the_row_says(
    receiver: Receiver, tenant: Tenant
) -> None:
    """The rule of an installation that does not allow this machine, over a row that names it."""
    endpoint, _ = add(tenant, receiver.url)
    end_job(make_job(tenant))
    assert deliver(AddressRule(allow_http=True)) == ["done"]
    assert receiver.received == []
    (delivery,) = deliveries(endpoint)
    assert delivery["status"] == "failed"
    assert "private" in delivery["error"]


def test_a_long_answer_is_read_to_a_bound(receiver: Receiver, tenant: Tenant) -> None:
    add(tenant, receiver.url)
    receiver.answer = lambda _: Reply(body=b"x\x00" * 500_000)
    end_job(make_job(tenant))
    assert deliver() == ["done"]
    assert owner_sql("SELECT length(answer) FROM webhook_attempts") == 1024


def test_a_payload_stays_below_20_kb(receiver: Receiver, tenant: Tenant) -> None:
    add(tenant, receiver.url)
    job = make_job(tenant, title="ä" * 50_000)
    owner_sql(
        "UPDATE jobs SET error = repeat('é', 50000), tags = array_fill(repeat('ü', 500), ARRAY[500]) WHERE id = :j",
        {"j": job},
    )
    end_job(job)
    deliver()
    assert len(receiver.received[0].body.encode()) < 20_000


def test_a_process_that_must_go_leaves_what_hangs_to_another(
    receiver: Receiver, tenant: Tenant
) -> None:
    endpoint, _ = add(tenant, receiver.url)
    end_job(make_job(tenant))
    spread()
    never = threading.Event()
    receiver.answer = lambda _: Reply(after=never)

    def drain_by() -> float | None:
        return time.monotonic() - 1 if receiver.received else None

    assert asyncio.run(run_all(release(), HERE, drain_by)) == ["later"]
    assert deliveries(endpoint)[0]["attempts"] == 0
    never.set()
    assert deliver() == ["done"]
    first, second = receiver.received
    assert first.id == second.id
