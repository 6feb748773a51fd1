"""Workers on hosts whose clocks are a minute off, before and behind the servers' clock."""

import pytest

from routing import queues
from tests.chaos.harness import Stage
from tests.chaos.lanes import ClientLane

pytestmark = pytest.mark.chaos
MINUTE = 60


@pytest.mark.parametrize("seconds", [MINUTE, -MINUTE])
def test_clocks_a_minute_apart(stage: Stage, seconds: int) -> None:
    """Leases, holds, limits and moves are reckoned on the servers' clocks: it is as if nothing were wrong."""
    lane = ClientLane(stage)
    # Keys that give less than the workers could use, so that chunks are put back and held as well.
    stage.add_client("birch", per_window=30, window_seconds=3)
    lane = ClientLane(stage, "birch")
    lane.move(lane.name("a"))
    launcher = ("tests.chaos.shifted_clock", str(seconds))
    wrong = lane.start_worker("a", launcher=launcher)
    right = stage.start_workers("right")[0]
    stage.wait_until_serving(wrong)
    job, other = stage.submit(200, client="birch"), stage.submit(200)
    stage.wait_recorded(job, 60)
    with stage.faults.strike("re-route to the right clock"):
        lane.move(queues.VERIFICATION)
    stage.wait_recorded(job, 120)
    with stage.faults.strike("re-route to the wrong clock, the right one gone"):
        lane.move(lane.name("a"))
        right.ask_to_stop()
    stage.wait_completed(job, seconds=60)
    stage.start_workers("next", launcher=launcher)
    stage.wait_completed(other)
    lane.judge(job, other, none_repeated=True)
    assert abs(worst_clock(stage) - seconds) < MINUTE / 2


def worst_clock(stage: Stage) -> float:
    """Return by how much the workers' own times differ from the database's at most: that the clock was shifted."""
    rows = stage.world.rows(
        """SELECT extract(epoch FROM r.checked_at - j.finished_at)::float8 AS off
           FROM job_results r JOIN jobs j ON j.id = r.job_id"""
    )
    return max((float(str(row["off"])) for row in rows), key=abs)
