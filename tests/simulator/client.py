"""Requests to a simulator, whole answers back."""

import json
from dataclasses import dataclass
from typing import Any

import aiohttp
from multidict import CIMultiDictProxy

QUERY = "api-version=2020-10-01"
LOADBALANCER = f"/metadata/loadbalancer?{QUERY}"


@dataclass(frozen=True)
class Response:
    """Status, headers and bytes of an answer."""

    status: int
    headers: CIMultiDictProxy[str]
    body: bytes

    @property
    def value(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def error(self) -> str:
        """The text of an error answer."""
        return str(self.value["error"])


async def fetch(
    session: aiohttp.ClientSession,
    url: str,
    *,
    method: str = "GET",
    headers: dict[str, str] | None = None,
) -> Response:
    """One request with ``Metadata: true``, or with exactly the headers given."""
    sent = {"Metadata": "true"} if headers is None else headers
    async with session.request(method, url, headers=sent, allow_redirects=False) as response:
        return Response(response.status, response.headers, await response.read())


async def put(session: aiohttp.ClientSession, url: str, body: str) -> Response:
    """One PUT of a plain body to the control listener."""
    async with session.put(url, data=body) as response:
        return Response(response.status, response.headers, await response.read())
