"""Everything at once: faults of all kinds, in a random order, under load."""

import random
from collections.abc import Callable
from contextlib import AbstractContextManager
from uuid import UUID

import pytest

from tests.chaos.evidence import Fault
from tests.chaos.harness import Stage
from tests.chaos.waiting import last, wait_for
from tests.chaos.workers import Worker

pytestmark = pytest.mark.chaos
FAULTS = 16


@pytest.mark.parametrize("seed", range(3))
def test_many_faults_of_all_kinds(stage: Stage, seed: int) -> None:
    """Three workers, two clients; the next fault comes when a few more rows are recorded."""
    chance = random.Random(seed)
    stage.add_client("birch")
    workers = stage.start_workers("one", "two", "three")
    jobs = [stage.submit(1_500), stage.submit(2_000, client="birch"), stage.submit(500)]
    acts: list[Callable[[Stage, Worker, random.Random], None]] = [
        kill_worker, freeze_worker, stop_worker, flush_redis, kill_redis, kill_postgres,
    ]  # fmt: skip
    for nth in range(FAULTS):
        wait_for_progress(stage, jobs, chance.randint(5, 60))
        acts[nth % len(acts)](stage, chance.choice(workers), chance)
    stage.wait_completed(*jobs, seconds=200, restart=True)
    stage.judge(*jobs)


def wait_for_progress(stage: Stage, jobs: list[UUID], rows: int) -> None:
    total = sum(int(str(stage.world.job(job)["total_items"])) for job in jobs)
    wanted = min(sum(map(stage.recorded, jobs)) + rows, total)
    wait_for(lambda: sum(map(stage.recorded, jobs)) >= wanted, 90, f"{wanted} rows recorded")


def struck(stage: Stage, name: str) -> AbstractContextManager[Fault]:
    return stage.faults.strike(name)


def kill_worker(stage: Stage, worker: Worker, _chance: random.Random) -> None:
    with struck(stage, "kill -9"):
        worker.kill()
    worker.start()


def freeze_worker(stage: Stage, worker: Worker, chance: random.Random) -> None:
    with struck(stage, "SIGSTOP"):
        worker.freeze()
    last(chance.uniform(1, 8))
    with stage.faults.wake():
        worker.wake()


def stop_worker(stage: Stage, worker: Worker, _chance: random.Random) -> None:
    with struck(stage, "SIGTERM"):
        worker.ask_to_stop()
        worker.process.wait(30)
    worker.start()


def flush_redis(stage: Stage, _worker: Worker, _chance: random.Random) -> None:
    with struck(stage, "FLUSHALL"), stage.installation.redis.connect() as client:
        client.flushall()


def kill_redis(stage: Stage, _worker: Worker, chance: random.Random) -> None:
    with struck(stage, "kill -9 of Redis"):
        stage.installation.redis.kill()
        last(chance.uniform(0, 3))
        stage.installation.redis.resume()


def kill_postgres(stage: Stage, _worker: Worker, chance: random.Random) -> None:
    with struck(stage, "kill -9 of PostgreSQL"):
        stage.installation.postgres.kill()
        last(chance.uniform(0, 6))
        stage.installation.postgres.resume()
