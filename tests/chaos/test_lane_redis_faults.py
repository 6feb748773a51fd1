"""The limits' Redis emptied, and Redis silent, while a client has a lane of its own and is moved."""

import pytest

from devtools.silent_proxy import SilentProxy
from routing import queues
from tests.chaos.harness import Stage
from tests.chaos.lanes import ClientLane
from tests.chaos.provider_keys import give_key
from tests.chaos.waiting import last

pytestmark = pytest.mark.chaos
#: The limits in a database of their own, as RATE_LIMIT_REDIS_URL allows.
LIMITS_DATABASE = 1
BURST, WINDOW_SECONDS = 40, 3


def test_rate_state_flushed_in_mid_window(stage: Stage) -> None:
    """Each window's calls go out in its first second; a key that forgot them would send them again at once."""
    stage.add_client("birch", per_window=BURST, window_seconds=WINDOW_SECONDS)
    give_key(
        stage.world,
        stage.sandbox,
        stage.world.tenants["birch"],
        per_window=BURST,
        window_seconds=WINDOW_SECONDS,
    )
    lane = ClientLane(stage, "birch")
    lane.move(lane.name("a"))
    own_database = {"RATE_LIMIT_REDIS_URL": stage.installation.redis.url_of(LIMITS_DATABASE)}
    lane.start_with_shared("a", env=own_database)
    job = stage.submit(400, client="birch")
    for nth, queue in enumerate((queues.VERIFICATION, lane.name("a"), queues.VERIFICATION)):
        # In the middle of a burst of both keys.
        stage.wait_called(100 * nth + BURST)
        with stage.faults.strike("FLUSHDB"), stage.installation.redis.connect(LIMITS_DATABASE) as c:
            c.flushdb()
            lane.move(queue)
    stage.wait_completed(job)
    lane.judge(job, none_repeated=True)


@pytest.mark.parametrize("seconds", [8, 30])
def test_moved_while_redis_is_silent(stage: Stage, seconds: float) -> None:
    """Nothing is released meanwhile; then all of it goes to the new lane."""
    lane = ClientLane(stage)
    lane.move(lane.name("a"))
    with SilentProxy(stage.installation.redis.port) as proxy:
        lane.start_with_shared("a", "b", env={"redis_port": proxy.port})
        job = stage.submit(400)
        stage.wait_recorded(job, 40)
        with stage.faults.strike("silence and re-route"):
            proxy.go_silent()
            last(seconds / 2)
            lane.move(lane.name("b"))
            last(seconds / 2)
            proxy.heal()
        lane.wait_running(job)
        stage.wait_completed(job)
        lane.judge(job, none_repeated=True)
