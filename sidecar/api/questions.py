"""From an HTTP request to a query of an endpoint."""

from urllib.parse import unquote, urlsplit

from sidecar.api import imds
from sidecar.api.bodies import Question
from sidecar.api.endpoints import Kind, Route, find
from sidecar.api.parameters import EntryFilter, read_parameters
from sidecar.api.problems import (
    METHODS,
    ForwardedError,
    MetadataHeaderError,
    MethodError,
    OtherNodeError,
    ParameterValueError,
    UnknownPathError,
)
from sidecar.api.representations import Key
from sidecar.core.addresses import IPAddress, parse_address
from sidecar.metrics import Metrics


class Reader:
    """Understands requests.

    Args:
        allow_forwarded: Whether requests with ``X-Forwarded-For`` are answered.
        metrics: Where their refusals are counted.
    """

    def __init__(self, *, allow_forwarded: bool, metrics: Metrics) -> None:
        self._allow_forwarded = allow_forwarded
        self._refused_forwarded = metrics.refused_clients.labels(cause="forwarded")

    def read(self, key: Key, *, node_name: str | None) -> tuple[Route, Question]:
        """What a request asks for.

        Args:
            key: The request.
            node_name: The name that the parameter ``node`` is compared with.

        Raises:
            ProblemError: it asks for nothing there is, or is not to be answered.
        """
        path, query = split_target(key.target)
        found = find(path)
        if found is None:
            raise UnknownPathError(path)
        endpoint, last = found
        if key.method not in METHODS:
            raise MethodError(key.method)
        if endpoint.metadata_header and not key.metadata:
            raise MetadataHeaderError
        if key.forwarded and not self._allow_forwarded and _guarded(endpoint):
            self._refused_forwarded.inc()
            raise ForwardedError
        values = read_parameters(query, accepted=endpoint.parameters, required=endpoint.required)
        asked = values.get("node")
        if asked is not None and asked != node_name:
            raise OtherNodeError(asked, node_name)
        form = endpoint.form(values.get("format"), key.accept)
        address = None if last is None else _address(last)
        return endpoint, Question(EntryFilter.of(values), form, address, values.get("port"))


def _guarded(endpoint: Route) -> bool:
    """Whether an endpoint tells of the node, or stands in for a service that guards all it tells."""
    return endpoint.kind is not Kind.STATIC or imds.covers(endpoint.path)


def _address(text: str) -> IPAddress:
    try:
        return parse_address(text)
    except ValueError:
        raise ParameterValueError("ip", text, expected="an IP address") from None


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
