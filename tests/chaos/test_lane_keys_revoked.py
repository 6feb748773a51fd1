"""The provider refuses a client's keys in mid-job: the others carry on, and none left is a wait, not a failure."""

import pytest

from tests.chaos.harness import CHUNK_ROWS, Stage
from tests.chaos.lanes import ClientLane
from tests.chaos.provider_keys import give_key, restore, revoke
from tests.chaos.waiting import wait_for

pytestmark = pytest.mark.chaos
#: How long a key rests after it was refused (HEALTH_OPEN_SECONDS, 300 by default).
OPEN = {"HEALTH_OPEN_SECONDS": "3"}


def calls_on(stage: Stage, key: str) -> int:
    """Return how many calls of a key the provider has seen."""
    return sum(call["key"] == key for call in stage.sandbox.calls())


@pytest.mark.quick_fault
def test_one_of_two_keys_revoked(stage: Stage) -> None:
    """Only what was under way or reserved for it is refused, and tried again on the other key."""
    second = give_key(stage.world, stage.sandbox, stage.world.tenants["acme"])
    lane = ClientLane(stage)
    lane.move(lane.name("a"))
    lane.start_with_shared("a")
    job = stage.submit(300)
    stage.wait_recorded(job, 60)
    assert calls_on(stage, second)
    with stage.faults.strike("a key revoked"):
        revoke(stage.sandbox, [second])
    stage.wait_completed(job)
    lane.judge(job, none_repeated=True)
    refused = [call for call in stage.sandbox.calls() if call["code"] == "--"]
    assert {call["key"] for call in refused} == {second}
    # Calls of one chunk are never more than CHUNK_CONCURRENCY; the circuit opens with the first answer.
    assert 0 < len(refused) <= 2 * CHUNK_ROWS


def test_all_keys_dead_and_one_back(stage: Stage) -> None:
    """The job waits, with one probe a key each time its circuit has rested; no row is given up."""
    second = give_key(stage.world, stage.sandbox, stage.world.tenants["acme"])
    lane = ClientLane(stage)
    lane.move(lane.name("a"))
    lane.start_with_shared("a", env=OPEN)
    job = stage.submit(300)
    stage.wait_recorded(job, 60)
    with stage.faults.strike("all keys revoked"):
        revoke(stage.sandbox, [stage.key, second])
        wait_for(lambda: held_for(stage) == ["circuit_open"], 30, "the client is held")
        probed = calls_on(stage, second)
        wait_for(lambda: calls_on(stage, second) >= probed + 2, 30, "the key is probed twice")
        restore(stage.sandbox, second)
    stage.wait_completed(job)
    lane.judge(job, none_repeated=True)
    assert calls_on(stage, second) > probed


def held_for(stage: Stage) -> list[object]:
    """Return why the client is held at this moment."""
    rows = stage.world.rows("SELECT reason FROM lane_holds WHERE until > clock_timestamp()")
    return [row["reason"] for row in rows]
