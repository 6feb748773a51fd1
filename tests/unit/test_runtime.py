"""What a process of chunks keeps of itself, and when a chunk in it is to let go."""

import gc
import sys
import time
from uuid import uuid4

from tasks.runtime import RATE_SECONDS, Runtime, driven_until


def test_rows_of_long_ago_are_forgotten_also_where_nobody_asks_for_the_rate() -> None:
    runtime, tenant = Runtime(), uuid4()
    long_ago = time.monotonic() - RATE_SECONDS - 1
    runtime._recorded.extend((long_ago, 1) for _ in range(1_000))
    runtime.recorded("verification-queue", tenant, 5)
    assert [rows for _, rows in runtime._recorded] == [5]
    assert runtime.rows_per_second() == 5 / RATE_SECONDS


def test_a_guest_leaves_the_process_as_it_is() -> None:
    before = sys.getswitchinterval(), gc.get_threshold(), gc.get_freeze_count()
    runtime = Runtime()
    runtime.is_guest = True
    loop = runtime.loop
    try:
        assert (sys.getswitchinterval(), gc.get_threshold(), gc.get_freeze_count()) == before
    finally:
        loop.call_soon_threadsafe(loop.stop)


def test_driven_work_is_to_let_go_when_its_time_is_over() -> None:
    runtime = Runtime()
    token = driven_until.set(time.monotonic() + 60)
    try:
        assert not runtime.draining
        driven_until.set(time.monotonic())
        assert runtime.draining
    finally:
        driven_until.reset(token)
    assert not runtime.draining
