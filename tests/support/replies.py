"""Answers over HTTP, read to their end."""

import json
from dataclasses import dataclass
from typing import Any, Self

from aiohttp import ClientResponse
from multidict import CIMultiDict


@dataclass(frozen=True)
class Reply:
    """An answer of an agent."""

    status: int
    headers: CIMultiDict[str]
    body: bytes

    @classmethod
    async def of(cls, response: ClientResponse) -> Self:
        """Read an answer to its end."""
        return cls(response.status, response.headers.copy(), await response.read())

    @property
    def text(self) -> str:
        """The body as text."""
        return self.body.decode()

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def state(self) -> str:
        """What the agent says the data are worth."""
        return self.headers["Azure-LB-Metadata-Status"]
