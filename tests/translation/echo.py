"""An HTTPS server that says where a request came from, as the many of the internet do: its own program.

``/ip`` has the address as text, ``/json`` as ``{"ip": "…"}``.
"""

import argparse
import ssl

from aiohttp import web

PORT = 443


async def as_text(request: web.Request) -> web.Response:
    """The address of the client, and a line feed."""
    return web.Response(text=f"{request.remote}\n")


async def as_json(request: web.Request) -> web.Response:
    """The same in an object."""
    return web.json_response({"ip": request.remote})


def main() -> None:
    """Serve until a signal."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--certificate", required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("addresses", nargs="+")
    arguments = parser.parse_args()
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(arguments.certificate, arguments.key)
    application = web.Application()
    application.add_routes([web.get("/ip", as_text), web.get("/json", as_json)])
    # Connections that clients keep open would make each stop take a minute.
    web.run_app(application, host=arguments.addresses, port=PORT, ssl_context=context, shutdown_timeout=0)


if __name__ == "__main__":
    main()
