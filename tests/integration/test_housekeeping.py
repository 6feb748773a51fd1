"""What Beat asks for: once a tick, and nothing that somebody still needs is removed."""

import io
import os
import time
from pathlib import Path

import pytest

from app.jobs.submit import add_chunk, create_job
from app.uploads.storage import LocalStorage
from tasks import maintenance
from tests.conftest import Environment
from tests.integration.ledger_world import World

DAY = 86_400


@pytest.fixture
def storage(environment: Environment) -> LocalStorage:
    return LocalStorage(Path(environment["STORAGE_PATH"]))


def keep(storage: LocalStorage, world: World, root: str, *, days: float) -> str:
    """Keep a list of acme's whose last byte came `days` ago; return its key."""
    kept = storage.put(str(world.tenants["acme"]), "l.csv", io.BytesIO(b"email\n"), max_bytes=99)
    moment = time.time() - days * DAY
    os.utime(Path(root) / kept.key, (moment, moment))
    return kept.key


def test_one_tick_is_done_once_whatever_number_of_beats_ask(
    world: World, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "PERIOD_SECONDS", 3 * DAY)
    assert [maintenance.housekeeping() for _ in range(3)] == ["done", "skipped", "skipped"]


def test_only_files_that_are_old_and_needed_by_no_job_are_removed(
    world: World, environment: Environment, storage: LocalStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "PERIOD_SECONDS", 3 * DAY - 1)
    world.add_tenant("acme")
    root = environment["STORAGE_PATH"]
    waits, left, fresh = (keep(storage, world, root, days=days) for days in (3, 3, 0.5))
    with world.scope("acme") as c:
        job = create_job(c, kind="email_validation", title="t", params={"storage_key": waits})
        add_chunk(c, job, "parse")
    assert maintenance.housekeeping() == "done"
    assert [storage.exists(key) for key in (waits, left, fresh)] == [True, False, True]


def test_workers_long_gone_are_forgotten(
    world: World, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "PERIOD_SECONDS", 3 * DAY - 2)
    world.attend("verification-queue", 1)
    world.rows("UPDATE workers SET last_seen = now() - interval '11 minutes' RETURNING id")
    world.attend("verification-queue", 2)
    assert maintenance.housekeeping() == "done"
    assert world.rows("SELECT slots FROM workers") == [{"slots": 2}]


def test_calls_of_vendors_are_kept_for_a_month(
    world: World, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "PERIOD_SECONDS", 3 * DAY - 5)
    tenant = world.add_tenant("acme")
    job = world.submit("acme", 3)
    for item, (days, left) in enumerate(((31, -1), (29, -1), (31, 1)), start=1):
        values = {"t": tenant, "j": job, "i": item, "d": days, "l": left}
        world.rows(
            """INSERT INTO lookup_events (tenant_id, provider, sender_key, state, received_at)
               VALUES (:t, 'apollo', CAST(:i AS text), 'unknown', now() - make_interval(days => :d)) RETURNING 1""",
            **values,
        )
        world.rows(
            """INSERT INTO lookup_waits (request, tenant_id, job_id, item_no, provider, name, identity, lookup, findings,
                   asked_at, deadline)
               VALUES (gen_random_uuid(), :t, :j, :i, 'apollo', 'n', 'x', '{}', '{}', now() - make_interval(days => :d),
                   now() + make_interval(days => :l)) RETURNING 1""",
            **values,
        )
    assert maintenance.housekeeping() == "done"
    assert world.rows("SELECT sender_key FROM lookup_events") == [{"sender_key": "2"}]
    # What is still waited for stays.
    waits = world.rows("SELECT item_no FROM lookup_waits ORDER BY 1")
    assert waits == [{"item_no": 2}, {"item_no": 3}]


def test_answers_of_providers_are_forgotten_when_their_time_is_over(
    world: World, environment: Environment, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(maintenance, "PERIOD_SECONDS", 3 * DAY - 7)
    monkeypatch.setattr(maintenance, "LOOKUPS_STEP", 2)
    monkeypatch.setattr(maintenance, "LOOKUPS_STEPS", 2)
    world.rows(
        """INSERT INTO lookup_cache (tenant_id, provider, identity, findings, found_at, expires_at)
           SELECT :t, 'apollo', n::text, '{}', now() - interval '9 days', now() + make_interval(days => n - 6)
           FROM generate_series(1, 7) n RETURNING 1""",
        t=world.add_tenant("acme"),
    )
    assert maintenance.housekeeping() == "done"
    left = world.rows("SELECT identity FROM lookup_cache ORDER BY 1")
    # Two steps of two, the oldest first; the next tick has the rest.
    assert [row["identity"] for row in left] == ["5", "6", "7"]
    monkeypatch.setattr(maintenance, "PERIOD_SECONDS", 3 * DAY - 8)
    maintenance.housekeeping()
    assert world.rows("SELECT identity FROM lookup_cache") == [{"identity": "7"}]
