"""Release: how much, to whom, in which order."""

from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.db.scope import system_scope
from app.jobs import release as releasing
from routing import queues
from tests.integration.ledger_world import World, answer

SHARED = queues.VERIFICATION


def tenants_of(released: list[releasing.Released]) -> Counter[str]:
    return Counter(chunk.tenant_slug for chunk in released)


def test_a_lane_is_filled_to_twice_its_slots_and_no_further(world: World) -> None:
    world.add_tenant("acme")
    world.add_tenant("birch")
    world.submit("acme", 1000, size=10)
    world.submit("birch", 1000, size=10)
    with world.owner.begin() as c:
        c.exec_driver_sql("UPDATE tenants SET max_in_flight = 1000")
    world.attend(SHARED, 8)
    assert len(world.release()) == 16
    assert world.release() == []


def test_a_lane_without_workers_shows_a_few_messages(world: World) -> None:
    world.add_tenant("acme")
    world.submit("acme", 1000, size=10)
    assert len(world.release(window=4)) == 4
    assert world.release(window=4) == []


def test_a_backlog_does_not_stand_in_front_of_others(world: World) -> None:
    """One client has all it may in flight; ten small ones come later and each gets in at once."""
    world.add_tenant("whale")
    world.submit("whale", 10_000, size=10)
    world.attend(SHARED, 16)
    assert tenants_of(world.release()) == {"whale": 8}, "a client alone has half of the slots"
    for n in range(8):
        world.add_tenant(f"small-{n}")
        world.submit(f"small-{n}", 10, size=10)
    assert tenants_of(world.release()) == {f"small-{n}": 1 for n in range(8)}


def test_however_many_clients_have_much_a_newcomer_finds_a_free_slot(world: World) -> None:
    world.attend(SHARED, 12)
    for n in range(3):
        world.add_tenant(f"whale-{n}")
        world.submit(f"whale-{n}", 10_000, size=10)
    assert tenants_of(world.release()) == {f"whale-{n}": 3 for n in range(3)}
    assert world.release() == []
    world.add_tenant("minnow")
    world.submit("minnow", 10, size=10)
    assert tenants_of(world.release()) == {"minnow": 1}


def test_tenants_share_by_weight(world: World) -> None:
    world.add_tenant("light", weight=1)
    world.add_tenant("heavy", weight=3)
    for slug in ("light", "heavy"):
        world.submit(slug, 10_000, size=10)
    world.attend(SHARED, 10)
    with world.owner.begin() as c:
        c.exec_driver_sql("UPDATE tenants SET max_in_flight = 1000")
    assert tenants_of(world.release()) == {"heavy": 15, "light": 5}


def test_a_cap_holds_for_one_tenant(world: World) -> None:
    world.add_tenant("acme")
    with world.owner.begin() as c:
        c.exec_driver_sql("UPDATE tenants SET max_in_flight = 3")
    world.submit("acme", 1000, size=10)
    world.attend(SHARED, 50)
    assert len(world.release()) == 3


def test_priority_and_age_order_work_within_a_tenant(world: World) -> None:
    world.add_tenant("acme")
    late = world.submit("acme", 20, size=10, priority=5)
    middle = world.submit("acme", 20, size=10, priority=3)
    first = world.submit("acme", 20, size=10, priority=1)
    world.attend(SHARED, 50)
    assert [chunk.job_id for chunk in world.release()] == [first, first, middle, middle, late, late]


def test_an_urgent_list_finds_room_beside_a_long_one_of_the_same_client(world: World) -> None:
    world.add_tenant("acme")
    world.add_user("acme", "acme@example.com")
    with world.owner.begin() as c:
        c.exec_driver_sql("""INSERT INTO worker_configs (user_id, worker_mode, verification_queue)
                             SELECT id, 'dedicated', 'verification-queue:client-acme' FROM users""")
    world.attend("verification-queue:client-acme", 8)
    long = world.submit("acme", 10_000, size=10)
    assert {chunk.job_id for chunk in world.release()} == {long}
    assert world.release() == [], "half of the slots stay free"
    world.submit("acme", 20, size=10, priority=4)
    assert world.release() == [], "what is less important waits its turn"
    urgent = world.submit("acme", 20, size=10, priority=1)
    assert [chunk.job_id for chunk in world.release()] == [urgent, urgent]


def test_priority_of_one_tenant_takes_nothing_from_another(world: World) -> None:
    world.add_tenant("loud")
    world.add_tenant("quiet")
    for _ in range(5):
        world.submit("loud", 100, size=10, priority=1)
    world.submit("quiet", 100, size=10, priority=5)
    world.attend(SHARED, 5)
    assert tenants_of(world.release()) == {"loud": 2, "quiet": 2}


def test_three_dispatchers_at_once_release_each_chunk_once(world: World) -> None:
    world.add_tenant("acme")
    with world.owner.begin() as c:
        c.exec_driver_sql("UPDATE tenants SET max_in_flight = 1000")
    world.submit("acme", 2000, size=10)
    world.attend(SHARED, 60)
    with ThreadPoolExecutor(3) as pool:
        batches = list(pool.map(lambda _: world.release_all(limit=10), range(9)))
    ids = [chunk.chunk_id for batch in batches for chunk in batch]
    assert len(ids) == len(set(ids)) == 120


def test_a_recalled_chunk_is_released_again_with_another_fence(world: World) -> None:
    world.add_tenant("acme")
    world.submit("acme", 10, size=10)
    [before] = world.release()
    with system_scope(world.app) as c:
        assert releasing.recall(c, [before.chunk_id]) == 1
    [after] = world.release()
    assert (after.chunk_id, after.fence) == (before.chunk_id, before.fence + 1)
    assert world.take(before) is None
    assert world.take(after)


def test_a_poison_chunk_dies_at_the_cap_and_its_rows_are_answered(world: World) -> None:
    world.add_tenant("acme")
    job = world.submit("acme", 10, size=10, twins=True)
    for attempt in range(1, 4):
        world.make_due()
        [message] = world.release()
        taken = world.take(message)
        assert taken
        assert taken[0].attempts == attempt
        world.expire(message.chunk_id)
        [recovered] = world.recover(attempts=3)
    assert recovered.status == "dead"
    found = world.job(job)
    assert (found["status"], found["done_items"], found["failed_items"]) == ("completed", 10, 10)
    assert world.rows(
        "SELECT DISTINCT verdict, is_failure FROM job_results WHERE job_id = :j", j=job
    ) == [{"verdict": "unknown", "is_failure": True}]


def test_a_second_failure_in_a_row_waits(world: World) -> None:
    world.add_tenant("acme")
    world.submit("acme", 10, size=10)
    for _ in range(2):
        [message] = world.release()
        assert world.take(message)
        world.expire(message.chunk_id)
        world.recover(attempts=5)
    assert world.release() == []


def test_a_worker_that_wakes_after_its_lease_writes_nothing(world: World) -> None:
    world.add_tenant("acme")
    job = world.submit("acme", 10, size=10)
    [message] = world.release()
    taken = world.take(message)
    assert taken
    lease, items = taken
    world.expire(lease.chunk_id)
    world.recover()
    kept = world.record(lease, [answer(no) for no in items])
    assert (kept.held, kept.recorded) == (False, 0)
    assert not world.finish(lease)
    assert world.rows("SELECT 1 AS x FROM job_results WHERE job_id = :j", j=job) == []


@pytest.mark.parametrize("act", ["record", "finish", "put back"])
def test_a_worker_that_wakes_while_another_has_its_chunk_changes_nothing(
    world: World, act: str
) -> None:
    world.add_tenant("acme")
    job = world.submit("acme", 10, size=10)
    taken = world.take(world.release()[0])
    assert taken
    old, items = taken
    world.expire(old.chunk_id)
    world.recover()
    assert world.take(world.release()[0])
    before = world.rows("SELECT * FROM chunks")
    if act == "record":
        assert not world.record(old, [answer(no) for no in items]).held
    else:
        assert not (world.finish(old) if act == "finish" else world.put_back(old))
    assert world.rows("SELECT * FROM chunks") == before
    assert world.rows("SELECT 1 AS x FROM job_results WHERE job_id = :j", j=job) == []


def test_kinds_of_the_code_are_those_of_the_database(world: World) -> None:
    rows = world.rows("SELECT kind, base_queue, per_tenant FROM chunk_kinds")
    assert {(r["kind"], r["base_queue"], r["per_tenant"]) for r in rows} == {
        (kind.name, kind.base_queue, kind.per_tenant) for kind in queues.KINDS.values()
    }
