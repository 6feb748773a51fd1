"""A bare aiohttp loop that posts: 64 at once, neither signed nor recorded. Prints its posts a second.

python -m bench.baselines.aiohttp_posts http://127.0.0.1:9000/ok 20000
"""

import asyncio
import sys
import time
from itertools import count

import aiohttp

AT_ONCE = 64
#: About as long as a job's event.
BODY = b"x" * 500


async def measure(url: str, total: int) -> float:
    """Make `total` posts, to nine addresses in turn; return the posts a second."""
    numbers = count(1)
    connector = aiohttp.TCPConnector(limit=AT_ONCE)
    async with aiohttp.ClientSession(connector=connector) as session:

        async def work() -> None:
            while (n := next(numbers)) <= total:
                async with session.post(f"{url}/{n % 9}", data=BODY) as response:
                    assert response.status == 204
                    await response.read()

        started = time.perf_counter()
        await asyncio.gather(*(work() for _ in range(AT_ONCE)))
        return total / (time.perf_counter() - started)


if __name__ == "__main__":
    print(asyncio.run(measure(sys.argv[1], int(sys.argv[2]))))
