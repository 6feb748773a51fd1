"""Vendors' later calls that come twice, in pieces, in any order, after the deadline, or for a cancelled job, while workers run.

A hook stands where the vendors call; a test hands what it caught to the real web, as often and as late as it likes.
"""

import json
import random
import urllib.request
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import pytest

from app.jobs import control
from tests.chaos.harness import CLIENT, Stage
from tests.chaos.lookups import Lookups
from tests.chaos.waiting import wait_for
from tests.chaos.web import Web
from tests.integration.callback_world import Caught, Hook, listening
from tests.integration.ledger_world import totals_agree

pytestmark = pytest.mark.chaos

ROWS = 100
#: Apollo is asked about ten at once, and calls once for them.
CALLS = ROWS // 10
LATE_SECONDS = 8


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening() as running:
        yield running


@pytest.fixture
def web(stage: Stage, tmp_path: Path) -> Web:
    web = Web(stage.installation.environment(), tmp_path / "web.log")
    stage.keep(web.process)
    web.start()
    return web


@pytest.fixture
def lookups(stage: Stage, hook: Hook) -> Lookups:
    return Lookups(stage, PUBLIC_URL=hook.url, ENRICHMENT_LATE_SECONDS="120")


def leads(word: str) -> list[str]:
    return [f"{word}-{n}" for n in range(ROWS)]


def in_pieces(call: Caught) -> list[Caught]:
    """The same call as one for each person."""
    whole = json.loads(call.body)
    return [
        replace(call, body=json.dumps({**whole, "people": [person]}).encode())
        for person in whole["people"]
    ]


def deliver(web: Web, calls: Sequence[Caught], *, at_once: int = 4) -> Counter[str]:
    """Hand calls to the web, some at once, in this order; return what they were taken for."""

    def post(call: Caught) -> str:
        request = urllib.request.Request(  # noqa: S310 - our own loopback URL
            web.url + call.path, data=call.body, headers=dict(call.headers)
        )
        with urllib.request.urlopen(request, timeout=40) as answer:  # noqa: S310 - the same
            assert answer.status == 202
            return str(json.load(answer)["state"])

    with ThreadPoolExecutor(at_once) as posters:
        return Counter(posters.map(post, calls))


@pytest.mark.parametrize("seed", [pytest.param(0, marks=pytest.mark.quick_fault), 1, 2])
def test_twice_in_pieces_and_in_any_order(
    stage: Stage, lookups: Lookups, hook: Hook, web: Web, seed: int
) -> None:
    """Each piece comes three times, and the whole once more, while the worker asks and takes up what has come."""
    lookups.start("one")
    job = lookups.submit(leads("later"))
    beside = lookups.submit(leads("found"), chain=["hunter"])
    calls = hook.wait_for(CALLS)
    pieces = [piece for call in calls for piece in in_pieces(call)]
    storm = [*pieces * 3, *calls]
    random.Random(seed).shuffle(storm)
    states = deliver(web, storm)
    stage.wait_completed(job, beside)
    lookups.judge(job, beside)
    assert set(lookups.verdicts(job)) == {"found"}
    for item in range(1, ROWS + 1):
        # The whole is another call than its pieces, and what it says is noted too.
        assert lookups.said(job, "apollo", item) in (["pending", *["found"] * n] for n in (1, 2))
        assert lookups.said(job, "hunter", item) == []
    assert max(lookups.asked().values()) == 1
    assert states.total() == len(storm)
    # Of each piece the same call is known again, twice.
    assert states["duplicate"] >= 2 * ROWS
    print(dict(states))


@pytest.mark.parametrize("seed", range(3))
def test_before_at_and_after_the_deadline(
    stage: Stage, lookups: Lookups, hook: Hook, web: Web, seed: int
) -> None:
    """A third of the answers comes at once, a third as the deadlines pass, a third when all is done."""
    lookups.start("one", ENRICHMENT_LATE_SECONDS=str(LATE_SECONDS))
    job = lookups.submit(leads("apollo.later-hunter.found"))
    pieces = [piece for call in hook.wait_for(CALLS) for piece in in_pieces(call)]
    random.Random(seed).shuffle(pieces)
    early, close, late = pieces[::3], pieces[1::3], pieces[2::3]
    deliver(web, early)

    def is_past(share: float) -> bool:
        (row,) = stage.world.rows(
            """SELECT count(*) FILTER (WHERE deadline < clock_timestamp() + interval '0.2 s') AS past, count(*) AS n
               FROM lookup_waits WHERE job_id = :j""",
            j=job,
        )
        return int(str(row["past"])) >= share * int(str(row["n"])) > 0

    wait_for(lambda: is_past(0.1), 40, "the first deadlines pass")
    states = deliver(web, close, at_once=1)
    stage.wait_completed(job)
    before = lookups.results(job)
    assert deliver(web, late) == {"late": len(late)}
    assert lookups.results(job) == before
    lookups.judge(job)
    assert set(lookups.verdicts(job)) == {"found"}
    by = Counter(str(row["provider"]) for row in before)
    # Whoever was in time is Apollo's, whoever was not is Hunter's; at the deadline either, and never both.
    assert by["apollo"] >= len(early)
    assert by["hunter"] >= len(late)
    told = Counter(
        (lookups.told_of_row(row, "apollo"), lookups.told_of_row(row, "hunter")) for row in before
    )
    assert told == {("found", ""): by["apollo"], ("late", "found"): by["hunter"]}
    assert max(lookups.asked().values()) == 1
    print(f"at the deadline: {dict(states)}; {dict(by)}")


def test_for_a_cancelled_job(stage: Stage, lookups: Lookups, hook: Hook, web: Web) -> None:
    """No result comes of it; what was paid for is remembered for the next time."""
    lookups.start("one")
    job = lookups.submit(leads("later"))
    calls = hook.wait_for(CALLS)
    with stage.explained(job):
        wait_for(lambda: stage.world.job(job)["status"] == "waiting", 40, "all of it waits")
    with stage.world.scope(CLIENT) as c:
        control.cancel(c, job)
    asked = stage.sandbox.summary()["calls"]
    assert deliver(web, calls) == {"late": CALLS}
    assert deliver(web, calls) == {"duplicate": CALLS}
    again = lookups.submit_again(job)
    stage.wait_completed(again)
    lookups.judge(again)
    assert set(lookups.verdicts(again)) == {"found"}
    assert stage.sandbox.summary()["calls"] == asked
    assert stage.world.job(job)["status"] == "cancelled"
    assert lookups.results(job) == []
    totals_agree(stage.world, job)
