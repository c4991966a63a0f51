"""The outcome of one attempt to read the load balancer document."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from sidecar.core.document import EMPTY, Document
from sidecar.core.egress import SharedEgress
from sidecar.core.instant import Instant
from sidecar.core.parsing import DroppedEntry


class Status(StrEnum):
    """What the published data are worth."""

    STARTING = "starting"
    """No answer yet."""
    OK = "ok"
    STALE = "stale"
    """The last good answer is older than stale-after, or was restored from an earlier run."""
    NO_METADATA = "no-metadata"
    """The metadata service answers explicitly that there is none."""


class Reason(StrEnum):
    """Why the last attempt brought no data: the same words in annotations, answers, metrics and logs."""

    NO_METADATA = "no-metadata"
    NOT_READY = "not-ready"
    """Every other 404, and 410."""
    THROTTLED = "throttled"
    """429."""
    UNAVAILABLE = "unavailable"
    """408 and 5xx."""
    UNREACHABLE = "unreachable"
    """Refused, timed out, reset, no route."""
    REJECTED = "rejected"
    """400, 401, 403, 405, redirects: the request is wrong, or not allowed."""
    MALFORMED = "malformed"
    """Not JSON, wrong shape, too large, empty, cut short, or an undocumented status."""


class FailureKind(StrEnum):
    """How a request ended that brought no complete response."""

    REFUSED = "refused"
    NO_ROUTE = "no route"
    UNKNOWN_NAME = "unknown name"
    NO_CONNECTION = "no connection in time"
    """Nothing answers the first packet: it is dropped on the way."""
    NO_ANSWER = "no answer in time"
    """The connection was accepted."""
    RESET = "reset"
    """Reset, closed before a response, or failed in another way."""
    BROKEN = "broken answer"
    """Not HTTP, cut short or too large."""


@dataclass(frozen=True, slots=True)
class Success:
    """The source answered, possibly that there is no metadata."""

    document: Document
    body: bytes | None
    """The document byte for byte as it came, or ``None`` for the answer "there is none"."""
    dropped: tuple[DroppedEntry, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class UpstreamAnswer(Success):
    """A node agent answered with its document and status, which are adopted as they are."""

    status: Status
    """Never ``STARTING``: then an agent has no document."""
    reason: Reason | None
    changed_at: datetime
    node: str | None
    """The node's name, if the agent knows it."""
    observed: Instant
    """The last good answer that the agent had."""
    egress: SharedEgress = SharedEgress()  # noqa: RUF009 - immutable
    held: bool = False
    """Whether the next request can follow at once: the agent holds it until the answer changes."""


@dataclass(frozen=True, slots=True)
class Failure:
    """The source gave no usable answer; what was known stays."""

    reason: Reason
    detail: str
    """One line for people: printable ASCII, of bounded length."""
    status: int | None = None
    """The HTTP status; ``None`` if there was no complete response."""
    kind: FailureKind | None = None
    """How the request ended; ``None`` if there was a complete response."""
    retry_after: float | None = None
    """Seconds to wait as the source requested, already bounded."""
    held: bool = False
    """As of :class:`UpstreamAnswer`."""


Outcome = Success | Failure

NONE = Success(document=EMPTY, body=None)
"""The metadata service answers explicitly that it has no load balancer metadata."""


def label(outcome: Outcome) -> str:
    """``ok``, or the reason why there are no data, in one word."""
    if isinstance(outcome, Failure):
        return outcome.reason
    return Reason.NO_METADATA if outcome.body is None else "ok"


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt to read the document, for people."""

    at: datetime
    outcome: str
    """``ok`` or a reason."""
    detail: str = ""
    """Why it failed: one line of printable ASCII, of bounded length."""
    status: int | None = None
    """As of :class:`Failure`."""
    kind: FailureKind | None = None
    """As of :class:`Failure`."""

    @classmethod
    def of(cls, outcome: Outcome, now: Instant) -> "Attempt":
        """The record of an outcome."""
        if isinstance(outcome, Failure):
            return cls(now.utc, outcome.reason, outcome.detail, status=outcome.status, kind=outcome.kind)
        return cls(at=now.utc, outcome=label(outcome))
