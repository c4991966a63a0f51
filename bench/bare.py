"""A bare aiohttp server that answers one path with the same bytes, headers included.

``python -m bench.bare PORT FILE PATH HEADERS``, the headers as a JSON object.

It is what the API's paths are compared with: the least that aiohttp can do for such an answer. It does not
look at the query.
"""

import asyncio
import json
import sys
from collections.abc import Mapping
from pathlib import Path

from aiohttp import web


async def _serve(port: int, body: bytes, *, path: str, headers: Mapping[str, str]) -> None:
    async def answer(_: web.Request) -> web.Response:
        return web.Response(body=body, headers=headers)

    application = web.Application()
    application.router.add_get(path, answer)
    runner = web.AppRunner(application, access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", port).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(
        _serve(
            int(sys.argv[1]),
            Path(sys.argv[2]).read_bytes(),
            path=sys.argv[3],
            headers=json.loads(sys.argv[4]),
        )
    )
