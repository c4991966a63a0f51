"""Lists of the API server, page by page.

https://kubernetes.io/docs/reference/using-api/api-concepts/, "Retrieving large results sets in chunks".
"""

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Generic, TypeVar

from sidecar.core.parsing import error_object
from sidecar.kube.connection import Answer, Request
from sidecar.kube.requester import Requester, malformed, successful
from sidecar.kube.retrying import persistently

__all__ = ["PAGE", "PAGE_LIMIT", "UNFINISHED_PODS", "Page", "pages", "parsed"]

PAGE = 500
"""Objects of one page of a list, as kubectl asks for."""

PAGE_LIMIT = 256 * 1024 * 1024
"""Bytes of a page that are read: a Node has at most 256 KiB of annotations, and some more beside."""

UNFINISHED_PODS = "status.phase!=Succeeded,status.phase!=Failed"
"""The field selector of pods that may still run."""

_RESTARTS = 3
"""How often a list is begun anew because its place expired, or loses it again before a page came."""

_Item = TypeVar("_Item")
_Parsed = TypeVar("_Parsed")


@dataclass(frozen=True, slots=True)
class Page(Generic[_Item]):
    """A part of a list."""

    items: list[_Item]
    next: str
    """The token of the next page; empty on the last."""


async def pages(
    requests: Requester,
    first: Request,
    *,
    parse: Callable[[bytes], Page[_Item]],
    fraction: Callable[[], float],
    size: int = PAGE,
) -> AsyncIterator[list[_Item]]:
    """The pages of a list; after 410 Expired it goes on as the answer says, or begins anew.

    An item may come twice, when the API server has forgotten the place in its list and cannot even
    go on from a newer state.

    Args:
        requests: Of the cluster.
        first: The list without ``limit``.
        parse: Reads a page's body; what it raises of its kinds of error makes the answer malformed.
        fraction: Gives random numbers from 0 to 1, for the delays between attempts.
        size: Items of a page.

    Raises:
        KubernetesError: of the last attempt.
    """
    first = replace(first, query=[*first.query, ("limit", str(size))], answer_limit=PAGE_LIMIT)
    token = ""
    restarts = 0
    progress = True
    while True:
        request = replace(first, query=[*first.query, ("continue", token)]) if token else first
        answer = await persistently(partial(_page, requests, request), fraction=fraction)
        if answer.status == 410 and token and restarts < _RESTARTS:
            token = _inconsistent_continue(answer)
            restarts += not (token and progress)
            progress = False
            continue
        page = parsed(successful(answer), parse)
        progress = True
        token = page.next
        # Some megabytes, and the next page needs as much.
        del answer
        yield page.items
        del page
        if not token:
            return


async def _page(requests: Requester, request: Request) -> Answer:
    """A page, or the answer that its place in the list has expired."""
    answer = await requests.exchange(request)
    return answer if answer.status == 410 else successful(answer)


def _inconsistent_continue(answer: Answer) -> str:
    """The token to go on with from the present state of the list; empty to begin anew."""
    try:
        token = error_object(answer.body)["metadata"]["continue"]
    except (TypeError, LookupError):
        return ""
    return token if isinstance(token, str) else ""


def parsed(answer: Answer, parse: Callable[[bytes], _Parsed]) -> _Parsed:
    """What an answer's body says.

    Raises:
        MalformedError: something else than was asked for.
    """
    try:
        return parse(answer.body)
    except (ValueError, TypeError, LookupError, AttributeError) as error:
        raise malformed(answer, "is not what was asked for") from error
