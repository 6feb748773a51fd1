"""The small rules of streams: what is remembered, what is told when, how it is written."""

import json
from uuid import UUID, uuid4

import pytest

from app.http.live import changes
from app.http.live.audience import (
    EVERY_SECONDS,
    MOST_JOBS,
    RESET_EVERY_SECONDS,
    SETTLE_SECONDS,
    Audience,
)
from app.http.live.changes import MARGIN_SECONDS, RecentChanges
from app.http.live.frames import Ids, frame, greeting, read_id

ACME, EVE = uuid4(), uuid4()


def remembering(*jobs: tuple[float, UUID, UUID], kept: int = changes.KEPT) -> RecentChanges:
    memory = RecentChanges(kept)
    memory.begin(0.0)
    for at, tenant, job in jobs:
        memory.note(at, tenant, job)
    return memory


def test_what_changed_since_is_known_by_client_each_job_once() -> None:
    early, late, others = uuid4(), uuid4(), uuid4()
    memory = remembering(
        (100, ACME, early), (200, ACME, late), (201, EVE, others), (202, ACME, late)
    )
    assert memory.since(150, 300, ACME) == {late}
    assert memory.since(100, 300, ACME) == {early, late}
    assert memory.since(250, 300, ACME) == set()


def test_a_little_before_is_told_again() -> None:
    job = uuid4()
    memory = remembering((100, ACME, job))
    assert memory.since(100 + MARGIN_SECONDS, 300, ACME) == {job}


def test_what_was_before_the_beginning_is_not_known() -> None:
    memory = RecentChanges()
    assert memory.since(50, 60, ACME) is None
    memory.begin(100)
    assert memory.since(100 + MARGIN_SECONDS - 1, 200, ACME) is None
    assert memory.since(100 + MARGIN_SECONDS, 200, ACME) == set()
    memory.end()
    assert memory.since(150, 200, ACME) is None


def test_what_was_forgotten_is_not_known() -> None:
    jobs = [(float(n), ACME, uuid4()) for n in range(100, 104)]
    memory = remembering(*jobs, kept=3)
    assert memory.since(100, 300, ACME) is None
    assert memory.since(101 + MARGIN_SECONDS, 300, ACME) == {job for _, _, job in jobs[1:]}


def test_an_id_from_the_future_is_not_known() -> None:
    assert remembering().since(1_000, 100, ACME) is None


def test_a_job_is_told_at_once_and_then_once_a_second() -> None:
    audience, job = Audience(), uuid4()
    audience.note(job, 10.0)
    audience.note(job, 10.01)
    assert audience.take_due(10.0) == []
    assert audience.take_due(10.0 + SETTLE_SECONDS) == [job]
    told = 10.0 + SETTLE_SECONDS
    audience.note(job, told + 0.1)
    assert audience.take_due(told + EVERY_SECONDS - 0.01) == []
    assert audience.take_due(told + EVERY_SECONDS) == [job]
    assert audience.take_due(told + 10) == []


def test_a_flood_is_one_reset_at_most_every_few_seconds() -> None:
    audience = Audience()
    for _ in range(5 * MOST_JOBS):
        audience.note(uuid4(), 10.0)
    assert audience.take_due(20.0) == []
    assert audience.take_reset(20.0)
    assert not audience.take_reset(20.0)
    audience.reset_soon()
    assert not audience.take_reset(20.0 + RESET_EVERY_SECONDS - 0.01)
    assert audience.take_reset(20.0 + RESET_EVERY_SECONDS)


def test_as_many_jobs_as_may_be_are_told_one_by_one() -> None:
    audience = Audience()
    for _ in range(MOST_JOBS):
        audience.note(uuid4(), 10.0)
    assert len(audience.take_due(20.0)) == MOST_JOBS
    assert not audience.take_reset(20.0)


def test_ids_only_rise_even_where_the_clock_goes_back() -> None:
    times = iter([5.0, 5.0, 3.0, 6.0])
    ids = Ids(lambda: next(times))
    assert [ids.next() for _ in range(4)] == [5_000_000, 5_000_001, 5_000_002, 6_000_000]


def test_a_frame_is_three_lines_and_an_empty_one() -> None:
    assert frame(7, "job", '{"a": 1}') == b'id: 7\nevent: job\ndata: {"a": 1}\n\n'
    first, *_ = greeting(7, 15.0).decode().split("\n")
    assert first == "retry: 3000"
    assert json.loads(greeting(7, 15.0).decode().split("data: ")[1]) == {"heartbeat_seconds": 15}


@pytest.mark.parametrize(
    ("text", "wanted"),
    [
        ("17", 17),
        ("", None),
        (None, None),
        ("-1", None),
        ("1x", None),
        ("٣", None),
        ("9" * 18, None),
    ],
)
def test_only_what_could_be_an_id_is_read_as_one(text: str | None, wanted: int | None) -> None:
    assert read_id(text) == wanted
