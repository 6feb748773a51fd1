"""Three dispatchers that are woken all at once, again and again, while lanes change under them."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from sqlalchemy import text

from routing import queues
from tests.chaos.harness import Stage
from tests.chaos.lanes import ClientLane

pytestmark = pytest.mark.chaos
SLOTS = 8
#: A lane holds twice the slots of its live workers.
ROOM = 2 * 3 * SLOTS
NOTICES = 50


class Storm:
    """Bursts of notices without a pause, and what the lanes held at most meanwhile."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._blow)
        self.bursts = 0
        self.most: dict[str, int] = {}

    def _blow(self) -> None:
        with self._stage.world.owner.connect().execution_options(
            isolation_level="AUTOCOMMIT"
        ) as connection:
            while not self._over.wait(0.02):
                for n in range(NOTICES):
                    connection.execute(text("SELECT pg_notify('laneway_ready', :n)"), {"n": str(n)})
                self.bursts += 1
                for queue, held in connection.execute(
                    text("""SELECT queue, count(*) FROM chunks
                            WHERE status IN ('released', 'running') GROUP BY queue""")
                ):
                    self.most[queue] = max(self.most.get(queue, 0), held)

    @contextmanager
    def raging(self) -> Iterator[None]:
        """Blow for the length of the block."""
        self._thread.start()
        try:
            yield
        finally:
            self._over.set()
            self._thread.join()


def test_bursts_of_notices(stage: Stage) -> None:
    """No chunk is released twice and no lane overfilled, however many dispatchers run at once."""
    lane = ClientLane(stage)
    stage.add_client("birch")
    stage.start_workers("one", "two", "three", slots=SLOTS)
    storm = Storm(stage)
    with storm.raging():
        jobs = [stage.submit(200), stage.submit(200, client="birch")]
        stage.wait_recorded(jobs[0], 20)
        for queue in (lane.name("nobody"), queues.VERIFICATION) * 5:
            lane.move(queue)
        stage.wait_completed(*jobs)
    lane.judge(*jobs, none_repeated=True)
    assert storm.bursts > 10
    assert storm.most[queues.VERIFICATION] <= ROOM
