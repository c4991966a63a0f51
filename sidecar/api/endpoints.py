"""The table of paths, and the parsing of requests by it: a new path is one more row."""

from urllib.parse import unquote, urlsplit

from sidecar.api import bodies, imds
from sidecar.api.parameters import ADDRESS_FILTERS, API_VERSION, RULE_FILTERS, read_parameters
from sidecar.api.problems import (
    METHODS,
    ForwardedError,
    MetadataHeaderError,
    MethodError,
    OtherNodeError,
    ParameterValueError,
    not_found,
)
from sidecar.api.request import JSON, Forms, Kind, ParsedRequest, RawRequest, Route
from sidecar.core.addresses import parse_address

_ROUTES = (
    Route(
        path="/metadata/loadbalancer",
        build=bodies.imds,
        forms=Forms.JSON_ALWAYS,
        required=frozenset((API_VERSION,)),
        json_type=f"{JSON}; charset=utf-8",
        metadata_header=True,
    ),
    Route(
        path="/metadata/versions",
        build=bodies.versions,
        kind=Kind.STATIC,
        forms=Forms.JSON_ALWAYS,
        json_type=f"{JSON}; charset=utf-8",
    ),
    Route(path="/v1/loadbalancer", build=bodies.loadbalancer, forms=Forms.JSON),
    Route(
        path="/v1/public-ip",
        build=bodies.public_ip,
        forms=Forms.TEXT_OR_JSON,
        filters=frozenset(("family",)),
    ),
    Route(path="/v1/public-ips", build=bodies.public_ips, filters=ADDRESS_FILTERS),
    Route(path="/v1/inbound-ips", build=bodies.inbound_ips, filters=RULE_FILTERS),
    Route(path="/v1/outbound-ips", build=bodies.outbound_ips, filters=ADDRESS_FILTERS),
    Route(path="/v1/egress-ips", build=bodies.egress_ips, filters=ADDRESS_FILTERS),
    Route(path="/v1/egress", build=bodies.egress),
    Route(path="/v1/inbound-rules", build=bodies.inbound_rules, filters=RULE_FILTERS),
    Route(path="/v1/outbound-rules", build=bodies.outbound_rules, filters=ADDRESS_FILTERS),
    Route(path="/v1/private-ips", build=bodies.private_ips, filters=RULE_FILTERS),
    Route(path="/v1/private-ips/{ip}", build=bodies.private_ip, forms=Forms.JSON),
    Route(
        path="/v1/reachable",
        build=bodies.reachable,
        filters=ADDRESS_FILTERS,
        required=frozenset(("protocol", "port")),
    ),
    Route(path="/v1/history", build=bodies.history),
    Route(path="/v1/raw", build=bodies.raw, forms=Forms.JSON, per_answer=True),
    Route(path="/openapi.json", build=bodies.openapi, kind=Kind.STATIC, forms=Forms.JSON),
    Route(path="/v1/events", build=bodies.loadbalancer, kind=Kind.EVENTS, forms=Forms.JSON),
    Route(path="/", build=bodies.loadbalancer, kind=Kind.PAGE, forms=Forms.JSON),
)

ENDPOINTS = {route.path: route for route in _ROUTES}
"""Every route by its path."""

STATE = ParsedRequest(route=ENDPOINTS["/v1/loadbalancer"])
"""What events carry and the page shows."""

_FIXED = {path: route for path, route in ENDPOINTS.items() if not path.endswith("}")}
_PARENTS = {path.rpartition("/")[0]: route for path, route in ENDPOINTS.items() if path not in _FIXED}


def find(path: str) -> tuple[Route, str | None] | None:
    """The route of a decoded path, and the path's last segment where that is a parameter.

    A slash at the end is ignored where the metadata service is imitated, as clients of it write one.
    """
    route = _FIXED.get(path.removesuffix("/") if path.startswith("/metadata/") else path)
    if route is not None:
        return route, None
    parent, _, last = path.rpartition("/")
    route = _PARENTS.get(parent) if last else None
    return None if route is None else (route, last)


def split_target(target: str) -> tuple[str, str]:
    """The decoded path of a request target, and its query as it came.

    Clients may send the absolute form, ``GET http://host/path`` (RFC 9112, section 3.2.2).
    """
    if not target.startswith("/"):
        try:
            parts = urlsplit(target)
        except ValueError:
            return target, ""
        return unquote(parts.path), parts.query
    path, _, query = target.partition("#")[0].partition("?")
    return unquote(path), query


def parse(raw: RawRequest, *, node_name: str | None) -> ParsedRequest:
    """Parse a request.

    Args:
        raw: The request.
        node_name: The name that the parameter ``node`` is compared with.

    Raises:
        ProblemError: nothing answers such a request, or it is refused.
    """
    path, query = split_target(raw.target)
    found = find(path)
    if found is None:
        raise not_found(raw.method, target=raw.target, path=path)
    route, last = found
    if raw.method not in METHODS:
        raise MethodError(raw.method)
    if route.metadata_header and not raw.metadata:
        raise MetadataHeaderError
    # A static body is about no node; but the metadata service refuses all that was forwarded.
    guarded = route.kind is not Kind.STATIC or imds.covers(route.path)
    if raw.forwarded and guarded:
        raise ForwardedError
    values = read_parameters(query, accepted=route.parameters, required=route.required)
    node = values.get("node")
    if node is not None and node != node_name:
        raise OtherNodeError(node, node_name)
    form = route.form(values.get("format"), raw.accept)
    try:
        ip = None if last is None else parse_address(last)
    except ValueError:
        raise ParameterValueError("ip", str(last), expected="an IP address") from None
    return ParsedRequest.of(route, values, form=form, ip=ip)
