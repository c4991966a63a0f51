"""Print what the node leaves from, and again whenever it changes; Python 3.11, standard library only.

    python3 events.py [URL of the agent]

The agent sends its state at the begin of a stream and at each change (server-sent events, HTML standard,
section 9.2). A client that comes back with the id of the last event is sent nothing that it has had.
"""
# ruff: noqa: INP001, T201 - a program of its own, which prints

import http.client
import json
import sys
import time
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

CONNECT_S = 1.0
"""A node without a ready agent drops packets: without a limit, connecting would take minutes."""

SILENCE_S = 45.0
"""The agent sends a comment every 15 seconds: after three that did not come it is gone."""

PAUSE_S = 1.0


class RefusedError(Exception):
    """The agent has no place for another stream, or is about to stop."""


def events(host: str, last_id: str | None) -> Iterator[tuple[str, Any]]:
    """The id and the state of each event of one stream; unlike others, this client asks no proxy.

    Raises:
        RefusedError: the answer is not a stream.
        OSError, http.client.HTTPException: the stream broke off.
    """
    headers = {"Last-Event-ID": last_id} if last_id else {}
    connection = http.client.HTTPConnection(host, timeout=CONNECT_S)
    try:
        connection.connect()
        connection.sock.settimeout(SILENCE_S)
        connection.request("GET", "/v1/events", headers=headers)
        response = connection.getresponse()
        if response.status != 200:
            raise RefusedError(f"{response.status}: {response.read().decode()}")
        identity = ""
        for line in response:
            name, _, value = line.decode().rstrip("\r\n").partition(": ")
            if name == "id":
                identity = value
            elif name == "data":
                yield identity, json.loads(value)
    finally:
        connection.close()


def states(agent: str) -> Iterator[Any]:
    """The state now and after each change, for ever: the body of ``/v1/loadbalancer``."""
    last_id: str | None = None
    while True:
        try:
            for identity, state in events(urlsplit(agent).netloc, last_id):
                last_id = identity
                yield state
        except (OSError, http.client.HTTPException, RefusedError) as error:
            print(f"no events: {error}", file=sys.stderr)
        time.sleep(PAUSE_S)


def egress_ips(state: dict[str, Any]) -> str:
    """Instance-level addresses come before outbound rules, as in ``/v1/egress-ips``."""
    document = state["loadbalancer"]
    facts = document["publicIpAddresses"] or document["outboundRules"]
    return ", ".join(sorted({fact["frontendIpAddress"] for fact in facts})) or "none that is known"


def main() -> None:
    """Print what differs from before; most changes are of rules."""
    agent = sys.argv[1] if len(sys.argv) > 1 else "http://azure-lb-metadata.azure-lb-metadata"
    shown = ""
    for state in states(agent):
        line = f"{state['status']}: leaves from {egress_ips(state)}"
        if line != shown:
            print(line, flush=True)
        shown = line


if __name__ == "__main__":
    main()
