"""What the clients of an operator's commands have in common: how they connect, repeat, read and list."""

import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import Self, TypeVar

from sidecar.kube.access import LoadingRules
from sidecar.kube.connection import Answer, Request
from sidecar.kube.errors import NodeNotFoundError
from sidecar.kube.listing import Page, pages, parsed
from sidecar.kube.requester import Requester, requester
from sidecar.kube.retrying import persistently
from sidecar.metrics import Metrics

__all__ = ["RepeatingClient"]

REQUEST_TIMEOUT = 30.0
"""Seconds that a request may take: a page of Nodes is some megabytes, and an operator may be far away."""

_Item = TypeVar("_Item")


class RepeatingClient:
    """Repeats a request a few times when its failure may pass, so none may do harm by coming twice.

    Made by `connect`; its calls may overlap. Every method raises a `KubernetesError` that names the
    situation when the last attempt failed.
    """

    def __init__(self, requests: Requester, *, fraction: Callable[[], float] = random.random) -> None:
        """Make a client.

        Args:
            requests: Sends the requests.
            fraction: Gives random numbers from 0 to 1, for the delays between attempts.
        """
        self._requests = requests
        self._fraction = fraction

    @classmethod
    @asynccontextmanager
    async def connect(
        cls, *, kubeconfig: str | None = None, context: str | None = None
    ) -> AsyncIterator[Self]:
        """A client of the API server, for the length of the block; nothing is sent by connecting.

        Args:
            kubeconfig: A path, or several joined by ``:``. ``None``: the pod's service account if there
                is one and no context is named, else ``KUBECONFIG``, else ``~/.kube/config``.
            context: Of the kubeconfig; ``None`` is its current one.

        Raises:
            KubeConfigError: there is no usable configuration.
        """
        rules = LoadingRules(kubeconfig=kubeconfig, context=context)
        async with requester(rules, metrics=Metrics(), timeout=REQUEST_TIMEOUT) as requests:
            yield cls(requests)

    async def _send(self, request: Request) -> Answer:
        return await persistently(partial(self._requests.send, request), fraction=self._fraction)

    async def _find(self, request: Request, parse: Callable[[bytes], _Item]) -> _Item | None:
        """What an answer says; ``None`` if there is no such object."""
        try:
            answer = await self._send(request)
        except NodeNotFoundError:
            return None
        return parsed(answer, parse)

    def _pages(
        self, first: Request, parse: Callable[[bytes], Page[_Item]], *, size: int
    ) -> AsyncIterator[list[_Item]]:
        return pages(self._requests, first, parse=parse, fraction=self._fraction, size=size)
