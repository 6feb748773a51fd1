"""Waiting for a question that another lead is asking: until it is answered, or the run lets go."""

import asyncio
from typing import Any, cast

import pytest

from app.enrichment.memory import Memory
from app.enrichment.recollection import Recollection


def recollection() -> Recollection:
    return Recollection(cast("Any", None), Memory({}), cast("Any", None), cast("Any", None))


@pytest.mark.parametrize("ends", ["answered", "let go"])
def test_whoever_waits_goes_on_when_it_is_answered_and_when_the_run_lets_go(ends: str) -> None:
    async def run() -> None:
        known, flight = recollection(), asyncio.Event()
        waiting = asyncio.create_task(known.wait_for(flight))
        await asyncio.sleep(0)
        assert not waiting.done()
        if ends == "answered":
            flight.set()
        else:
            known.let_go()
        async with asyncio.timeout(10):
            await waiting
        # Nothing is left behind that still waits.
        await asyncio.sleep(0)
        assert asyncio.all_tasks() == {asyncio.current_task()}

    asyncio.run(run())
