"""Chunks whose workers died: who is suspected, who is cleared, and that suspects are tried one at a time."""

from app.jobs.lease import Lease
from tests.integration.ledger_world import World, answer


def die(world: World, leases: list[Lease], attempts: int = 5) -> None:
    """Let a worker with these chunks die and its leases be recovered."""
    for lease in leases:
        world.expire(lease.chunk_id)
    world.recover(attempts)


def take_all(world: World) -> list[Lease]:
    taken = [world.take(message) for message in world.release()]
    return [found[0] for found in taken if found]


def crowd(world: World, chunks: int = 4) -> None:
    world.add_tenant("acme")
    world.submit("acme", 10 * chunks, size=10)
    world.attend("verification-queue", 50)


def let_time_pass(world: World) -> None:
    """Make due what was deferred, then let the recovery put off whom it wants."""
    world.make_due()
    world.recover(5)


def test_after_one_death_all_are_tried_again_together(world: World) -> None:
    crowd(world)
    die(world, take_all(world))
    assert len(take_all(world)) == 4


def test_after_two_deaths_one_is_tried_at_a_time(world: World) -> None:
    crowd(world)
    die(world, take_all(world))
    die(world, take_all(world))
    let_time_pass(world)
    first = take_all(world)
    assert len(first) == 1
    let_time_pass(world)
    assert take_all(world) == [], "the first is still being tried"
    world.finish(first[0])
    let_time_pass(world)
    assert len(take_all(world)) == 1


def test_a_recorded_row_clears_a_suspect(world: World) -> None:
    crowd(world)
    die(world, take_all(world))
    die(world, take_all(world))
    let_time_pass(world)
    [first] = take_all(world)
    world.record(first, [answer(first.first_item)])
    let_time_pass(world)
    assert len(take_all(world)) == 1, "the next one need not wait for the first to end"
    assert world.rows("SELECT attempts FROM chunks WHERE id = :i", i=first.chunk_id) == [
        {"attempts": 0}
    ]


def test_new_work_does_not_wait_for_suspects(world: World) -> None:
    crowd(world)
    die(world, take_all(world))
    die(world, take_all(world))
    world.submit("acme", 30, size=10)
    let_time_pass(world)
    assert len(take_all(world)) == 4, "three new ones and one suspect"


def test_only_the_guilty_dies(world: World) -> None:
    """One chunk kills whoever holds it, with all that is beside it; the others end well."""
    crowd(world, 6)
    guilty, innocents_done = None, 0
    for _ in range(60):
        world.make_due()
        world.recover(3)
        held = take_all(world)
        guilty = guilty or held[0].chunk_id
        if any(lease.chunk_id == guilty for lease in held):
            die(world, held, attempts=3)
            continue
        for lease in held:
            items = range(lease.first_item, lease.last_item + 1)
            world.record(lease, [answer(no) for no in items])
            innocents_done += world.finish(lease)
    dead = world.rows("SELECT id FROM chunks WHERE status = 'dead'")
    assert dead == [{"id": guilty}]
    assert innocents_done == 5


def test_handing_back_keeps_what_earlier_deaths_counted(world: World) -> None:
    """Else a chunk that is throttled now and then would never come to its end."""
    crowd(world, 1)
    die(world, take_all(world))
    [lease] = take_all(world)
    world.put_back(lease)
    assert world.rows("SELECT attempts FROM chunks") == [{"attempts": 1}]
