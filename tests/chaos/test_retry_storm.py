"""Thousands of dead letters of one client retried at once, while another client's jobs go on."""

import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from uuid import UUID

import pytest

from tests.chaos.dead_letters import multiply
from tests.chaos.harness import CLIENT, Stage
from tests.chaos.lookups import Lookups
from tests.chaos.waiting import wait_for
from tests.chaos.web import Web
from tests.factories import Tenant, make_person

pytestmark = pytest.mark.chaos

PATH = "/api/enrichment/jobs"
MAINTENANCE = ("-P", "threads", "-Q", "maintenance")
#: For each step: a busy machine does a few jobs a second.
SECONDS = 900
#: Two clients of equal weight; what one may lose by chance, and while it still has only its first places.
FAIR_SHARE = 0.4


@pytest.fixture
def web(stage: Stage, tmp_path: Path) -> Web:
    web = Web(stage.installation.environment(), tmp_path / "web.log")
    stage.keep(web.process)
    web.start()
    web.sign_in(make_person(Tenant(stage.world.tenants[CLIENT], CLIENT)))
    return web


class Watcher:
    """Somebody who asks for what the client's pages show, over and over."""

    def __init__(self, web: Web, *paths: str) -> None:
        self._web, self._paths = web, paths
        self.statuses: Counter[int] = Counter()

    def look(self) -> None:
        for path in self._paths:
            reply = self._web.get(PATH + path)
            self.statuses[reply.status] += 1

    @contextmanager
    def looking(self) -> Iterator[None]:
        """Look for the length of the block, a few times a second."""
        over = threading.Event()

        def go_on() -> None:
            while not over.wait(0.25):
                self.look()

        thread = threading.Thread(target=go_on)
        thread.start()
        try:
            yield
        finally:
            over.set()
            thread.join()


def count(stage: Stage, client: str, status: str) -> int:
    rows = stage.world.rows(
        "SELECT count(*) AS n FROM jobs WHERE tenant_id = :t AND status = :s AND kind <> 'bulk' AND NOT is_system",
        t=stage.world.tenants[client],
        s=status,
    )
    return int(str(rows[0]["n"]))


def bury(stage: Stage, lookups: Lookups, letters: int) -> None:
    """Leave the client with dead letters, and the vendors with an empty record."""
    stage.sandbox.set_mode(error_rate=1)
    first = lookups.submit(["found"], chain=["hunter"], max_retries=0)
    wait_for(lambda: count(stage, CLIENT, "dead_letter") == 1, 40, "the first letter is dead")
    multiply(stage, first, letters - 1)
    stage.sandbox.reset()
    stage.sandbox.set_mode(latency_ms=(50, 150))


def share_of(client: str, lookups: Lookups) -> float:
    """A client's share of the look-ups from its first to its last."""
    own = [call["key"] in lookups.keys[client] for call in lookups.answered_calls()]
    first, last = own.index(True), len(own) - own[::-1].index(True)
    return sum(own) / (last - first)


@pytest.mark.parametrize("letters", [1_000, 10_000])
def test_dead_letters_retried_in_bulk(stage: Stage, web: Web, letters: int) -> None:
    """The other client comes when a fifth is done, with a tenth as many jobs; all jobs are of one lead."""
    others = letters // 10
    lookups = Lookups(stage)
    lookups.add_client("birch")
    workers = stage.start_workers("acts", lane=MAINTENANCE)
    workers += lookups.start("one", "two", slots=16)
    bury(stage, lookups, letters)
    reply = web.post(f"{PATH}/bulk", {"action": "retry", "filter": {"status": "dead_letter"}})
    assert (reply.status, reply.json["matched"]) == (202, letters), reply
    act = UUID(reply.json["job"]["id"])
    watcher = Watcher(web, f"/{act}/status", "?status=dead_letter&counts=true&limit=50", "/metrics")
    with watcher.looking(), stage.explained(act):
        wait_for(
            lambda: count(stage, CLIENT, "completed") >= letters / 5, SECONDS, "the storm has begun"
        )
        lookups.submit_singles("found", others, client="birch")
        wait_for(lambda: count(stage, "birch", "completed") == others, SECONDS, "the others' jobs")
        left = letters - count(stage, CLIENT, "completed")
        wait_for(lambda: count(stage, CLIENT, "completed") == letters, SECONDS, "all are done")
    assert left > letters / 2, "the others had to wait for the storm"
    assert watcher.statuses.keys() == {200}, watcher.statuses
    assert watcher.statuses[200] > 20

    # Each was tried again once, and answered once.
    asked = lookups.asked()
    assert len(asked) == letters + others
    assert max(asked.values()) == 1
    (found,) = stage.world.rows(
        """SELECT count(*) AS n, count(DISTINCT job_id) AS jobs, bool_and(verdict = 'found') AS all_found
           FROM job_results WHERE provider <> 'laneway'"""
    )
    assert found == {"n": letters + others, "jobs": letters + others, "all_found": True}
    told = stage.world.job(act)
    assert (told["status"], told["counts"]) == ("completed", {"done": letters})

    # No message is left, and none was missed meanwhile.
    assert stage.world.rows("SELECT 1 FROM chunks WHERE status IN ('released', 'running')") == []
    wait_for(lambda: lookups.messages() == 0, 20, "no message is left")
    assert not [worker.name for worker in workers if "messages_lost" in worker.log()]
    share = share_of("birch", lookups)
    print(f"birch's share: {share:.2f}, dead letters left when it was done: {left}")
    assert share >= FAIR_SHARE
