"""A receiver of webhooks in a process of its own: `python -m bench.receiver`. Prints its port.

`/ok/<n>` answers at once, `/hang` never. `GET /seen` tells how many requests came to `/ok`, and how many different ids.
"""

import asyncio

from aiohttp import web

_ids: set[str] = set()
_seen = [0]


async def take(request: web.Request) -> web.Response:
    """Read the event and thank for it."""
    await request.read()
    _seen[0] += 1
    _ids.add(f"{request.path} {request.headers.get('webhook-id', '')}")
    return web.Response(status=204)


async def hang(request: web.Request) -> web.Response:
    """Never answer; the sender gives up."""
    await request.read()
    await asyncio.sleep(3600)
    return web.Response()


async def tell(_: web.Request) -> web.Response:
    """Tell what came."""
    return web.json_response({"requests": _seen[0], "different": len(_ids)})


async def main() -> None:
    """Serve until ended."""
    app = web.Application()
    app.add_routes([web.post("/ok/{n}", take), web.post("/hang", hang), web.get("/seen", tell)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", 0)
    await site.start()
    print(f"port {runner.addresses[0][1]}", flush=True)
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
