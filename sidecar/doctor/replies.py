"""Which cause a failed request to the metadata service points to, by what came back.

Statuses and texts: MicrosoftDocs/azure-docs articles/load-balancer/troubleshoot-load-balancer-imds.md and
MicrosoftDocs/azure-compute-docs articles/virtual-machines/instance-metadata-service.md. Texts are matched
by a few words, since their wording differs between hosts.
"""

import re
from dataclasses import dataclass
from datetime import datetime

from sidecar.core.outcome import Reason
from sidecar.core.reply import refuses_version
from sidecar.doctor.causes import Confidence
from sidecar.doctor.evidence import AgentAttempt, Environment, FailureKind, ServiceAttempt

_PROXY_HEADERS = (
    "via",
    "x-cache",
    "x-squid-error",
    "proxy-authenticate",
    "x-envoy-upstream-service-time",
    "l5d-proxy-error",
)
_PROXY_SERVERS = ("squid", "envoy", "zscaler", "bluecoat", "tinyproxy", "privoxy", "mitmproxy", "varnish")
_PROGRAMS = (
    ("aad pod identity", "the NMI of AAD Pod Identity"),
    ("pod list is empty", "the NMI of AAD Pod Identity"),
    ("azureassignedidentit", "the NMI of AAD Pod Identity"),
    ("no healthy upstream", "Envoy"),
    ("upstream connect error", "Envoy"),
    ("upstream request timeout", "Envoy"),
    ("<center>nginx", "nginx"),
    ("<center>openresty", "OpenResty"),
    ("no server is available to handle this request", "HAProxy"),
    ("squid", "Squid"),
    ("linkerd", "Linkerd"),
)
"""By words of an answer, lower case: who says so. Azure/aad-pod-identity pkg/nmi/server/server.go,
envoyproxy/envoy source/common/http and source/common/router, haproxy/haproxy src/http.c."""

_OTHER_CLOUDS = {"metadata-flavor": "Google", "x-aws-ec2-metadata-token-ttl-seconds": "AWS"}
"""Headers of other clouds' metadata services, which have the same address."""

_SERVICE_SERVERS = ("imds", "microsoft-iis", "microsoft-httpapi")
"""What the service calls itself, as captures have it; other hosts may leave the header out."""


def says_its_name(failed: ServiceAttempt) -> bool:
    """Whether an answer has the name of the service as captures have it."""
    return failed.headers.get("server", "").lower().startswith(_SERVICE_SERVERS)


def named(failed: ServiceAttempt) -> str:
    """What shows that a proxy answered; empty if nothing does."""
    if failed.status == 407:
        return "only proxies ask for authentication with 407"
    for name in _PROXY_HEADERS:
        if name in failed.headers:
            return f"the answer has the header {name}: {failed.headers[name]}"
    server = failed.headers.get("server", "")
    if any(proxy in server.lower() for proxy in _PROXY_SERVERS):
        return f"the answer is from {server}"
    text = f"{failed.body.decode('ascii', 'replace')} {failed.detail}".lower()
    program = next((program for words, program in _PROGRAMS if words in text), None)
    return "" if program is None else f"the answer is from {program}, by its text"


def foreign(failed: ServiceAttempt) -> str:
    """What shows that the service itself did not answer; empty if nothing does."""
    if 300 <= (failed.status or 0) < 400:
        return "the service never redirects"
    for name, cloud in _OTHER_CLOUDS.items():
        if name in failed.headers:
            return f"the answer has the header {name}: it is from the metadata service of {cloud}"
    if failed.body.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "the answer is an HTML page"
    server = failed.headers.get("server", "")
    if server and not says_its_name(failed):
        return f"the answer is from {server}"
    return ""


@dataclass(frozen=True, slots=True)
class VendorError:
    """One row of the vendor's troubleshooting page."""

    status: int
    words: tuple[str, ...]
    """Lower case; any of them in the error's text tells it from others of the same status."""
    message: str
    """What it says, shortened."""
    cause: str
    mitigation: str


VENDOR_ERRORS = (
    VendorError(
        400,
        ("metadata header",),
        "Required metadata header not specified",
        "metadata-header-missing",
        "send `Metadata: true`; the agent does, so find what removes it",
    ),
    VendorError(
        400,
        ("maxbodylength",),
        "Request body is larger than MaxBodyLength",
        "request-too-long",
        "the agent sends no body: find what adds one",
    ),
    VendorError(
        400,
        ("maxparameterkeylength",),
        "Parameter key length is larger than MaxParameterKeyLength",
        "request-too-long",
        "shorten the parameter's name: find what adds it",
    ),
    VendorError(
        400,
        ("maxparametervaluelength",),
        "Parameter value length is larger than MaxParameterValueLength",
        "request-too-long",
        "shorten the parameter's value: see `--imds-api-version`",
    ),
    VendorError(
        400,
        ("maxheadervaluelength",),
        "Parameter header value length is larger than MaxHeaderValueLength",
        "request-too-long",
        "shorten the header's value: find what adds it",
    ),
    VendorError(
        400,
        ("missing required parameter",),
        "Missing required parameter",
        "request-refused",
        "add the parameter: find what removes it",
    ),
    VendorError(
        400,
        ("api-version",),
        "a text about api-version, or a list of the newest versions",
        "api-version-refused",
        "use a version that the service lists",
    ),
    VendorError(
        400,
        ("not allowed",),
        "Parameter value is not allowed",
        "request-refused",
        "correct the request: see `--imds-api-version`",
    ),
    VendorError(
        400,
        ("unexpected request",),
        "Unexpected request",
        "request-refused",
        "correct the query parameters: find what changes them",
    ),
    VendorError(
        404,
        ("no load balancer metadata",),
        "No load balancer metadata is found",
        "no-standard-load-balancer",
        "use a Standard SKU load balancer or public IP address, and ask again later",
    ),
    VendorError(
        404,
        ("invalid version", "api-version"),
        "Not found. Invalid version requested",
        "api-version-refused",
        "use a version that the service lists",
    ),
    VendorError(
        404,
        ("api is not found", "not found"),
        "API is not found: Path = …, Method = …",
        "api-not-found",
        "correct the path: find what rewrites it",
    ),
    VendorError(
        404,
        ("not available", "isn't available"),
        "Load Balancer metadata API is not available right now",
        "load-balancer-api-not-ready",
        "wait while it is provisioned, and ask again later",
    ),
    VendorError(
        404,
        ("currently available",),
        "/metadata/loadbalancer is not currently available",
        "load-balancer-api-not-ready",
        "wait while it is enabled, and ask again later",
    ),
    VendorError(405, (), "Http method is not allowed", "method-not-allowed", "use GET"),
    VendorError(
        410, (), "Gone", "host-update", "ask again for at least 70 seconds; the host is being updated"
    ),
    VendorError(
        429, (), "Too many requests", "throttled", "ask less often: 5 requests a second for the machine"
    ),
    VendorError(
        500,
        ("internal server error",),
        "Internal server error",
        "metadata-service-unavailable",
        "ask again after some time",
    ),
    VendorError(
        503,
        ("internal service unavailable",),
        "Internal service unavailable",
        "metadata-service-unavailable",
        "it is temporary: ask again later",
    ),
)
"""The rows of the vendor's page for this endpoint, and those of its page for the whole service."""

_GUEST_PROXY_HEADER = "x-ms-azure-host-authorization"
_GUEST_PROXY_STATUSES = {401, 403, 421}
_HTTP_STATUS = re.compile(r"HTTP ([0-9]{3})\b")
_TROUBLES = (
    ("cannot resolve", FailureKind.UNKNOWN_NAME),
    ("no connection within", FailureKind.NO_CONNECTION),
    ("no complete answer within", FailureKind.NO_ANSWER),
    ("refused", FailureKind.REFUSED),
    ("route to host", FailureKind.NO_ROUTE),
    ("unreachable", FailureKind.NO_ROUTE),
    ("timed out", FailureKind.NO_CONNECTION),
)
"""By words of :func:`sidecar.sources.reading.failure` and of the system, lower case."""


@dataclass(frozen=True, slots=True)
class Classification:
    """The cause that a request points to, and why."""

    cause: str
    sure: Confidence
    because: str
    """A clause that may stand after the request's own description; may be empty."""


_UNKNOWN_TEXT = "the text is none that is documented"
_UNDOCUMENTED = {
    400: Classification("request-refused", Confidence.LIKELY, _UNKNOWN_TEXT),
    404: Classification("load-balancer-api-not-ready", Confidence.POSSIBLE, _UNKNOWN_TEXT),
    408: Classification("metadata-service-unavailable", Confidence.CERTAIN, ""),
}
"""Statuses that the page for this endpoint has not, or not with such a text."""


def trouble_of(reason: Reason, detail: str, *, status: int | None) -> FailureKind | None:
    """How an attempt ended that brought no answer; ``None`` if there was one."""
    if status is not None:
        return None
    if reason is Reason.MALFORMED:
        return FailureKind.BROKEN
    words = detail.lower()
    return next((trouble for fragment, trouble in _TROUBLES if fragment in words), FailureKind.RESET)


def of_agent(attempt: AgentAttempt, *, now: datetime) -> ServiceAttempt | None:
    """An attempt of the agent as if it were our own; ``None`` if it brought an answer."""
    if attempt.outcome not in set(Reason) - {Reason.NO_METADATA}:
        return None
    reason = Reason(attempt.outcome)
    found = _HTTP_STATUS.match(attempt.detail)
    status = int(found[1]) if found else None
    if reason is Reason.MALFORMED and not attempt.detail.startswith("broken response"):
        status = status or 200
    trouble = trouble_of(reason, attempt.detail, status=status)
    return ServiceAttempt(
        at=now, seconds=0.0, trouble=trouble, detail=attempt.detail, status=status, reason=reason
    )


def judge(failed: ServiceAttempt, surroundings: Environment) -> Classification:
    """The cause that a failed request points to."""
    if failed.trouble is not None:
        return _judge_trouble(failed.trouble, surroundings)
    status = failed.status or 0
    if _GUEST_PROXY_HEADER in failed.headers:
        because = f"the answer has the header {_GUEST_PROXY_HEADER}"
        return Classification("metadata-security-protocol", Confidence.CERTAIN, because)
    if because := named(failed):
        return Classification("proxy-in-the-way", Confidence.CERTAIN, because)
    if status in _GUEST_PROXY_STATUSES:
        return Classification(
            "metadata-security-protocol", Confidence.LIKELY, "the service itself documents no such status"
        )
    if because := foreign(failed):
        cause = "proxy-in-the-way" if surroundings.default_endpoint else "wrong-endpoint"
        return Classification(cause, Confidence.LIKELY, because)
    return _judge_status(failed, status)


def _judge_trouble(trouble: FailureKind, surroundings: Environment) -> Classification:
    match trouble:
        case FailureKind.NO_CONNECTION if surroundings.host_network is not True:
            sure = Confidence.LIKELY if surroundings.default_endpoint else Confidence.POSSIBLE
            return Classification("imds-restriction", sure, "this is a pod outside the node's network")
        case FailureKind.NO_ANSWER:
            return Classification("metadata-service-silent", Confidence.LIKELY, "the connection was accepted")
        case FailureKind.BROKEN:
            return Classification("answer-malformed", Confidence.CERTAIN, "")
        case FailureKind.UNKNOWN_NAME:
            return Classification("wrong-endpoint", Confidence.CERTAIN, "the name of the endpoint is unknown")
        case FailureKind.REFUSED | FailureKind.NO_ROUTE | FailureKind.NO_CONNECTION if (
            not surroundings.default_endpoint
        ):
            because = f"{surroundings.endpoint} is not the well-known address"
            return Classification("wrong-endpoint", Confidence.LIKELY, because)
        case _:
            # From afar it is not known which endpoint the agent asks.
            sure = Confidence.CERTAIN if surroundings.same_host else Confidence.LIKELY
            return Classification("metadata-service-unreachable", sure, "")


def _judge_status(failed: ServiceAttempt, status: int) -> Classification:
    if refuses_version(status, failed.body):
        return Classification("api-version-refused", Confidence.CERTAIN, "")
    words = failed.detail.lower()
    for row in VENDOR_ERRORS:
        if row.status == status and (not row.words or any(each in words for each in row.words)):
            because = f"the vendor's page: {row.mitigation}"
            return Classification(row.cause, Confidence.CERTAIN, because)
    if 500 <= status < 600:
        # Anything between says 502 or 503 as well, and not always its name.
        own = says_its_name(failed)
        sure = Confidence.CERTAIN if own else Confidence.LIKELY
        because = "" if own else "nothing but the status looks like the metadata service"
        return Classification("metadata-service-unavailable", sure, because)
    return _UNDOCUMENTED.get(status, Classification("answer-malformed", Confidence.CERTAIN, ""))
