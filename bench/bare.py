"""A bare aiohttp server that answers every request with the same bytes: ``python -m bench.bare PORT FILE``.

It is what ``/v1/loadbalancer`` is compared with: the least that aiohttp can do for such an answer.
"""

import asyncio
import sys
from pathlib import Path

from aiohttp import web


async def _serve(port: int, body: bytes) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type="application/json")

    application = web.Application()
    application.router.add_get("/v1/loadbalancer", answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(_serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes()))
