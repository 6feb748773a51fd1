"""A chunk that kills its process every time."""

import pytest

from tests.chaos.harness import CHUNK_ROWS, Stage

pytestmark = pytest.mark.chaos
POISONED = "tests.chaos.poisoned_app"
ADDRESS = "poison-1@example.com"


def test_poison_ends_dead_and_its_neighbours_do_not(stage: Stage) -> None:
    """Three deaths are enough here (five by default); the process's other chunks are verified all the same."""
    run_poison(stage, attempts=3, rows=160)


@pytest.mark.parametrize("nth", range(3))
def test_poison_with_the_default_cap(stage: Stage, nth: int) -> None:
    """Five deaths."""
    run_poison(stage, attempts=5, rows=300)


def run_poison(stage: Stage, *, attempts: int, rows: int) -> None:
    """Run one poisoned list on one worker that is started again each time it dies."""
    env = {"CHUNK_MAX_ATTEMPTS": str(attempts)}
    (worker,) = stage.start_workers("one", app=POISONED, env=env)
    job = stage.submit(rows, special=[ADDRESS])
    stage.wait_completed(job, seconds=200, restart=True)
    dead = stage.chunks(job, "dead")
    assert [chunk["first_item"] for chunk in dead] == [1]
    assert dead[0]["attempts"] == attempts
    answers = stage.world.rows(
        "SELECT item_no, verdict, message FROM job_results WHERE job_id = :j AND is_failure ORDER BY 1",
        j=job,
    )
    assert {1} <= {row["item_no"] for row in answers} <= set(range(1, CHUNK_ROWS + 1))
    assert all(row["verdict"] == "unknown" for row in answers)
    stage.judge(job, failures=len(answers))
    assert worker.is_running
