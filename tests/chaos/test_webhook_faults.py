"""Webhooks with real workers: a job's events from end to end, a receiver that never answers, a worker killed at the worst moment."""

import threading
from collections import Counter
from collections.abc import Iterator
from uuid import UUID

import pytest
from standardwebhooks import Webhook

from app.webhooks.endpoints import EVENT_TYPES, add_endpoint
from tests.chaos.harness import CLIENT, Stage
from tests.chaos.waiting import wait_for
from tests.chaos.workers import Worker
from tests.integration.webhook_world import Received, Receiver, Reply, run_receiver

pytestmark = pytest.mark.chaos
LANE = ("-P", "threads", "-Q", "webhooks")
HERE = {"WEBHOOK_ALLOW_LOOPBACK": "true"}
#: Have what is open tried now.
NUDGES = (
    "UPDATE webhook_endpoints SET not_before = NULL",
    "UPDATE webhook_deliveries SET next_at = now() WHERE status = 'pending'",
    "UPDATE chunks SET run_at = now() WHERE kind = 'deliver' AND status = 'ready'",
)


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with run_receiver() as running:
        yield running


def start_sender(stage: Stage, name: str = "sender", **env: str) -> Worker:
    """Start a worker of webhooks that may send to this machine."""
    return stage.start_workers(name, lane=LANE, env=HERE | env)[0]


def listen(stage: Stage, url: str) -> str:
    """Have every event of the client sent to an address; return the secret."""
    with stage.world.scope(CLIENT) as connection:
        return add_endpoint(connection, url=url, events=EVENT_TYPES)[1]


def end(stage: Stage, job: UUID) -> None:
    """Bring a job to its end without working on it: this is about what is told of it."""
    with stage.world.scope(CLIENT) as connection:
        connection.exec_driver_sql(
            "UPDATE jobs SET status = 'completed', finished_at = clock_timestamp() WHERE id = %s",
            (str(job),),
        )


def count(stage: Stage, status: str) -> int:
    rows = stage.world.rows(
        "SELECT count(*) AS n FROM webhook_deliveries WHERE status = :s", s=status
    )
    return int(str(rows[0]["n"]))


@pytest.mark.quick_fault
def test_a_job_is_told_from_its_progress_to_its_end(stage: Stage, receiver: Receiver) -> None:
    """List, verification worker, keeper, webhook worker, receiver: nothing is called by hand."""
    secret = listen(stage, receiver.url)
    stage.start_workers("verifier")
    start_sender(stage)
    job = stage.submit(200)
    stage.wait_completed(job)
    wait_for(lambda: "job.completed" in receiver.of_job(job), 20, "the end is told")
    for got in receiver.received:
        Webhook(secret).verify(got.body, got.headers)
    types = receiver.of_job(job)
    assert types[-1] == "job.completed"
    assert set(types[:-1]) == {"job.progress"}
    done = [got.event["data"]["job"]["done"] for got in receiver.received]
    assert done == sorted(done)
    assert done[-1] == 200


@pytest.mark.quick_fault
def test_a_receiver_that_never_answers(stage: Stage, receiver: Receiver) -> None:
    """The others get everything while it hangs; it costs few connections, and gets its own when it answers again."""
    recovered = threading.Event()
    with run_receiver() as dead:
        dead.answer = lambda _: Reply(after=recovered)
        listen(stage, dead.url)
        listen(stage, receiver.url)
        start_sender(stage, WEBHOOK_TIMEOUT_SECONDS="1", WEBHOOK_CONCURRENCY="4")
        jobs = [stage.submit(1) for _ in range(40)]
        for job in jobs:
            end(stage, job)
        wait_for(lambda: count(stage, "delivered") == 40, 20, "the other has all of them")
        assert Counter(str(got.event["data"]["job"]["id"]) for got in receiver.received) == Counter(
            map(str, jobs)
        )
        failed = "SELECT count(*) AS n FROM webhook_attempts WHERE error LIKE 'No answer within%'"
        wait_for(lambda: stage.world.rows(failed)[0]["n"], 20, "an attempt is given up")
        assert count(stage, "pending") == 40
        assert len(dead.received) < 15, "it rests, instead of trying each of the forty"
        recovered.set()

        # Its rests and its schedule are minutes; that they end by themselves is for other tests.
        def nudge() -> None:
            for statement in NUDGES:
                # Each by itself, as in psql: together they would lock the rows in another order than a worker.
                with stage.world.owner.begin() as c:
                    c.exec_driver_sql(statement)

        wait_for(
            lambda: count(stage, "delivered") == 80, 40, "it has all of its own", meanwhile=nudge
        )
        assert {got.event["data"]["job"]["id"] for got in dead.received} == set(map(str, jobs))


@pytest.mark.quick_fault
def test_kill_9_between_answer_and_record(stage: Stage, receiver: Receiver) -> None:
    """The receiver has thanked, nobody has written it down: it is sent again with the same id, and only that."""
    listen(stage, receiver.url)
    victim = start_sender(stage, "victim")
    job = stage.submit(1)

    def kill_first(_: Received) -> Reply:
        if len(receiver.received) == 1:
            victim.kill()
        return Reply()

    receiver.answer = kill_first
    end(stage, job)
    wait_for(lambda: not victim.is_running, 20, "the worker is killed")
    assert count(stage, "delivered") == 0
    start_sender(stage, "next")
    wait_for(lambda: count(stage, "delivered") == 1, 40, "it is delivered and recorded")
    first, second = receiver.received
    assert first.id == second.id
    assert first.body == second.body


def test_orderly_stop_with_attempts_under_way(stage: Stage, receiver: Receiver) -> None:
    """SIGTERM lets what is under way end and be recorded: nothing is sent twice."""
    listen(stage, receiver.url)
    victim = start_sender(stage, "victim")
    may_end = threading.Event()
    receiver.answer = lambda _: Reply(after=may_end)
    jobs = [stage.submit(1) for _ in range(10)]
    for job in jobs:
        end(stage, job)
    wait_for(lambda: len(receiver.received) == 10, 20, "all are under way")
    victim.ask_to_stop()
    may_end.set()
    wait_for(lambda: not victim.is_running, 30, "the worker has left")
    assert count(stage, "delivered") == 10
    assert len({got.id for got in receiver.received}) == len(receiver.received) == 10
