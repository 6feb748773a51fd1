"""A deadline of many calls: each ends at its own moment, by one timer, and only calls that are late end by it."""

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from app.deadlines import Deadlines

SHORT, LONG = 0.05, 60.0


async def wait_under(deadlines: Deadlines, waits_for: Awaitable[object]) -> str:
    try:
        with deadlines.begin():
            await waits_for
    except TimeoutError:
        return "late"
    return "in time"


def test_each_of_many_ends_when_it_is_late_and_the_others_go_on() -> None:
    async def run() -> None:
        deadlines, never = Deadlines(SHORT), asyncio.Event()
        late = [asyncio.create_task(wait_under(deadlines, never.wait())) for _ in range(3)]
        prompt = asyncio.create_task(wait_under(deadlines, asyncio.sleep(0)))
        assert await prompt == "in time"
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await asyncio.gather(*late) == ["late"] * 3
        assert loop.time() - began >= SHORT / 2
        # Anew: its time begins with it, not with those before.
        assert await wait_under(deadlines, never.wait()) == "late"
        assert await wait_under(deadlines, asyncio.sleep(0)) == "in time"

    asyncio.run(run())


def test_one_that_began_later_ends_later() -> None:
    async def run() -> list[str]:
        deadlines, never, order = Deadlines(SHORT), asyncio.Event(), list[str]()

        async def call(name: str) -> None:
            await wait_under(deadlines, never.wait())
            order.append(name)

        first = asyncio.create_task(call("first"))
        await asyncio.sleep(SHORT / 2)
        second = asyncio.create_task(call("second"))
        await first
        assert not second.done()
        await second
        return order

    assert asyncio.run(run()) == ["first", "second"]


def test_who_is_cancelled_by_somebody_else_is_cancelled() -> None:
    async def run() -> None:
        deadlines = Deadlines(LONG)
        task = asyncio.create_task(wait_under(deadlines, asyncio.Event().wait()))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


def test_who_is_late_and_cancelled_at_once_stays_cancelled() -> None:
    async def run() -> None:
        deadlines, loop = Deadlines(SHORT), asyncio.get_running_loop()
        task = asyncio.create_task(wait_under(deadlines, asyncio.Event().wait()))
        await asyncio.sleep(0)
        # Before the timer's own cancellation, in the same turn of the loop.
        loop.call_at(loop.time() + SHORT / 2, _freeze, SHORT, task.cancel)
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


def _freeze(seconds: float, then: Callable[[], object]) -> None:
    loop = asyncio.get_running_loop()
    until = loop.time() + seconds
    while loop.time() < until:
        pass
    then()


def test_an_error_of_the_call_is_its_own() -> None:
    async def run() -> None:
        with Deadlines(LONG).begin():
            raise KeyError("own")

    with pytest.raises(KeyError):
        asyncio.run(run())


def test_calls_that_ended_are_let_go_of() -> None:
    async def run() -> int:
        deadlines = Deadlines(LONG)
        for _ in range(1_000):
            with deadlines.begin():
                await asyncio.sleep(0)
        return len(deadlines._under_way)

    assert asyncio.run(run()) == 1


def test_another_loop_has_a_timer_of_its_own() -> None:
    deadlines = Deadlines(SHORT)
    for _ in range(2):
        never = asyncio.Event()
        assert asyncio.run(wait_under(deadlines, never.wait())) == "late"
