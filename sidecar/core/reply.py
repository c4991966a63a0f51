"""What an HTTP response of the metadata service means, by its status and body.

Sources: MicrosoftDocs/azure-docs troubleshoot-load-balancer-imds.md for the load balancer endpoint,
MicrosoftDocs/azure-compute-docs instance-metadata-service.md for the service as a whole.
"""

import re
from collections.abc import Collection, Mapping
from http import HTTPStatus

from sidecar.core.outcome import NONE, Answer, Failure, Outcome, Reason
from sidecar.core.parsing import MalformedError, error_object, parse_response, without_mark

__all__ = ["KNOWN_VERSIONS", "fallback_version", "interpret", "printable", "reason_of", "shown"]

KNOWN_VERSIONS = (
    "2020-10-01",
    "2020-12-01",
    "2021-01-01",
    "2021-02-01",
    "2021-03-01",
    "2021-05-01",
    "2021-08-01",
    "2021-10-01",
    "2021-11-01",
    "2021-11-15",
    "2021-12-13",
    "2023-07-01",
    "2023-11-15",
    "2024-03-15",
    "2024-07-17",
    "2025-04-07",
)
"""Published api-versions since this endpoint exists, oldest first (instance-metadata-service.md)."""

_NO_METADATA = "no load balancer metadata"
"""Part of the one text that tells "there is none" from the other meanings of 404."""

_SHOWN_LENGTH = 200
_VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")

_REASONS: Mapping[int, Reason] = {
    400: Reason.REJECTED,
    401: Reason.REJECTED,
    403: Reason.REJECTED,
    404: Reason.NOT_READY,
    405: Reason.REJECTED,
    408: Reason.UNAVAILABLE,
    410: Reason.NOT_READY,
    429: Reason.THROTTLED,
}


def interpret(status: int, body: bytes, *, retry_after: float | None = None) -> Outcome:
    """Judge a complete response."""
    if status == HTTPStatus.OK:
        return _document(body)
    error = _error(body)
    if status == HTTPStatus.NOT_FOUND and _NO_METADATA in error.lower():
        return NONE
    detail = f"HTTP {status}: {error or shown(body) or 'empty body'}"
    return Failure(reason_of(status), detail=detail, status=status, retry_after=retry_after)


def _document(body: bytes) -> Outcome:
    try:
        parsed = parse_response(body)
    except MalformedError as error:
        return Failure(Reason.MALFORMED, detail=printable(str(error)), status=HTTPStatus.OK)
    return Answer(document=parsed.document, body=body, dropped=parsed.dropped)


def reason_of(status: int) -> Reason:
    """Why an HTTP status gives no data; where the body can tell more, it comes first."""
    if 300 <= status < 400:
        return Reason.REJECTED
    if 500 <= status < 600:
        return Reason.UNAVAILABLE
    return _REASONS.get(status, Reason.MALFORMED)


def fallback_version(body: bytes, *, refused: Collection[str]) -> str | None:
    """The api-version to use after a 400 that lists versions.

    Returns:
        The newest listed one that is known here, else the oldest listed; ``None`` if the body lists
        none, or nothing but refused ones.
    """
    value = error_object(body).get("newest-versions")
    if not isinstance(value, list):
        return None
    listed = [item for item in value if _is_version(item) and item not in refused]
    known = [item for item in listed if item in KNOWN_VERSIONS]
    return max(known) if known else min(listed, default=None)


def _is_version(value: object) -> bool:
    return isinstance(value, str) and _VERSION.fullmatch(value) is not None


def _error(body: bytes) -> str:
    """What an error says of itself; empty where it is none of the service's shape."""
    value = error_object(body).get("error")
    return printable(value) if isinstance(value, str) else ""


def shown(body: bytes) -> str:
    """The beginning of a body on one line of printable ASCII."""
    return printable(without_mark(body)[:_SHOWN_LENGTH].decode("ascii", errors="replace"))


def printable(text: str) -> str:
    """The beginning of a text on one line of printable ASCII."""
    line = " ".join(text[:_SHOWN_LENGTH].split())
    return "".join(character if " " <= character <= "~" else "?" for character in line)
