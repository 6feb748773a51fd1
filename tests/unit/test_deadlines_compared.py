"""The shared timer ends calls as a timer of each call would: the same random calls, on a clock that does not wait."""

import asyncio
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from random import Random
from typing import Any

import pytest

from app.deadlines import Deadlines

SECONDS = 0.05
#: Timers ring a tick of the clock early.
TICK = 0.002
Limit = Callable[[], AbstractAsyncContextManager[Any]]
#: What became of each call, with the moment and the requests to cancel that are left.
Log = list[tuple[str, float, int]]


class Clock(asyncio.SelectorEventLoop):
    """A loop whose time goes on by leaps: to the next timer, as soon as nothing else is to be done."""

    def __init__(self) -> None:
        self.now, self.timers = 1_000.0, 0
        super().__init__()
        selector: Any = self._selector  # type: ignore[attr-defined]
        look = selector.select

        def select(seconds: float | None = None) -> Any:
            assert seconds is not None, "Nothing would ever happen."
            self.now += max(0.0, seconds)
            return look(0)

        selector.select = select

    def time(self) -> float:
        return self.now

    def call_at(self, *arguments: Any, **more: Any) -> asyncio.TimerHandle:
        self.timers += 1
        return super().call_at(*arguments, **more)


def run_on_clock(work: Callable[[], Any]) -> tuple[Any, int]:
    """Return what `work()` came to, and how many timers were set for it."""
    loop = Clock()
    try:
        return loop.run_until_complete(work()), loop.timers
    finally:
        loop.close()


async def _call(kind: str, seconds: float) -> None:
    try:
        await asyncio.sleep(seconds)
    except asyncio.CancelledError:
        if kind == "another error":
            raise OSError("of its own") from None
        if kind != "goes on":
            raise
    finally:
        if kind == "takes leave":
            await asyncio.sleep(0.004)
    if kind == "fails":
        raise KeyError


async def _calls(plan: list[tuple[str, float]], limit: Limit, log: Log) -> None:
    task, loop = asyncio.current_task(), asyncio.get_running_loop()
    assert task is not None
    for kind, seconds in plan:
        said = "cancelled"
        try:
            async with limit():
                await _call(kind, seconds)
            said = "in time"
        except (TimeoutError, OSError, KeyError) as error:
            said = type(error).__name__
        finally:
            log.append((said, loop.time(), task.cancelling()))


async def _scene(seed: int, limit: Limit) -> list[Log]:
    rng, loop = Random(seed), asyncio.get_running_loop()
    kinds = ("succeeds", "succeeds", "fails", "another error", "goes on", "takes leave")
    logs: list[Log] = [[] for _ in range(6)]
    tasks = list[asyncio.Task[None]]()
    for log in logs:
        plan = [(rng.choice(kinds), rng.random() * 0.11) for _ in range(rng.randint(1, 5))]
        tasks.append(asyncio.create_task(_calls(plan, limit, log)))
        await asyncio.sleep(rng.random() * 0.03)
    for _ in range(rng.randint(0, 6)):
        loop.call_later(rng.random() * 0.2, rng.choice(tasks).cancel)
    await asyncio.gather(*tasks, return_exceptions=True)
    return logs


@pytest.mark.parametrize("seed", range(60))
def test_calls_end_as_with_a_timer_of_each(seed: int) -> None:
    shared = Deadlines(SECONDS)

    @asynccontextmanager
    async def by_shared() -> Any:
        with shared.begin():
            yield

    ours, _ = run_on_clock(lambda: _scene(seed, by_shared))
    theirs, _ = run_on_clock(lambda: _scene(seed, lambda: asyncio.timeout(SECONDS)))
    for own, other in zip(ours, theirs, strict=True):
        assert [(said, left) for said, _, left in own] == [(said, left) for said, _, left in other]
        assert [at for _, at, _ in own] == pytest.approx([at for _, at, _ in other], abs=TICK)


def test_many_calls_at_once_need_one_timer() -> None:
    shared = Deadlines(SECONDS)

    async def call() -> None:
        with shared.begin():
            await asyncio.sleep(0)

    async def work() -> None:
        await asyncio.gather(*(call() for _ in range(100)))

    assert run_on_clock(work)[1] == 1


def test_a_timer_that_another_loop_had_set_is_not_counted_on() -> None:
    shared = Deadlines(SECONDS)

    async def prompt() -> None:
        with shared.begin():
            await asyncio.sleep(0)

    async def late() -> None:
        with shared.begin():
            await asyncio.sleep(100 * SECONDS)

    run_on_clock(prompt)
    with pytest.raises(TimeoutError):
        run_on_clock(late)
