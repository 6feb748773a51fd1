"""A bare aiohttp loop of look-ups: 64 calls of Hunter's finder at once, each read and parsed. Prints its calls a second
and the processor time of a call in µs.

python -m bench.baselines.aiohttp_lookups 50000
"""

import asyncio
import os
import sys
import time
from itertools import count

import aiohttp

AT_ONCE = 64


async def measure(url: str, key: str, total: int) -> tuple[float, float]:
    """Make `total` calls; return the calls a second and the µs of processor time each."""
    numbers = count(1)
    headers = {"X-API-KEY": key}
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector, headers=headers) as session:

        async def work() -> None:
            while (n := next(numbers)) <= total:
                query = {
                    "domain": f"bare{n % 5000}.example",
                    "first_name": "Anna",
                    "last_name": f"found-{n}",
                }
                async with session.get(f"{url}/v2/email-finder", params=query) as response:
                    assert (await response.json())["data"]["email"]

        started, spent = time.perf_counter(), time.process_time()
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        took, spent = time.perf_counter() - started, time.process_time() - spent
        return total / took, spent / total * 1e6


if __name__ == "__main__":
    print(*asyncio.run(measure(os.environ["BENCH_URL"], os.environ["BENCH_KEY"], int(sys.argv[1]))))
