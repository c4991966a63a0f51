"""Interprets an HTTP response of the metadata service by its status and body.

Sources: MicrosoftDocs/azure-docs troubleshoot-load-balancer-imds.md for the load balancer endpoint,
MicrosoftDocs/azure-compute-docs instance-metadata-service.md for the service as a whole.
"""

import re
from collections.abc import Collection, Mapping
from http import HTTPStatus

from sidecar.core.outcome import NONE, Failure, Outcome, Reason, Success
from sidecar.core.parsing import MalformedError, error_object, parse_response, without_mark

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
"""Part of the one text that distinguishes "there is none" from the other meanings of 404."""

_VERSION_REFUSED = ("api-version", "invalid version")
"""Parts of the texts that refuse the api-version: the documented ones, and ``Not found. Invalid version
requested`` of hosts in other clouds."""

_PARAMETER_MISSING = "missing required parameter"
"""The version was sent: a proxy that removed it would remove another one as well."""

_SHOWN_LENGTH = 200
VERSION = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")
"""What an api-version looks like."""

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
        try:
            parsed = parse_response(body)
        except MalformedError as malformed:
            return Failure(Reason.MALFORMED, detail=printable(str(malformed)), status=HTTPStatus.OK)
        return Success(document=parsed.document, body=body, dropped=parsed.dropped)
    error = _error(body)
    if status == HTTPStatus.NOT_FOUND and _NO_METADATA in error.lower():
        return NONE
    detail = f"HTTP {status}: {error or shown(body) or 'empty body'}"
    reason = Reason.REJECTED if refuses_version(status, body) else reason_of(status)
    return Failure(reason, detail=detail, status=status, retry_after=retry_after)


def reason_of(status: int) -> Reason:
    """Why an HTTP status brings no data; a body that is more specific takes precedence."""
    if 300 <= status < 400:
        return Reason.REJECTED
    if 500 <= status < 600:
        return Reason.UNAVAILABLE
    return _REASONS.get(status, Reason.MALFORMED)


def refuses_version(status: int, body: bytes) -> bool:
    """Whether an answer refuses the api-version.

    Usually that is a 400 with a list of versions; Azure Stack Hub and hosts of other clouds answer 400
    without a list, or 404 in words of their own.
    """
    if status not in {HTTPStatus.BAD_REQUEST, HTTPStatus.NOT_FOUND}:
        return False
    if status == HTTPStatus.BAD_REQUEST and lists_versions(body):
        return True
    text = _error(body).lower()
    return _PARAMETER_MISSING not in text and any(words in text for words in _VERSION_REFUSED)


def lists_versions(body: bytes) -> bool:
    """Whether a refusal lists the versions that exist."""
    return isinstance(error_object(body).get("newest-versions"), list)


def fallback_version(body: bytes, *, refused: Collection[str]) -> str | None:
    """The api-version to use after a refusal that lists versions.

    Returns:
        The newest listed one that is known here, else the oldest listed; ``None`` if the body lists
        none, or nothing but refused ones.
    """
    return _chosen(error_object(body).get("newest-versions"), refused=refused)


def listed_version(body: bytes, *, refused: Collection[str]) -> str | None:
    """The api-version to use by the answer of ``/metadata/versions``, which lists those of all categories.

    Returns:
        As :func:`fallback_version`, but none from before there were load balancer data.
    """
    value = error_object(body).get("apiVersions")
    if not isinstance(value, list):
        return None
    listed = [item for item in value if isinstance(item, str) and item >= KNOWN_VERSIONS[0]]
    return _chosen(listed, refused=refused)


def _chosen(value: object, *, refused: Collection[str]) -> str | None:
    if not isinstance(value, list):
        return None
    listed = [item for item in value if isinstance(item, str) and VERSION.fullmatch(item)]
    listed = [item for item in listed if item not in refused]
    known = [item for item in listed if item in KNOWN_VERSIONS]
    return max(known) if known else min(listed, default=None)


def _error(body: bytes) -> str:
    """The text of an error; empty if the body does not have the service's shape.

    ``error_description`` is what errors of the identity category have beside a code
    (``IdentityErrorResponse`` of Azure/azure-rest-api-specs, InstanceMetadataService 2023-07-01).
    """
    value = error_object(body)
    texts = (value.get("error"), value.get("error_description"))
    return printable(": ".join(text for text in texts if isinstance(text, str) and text.strip()))


def shown(body: bytes) -> str:
    """The beginning of a body on one line of printable ASCII."""
    return printable(without_mark(body)[:_SHOWN_LENGTH].decode("ascii", errors="replace"))


def printable(text: str) -> str:
    """The beginning of a text on one line of printable ASCII."""
    line = " ".join(text[:_SHOWN_LENGTH].split())
    return "".join(character if " " <= character <= "~" else "?" for character in line)
