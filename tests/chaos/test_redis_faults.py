"""Redis emptied, killed, cut off, silent, full: it only wakes workers, so nothing is lost and no call is repeated."""

import pytest

from devtools.silent_proxy import SilentProxy
from tests.chaos.harness import Stage
from tests.chaos.waiting import last, wait_for

pytestmark = pytest.mark.chaos


@pytest.mark.quick_fault
def test_flushall_in_mid_run(stage: Stage) -> None:
    """Messages and limits are gone at once; keys start as if their window were full."""
    stage.start_workers("one", "two")
    job = stage.submit(260)
    stage.wait_recorded(job, 40)
    with stage.faults.strike("FLUSHALL"), stage.installation.redis.connect() as client:
        client.flushall()
    stage.wait_completed(job)
    stage.judge(job, none_repeated=True)


def test_flushall_again_and_again(stage: Stage) -> None:
    """Ten times in one run."""
    stage.start_workers("one", "two")
    job = stage.submit(600)
    for nth in range(10):
        stage.wait_recorded(job, 40 * nth + 20)
        with stage.faults.strike("FLUSHALL"), stage.installation.redis.connect() as client:
            client.flushall()
    stage.wait_completed(job, seconds=120)
    stage.judge(job, none_repeated=True)


@pytest.mark.quick_fault
def test_redis_killed_and_restarted(stage: Stage) -> None:
    """A crash of the server; it comes back with what its append-only file holds."""
    stage.start_workers("one", "two")
    job = stage.submit(260)
    stage.wait_recorded(job, 40)
    with stage.faults.strike("kill -9 of Redis"):
        stage.installation.redis.kill()
        stage.installation.redis.resume()
    stage.wait_completed(job)
    stage.judge(job, none_repeated=True)


@pytest.mark.parametrize("seconds", [1, 4, 10])
def test_redis_down_for_a_while(stage: Stage, seconds: float) -> None:
    """Chunks hand themselves back while no call can be reserved, and go on when Redis is there."""
    stage.start_workers("one", "two")
    job = stage.submit(300)
    stage.wait_recorded(job, 40)
    with stage.faults.strike("Redis down"):
        stage.installation.redis.kill()
        last(seconds)
        stage.installation.redis.resume()
    stage.wait_completed(job)
    stage.judge(job, none_repeated=True)


def test_every_connection_cut(stage: Stage) -> None:
    """CLIENT KILL, five times."""
    stage.start_workers("one", "two")
    job = stage.submit(400)
    for nth in range(5):
        stage.wait_recorded(job, 50 * nth + 20)
        with stage.faults.strike("CLIENT KILL"), stage.installation.redis.connect() as client:
            client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")
            client.execute_command("CLIENT", "KILL", "TYPE", "pubsub")
    stage.wait_completed(job)
    stage.judge(job, none_repeated=True)


@pytest.mark.parametrize("seconds", [8, 30])
def test_silent_network(stage: Stage, seconds: float) -> None:
    """Connections stay open and nothing arrives: no error tells anybody, only time."""
    with SilentProxy(stage.installation.redis.port) as proxy:
        stage.start_workers("one", "two", env={"redis_port": proxy.port})
        job = stage.submit(300)
        stage.wait_recorded(job, 40)
        with stage.faults.strike("silence"):
            proxy.go_silent()
            last(seconds)
            proxy.heal()
        stage.wait_completed(job)
        stage.judge(job, none_repeated=True)


def test_redis_full(stage: Stage) -> None:
    """`noeviction` refuses every write: nothing can be published or reserved until there is room."""
    stage.start_workers("one", "two")
    job = stage.submit(300)
    stage.wait_recorded(job, 40)
    with stage.faults.strike("out of memory"), stage.installation.redis.connect() as client:
        client.config_set("maxmemory", "1")
        last(5)
        client.config_set("maxmemory", "0")
    stage.wait_completed(job)
    stage.judge(job, none_repeated=True)


def test_submitted_while_redis_is_down(stage: Stage) -> None:
    """Work that arrives while Redis is away waits in PostgreSQL and starts by itself."""
    stage.start_workers("one")
    stage.installation.redis.kill()
    job = stage.submit(60)
    wait_for(lambda: len(stage.chunks(job, "ready")) == 3, 10, "the chunks are ready")
    with stage.faults.strike("Redis down"):
        last(3)
        stage.installation.redis.resume()
    stage.wait_completed(job)
    stage.judge(job, none_repeated=True)
