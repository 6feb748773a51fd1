"""What a worker process makes once, however many of its slots ask for it in the same moment."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tasks.once import once

SLOTS = 16


def test_slots_that_start_together_share_what_is_made() -> None:
    made: list[object] = []

    @once
    def make() -> object:
        made.append(object())
        time.sleep(0.05)  # as connecting takes a while: the others ask meanwhile
        return made[-1]

    barrier = threading.Barrier(SLOTS)

    def start(_slot: int) -> object:
        barrier.wait()
        return make()

    with ThreadPoolExecutor(SLOTS) as slots:
        assert set(slots.map(start, range(SLOTS))) == set(made)
    assert len(made) == 1


def test_what_could_not_be_made_is_tried_again() -> None:
    answers: list[Exception | str] = [OSError("no server yet"), "made"]

    @once
    def make() -> str:
        answer = answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return answer

    with pytest.raises(OSError, match="no server yet"):
        make()
    assert [make(), make()] == ["made", "made"]
