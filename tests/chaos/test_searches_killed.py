"""Workers that end in the middle of searches, each of several calls: the next one goes on with the step that was recorded."""

import random
import secrets
from collections import Counter
from collections.abc import Mapping
from uuid import UUID

import pytest

from tests.chaos.harness import CLIENT, Stage
from tests.chaos.lookups import Lookups
from tests.chaos.waiting import wait_for
from tests.integration.finder_world import FINDER, addresses, anna

pytestmark = pytest.mark.chaos

#: One is found at once, one at the third address, one never.
MIX = {"found-": "found", "has-anna.": "found", "miss-": "not_found"}
WORDS = list(MIX)
ROWS = 90


@pytest.fixture
def lookups(stage: Stage) -> Lookups:
    found = Lookups(stage)
    found.give_key(CLIENT, FINDER)
    return found


def asked(stage: Stage) -> Counter[str]:
    """How often each address arrived and was answered, when all that a dead process had sent has arrived."""
    seen = [-1, stage.sandbox.summary()["calls"]]

    def is_quiet() -> bool:
        seen.append(stage.sandbox.summary()["calls"])
        return len(set(seen[-3:])) == 1

    wait_for(is_quiet, 10, "no more calls arrive")
    return Counter(call["email"] for call in stage.sandbox.calls() if call["status"] == 200)


def recorded(stage: Stage, job: UUID) -> dict[int, int]:
    """How many steps of each lead are on record."""
    rows = stage.world.rows(
        """SELECT item_no, count(*) AS n FROM lookup_attempts
           WHERE job_id = :j AND outcome IN ('pending', 'found', 'miss') GROUP BY 1""",
        j=job,
    )
    return {int(str(row["item_no"])): int(str(row["n"])) for row in rows}


@pytest.mark.parametrize("seed", range(3))
def test_kill_9_in_the_middle_of_searches(stage: Stage, lookups: Lookups, seed: int) -> None:
    mark, chance = secrets.token_hex(3), random.Random(seed)
    domains = {n: f"{WORDS[n % 3]}m{mark}n{n}.example" for n in range(1, ROWS + 1)}
    (victim,) = lookups.start("victim")
    job = lookups.submit_leads([anna(name, str(n)) for n, name in domains.items()], FINDER)
    stage.wait_recorded(job, chance.randint(1, ROWS // 3))

    def unrecorded() -> int:
        return stage.sandbox.summary()["calls"] - sum(recorded(stage, job).values())

    with stage.explained(job):
        wait_for(lambda: unrecorded() >= 12, 40, "12 answers not recorded")
    with stage.faults.strike("kill -9"):
        victim.kill()
    before, kept = asked(stage), recorded(stage, job)
    open_ones = _not_recorded(domains, kept)
    assert open_ones & set(before), "it was killed too late to prove anything"
    assert any(0 < kept.get(n, 0) < 3 for n in domains), "nobody was in the middle of a search"
    lookups.start("next")
    stage.wait_completed(job)
    lookups.judge(job)
    assert lookups.verdicts(job) == [MIX[WORDS[n % 3]] for n in domains]
    after = asked(stage)
    repeated = {email for email, n in after.items() if n > before[email] > 0}
    assert repeated <= open_ones
    assert max(after.values()) <= 2
    print(
        f"answered and not recorded at the kill: {len(open_ones & set(before))}, repeated: {len(repeated)}"
    )


def _not_recorded(domains: Mapping[int, str], kept: Mapping[int, int]) -> set[str]:
    return {email for n, name in domains.items() for email in addresses(name)[kept.get(n, 0) :]}
