"""Who answered, where that was not the metadata service: by headers, and by what other programs say."""

from sidecar.core.diagnosis.evidence import Try

__all__ = ["foreign", "named", "says_its_name"]

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


def says_its_name(failed: Try) -> bool:
    """Whether an answer has the name of the service as captures have it."""
    return failed.headers.get("server", "").lower().startswith(_SERVICE_SERVERS)


def named(failed: Try) -> str:
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


def foreign(failed: Try) -> str:
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
