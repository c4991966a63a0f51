"""What an HTTP response of a node agent means: the document, and what the agent says it is worth.

The agent's API is ours, and still nothing of it is trusted: what does not fit together is malformed.
"""

import re
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from http import HTTPStatus
from typing import Any

from sidecar.core.annotations import is_node_name
from sidecar.core.document import Document
from sidecar.core.instant import Instant, parse_rfc3339
from sidecar.core.outcome import Failure, Reason, Status, UpstreamAnswer
from sidecar.core.parsing import MalformedError, error_object, parse_document, parse_json
from sidecar.core.reply import printable, reason_of, shown

_LONGEST_WAIT = 300
"""Seconds; an agent holds no request longer."""

_WAITS_PER_STALENESS = 5
"""So that a node agent that is gone without a word is noticed, and asked again, long before its data
become stale."""

_WAIT = re.compile(r"(?:^|,)\s*wait\s*=\s*\"?([0-9]{1,9})\"?\s*(?:[;,]|$)", re.IGNORECASE)
_SECONDS = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamResponse:
    """What of a complete response matters; headers that are not there are ``None``."""

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
    """The whole seconds that a node agent is asked to hold a request; 0 where that is of no use."""
    return int(min(_LONGEST_WAIT, stale_after / _WAITS_PER_STALENESS))


def was_held(applied: str | None, *, elapsed: float, news: bool) -> bool:
    """Whether a request was held back, so that the next one can follow at once.

    The word of the other side is not enough: one that answers the same again at once, or so it says
    after a wait, would be asked without end.

    Args:
        applied: The header ``Preference-Applied``.
        elapsed: Seconds that the answer took.
        news: Whether it says anything new, for which a wait ends early.
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
        return _failure(response)
    try:
        observed = _observed(response.age, now)
        answer = _again(response, last, observed) if response.status == 304 else _answer(response, observed)
    except MalformedError as error:
        return Failure(Reason.MALFORMED, detail=printable(str(error)), status=response.status)
    if node is None or node == response.node == answer.node:
        return answer
    return _other_node(response, answer, node)


def _failure(response: UpstreamResponse) -> Failure:
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


def _other_node(response: UpstreamResponse, answer: UpstreamAnswer, node: str) -> Failure:
    said = answer.node if response.node in (None, node) else response.node
    whose = "an agent that does not say its node" if said in (None, node) else f"node {printable(said)!r}"
    detail = f"the answer is that of {whose}, and this is node {node!r}"
    return Failure(Reason.REJECTED, detail=detail, status=response.status)


def _observed(age: str | None, now: Instant) -> Instant:
    if age is None or not _SECONDS.fullmatch(age):
        raise MalformedError("the answer does not tell the age of its data")
    return Instant(mono=now.mono - int(age), utc=now.utc - timedelta(seconds=int(age)))


def _again(response: UpstreamResponse, last: UpstreamAnswer | None, observed: Instant) -> UpstreamAnswer:
    if last is None:
        raise MalformedError("not modified, of a request that named no earlier answer")
    return replace(last, observed=observed, held=response.held)


def _answer(response: UpstreamResponse, observed: Instant) -> UpstreamAnswer:
    value = parse_json(response.body)
    if not isinstance(value, dict):
        raise MalformedError("the answer is not a JSON object")
    document = _document(value)
    status = _status(value, document)
    return UpstreamAnswer(
        document=document,
        body=None if status is Status.NO_METADATA else response.body,
        status=status,
        reason=_reason(value, status),
        changed_at=_changed_at(value),
        node=_node(value),
        observed=observed,
        held=response.held,
    )


def _document(value: dict[str, Any]) -> Document:
    parsed = parse_document(value.get("loadbalancer"))
    if parsed.dropped or parsed.document.revision != value.get("revision"):
        raise MalformedError("the document is not that of its revision")
    return parsed.document


def _status(value: dict[str, Any], document: Document) -> Status:
    status = value.get("status")
    expected = Status.NO_METADATA if document.empty else Status.OK
    if status not in (Status.STALE, expected):
        raise MalformedError("the status does not fit the document")
    return Status(status)


def _reason(value: dict[str, Any], status: Status) -> Reason | None:
    """The reason of what is not ``ok``; a word that a newer agent may have is none."""
    if status is Status.OK:
        return None
    reason = value.get("reason")
    return Reason(reason) if isinstance(reason, str) and reason in set(Reason) else None


def _changed_at(value: dict[str, Any]) -> datetime:
    told = value.get("changedAt")
    changed_at = parse_rfc3339(told) if isinstance(told, str) else None
    if changed_at is None:
        raise MalformedError("'changedAt' is not a time")
    return changed_at


def _node(value: dict[str, Any]) -> str | None:
    node = value.get("node")
    if node is None or is_node_name(node):
        return node
    raise MalformedError("'node' is not the name of a node")
