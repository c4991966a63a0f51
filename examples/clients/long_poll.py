"""Print the node's public IP address, and again whenever it changes; Python 3.11, standard library only.

    python3 long_poll.py [URL of the agent]

The agent holds a request until there is another answer than the one whose ETag comes with it (RFC 7240,
``Prefer: wait``), so nothing is sent while nothing changes.
"""
# ruff: noqa: INP001, T201 - a program of its own, which prints

import http.client
import sys
import time
from collections.abc import Iterator
from urllib.parse import urlsplit

CONNECT_S = 1.0
"""A node without a ready agent drops packets: without a limit, connecting would take minutes."""

WAIT_S = 60
GRACE_S = 10
PAUSE_S = 1.0
NONE_PAUSE_S = 5.0


def ask(host: str, etag: str | None) -> tuple[int, str | None, str]:
    """Ask once, and give status, ETag and body; unlike others, this client asks no proxy.

    Raises:
        OSError, http.client.HTTPException: there was no answer.
    """
    headers = {"Prefer": f"wait={WAIT_S}", **({"If-None-Match": etag} if etag else {})}
    connection = http.client.HTTPConnection(host, timeout=CONNECT_S)
    try:
        connection.connect()
        connection.sock.settimeout(WAIT_S + GRACE_S)
        connection.request("GET", "/v1/public-ip", headers=headers)
        response = connection.getresponse()
        return response.status, response.getheader("ETag"), response.read().decode()
    finally:
        connection.close()


def addresses(agent: str) -> Iterator[str | None]:
    """The address now and after each change, for ever; ``None`` is that there is none."""
    etag: str | None = None
    while True:
        try:
            status, new_etag, body = ask(urlsplit(agent).netloc, etag)
        except (OSError, http.client.HTTPException) as error:
            print(f"no answer: {error}", file=sys.stderr)
            time.sleep(PAUSE_S)
            continue
        if status == 200:
            etag = new_etag
            yield body.strip()
        elif status == 404:
            # What is not there has no ETag to wait with.
            etag = None
            yield None
            time.sleep(NONE_PAUSE_S)
        elif status != 304:
            print(f"{status}: {body}", file=sys.stderr)
            time.sleep(PAUSE_S)


def main() -> None:
    """Print each address that differs from the one before."""
    agent = sys.argv[1] if len(sys.argv) > 1 else "http://azure-lb-metadata.azure-lb-metadata"
    shown: str | None = ""
    for address in addresses(agent):
        if address != shown:
            print(f"public IP address: {address or 'none'}", flush=True)
        shown = address


if __name__ == "__main__":
    main()
