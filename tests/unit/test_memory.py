"""How long a process remembers: an answer, a miss, and that an answer is waited for."""

from datetime import UTC, datetime

from app.enrichment.lookup import Kind
from app.enrichment.memory import Memory, Question, Remembered
from app.enrichment.waits import Wait

DAY = 86_400.0
QUESTION = Question("acme", "apollo", "x")


def memory(now: list[float]) -> Memory:
    return Memory({"email": 30.0, "phone": 10.0, "miss": 1.0}, lambda: now[0])


def test_the_shortest_time_of_what_is_wanted_counts_and_a_miss_has_its_own() -> None:
    kept = memory([0.0])
    # Twice: what was worked out is kept.
    for _ in range(2):
        assert kept.seconds_to_keep([Kind.EMAIL], is_miss=False) == 30 * DAY
        assert kept.seconds_to_keep([Kind.EMAIL], is_miss=True) == DAY
        assert kept.seconds_to_keep({Kind.PHONE, Kind.EMAIL}, is_miss=False) == 10 * DAY
        # Of a kind of which nothing is said nothing is kept.
        assert kept.seconds_to_keep([Kind.EMAIL, Kind.PERSON], is_miss=True) == 0


def test_an_answer_is_remembered_until_its_time_is_over() -> None:
    now = [100.0]
    kept = memory(now)
    answer = Remembered({}, datetime.now(UTC), 50.0)
    kept.keep(QUESTION, answer)
    now[0] = 149.0
    assert kept.recall(QUESTION) is answer
    assert kept.recall(QUESTION._replace(tenant="bolt")) is None
    now[0] = 150.0
    assert kept.recall(QUESTION) is None


def test_a_wait_is_known_with_what_is_left_of_it() -> None:
    now = [100.0]
    kept = memory(now)
    kept.keep_wait(QUESTION, Wait(1, "apollo", "r", "n", "x", {}, {}, 50.0))
    now[0] = 140.0
    wait = kept.recall_wait(QUESTION)
    assert wait is not None
    assert wait.seconds == 10
    now[0] = 150.0
    assert kept.recall_wait(QUESTION) is None
