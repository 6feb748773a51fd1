"""What keeps webhooks moving and out of sight: progress, what was left behind, retention, the jobs that nobody sees."""

from uuid import UUID

import pytest
from cryptography.fernet import Fernet
from sqlalchemy import text
from standardwebhooks import Webhook

from app.clients.reencryption import reencrypt_all
from app.db.engine import owner_engine
from app.db.scope import system_scope, tenant_scope
from app.errors import Conflict, NotFound
from app.jobs.control import cancel
from app.jobs.listing import JobFilter, list_jobs
from app.jobs.queries import get_job
from app.settings import get_settings
from app.webhooks import client_secret, endpoints, keeping, log
from tests.factories import Tenant, lease_chunk, make_job, make_tenant, owner_sql, record
from tests.integration.webhook_world import (
    Receiver,
    Reply,
    add,
    deliver,
    deliveries,
    end_job,
    make_due,
    release,
    spread,
    state,
)

pytestmark = pytest.mark.usefixtures("webhooks_only")


def sweep() -> int:
    with system_scope() as connection:
        return keeping.sweep_progress(connection)


def hidden_job(endpoint: UUID) -> UUID:
    return UUID(str(state(endpoint)["job_id"]))


# --- progress --------------------------------------------------------------------------------------


def test_progress_is_told_every_five_seconds_at_most_and_every_five_percent(
    receiver: Receiver, tenant: Tenant
) -> None:
    add(tenant, receiver.url, "job.progress")
    job = make_job(tenant, 100)
    assert sweep() == 0, "not before it runs"
    lease = lease_chunk(tenant, job)
    record(tenant, lease, dict.fromkeys(range(1, 5), "valid"))
    assert sweep() == 0, "not for four percent"
    record(tenant, lease, {5: "invalid"})
    assert sweep() == 1
    record(tenant, lease, dict.fromkeys(range(6, 50), "valid"))
    assert sweep() == 0, "not twice in five seconds"
    owner_sql("UPDATE webhook_progress SET at = now() - interval '5 s'")
    assert sweep() == 1
    owner_sql("UPDATE webhook_progress SET at = now() - interval '5 s'")
    assert sweep() == 0, "not without progress"
    deliver()
    jobs = [got.event["data"]["job"] for got in receiver.received]
    assert [(job["done"], job["total"]) for job in jobs] == [(5, 100), (49, 100)]
    assert jobs[0]["counts"] == {"valid": 4, "invalid": 1}


def test_no_progress_after_the_end(receiver: Receiver, tenant: Tenant) -> None:
    add(tenant, receiver.url, "job.progress", "job.completed")
    job = make_job(tenant, 100)
    record(tenant, lease_chunk(tenant, job), dict.fromkeys(range(1, 50), "valid"))
    end_job(job)
    assert sweep() == 0
    assert owner_sql("SELECT count(*) FROM webhook_progress") == 0


def test_progress_of_a_job_with_an_address_of_its_own(receiver: Receiver, tenant: Tenant) -> None:
    job = make_job(tenant, 10)
    make_job(tenant, 10)
    owner_sql("UPDATE jobs SET webhook_url = :u WHERE id = :j", {"u": receiver.url, "j": job})
    record(tenant, lease_chunk(tenant, job), {1: "valid"})
    assert sweep() == 1
    deliver()
    assert receiver.of_job(job) == ["job.progress"]


# --- out of sight ----------------------------------------------------------------------------------


def test_the_job_behind_an_endpoint_is_no_job_of_its_client(
    receiver: Receiver, tenant: Tenant
) -> None:
    endpoint, _ = add(tenant, receiver.url)
    job = make_job(tenant)
    receiver.answer = lambda _: Reply(500)
    end_job(job)
    deliver()
    hidden = hidden_job(endpoint)
    assert owner_sql("SELECT status FROM jobs WHERE id = :j", {"j": hidden}) == "processing"
    with tenant_scope(tenant.id) as c:
        assert [found.id for found in list_jobs(c, JobFilter(), limit=10)] == [job]
        with pytest.raises(NotFound):
            get_job(c, hidden)
        with pytest.raises(NotFound):
            cancel(c, hidden)
    with system_scope() as c:
        seen = c.execute(text("SELECT open_jobs FROM clients_overview(15)")).scalar_one()
    assert seen == 0


# --- what was left -----------------------------------------------------------------------------------


def test_an_endpoint_whose_job_went_with_its_month_gets_another(
    receiver: Receiver, tenant: Tenant
) -> None:
    endpoint, _ = add(tenant, receiver.url)
    receiver.answer = lambda _: Reply(500 if len(receiver.received) == 1 else 200)
    end_job(make_job(tenant))
    deliver()
    before = hidden_job(endpoint)
    owner_sql("DELETE FROM jobs")
    make_due()
    assert release() == []
    with system_scope() as connection:
        assert keeping.wake(connection) == 1
    assert deliver() == ["done"]
    assert hidden_job(endpoint) != before
    assert len(receiver.received) == 2


def test_what_was_buried_comes_back_after_five_minutes(receiver: Receiver, tenant: Tenant) -> None:
    endpoint, _ = add(tenant, receiver.url)
    end_job(make_job(tenant))
    spread()
    owner_sql("UPDATE chunks SET status = 'dead' WHERE kind = 'deliver'")
    with system_scope() as connection:
        keeping.wake(connection)
    later = "SELECT extract(epoch FROM run_at - now()) FROM chunks WHERE kind = 'deliver' AND status = 'ready'"
    assert 290 < owner_sql(later) < 301
    make_due()
    assert deliver() == ["done"]
    assert [row["status"] for row in deliveries(endpoint)] == ["delivered"]


def test_two_at_once_spread_nothing_twice(receiver: Receiver, tenant: Tenant) -> None:
    add(tenant, receiver.url)
    end_job(make_job(tenant))
    with system_scope() as first:
        assert keeping.spread(first) == 1
        with system_scope() as second:
            assert keeping.spread(second) == 0
    assert spread() == 0
    assert owner_sql("SELECT count(*) FROM webhook_deliveries") == 1


def test_the_log_is_forgotten_when_it_is_old_and_over(receiver: Receiver, tenant: Tenant) -> None:
    add(tenant, receiver.url)
    receiver.answer = lambda _: Reply(200 if len(receiver.received) == 1 else 500)
    first, second = make_job(tenant), make_job(tenant)
    owner_sql("UPDATE jobs SET webhook_url = :u WHERE id = :j", {"u": receiver.url, "j": first})
    end_job(first, "failed")
    deliver()
    end_job(second)
    deliver()
    owner_sql("UPDATE webhook_events SET created_at = now() - interval '31 days'")
    owner_sql("UPDATE webhook_endpoints SET created_at = now() - interval '31 days'")
    with system_scope() as connection:
        assert keeping.forget(connection, 30) == 1
    assert owner_sql("SELECT string_agg(status, ' ') FROM webhook_deliveries") == "pending"
    assert owner_sql("SELECT string_agg(of_jobs::text, ' ') FROM webhook_endpoints") == "false"
    assert owner_sql("SELECT count(*) FROM jobs WHERE is_system") == 1


# --- by hand -----------------------------------------------------------------------------------------


def test_a_replay_sends_the_same_once_more(receiver: Receiver, tenant: Tenant) -> None:
    endpoint, _ = add(tenant, receiver.url)
    end_job(make_job(tenant))
    deliver()
    (delivery,) = deliveries(endpoint)
    with tenant_scope(tenant.id) as c:
        assert log.replay(c, delivery["id"]).status == "pending"
        with pytest.raises(Conflict):
            log.replay(c, delivery["id"])
    assert deliver() == ["done"]
    first, second = receiver.received
    assert (first.id, first.body) == (second.id, second.body)
    with tenant_scope(tenant.id) as c:
        assert len(log.get_delivery(c, delivery["id"]).attempts) == 2


def test_a_replay_does_not_hold_up_what_comes_after(receiver: Receiver, tenant: Tenant) -> None:
    endpoint, _ = add(tenant, receiver.url, "job.failed", "job.completed")
    job = make_job(tenant)
    end_job(job, "failed")
    deliver()
    receiver.answer = lambda got: Reply(500 if got.type == "job.failed" else 200)
    with tenant_scope(tenant.id) as c:
        log.replay(c, deliveries(endpoint)[0]["id"])
    end_job(job, "processing")
    end_job(job, "completed")
    assert deliver() == ["later"]
    assert [row["status"] for row in deliveries(endpoint)] == ["pending", "delivered"]


def test_a_replay_of_another_client_is_not_found(receiver: Receiver, tenant: Tenant) -> None:
    endpoint, _ = add(tenant, receiver.url)
    end_job(make_job(tenant))
    deliver()
    with tenant_scope(make_tenant().id) as c, pytest.raises(NotFound):
        log.replay(c, deliveries(endpoint)[0]["id"])


def test_a_test_is_sent_to_one_endpoint_also_when_it_is_off(
    receiver: Receiver, tenant: Tenant
) -> None:
    endpoint, _ = add(tenant, receiver.url)
    add(tenant, f"{receiver.url}/other")
    with tenant_scope(tenant.id) as c:
        endpoints.disable_endpoint(c, endpoint)
        endpoints.send_test(c, endpoint)
    end_job(make_job(tenant))
    assert deliver() == ["done", "done"]
    assert sorted((got.path, got.type) for got in receiver.received) == [
        ("/hook", "endpoint.test"),
        ("/hook/other", "job.completed"),
    ]
    assert [row["status"] for row in deliveries(endpoint)] == ["delivered"]


def test_what_is_open_is_cancelled_when_an_endpoint_is_switched_off_or_removed(
    receiver: Receiver, tenant: Tenant
) -> None:
    endpoint, _ = add(tenant, receiver.url)
    receiver.answer = lambda _: Reply(500)
    end_job(make_job(tenant))
    deliver()
    with tenant_scope(tenant.id) as c:
        endpoints.disable_endpoint(c, endpoint)
    assert [row["status"] for row in deliveries(endpoint)] == ["cancelled"]
    with tenant_scope(tenant.id) as c:
        with pytest.raises(Conflict):
            log.replay(c, deliveries(endpoint)[0]["id"])
        endpoints.enable_endpoint(c, endpoint)
        log.replay(c, deliveries(endpoint)[0]["id"])
        endpoints.remove_endpoint(c, endpoint)
    make_due()
    assert deliver() in ([], ["done"])
    assert len(receiver.received) == 1
    row = state(endpoint)
    assert (row["secret_encrypted"], row["previous_encrypted"]) == (None, None)


# --- secrets -----------------------------------------------------------------------------------------


def test_a_new_encryption_key_leaves_no_secret_behind(
    receiver: Receiver, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After `keys reencrypt` the old key may go: what it encrypted would be lost."""
    endpoint, before = add(tenant, receiver.url)
    job = make_job(tenant)
    with tenant_scope(tenant.id) as c:
        after = endpoints.rotate_secret(c, endpoint, overlap_seconds=3600)
        own = client_secret.rotate(c, overlap_seconds=3600)
    old, new = get_settings().encryption_keys.get_secret_value(), Fernet.generate_key().decode()
    try:
        monkeypatch.setenv("ENCRYPTION_KEYS", f"{new},{old}")
        get_settings.cache_clear()
        with owner_engine().begin() as owner:
            assert reencrypt_all(owner).changed == 3
            assert reencrypt_all(owner).changed == 0
        monkeypatch.setenv("ENCRYPTION_KEYS", new)
        get_settings.cache_clear()
        owner_sql(
            "UPDATE jobs SET webhook_url = :u WHERE id = :j", {"u": f"{receiver.url}/own", "j": job}
        )
        end_job(job)
        assert deliver() == ["done", "done"]
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
    by_path = {got.path: got for got in receiver.received}
    for secret in (before, after):
        Webhook(secret).verify(by_path["/hook"].body, by_path["/hook"].headers)
    Webhook(own).verify(by_path["/hook/own"].body, by_path["/hook/own"].headers)


def test_a_secret_that_can_not_be_read_waits_for_its_key(
    receiver: Receiver, tenant: Tenant, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The installation's fault: nothing is sent, and nothing is given up."""
    endpoint, _ = add(tenant, receiver.url)
    end_job(make_job(tenant))
    try:
        monkeypatch.setenv("ENCRYPTION_KEYS", Fernet.generate_key().decode())
        get_settings.cache_clear()
        assert deliver() == ["not_usable"]
    finally:
        monkeypatch.undo()
        get_settings.cache_clear()
    assert deliveries(endpoint)[0]["attempts"] == 0
    make_due()
    assert deliver() == ["done"]
