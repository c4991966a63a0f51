"""The pod-facing HTTP API: read-only, and a reader of the latest snapshot.

It is a bare aiohttp request handler rather than an application with a router: all routing there is
is one look-up in a table, every path and method is answered in a documented form, and a request
like one before costs one look-up in a dictionary.
"""

import logging
import traceback
from dataclasses import dataclass
from http import HTTPStatus
from urllib.parse import unquote, urlsplit

from aiohttp import hdrs, web

from sidecar.api import imds
from sidecar.api.bodies import Question
from sidecar.api.endpoints import ENDPOINTS, Endpoint
from sidecar.api.filters import Filter
from sidecar.api.negotiation import etag_matches
from sidecar.api.parameters import read_parameters
from sidecar.api.problems import (
    FORWARDED,
    METHODS,
    ForwardedError,
    MetadataHeaderError,
    MethodError,
    OtherNodeError,
    ProblemError,
    UnknownPathError,
    problem_response,
)
from sidecar.api.representations import Key, Prepared, Representations, data_headers
from sidecar.clock import Clock
from sidecar.core.addresses import IPAddress
from sidecar.core.state import Snapshot
from sidecar.latest import Latest
from sidecar.logs import log
from sidecar.metrics import Metrics

__all__ = ["Application", "Configuration"]

_logger = logging.getLogger(__name__)

_METADATA = "Metadata"


@dataclass(frozen=True, slots=True, kw_only=True)
class Configuration:
    """What the API is given."""

    latest: Latest[Snapshot]
    clock: Clock
    metrics: Metrics
    node_name: str | None = None
    """Printed in answers, and what the parameter ``node`` is compared with."""
    node_address: IPAddress | None = None
    """The node's own address: decides which public IP address comes first."""
    allow_forwarded: bool = False
    """Whether requests with ``X-Forwarded-For`` are answered."""


class Application:
    """The request handler; see :func:`sidecar.api.serving.serving`."""

    def __init__(self, configuration: Configuration) -> None:
        self._configuration = configuration
        self._refused_forwarded = configuration.metrics.refused_clients.labels(cause="forwarded")
        self._representations = Representations(
            node_name=configuration.node_name,
            node_address=configuration.node_address,
            snapshot=configuration.latest.value,
        )

    async def __call__(self, request: web.BaseRequest) -> web.StreamResponse:
        """Answer a request; whatever a client sends, and whatever goes wrong here, there is an answer."""
        headers = request.headers
        key = Key(
            request.method,
            request.raw_path,
            ",".join(headers.getall(hdrs.ACCEPT, ())),
            headers.get(_METADATA),
            FORWARDED in headers,
        )
        try:
            prepared = self._find(key)
            return self._response(prepared, headers.getall(hdrs.IF_NONE_MATCH, ()))
        except ProblemError as problem:
            return self._refusal(problem, key)
        except Exception as error:  # noqa: BLE001 - a defect costs one answer and never the connection
            log(
                _logger,
                logging.ERROR,
                "request-failed",
                path=_split(key.target)[0],
                error=repr(error),
                traceback=traceback.format_exc(),
            )
            return _failure(key)

    def _find(self, key: Key) -> Prepared:
        representations = self._representations
        representations.follow(self._configuration.latest.value)
        prepared = representations.find(key)
        if prepared is None:
            prepared = representations.prepare(key, *self._understand(key))
        return prepared

    def _understand(self, key: Key) -> tuple[Endpoint, Question]:
        """What a request asks for.

        Raises:
            ProblemError: it asks for nothing there is, or is not to be answered.
        """
        path, query = _split(key.target)
        endpoint = ENDPOINTS.get(path)
        if endpoint is None:
            raise UnknownPathError(path)
        if key.method not in METHODS:
            raise MethodError(key.method)
        if imds.covers(path) and (key.metadata or "").lower() != "true":
            raise MetadataHeaderError
        if key.forwarded and not self._configuration.allow_forwarded:
            self._refused_forwarded.inc()
            raise ForwardedError
        values = read_parameters(query, accepted=endpoint.parameters, required=endpoint.required)
        own, asked = self._configuration.node_name, values.get("node")
        if asked is not None and asked != own:
            raise OtherNodeError(asked, own)
        return endpoint, Question(Filter.of(values), endpoint.form(values.get("format"), key.accept))

    def _response(self, prepared: Prepared, if_none_match: list[str] | tuple[()]) -> web.Response:
        if if_none_match and etag_matches(",".join(if_none_match), prepared.etag):
            response = web.Response(status=HTTPStatus.NOT_MODIFIED, headers=prepared.not_modified_headers)
        else:
            response = web.Response(body=prepared.body, headers=prepared.headers)
        if prepared.observed is not None:
            response.headers[hdrs.AGE] = str(int(prepared.observed.age(self._configuration.clock())))
        return response

    def _refusal(self, problem: ProblemError, key: Key) -> web.Response:
        path, _ = _split(key.target)
        if imds.covers(path):
            response = imds.refusal(problem, method=key.method, path=path)
        else:
            response = problem_response(problem.status, str(problem), headers=problem.headers)
        response.headers.update(data_headers(self._representations.snapshot, self._configuration.node_name))
        return response


def _split(target: str) -> tuple[str, str]:
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


def _failure(key: Key) -> web.Response:
    status = HTTPStatus.INTERNAL_SERVER_ERROR
    if imds.covers(_split(key.target)[0]):
        return imds.error_response(status, {"error": status.phrase})
    return problem_response(status, None)
