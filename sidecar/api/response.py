"""Prepared responses: bodies are made once per change of the data, headers once per poll.

A poll without changes makes new headers (when the data were observed) and no new bodies.
"""

import hashlib
from dataclasses import dataclass, field
from typing import TypeVar

from multidict import CIMultiDict

from sidecar.api.parameters import Format
from sidecar.api.problems import HEADERS, NotReadyError, ProblemError
from sidecar.api.request import TEXT, Facts, Kind, ParsedRequest, RawRequest
from sidecar.core.addresses import IPAddress
from sidecar.core.instant import Instant, rfc3339
from sidecar.core.state import Snapshot

_CAPACITY = 512
"""Entries of each cache; a full cache is emptied."""

_LONGEST_REQUEST = 512
"""Characters of the target and ``Accept`` of a request whose response is kept."""

_K = TypeVar("_K")
_V = TypeVar("_V")


@dataclass(frozen=True, slots=True)
class PreparedResponse:
    """Everything of a response but its age. The headers are copied for each response."""

    body: bytes
    etag: str
    headers: CIMultiDict[str]
    not_modified_headers: CIMultiDict[str]
    observed: Instant | None
    """When the source last confirmed the data."""


@dataclass(slots=True)
class Responses:
    """The responses that were made since the last change, for one event loop."""

    node_name: str | None
    node_address: IPAddress | None
    snapshot: Snapshot
    """The snapshot that responses are made from: see :meth:`refresh`."""
    _bodies: dict[ParsedRequest, tuple[bytes, str]] = field(init=False, default_factory=dict)
    _prepared: dict[RawRequest, PreparedResponse] = field(init=False, default_factory=dict)

    def find(self, raw: RawRequest) -> PreparedResponse | None:
        """The response that was prepared for this request since the last snapshot, if any."""
        return self._prepared.get(raw)

    def prepare(self, raw: RawRequest, request: ParsedRequest) -> PreparedResponse:
        """Make the response to a request, and remember it.

        Raises:
            ProblemError: there is no body.
        """
        body, etag = self.body(request)
        route = request.route
        content_type = route.json_type if request.form is Format.JSON else f"{TEXT}; charset=utf-8"
        data = route.kind is not Kind.STATIC
        headers = CIMultiDict({"ETag": etag, "Vary": "Accept", **(self.data_headers() if data else HEADERS)})
        prepared = PreparedResponse(
            body=body,
            etag=etag,
            headers=CIMultiDict(
                {
                    "Content-Type": content_type,
                    # Given here since the library leaves out a length of 0 in answers to HEAD.
                    "Content-Length": str(len(body)),
                },
                **headers,
            ),
            not_modified_headers=headers,
            observed=self.snapshot.state.observed if data else None,
        )
        if len(raw.target) + len(raw.accept) <= _LONGEST_REQUEST:
            _remember(self._prepared, raw, prepared)
        return prepared

    def body(self, request: ParsedRequest) -> tuple[bytes, str]:
        """The body that answers a request at the moment, and its strong ETag with its quotes.

        Raises:
            ProblemError: there is none.
        """
        known = self._bodies.get(request)
        if known is not None:
            return known
        body = request.route.build(self.facts, request)
        made = body, f'"{hashlib.sha256(body).hexdigest()[:32]}"'
        if not request.route.per_answer:
            _remember(self._bodies, request, made)
        return made

    def etag(self, request: ParsedRequest) -> str | None:
        """The ETag of a body; ``None`` before the first data, and empty where there is no body."""
        try:
            return self.body(request)[1]
        except NotReadyError:
            return None
        except ProblemError:
            return ""

    @property
    def facts(self) -> Facts:
        """What bodies are made from."""
        return Facts(self.snapshot, self.snapshot.state.node(self.node_name), self.node_address)

    def data_headers(self) -> dict[str, str]:
        """The headers that name the node, and give the status and the age of the data."""
        state = self.snapshot.state
        node_name = state.node(self.node_name)
        headers = {**HEADERS, "Azure-LB-Metadata-Status": str(self.snapshot.status)}
        if node_name is not None:
            headers["Azure-LB-Metadata-Node"] = node_name
        if state.document is not None and state.observed is not None:
            headers["Azure-LB-Metadata-Revision"] = state.document.revision
            headers["Azure-LB-Metadata-Observed-At"] = rfc3339(state.observed.utc)
            headers["Azure-LB-Metadata-Source"] = str(state.source)
        return headers

    def refresh(self, snapshot: Snapshot) -> bool:
        """Take the newest snapshot, forget what is outdated, and return whether any body may differ."""
        before, self.snapshot = self.snapshot, snapshot
        self._prepared.clear()
        changed = _content(snapshot) != _content(before)
        if changed:
            self._bodies.clear()
        return changed or snapshot.state.answer is not before.state.answer


def _content(snapshot: Snapshot) -> tuple[object, ...]:
    """Everything that bodies depend on, except those of routes with ``per_answer``."""
    state = snapshot.state
    node = state.node(None)
    egress = state.declared, state.told_egress, state.observation
    return state.document, snapshot.status, snapshot.reason, state.changed_at, state.changes, node, egress


def _remember(cache: dict[_K, _V], key: _K, value: _V) -> None:
    if len(cache) >= _CAPACITY:
        cache.clear()
    cache[key] = value
