"""Interprets an HTTP response of a node agent: the document, its status and its age.

The agent's API is ours, and still no answer is trusted: one whose members contradict each other is malformed.
"""

import re
from dataclasses import dataclass, replace
from datetime import timedelta
from http import HTTPStatus

from sidecar.core.annotations import is_node_name
from sidecar.core.egress import parse_shared_egress
from sidecar.core.instant import Instant, parse_rfc3339
from sidecar.core.outcome import Failure, Reason, Status, UpstreamAnswer
from sidecar.core.parsing import MalformedError, error_object, parse_document, parse_json
from sidecar.core.reply import printable, reason_of, shown

_LONGEST_WAIT = 300
"""Seconds; an agent holds no request longer."""

_WAITS_PER_STALENESS = 5
"""So that the loss of a node agent is noticed, and a request repeated, long before its data become stale."""

_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?([0-9]{1,9})\"?\s*(?:[;,]|$)", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamResponse:
    """What matters of a complete response; missing headers are ``None``."""

    status: int
    body: bytes
    age: str | None = None
    """The header ``Age``."""
    node: str | None = None
    """The header ``Azure-LB-Metadata-Node``."""
    agent_status: str | None = None
    """The header ``Azure-LB-Metadata-Status``."""
    retry_after: float | None = None
    """Seconds, already bounded."""
    held: bool = False
    """Whether the next request can follow at once; see :func:`was_held`."""


def longest_wait(stale_after: float) -> int:
    """Whole seconds that a node agent is to hold a request; 0 if stale-after is too short for that."""
    return int(min(_LONGEST_WAIT, stale_after / _WAITS_PER_STALENESS))


def was_held(applied: str | None, *, elapsed: float, news: bool) -> bool:
    """Whether a request was held back, so that the next one can follow at once.

    The header is not enough: a server that answers the same again at once, and claims to have held the
    request, would be requested in an endless loop.

    Args:
        applied: The header ``Preference-Applied``.
        elapsed: Seconds that the answer took.
        news: Whether it has anything new, for which a wait ends early.
    """
    found = _WAIT.search(applied or "")
    if found is None or int(found[1]) == 0:
        return False
    # Clocks of two processes that count whole seconds may be a little apart.
    return news or elapsed >= 0.9 * int(found[1])


def interpret(
    response: UpstreamResponse, *, node: str | None, last: UpstreamAnswer | None, now: Instant
) -> UpstreamAnswer | Failure:
    """Judge a complete response of ``/v1/loadbalancer``.

    Args:
        response: The response.
        node: The name of the only node whose data are wanted; ``None``: any.
        last: The answer that the request named as the one it has.
        now: When the response came.
    """
    if response.status not in {HTTPStatus.OK, HTTPStatus.NOT_MODIFIED}:
        reason = reason_of(response.status)
        if response.status == HTTPStatus.MISDIRECTED_REQUEST:
            reason = Reason.REJECTED
        elif response.status == HTTPStatus.SERVICE_UNAVAILABLE and response.agent_status == Status.STARTING:
            # The agent is well; it has no answer itself yet.
            reason = Reason.NOT_READY
        told = error_object(response.body).get("detail")
        text = printable(told) if isinstance(told, str) else shown(response.body)
        return Failure(
            reason,
            detail=f"HTTP {response.status}: {text or 'empty body'}",
            status=response.status,
            retry_after=response.retry_after,
            held=response.held and reason is Reason.NOT_READY,
        )
    try:
        if response.age is None or not _SECONDS.fullmatch(response.age):
            raise MalformedError("the answer does not tell the age of its data")
        age = int(response.age)
        observed = Instant(mono=now.mono - age, utc=now.utc - timedelta(seconds=age))
        if response.status == HTTPStatus.OK:
            answer = _answer(response, observed)
        elif last is None:
            raise MalformedError("not modified, of a request that named no earlier answer")
        else:
            answer = replace(last, observed=observed, held=response.held)
    except MalformedError as error:
        return Failure(Reason.MALFORMED, detail=printable(str(error)), status=response.status)
    if node is None or node == response.node == answer.node:
        return answer
    said = answer.node if response.node in (None, node) else response.node
    whose = "an agent that does not say its node" if said in (None, node) else f"node {printable(said)!r}"
    detail = f"the answer is that of {whose}, and this is node {node!r}"
    return Failure(Reason.REJECTED, detail=detail, status=response.status)


def _answer(response: UpstreamResponse, observed: Instant) -> UpstreamAnswer:
    """Parse a whole body.

    Raises:
        MalformedError: its members do not fit together.
    """
    value = parse_json(response.body)
    if not isinstance(value, dict):
        raise MalformedError("the answer is not a JSON object")
    parsed = parse_document(value.get("loadbalancer"))
    if parsed.dropped or parsed.document.revision != value.get("revision"):
        raise MalformedError("the document is not that of its revision")
    status = value.get("status")
    if status not in (Status.STALE, Status.NO_METADATA if parsed.document.empty else Status.OK):
        raise MalformedError("the status does not fit the document")
    reason = None if status == Status.OK else value.get("reason")
    changed_at = parse_rfc3339(value.get("changedAt"))
    if changed_at is None:
        raise MalformedError("'changedAt' is not a time")
    node = value.get("node")
    if node is not None and not is_node_name(node):
        raise MalformedError("'node' is not the name of a node")
    return UpstreamAnswer(
        document=parsed.document,
        body=None if status == Status.NO_METADATA else response.body,
        status=Status(status),
        # A newer agent may have a reason that is not known here.
        reason=Reason(reason) if isinstance(reason, str) and reason in set(Reason) else None,
        changed_at=changed_at,
        node=node,
        observed=observed,
        egress=parse_shared_egress(value.get("egress")),
        held=response.held,
    )
