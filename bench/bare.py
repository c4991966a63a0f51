"""A bare aiohttp server that answers one path with the same bytes.

``python -m bench.bare PORT FILE PATH CONTENT-TYPE``.

It is what the API's paths are compared with: the least that aiohttp can do for such an answer. It does not
look at the query.
"""

import asyncio
import sys
from pathlib import Path

from aiohttp import web


async def _serve(port: int, body: bytes, *, path: str, content_type: str) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, content_type=content_type)

    application = web.Application()
    application.router.add_get(path, answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(
        _serve(int(sys.argv[1]), Path(sys.argv[2]).read_bytes(), path=sys.argv[3], content_type=sys.argv[4])
    )
