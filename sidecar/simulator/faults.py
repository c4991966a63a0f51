"""Named faults: everything that may come instead of the right reply.

Statuses and texts of the load balancer endpoint follow
MicrosoftDocs/azure-docs:articles/load-balancer/troubleshoot-load-balancer-imds.md; the rest of the
service MicrosoftDocs/azure-compute-docs:articles/virtual-machines/instance-metadata-service.md.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from types import MappingProxyType

from sidecar.simulator import answers
from sidecar.simulator.answers import Reply

ERRORS = "MicrosoftDocs/azure-docs:articles/load-balancer/troubleshoot-load-balancer-imds.md"
SERVICE = "MicrosoftDocs/azure-compute-docs:articles/virtual-machines/instance-metadata-service.md"
CAPTURE = "capture"
MSAL = "AzureAD/microsoft-authentication-library-for-dotnet:docs/imds_retry_based_on_errors.md"
GUESS = "guess"


class Action(StrEnum):
    """What a fault does to a request."""

    ANSWER = "answer"
    """Its own reply comes instead."""
    DELAY = "delay"
    """The right reply comes late."""
    DRIP = "drip"
    """The right reply comes byte by byte."""
    TRUNCATE = "truncate"
    """The right reply ends before its Content-Length."""
    HUGE = "huge"
    """A valid document of many bytes comes instead."""
    HANG = "hang"
    """The connection is accepted, and no reply ever comes."""
    RESET = "reset"
    """The connection is reset (RST)."""


@dataclass(frozen=True, kw_only=True)
class Fault:
    """One named fault.

    ``everywhere``: whether it strikes every path or the load balancer endpoint alone. ``retry_after`` is in
    seconds.
    """

    summary: str
    source: str
    action: Action = Action.ANSWER
    answer: Reply | None = None
    everywhere: bool = False
    chunked: bool = False
    retry_after: float | None = None
    retry_after_date: bool = False


def _error(status: int, message: str, *, summary: str = "", source: str = ERRORS) -> Fault:
    return Fault(
        summary=f"{status}, {summary or message}", source=source, answer=answers.error(status, message)
    )


def _body(summary: str, body: bytes, *, source: str = GUESS, status: int = 200, kind: str = "") -> Fault:
    return Fault(
        summary=summary,
        source=source,
        answer=Reply(status=status, body=body, content_type=kind or answers.JSON_TYPE),
    )


_HTML = b"<!DOCTYPE html><html><head><title>Sign in</title></head><body>Sign in</body></html>"
_TOO_LONG = {
    "long-body": ("Request body is larger than MaxBodyLength: 1024", "the request's body"),
    "long-parameter-key": (
        "Parameter key length is larger than MaxParameterKeyLength: 64",
        "a parameter's name",
    ),
    "long-parameter-value": (
        "Parameter value length is larger than MaxParameterValueLength: 64",
        "a parameter's value",
    ),
    "long-header-value": (
        "Parameter header value length is larger than MaxHeaderValueLength: 1024",
        "a header's value",
    ),
}
_GONE = answers.error(410, "Gone")

FAULTS: Mapping[str, Fault] = MappingProxyType(
    {
        "no-metadata": _error(404, answers.NO_METADATA, summary="there is no load balancer metadata"),
        "api-not-found": _error(404, answers.API_NOT_FOUND, summary="API is not found"),
        "api-not-available": _error(404, answers.API_NOT_AVAILABLE, summary="API not available right now"),
        "not-currently-available": _error(404, answers.NOT_CURRENTLY_AVAILABLE),
        "not-found": _error(404, "Not found", source=CAPTURE),
        "missing-parameter": _error(
            400,
            answers.fill(answers.MISSING_PARAMETER, ParameterName="api-version"),
            summary="a required parameter is missing",
        ),
        "parameter-not-allowed": _error(
            400,
            answers.fill(
                answers.PARAMETER_NOT_ALLOWED, ParameterValue="2020-10-01", ParameterName="api-version"
            ),
            summary="a parameter's value is not allowed",
        ),
        "unexpected-request": _error(400, answers.UNEXPECTED_REQUEST, summary="unexpected request"),
        **{
            name: _error(400, message, summary=f"{what} is too long (the number is a guess)")
            for name, (message, what) in _TOO_LONG.items()
        },
        "no-metadata-header": _body(
            "400, the Metadata header is missing", answers.NO_METADATA_HEADER_BODY, source=CAPTURE, status=400
        ),
        "xml": Fault(summary="400, an XML body under IIS's name", source=CAPTURE, answer=answers.xml_error()),
        "unauthorized": _error(401, "Unauthorized", source=MSAL),
        "forbidden": _error(403, "Forbidden", source=MSAL),
        "method-not-allowed": _error(405, answers.METHOD_NOT_ALLOWED, summary="method not allowed"),
        "request-timeout": _error(408, "Request timeout", source=MSAL),
        "gone": Fault(summary="410, as during a host update", source=SERVICE, answer=_GONE, everywhere=True),
        "throttled": Fault(
            summary="429, Too many requests",
            source=ERRORS,
            answer=answers.error(429, answers.TOO_MANY_REQUESTS),
            everywhere=True,
        ),
        "throttled-seconds": Fault(
            summary="429 with Retry-After: 5",
            source=GUESS,
            answer=answers.error(429, answers.TOO_MANY_REQUESTS),
            everywhere=True,
            retry_after=5,
        ),
        "throttled-date": Fault(
            summary="429 with Retry-After as an HTTP date",
            source=GUESS,
            answer=answers.error(429, answers.TOO_MANY_REQUESTS),
            everywhere=True,
            retry_after=5,
            retry_after_date=True,
        ),
        "internal-error": _error(500, "Internal server error", source=SERVICE),
        "bad-gateway": _error(502, "Bad gateway", source=MSAL),
        "unavailable": _error(503, answers.UNAVAILABLE, summary="Internal service unavailable"),
        "gateway-timeout": _error(504, "Gateway timeout", source=MSAL),
        "redirect": Fault(
            summary="302 to /redirected",
            source=GUESS,
            answer=Reply(status=302, body=b"", headers=MappingProxyType({"Location": "/redirected"})),
        ),
        "html": _body("200, an HTML page", _HTML, kind=answers.HTML_TYPE),
        "empty": _body(
            "200 without a body",
            b"",
            source="siderolabs/talos:internal/app/machined/pkg/runtime/v1alpha1/platform/azure/metadata.go",
        ),
        "not-json": _body("200, JSON that breaks off", b'{"loadbalancer":{"publicIpAddresses":['),
        "wrong-shape": _body("200, a list where an object belongs", b'{"loadbalancer":[]}'),
        "truncated": Fault(
            summary="the body ends before its Content-Length", source=GUESS, action=Action.TRUNCATE
        ),
        "huge": Fault(summary="64 MiB of valid JSON (size: BYTES)", source=GUESS, action=Action.HUGE),
        "huge-chunked": Fault(
            summary="the same without Content-Length", source=GUESS, action=Action.HUGE, chunked=True
        ),
        "slow": Fault(
            summary="the right answer after 2 s (delay: TIME)",
            source=GUESS,
            action=Action.DELAY,
            everywhere=True,
        ),
        "slow-drip": Fault(
            summary="the right answer, a byte every 100 ms (delay: TIME)",
            source=GUESS,
            action=Action.DRIP,
        ),
        "hang": Fault(
            summary="accepted, never answered, as for pods where AKS restricts the service",
            source="MicrosoftDocs/azure-aks-docs:articles/aks/imds-restriction.md",
            action=Action.HANG,
            everywhere=True,
        ),
        "reset": Fault(summary="the connection is reset", source=GUESS, action=Action.RESET, everywhere=True),
    }
)
"""Every fault by the name that scenarios use."""

DELAYS: Mapping[Action, float] = MappingProxyType({Action.DELAY: 2.0, Action.DRIP: 0.1})
"""Default delays in seconds: before the reply, or between two bytes."""

HUGE_SIZE = 64 * 1024 * 1024
"""Default bytes of a huge body."""
