"""TenantRouter without a database: what it answers, how long it believes, what it does when it can't ask."""

import os
import signal
import threading

import pytest

from routing import queues
from routing.router import TenantRouter

VERIFY = queues.KINDS["verify"].task
PARSE = queues.KINDS["parse"].task


def test_each_task_goes_to_its_queue() -> None:
    router = TenantRouter(lambda: {"t1": "verification-queue:client-one"})
    assert router(VERIFY, (), {"tenant_id": "t1"}) == {"queue": "verification-queue:client-one"}
    assert router(VERIFY, (), {"tenant_id": "t2"}) == {"queue": queues.VERIFICATION}
    assert router(PARSE, (), {"tenant_id": "t1"}) == {"queue": queues.INGEST}
    assert router("celery.backend_cleanup", (), {}) is None


def test_routes_are_asked_for_once_a_second() -> None:
    asked, moment = [], [0.0]

    def load() -> dict[str, str]:
        asked.append(moment[0])
        return {}

    router = TenantRouter(load, clock=lambda: moment[0])
    for moment[0] in (0.0, 0.5, 0.99, 1.0, 1.5, 2.0):
        router.queue_for("verify", "t1")
    assert asked == [0.0, 1.0, 2.0]


def test_a_notice_is_followed_at_once() -> None:
    routes = {"t1": "verification-queue:client-a"}
    router = TenantRouter(lambda: dict(routes), clock=lambda: 0.0)
    assert router.queue_for("verify", "t1") == "verification-queue:client-a"
    routes["t1"] = "verification-queue:client-b"
    router.invalidate()
    assert router.queue_for("verify", "t1") == "verification-queue:client-b"


def test_the_last_known_routes_hold_while_the_database_is_away() -> None:
    moment, working = [0.0], [True]

    def load() -> dict[str, str]:
        if not working[0]:
            raise ConnectionError
        return {"t1": "verification-queue:client-a"}

    router = TenantRouter(load, clock=lambda: moment[0])
    router.queue_for("verify", "t1")
    working[0], moment[0] = False, 5.0
    assert router.queue_for("verify", "t1") == "verification-queue:client-a"


def test_what_a_release_says_is_newest() -> None:
    router = TenantRouter(lambda: {"t1": "verification-queue:client-a"}, clock=lambda: 0.0)
    router.queue_for("verify", "t1")
    router.learn("t1", queues.VERIFICATION)
    assert router.queue_for("verify", "t1") == queues.VERIFICATION
    router.learn("t1", "verification-queue:client-b")
    assert router.queue_for("verify", "t1") == "verification-queue:client-b"


def test_an_unknown_kind_is_a_defect() -> None:
    with pytest.raises(KeyError):
        TenantRouter(dict).queue_for("no-such-kind", "t1")


def test_a_child_that_is_forked_while_routes_are_asked_for_can_learn() -> None:
    loading, go_on = threading.Event(), threading.Event()

    def load() -> dict[str, str]:
        loading.set()
        go_on.wait(10)
        return {}

    router = TenantRouter(load)
    asking = threading.Thread(target=router.queue_for, args=("verify", "t1"))
    asking.start()
    assert loading.wait(10)
    child = os.fork()
    if child == 0:
        signal.alarm(5)  # what waits for the lock waits for ever
        router.learn("t1", "verification-queue:client-a")
        os._exit(0)
    _, status = os.waitpid(child, 0)
    go_on.set()
    asking.join()
    assert os.waitstatus_to_exitcode(status) == 0
