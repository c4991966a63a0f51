"""Bodies and headers, made once per change of what they are made from and not once per request.

A poll that brings nothing new makes new headers (when the data were observed) and no new bodies.
"""

import hashlib
from dataclasses import dataclass, field
from typing import NamedTuple, TypeVar

from multidict import CIMultiDict

from sidecar.api.bodies import Build, Facts, Question
from sidecar.api.endpoints import Kind, Route
from sidecar.api.problems import HEADERS, NotReadyError, ProblemError
from sidecar.core.addresses import IPAddress
from sidecar.core.instant import Instant, rfc3339
from sidecar.core.state import Snapshot

_CAPACITY = 512
"""Entries of each cache; a full cache is emptied."""

_LONGEST_KEY = 512
"""Characters; whoever sends longer requests pays for them."""

_K = TypeVar("_K")
_V = TypeVar("_V")


class Key(NamedTuple):
    """All of a request that decides about its answer, but for conditions on the ETag."""

    method: str
    target: str
    """As it came, with the query."""
    accept: str
    metadata: bool
    """Whether there is a header ``Metadata: true``."""
    forwarded: bool
    """Whether there is an ``X-Forwarded-For``."""


@dataclass(frozen=True, slots=True)
class Representation:
    """One body and its strong ETag, which is of exactly these bytes."""

    body: bytes
    etag: str
    """With its quotes."""

    @classmethod
    def of(cls, body: bytes) -> "Representation":
        """Name a body by its bytes."""
        return cls(body=body, etag=f'"{hashlib.sha256(body).hexdigest()[:32]}"')


@dataclass(frozen=True, slots=True)
class Prepared:
    """Everything of an answer but its age. The headers are copied for each answer."""

    body: bytes
    etag: str
    headers: CIMultiDict[str]
    not_modified_headers: CIMultiDict[str]
    observed: Instant | None
    """When the data were last known to be true."""


@dataclass(slots=True)
class Representations:
    """The answers that were made since the last change, for one event loop."""

    node_name: str | None
    node_address: IPAddress | None
    snapshot: Snapshot
    """The snapshot that answers are made from: see :meth:`follow`."""
    _bodies: dict[tuple[Build, Question], Representation] = field(init=False, default_factory=dict)
    _prepared: dict[Key, Prepared] = field(init=False, default_factory=dict)

    def refresh(self, snapshot: Snapshot) -> bool:
        """Take the newest snapshot, forget what was made from other data, and tell whether they are other."""
        before, self.snapshot = self.snapshot, snapshot
        self._prepared.clear()
        changed = _content(snapshot) != _content(before)
        if changed:
            self._bodies.clear()
        return changed or snapshot.state.answer is not before.state.answer

    @property
    def facts(self) -> Facts:
        """What bodies are made from."""
        return Facts(self.snapshot, self.snapshot.state.node(self.node_name), self.node_address)

    def find(self, key: Key) -> Prepared | None:
        """The answer to a request like one before, if it is still what would be made now."""
        return self._prepared.get(key)

    def prepare(self, key: Key, endpoint: Route, question: Question) -> Prepared:
        """Make the answer to a request.

        Raises:
            ProblemError: there is no body to make.
        """
        representation = self.representation(endpoint, question)
        data = endpoint.kind is not Kind.STATIC
        headers = CIMultiDict(
            {
                "ETag": representation.etag,
                "Vary": "Accept",
                **(data_headers(self.snapshot, self.node_name) if data else HEADERS),
            }
        )
        prepared = Prepared(
            body=representation.body,
            etag=representation.etag,
            headers=CIMultiDict(
                {
                    "Content-Type": endpoint.content_type(question.form),
                    # Given here since the library leaves out a length of 0 in answers to HEAD.
                    "Content-Length": str(len(representation.body)),
                },
                **headers,
            ),
            not_modified_headers=headers,
            observed=self.snapshot.state.observed if data else None,
        )
        if len(key.target) + len(key.accept) <= _LONGEST_KEY:
            _remember(self._prepared, key, prepared)
        return prepared

    def etag(self, endpoint: Route, question: Question) -> str | None:
        """See :class:`sidecar.api.waiting.Etags`."""
        try:
            return self.representation(endpoint, question).etag
        except NotReadyError:
            return None
        except ProblemError:
            return ""

    def representation(self, endpoint: Route, question: Question) -> Representation:
        """The body that answers a question at the moment.

        Raises:
            ProblemError: there is none.
        """
        known = self._bodies.get((endpoint.build, question))
        if known is not None:
            return known
        made = Representation.of(endpoint.build(self.facts, question))
        if not endpoint.per_answer:
            _remember(self._bodies, (endpoint.build, question), made)
        return made


def data_headers(snapshot: Snapshot, node_name: str | None) -> dict[str, str]:
    """The headers that say whose data an answer carries, and what they are worth.

    Without a ``node_name`` it is the node that a node agent names.
    """
    state = snapshot.state
    node_name = state.node(node_name)
    headers = {**HEADERS, "Azure-LB-Metadata-Status": str(snapshot.status)}
    if node_name is not None:
        headers["Azure-LB-Metadata-Node"] = node_name
    if state.document is not None and state.observed is not None:
        headers["Azure-LB-Metadata-Revision"] = state.document.revision
        headers["Azure-LB-Metadata-Observed-At"] = rfc3339(state.observed.utc)
        headers["Azure-LB-Metadata-Source"] = str(state.source)
    return headers


def _content(snapshot: Snapshot) -> tuple[object, ...]:
    """What bodies depend on."""
    state = snapshot.state
    node = state.node(None)
    return state.document, snapshot.status, snapshot.reason, state.changed_at, state.changes, node


def _remember(cache: dict[_K, _V], key: _K, value: _V) -> None:
    if len(cache) >= _CAPACITY:
        cache.clear()
    cache[key] = value
