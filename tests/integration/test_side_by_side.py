"""Two verification providers in one lane: each job with its own, and neither waits for the other's keys."""

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest
from sqlalchemy import text

from app.jobs import lease as ledger
from app.jobs.status import get_status
from app.jobs.submit import create_job, cut_chunks, verifier_params
from app.settings import get_settings
from routing.key_pool import KeyPool, Throttled
from sandbox.process import RunningSandbox
from tests.conftest import Environment
from tests.integration.ledger_world import World
from tests.integration.verification_world import KEY, Runs

HOURS = 9 * 3600.0
NEW_KEY = """INSERT INTO api_keys (tenant_id, provider, fingerprint, secret_encrypted, hint)
             SELECT id, 'hunter', 'f', 'x', 'hint' FROM tenants WHERE slug = 'acme'"""
#: One that has been there for a while: what is noticed now was not before it.
OLD_KEY = NEW_KEY.replace("hint)", "hint, updated_at)").replace(
    "'hint' FROM", "'hint', now() - interval '1 hour' FROM"
)
ROUTE = """INSERT INTO worker_configs (user_id, worker_mode, verification_queue)
           SELECT u.id, 'dedicated', 'verification-queue:client-acme'
           FROM users u JOIN tenants t ON t.id = u.tenant_id WHERE t.slug = 'acme'"""


@pytest.fixture
def runs(world: World, provider: RunningSandbox, environment: Environment, redis_url: str) -> Runs:
    provider.reset()
    provider.put_keys({"key": KEY})
    world.add_tenant("acme")
    world.add_user("acme", "acme@example.com")
    for queue in ("verification-queue", "verification-queue:client-acme"):
        world.attend(queue, 16)
    return Runs(world, provider, redis_url)


class Spent(KeyPool):
    """Keys whose day is used up."""

    def __init__(self, reason: str = "daily_quota") -> None:
        self._reason = reason

    async def acquire(self, *_: Any, **__: Any) -> Any:
        raise Throttled(datetime.now(UTC), self._reason, HOURS)


def spent(reason: str = "daily_quota") -> dict[str, Any]:
    """Tools whose keys, of every provider, have nothing to give for hours."""

    async def pool_for(_tenant: UUID) -> KeyPool:
        return Spent(reason)

    return {"pools": {"mailtester": pool_for, "hunter": pool_for}}


def waiting(world: World) -> list[tuple[str | None, bool]]:
    """(what for, later?) of every ready chunk, the oldest first."""
    rows = world.rows(
        "SELECT waits_for, run_at > now() AS later FROM chunks WHERE status = 'ready' ORDER BY id"
    )
    return [(row["waits_for"], bool(row["later"])) for row in rows]  # type: ignore[misc]


def do(world: World, sql: str) -> None:
    with world.owner.begin() as c:
        c.execute(text(sql))


def test_each_job_is_verified_by_the_provider_it_names(runs: Runs) -> None:
    usual, named = (
        runs.submit("ok-a@example.com"),
        runs.submit("ko-b@example.com", verifier="hunter"),
    )
    for message in runs.world.release():
        assert runs.run(message) == "done"
    assert {row["provider"] for row in runs.results(usual).values()} == {"mailtester"}
    (row,) = runs.results(named).values()
    assert (row["provider"], row["verdict"], row["code"]) == ("hunter", "invalid", "invalid")
    assert sorted(call["provider"] for call in runs.sandbox.calls()) == ["hunter", "mailtester"]


def test_the_setting_says_who_verifies_where_nobody_is_named(runs: Runs) -> None:
    job = runs.submit("ok-a@example.com")
    assert runs.run(verification_provider="hunter") == "done"
    assert runs.results(job)["ok-a@example.com"]["provider"] == "hunter"


def test_the_others_spent_keys_put_their_job_off_and_hold_nobody(runs: Runs) -> None:
    named = runs.submit("ok-a@example.com", verifier="hunter")
    assert runs.run(tools=spent()) == "throttled"
    assert runs.hold() is None
    assert waiting(runs.world) == [("daily_quota", True)]
    usual = runs.submit("ok-b@example.com")
    (message,) = runs.world.release()
    assert runs.run(message) == "done"
    assert runs.results(usual)
    assert not runs.results(named)


def test_the_usual_ones_hold_is_lifted_for_a_job_with_another(runs: Runs) -> None:
    runs.submit("ok-a@example.com")
    assert runs.run(tools=spent()) == "throttled"
    assert runs.hold()
    named = runs.submit("ok-b@example.com", verifier="hunter")
    assert runs.hold() is None
    # The usual one's chunk comes round once more, and then waits by itself as long as the other's job is there.
    messages = {m.job_id: m for m in runs.world.release()}
    usual_message = next(m for job, m in messages.items() if job != named)
    assert runs.run(usual_message, tools=spent()) == "throttled"
    assert runs.hold() is None
    assert runs.run(messages[named]) == "done"
    assert runs.results(named)["ok-b@example.com"]["verdict"] == "valid"
    assert waiting(runs.world) == [("daily_quota", True)]


def test_alone_again_the_usual_ones_jobs_hold_the_lane_as_ever(runs: Runs) -> None:
    runs.submit("ok-b@example.com", verifier="hunter")
    assert runs.run() == "done"
    runs.submit("ok-a@example.com")
    assert runs.run(tools=spent()) == "throttled"
    assert runs.hold()
    assert waiting(runs.world) == [(None, False)]


def test_to_name_the_usual_one_is_to_name_none(runs: Runs) -> None:
    runs.submit("ok-a@example.com", verifier="mailtester")
    assert runs.run(tools=spent()) == "throttled"
    assert runs.hold()


@pytest.mark.parametrize(
    "change",
    [
        NEW_KEY,
        NEW_KEY.replace("SELECT id,", "SELECT NULL::uuid,"),
        "UPDATE tenants SET key_policy = 'platform'",
        ROUTE,
    ],
)
def test_what_was_put_off_goes_on_as_soon_as_the_keys_are_others(runs: Runs, change: str) -> None:
    runs.submit("ok-a@example.com", verifier="hunter")
    runs.run(tools=spent())
    assert runs.world.release() == []
    do(runs.world, change)
    assert waiting(runs.world) == [(None, False)]
    (message,) = runs.world.release()
    assert runs.run(message) == "done"


def test_a_key_that_works_again_wakes_what_waits_for_it(runs: Runs) -> None:
    do(runs.world, OLD_KEY)
    runs.submit("ok-a@example.com", verifier="hunter")
    runs.run(tools=spent("circuit_open"))
    assert waiting(runs.world) == [("circuit_open", True)]
    do(runs.world, "SELECT key_was_reset(id, 'closed') FROM api_keys")
    assert waiting(runs.world) == [(None, False)]


def test_a_reset_gives_no_spent_day_back(runs: Runs) -> None:
    do(runs.world, OLD_KEY)
    runs.submit("ok-a@example.com", verifier="hunter")
    runs.run(tools=spent())
    do(runs.world, "SELECT key_was_reset(id, 'closed') FROM api_keys")
    assert waiting(runs.world) == [("daily_quota", True)]


def test_another_clients_key_wakes_nobody(runs: Runs) -> None:
    runs.world.add_tenant("birch")
    runs.submit("ok-a@example.com", verifier="hunter")
    runs.run(tools=spent())
    do(runs.world, NEW_KEY.replace("'acme'", "'birch'"))
    assert waiting(runs.world) == [("daily_quota", True)]


def test_an_item_that_waits_for_its_next_attempt_is_not_woken_by_a_key(runs: Runs) -> None:
    runs.submit("error500-a@example.com", verifier="hunter")
    assert runs.run(retry_base_delay=60_000) == "retry"
    do(runs.world, NEW_KEY)
    assert waiting(runs.world) == [("retry", True)]


def test_what_was_noticed_before_a_change_puts_nothing_off(runs: Runs) -> None:
    runs.submit("ok-a@example.com", verifier="hunter")

    class LateNews(Spent):
        async def acquire(self, *_: Any, **__: Any) -> Any:
            do(runs.world, NEW_KEY)
            raise Throttled(datetime.now(UTC), "daily_quota", HOURS)

    async def pool_for(_tenant: UUID) -> KeyPool:
        return LateNews()

    assert runs.run(tools={"pools": {"mailtester": pool_for, "hunter": pool_for}}) == "throttled"
    assert waiting(runs.world) == [(None, False)]


def test_people_are_told_what_the_job_waits_for(runs: Runs) -> None:
    job = runs.submit("ok-a@example.com", verifier="hunter")
    runs.run(tools=spent())
    do(
        runs.world,
        "UPDATE jobs SET started_at = now() - interval '1 minute', created_at = now() - interval '1 minute'",
    )
    with runs.world.scope("acme") as c:
        state = get_status(c, job, presence_seconds=15)
    assert state.waiting
    assert state.waiting.reason == "daily_quota"
    assert state.waiting.until
    left = state.waiting.until - datetime.now(UTC)
    assert timedelta(seconds=HOURS - 60) < left < timedelta(seconds=HOURS + 60)


def test_the_jobs_other_chunks_wait_with_it(runs: Runs) -> None:
    job = runs.submit("ok-a@example.com", verifier="hunter")
    (message,) = runs.world.release()
    with runs.world.scope("acme") as c:
        cut_chunks(c, job, "verify", 3, 1)
    assert runs.run(message, tools=spent()) == "throttled"
    assert waiting(runs.world) == [("daily_quota", True)] * 4
    assert runs.world.release() == []


def test_another_clients_job_does_not_mix_this_clients_lane(runs: Runs) -> None:
    runs.world.add_tenant("birch")
    with runs.world.scope("birch") as c:
        params = verifier_params(c, "hunter", get_settings())
        create_job(c, kind="email_validation", title="t", params=params)
    runs.submit("ok-a@example.com")
    assert runs.run(tools=spent()) == "throttled"
    assert runs.hold()


def test_a_hold_and_a_new_job_with_another_provider_can_not_miss_each_other(runs: Runs) -> None:
    """The job is made while the hold is being written: it waits for that, and then lifts it."""
    runs.submit("ok-a@example.com")
    taken = runs.world.take(runs.world.release()[0])
    assert taken is not None
    now = datetime.now(UTC)
    with ThreadPoolExecutor(1) as other:
        with runs.world.scope("acme") as c:
            assert not ledger.lane_is_mixed(c, "mailtester")
            making = other.submit(runs.submit, "ok-b@example.com", verifier="hunter")
            while not runs.world.rows(
                "SELECT 1 FROM pg_locks WHERE locktype = 'advisory' AND NOT granted"
            ):
                assert not making.done()
            assert ledger.hold_lane(
                c, taken[0], now + timedelta(hours=9), "daily_quota", noticed_at=now
            )
        assert making.result(10)
    assert runs.hold() is None
