"""What a worker process makes once, however many of its slots ask for it in the same moment."""

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

from app.settings import Settings
from tasks import verification
from tasks.runtime import Runtime
from tasks.verification_tools import VerificationTools

SLOTS = 16


def test_slots_that_start_together_share_one_session_and_one_set_of_key_pools(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[object] = []

    async def build(_settings: Settings, _runtime: Runtime) -> object:
        made.append(object())
        await asyncio.sleep(0.05)
        return made[-1]

    monkeypatch.setattr(VerificationTools, "build", build)
    monkeypatch.setattr(verification, "get_settings", lambda: None)
    verification._make_tools.cache_clear()
    barrier = threading.Barrier(SLOTS)

    def start(_slot: int) -> object:
        barrier.wait()
        return verification.process_tools()

    try:
        with ThreadPoolExecutor(SLOTS) as slots:
            assert set(slots.map(start, range(SLOTS))) == set(made)
        assert len(made) == 1
    finally:
        verification._make_tools.cache_clear()
