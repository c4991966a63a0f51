"""Which cause a failed request to the metadata service points to, by what came back.

Statuses and texts: MicrosoftDocs/azure-docs articles/load-balancer/troubleshoot-load-balancer-imds.md and
MicrosoftDocs/azure-compute-docs articles/virtual-machines/instance-metadata-service.md. Texts are matched
by a few words, since their wording differs between hosts.
"""

from dataclasses import dataclass

from sidecar.core.outcome import FailureKind, Reason
from sidecar.core.reply import refuses_version
from sidecar.doctor.causes import Confidence
from sidecar.doctor.evidence import Environment, ServiceAttempt

PROXY_HEADERS = (
    "via",
    "x-cache",
    "x-squid-error",
    "proxy-authenticate",
    "x-envoy-upstream-service-time",
    "l5d-proxy-error",
)
PROXY_SERVERS = ("squid", "envoy", "zscaler", "bluecoat", "tinyproxy", "privoxy", "mitmproxy", "varnish")
PROGRAMS = (
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

OTHER_CLOUDS = {"metadata-flavor": "Google", "x-aws-ec2-metadata-token-ttl-seconds": "AWS"}
"""Headers of other clouds' metadata services, which have the same address."""

_SERVICE_SERVERS = ("imds", "microsoft-iis", "microsoft-httpapi")
"""What the service calls itself, as captures have it; other hosts may leave the header out."""


@dataclass(frozen=True, slots=True)
class VendorError:
    """One row of the vendor's troubleshooting page."""

    status: int
    words: tuple[str, ...]
    """Lower case; any of them in the error's text distinguishes it from others of the same status."""
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
        "use a Standard SKU load balancer or public IP address, and retry later",
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
        "wait while it is provisioned, and retry later",
    ),
    VendorError(
        404,
        ("currently available",),
        "/metadata/loadbalancer is not currently available",
        "load-balancer-api-not-ready",
        "wait while it is enabled, and retry later",
    ),
    VendorError(405, (), "Http method is not allowed", "method-not-allowed", "use GET"),
    VendorError(410, (), "Gone", "host-update", "retry for at least 70 seconds; the host is being updated"),
    VendorError(
        429, (), "Too many requests", "throttled", "send fewer requests: 5 requests a second for the machine"
    ),
    VendorError(
        500,
        ("internal server error",),
        "Internal server error",
        "metadata-service-unavailable",
        "retry after some time",
    ),
    VendorError(
        503,
        ("internal service unavailable",),
        "Internal service unavailable",
        "metadata-service-unavailable",
        "it is temporary: retry later",
    ),
)
"""The rows of the vendor's page for this endpoint, and those of its page for the whole service."""

_GUEST_PROXY_HEADER = "x-ms-azure-host-authorization"
_GUEST_PROXY_STATUSES = {401, 403, 421}


@dataclass(frozen=True, slots=True)
class Classification:
    """The cause that a failed request points to, and why."""

    cause: str
    confidence: Confidence
    because: str = ""
    """A clause that may stand after the request's own description."""


_UNKNOWN_TEXT = "the text is none that is documented"
_UNDOCUMENTED = {
    400: Classification("request-refused", Confidence.LIKELY, _UNKNOWN_TEXT),
    404: Classification("load-balancer-api-not-ready", Confidence.POSSIBLE, _UNKNOWN_TEXT),
    408: Classification("metadata-service-unavailable", Confidence.CERTAIN),
}
"""Statuses that the page for this endpoint does not have, or not with such a text."""

_BY_REASON = {
    Reason.THROTTLED: Classification("throttled", Confidence.CERTAIN),
    Reason.UNAVAILABLE: Classification("metadata-service-unavailable", Confidence.LIKELY),
    Reason.NOT_READY: Classification("load-balancer-api-not-ready", Confidence.POSSIBLE),
    Reason.REJECTED: Classification("request-refused", Confidence.POSSIBLE),
    Reason.MALFORMED: Classification("answer-malformed", Confidence.LIKELY),
}


def judge_reason(reason: Reason, environment: Environment) -> Classification:
    """The cause of a failure of which the reason is all that is known."""
    if reason in _BY_REASON:
        return _BY_REASON[reason]
    if environment.host_network is False:
        because = "the agent's pod is outside the node's network"
        return Classification("imds-restriction", Confidence.LIKELY, because)
    return Classification("metadata-service-unreachable", Confidence.LIKELY)


def judge(failed: ServiceAttempt, environment: Environment) -> Classification:
    """The cause that a failed request points to."""
    if failed.kind is not None:
        return _judge_kind(failed.kind, environment)
    if failed.status is None and failed.reason is not None:
        return judge_reason(failed.reason, environment)
    status = failed.status or 0
    if _GUEST_PROXY_HEADER in failed.headers:
        because = f"the answer has the header {_GUEST_PROXY_HEADER}"
        return Classification("metadata-security-protocol", Confidence.CERTAIN, because)
    if because := _sign_of_proxy(failed):
        return Classification("proxy-in-the-way", Confidence.CERTAIN, because)
    if status in _GUEST_PROXY_STATUSES:
        because = "the service itself documents no such status"
        return Classification("metadata-security-protocol", Confidence.LIKELY, because)
    if because := _sign_of_stranger(failed):
        cause = "proxy-in-the-way" if environment.default_endpoint else "wrong-endpoint"
        return Classification(cause, Confidence.LIKELY, because)

    # From here on it is the service that answered, as far as can be seen.
    if refuses_version(status, failed.body):
        return Classification("api-version-refused", Confidence.CERTAIN)
    words = failed.detail.lower()
    for row in VENDOR_ERRORS:
        if row.status == status and (not row.words or any(each in words for each in row.words)):
            return Classification(row.cause, Confidence.CERTAIN, f"the vendor's page: {row.mitigation}")
    if 500 <= status < 600:
        # Programs on the way answer 502 or 503 as well, and not all of them say their name. A name that is
        # there is the service's: a stranger's was judged above.
        named = bool(failed.headers.get("server"))
        confidence = Confidence.CERTAIN if named else Confidence.LIKELY
        because = "" if named else "nothing but the status looks like the metadata service"
        return Classification("metadata-service-unavailable", confidence, because)
    return _UNDOCUMENTED.get(status, Classification("answer-malformed", Confidence.CERTAIN))


def _judge_kind(kind: FailureKind, environment: Environment) -> Classification:
    """The cause of a request that brought no complete response."""
    match kind:
        case FailureKind.NO_CONNECTION if environment.host_network is not True:
            confidence = Confidence.LIKELY if environment.default_endpoint else Confidence.POSSIBLE
            return Classification("imds-restriction", confidence, "this is a pod outside the node's network")
        case FailureKind.NO_ANSWER:
            return Classification("metadata-service-silent", Confidence.LIKELY, "the connection was accepted")
        case FailureKind.BROKEN:
            return Classification("answer-malformed", Confidence.CERTAIN)
        case FailureKind.UNKNOWN_NAME:
            return Classification("wrong-endpoint", Confidence.CERTAIN, "the name of the endpoint is unknown")
        case FailureKind.REFUSED | FailureKind.NO_ROUTE | FailureKind.NO_CONNECTION if (
            not environment.default_endpoint
        ):
            because = f"{environment.endpoint} is not the well-known address"
            return Classification("wrong-endpoint", Confidence.LIKELY, because)
        case _:
            # From afar it is not known which endpoint the agent uses.
            confidence = Confidence.CERTAIN if environment.same_host else Confidence.LIKELY
            return Classification("metadata-service-unreachable", confidence)


def _sign_of_proxy(failed: ServiceAttempt) -> str:
    """What shows that a proxy answered; empty if nothing does."""
    if failed.status == 407:
        return "only proxies ask for authentication with 407"
    for name in PROXY_HEADERS:
        if name in failed.headers:
            return f"the answer has the header {name}: {failed.headers[name]}"
    server = failed.headers.get("server", "")
    if any(proxy in server.lower() for proxy in PROXY_SERVERS):
        return f"the answer is from {server}"
    text = f"{failed.body.decode('ascii', 'replace')} {failed.detail}".lower()
    program = next((program for words, program in PROGRAMS if words in text), None)
    return "" if program is None else f"the answer is from {program}, by its text"


def _sign_of_stranger(failed: ServiceAttempt) -> str:
    """What shows that the service itself did not answer; empty if nothing does."""
    if 300 <= (failed.status or 0) < 400:
        return "the service never redirects"
    for name, cloud in OTHER_CLOUDS.items():
        if name in failed.headers:
            return f"the answer has the header {name}: it is from the metadata service of {cloud}"
    if failed.body.lstrip()[:15].lower().startswith((b"<!doctype html", b"<html")):
        return "the answer is an HTML page"
    server = failed.headers.get("server", "")
    return (
        f"the answer is from {server}" if server and not server.lower().startswith(_SERVICE_SERVERS) else ""
    )
