"""How many tasks of a chunk wait for a turn at once."""

import asyncio
from collections import deque

import pytest

from app.work.crew import FEWEST, FIRST, LONG, SHORT, Crew


class Line:
    """A chunk's items, and a pool that gives turns when told to."""

    def __init__(self, items: int, limit: int) -> None:
        self.due = deque(range(items))
        self.done: list[int] = []
        self.turns: deque[asyncio.Future[float]] = deque()
        self.answers: deque[asyncio.Future[None]] = deque()
        self.crew = Crew(self.work, limit)

    async def work(self) -> None:
        while self.due and not self.crew.is_too_large:
            item = self.due.popleft()
            turn = asyncio.get_running_loop().create_future()
            self.turns.append(turn)
            self.crew.begin_call(await turn, len(self.due))
            try:
                answer = asyncio.get_running_loop().create_future()
                self.answers.append(answer)
                await answer
            finally:
                self.crew.end_call()
            self.done.append(item)

    async def give(self, waited: float, *, answer: bool = True) -> None:
        self.turns.popleft().set_result(waited)
        await settle()
        if answer:
            self.answers.popleft().set_result(None)
            await settle()


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def start(items: int = 1_000, limit: int = 32) -> tuple[Line, "asyncio.Task[None]"]:
    line = Line(items, limit)
    run = asyncio.create_task(line.crew.run(items))
    await settle()
    return line, run


async def end(run: "asyncio.Task[None]", line: Line) -> None:
    line.crew.dismiss()
    await run


def test_a_few_begin() -> None:
    async def scene() -> None:
        line, run = await start()
        assert len(line.turns) == FIRST
        await end(run, line)

    asyncio.run(scene())


def test_no_more_than_there_are_items_nor_than_the_limit() -> None:
    async def scene() -> None:
        few, run = await start(items=3)
        assert len(few.turns) == 3
        await end(run, few)
        narrow, run = await start(limit=2)
        assert len(narrow.turns) == 2
        for _ in range(20):
            await narrow.give(0.0, answer=False)
            if not narrow.turns:
                break
        assert len(narrow.answers) == 2, "calls under way count"
        await end(run, narrow)

    asyncio.run(scene())


def test_who_calls_is_followed_in_the_line() -> None:
    async def scene() -> None:
        line, run = await start()
        for _ in range(5):
            await line.give((SHORT + LONG) / 2, answer=False)
        assert (len(line.answers), len(line.turns)) == (5, FIRST)
        await end(run, line)

    asyncio.run(scene())


def test_short_waits_make_the_line_longer_and_long_ones_shorter() -> None:
    async def scene() -> None:
        line, run = await start()
        for _ in range(100):
            await line.give(0.1)
        assert len(line.turns) == 32
        for _ in range(100):
            await line.give(5.0)
        assert len(line.turns) == FEWEST
        await end(run, line)

    asyncio.run(scene())


def test_every_item_is_done_once_and_then_it_ends() -> None:
    async def scene() -> None:
        line, run = await start(items=200)
        for n in range(200):
            await line.give(n % 7 / 2)
        await asyncio.wait_for(run, 20)
        assert sorted(line.done) == list(range(200))

    asyncio.run(scene())


def test_what_one_raises_ends_all() -> None:
    async def scene() -> None:
        line, run = await start()
        line.turns[0].set_exception(LookupError("a defect"))
        with pytest.raises(LookupError, match="a defect"):
            await run
        assert all(turn.cancelled() for turn in list(line.turns)[1:])

    asyncio.run(scene())


def test_dismissed_it_waits_for_nobody() -> None:
    async def scene() -> None:
        line, run = await start()
        await line.give(0.1, answer=False)
        line.crew.dismiss()
        await asyncio.wait_for(run, 20)
        assert line.answers[0].cancelled()
        assert line.done == []

    asyncio.run(scene())
