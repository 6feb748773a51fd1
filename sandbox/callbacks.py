"""The later calls of simulated vendors, to this machine only.

Whoever asks names the address, so anything but loopback is refused: a simulator must not be made to call out.
"""

import asyncio
import ipaddress
from collections import Counter
from typing import Final
from urllib.parse import urlsplit

import aiohttp

#: The first answer is under way by then, as it would be with a vendor.
DELAY_SECONDS: Final = 0.05
_TIMEOUT: Final = aiohttp.ClientTimeout(total=10)


class Callbacks:
    """Sends them and counts: `sent` (answered 2xx), `failed`, `refused`. One try each."""

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self._session: aiohttp.ClientSession | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    def send(self, url: str, body: bytes, headers: dict[str, str] | None = None) -> bool:
        """Have `body` posted in a moment; False when the address is not on this machine."""
        if not is_loopback(url):
            self.counts["refused"] += 1
            return False
        task = asyncio.create_task(self._post(url, body, headers or {}))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def close(self) -> None:
        """Give up what is under way."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        if self._session is not None:
            await self._session.close()

    async def _post(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        await asyncio.sleep(DELAY_SECONDS)
        if self._session is None:
            self._session = aiohttp.ClientSession(timeout=_TIMEOUT)
        headers = {"Content-Type": "application/json", **headers}
        try:
            async with self._session.post(
                url, data=body, headers=headers, allow_redirects=False
            ) as answer:
                outcome = "sent" if answer.status // 100 == 2 else "failed"
        except (TimeoutError, aiohttp.ClientError, OSError, ValueError):
            outcome = "failed"
        self.counts[outcome] += 1


def is_loopback(url: str) -> bool:
    """Tell whether an http address names this machine, by number or as `localhost`."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        if parts.scheme != "http":
            return False
        return host == "localhost" or ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
