"""From the settings of a fault to what happens to one request."""

import math
from dataclasses import dataclass
from email.utils import formatdate
from types import MappingProxyType

from sidecar.simulator.answers import Answer
from sidecar.simulator.conditions import FaultSettings
from sidecar.simulator.counters import Call
from sidecar.simulator.faults import DELAYS, FAULTS, Action, Fault

LOADBALANCER = "/metadata/loadbalancer"
"""The path of the endpoint that this project reads."""


@dataclass(frozen=True, kw_only=True)
class Strike:
    """A fault that meets one request, with every default filled in.

    ``delay`` is in seconds; ``size`` in bytes, None for the usual one.
    """

    action: Action
    answer: Answer | None = None
    delay: float = 0
    size: int | None = None
    chunked: bool = False


def concerns(settings: FaultSettings, path: str) -> bool:
    """Whether the fault strikes requests for this path."""
    everywhere = FAULTS[settings.name].everywhere if settings.everywhere is None else settings.everywhere
    return everywhere or path == LOADBALANCER or path.startswith(f"{LOADBALANCER}/")


def struck(settings: FaultSettings, call: Call, wall: float) -> Strike:
    """What the fault does to this request; ``wall`` is seconds since 1970."""
    fault = FAULTS[settings.name]
    return Strike(
        action=fault.action,
        answer=_answer(settings, fault, call=call, wall=wall),
        delay=DELAYS.get(fault.action, 0) if settings.delay is None else settings.delay,
        size=settings.size,
        chunked=fault.chunked,
    )


def _answer(settings: FaultSettings, fault: Fault, *, call: Call, wall: float) -> Answer | None:
    if fault.answer is None:
        return None
    answer = fault.answer
    body = answer.body.replace(b"<UrlPath>", call.path.encode())
    body = body.replace(b"<Method>", call.method.encode())
    headers = {**answer.headers, **_retry_after(settings, fault, wall), **settings.headers}
    return Answer(
        status=settings.status or answer.status,
        body=body if settings.body is None else settings.body.encode(),
        content_type=settings.content_type or answer.content_type,
        server=answer.server,
        headers=MappingProxyType(headers),
    )


def _retry_after(settings: FaultSettings, fault: Fault, wall: float) -> dict[str, str]:
    wait = fault.retry_after if settings.retry_after is None else settings.retry_after
    if wait is None:
        return {}
    date = fault.retry_after_date if settings.retry_after_date is None else settings.retry_after_date
    if date:
        return {"Retry-After": formatdate(math.ceil(wall + wait), usegmt=True)}
    return {"Retry-After": str(math.ceil(wait))}
