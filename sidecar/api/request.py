"""The values of a request: raw, its route, and parsed; and the facts that its body is made from."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum, auto
from typing import Any, NamedTuple

from sidecar.api.parameters import AddressScope, Format, media_types, scope_of
from sidecar.api.problems import NotReadyError, ParameterValueError
from sidecar.core.addresses import IPAddress
from sidecar.core.document import Document, InboundRule, OutboundRule, PublicIPAddress
from sidecar.core.state import Snapshot

JSON = "application/json"
TEXT = "text/plain"


class RawRequest(NamedTuple):
    """The parts of a request that determine its response, apart from ``If-None-Match`` and ``Prefer``."""

    method: str
    target: str
    """As it came, with the query."""
    accept: str
    metadata: bool
    """Whether there is a header ``Metadata: true``."""
    forwarded: bool
    """Whether there is an ``X-Forwarded-For`` that is not allowed."""


class Forms(Enum):
    """The forms that a route has, and the one that a client gets without a preference."""

    JSON = auto()
    """JSON alone; ``format=text`` is refused."""
    JSON_ALWAYS = auto()
    """JSON alone; ``format=text`` is accepted and ignored, as by the metadata service."""
    JSON_OR_TEXT = auto()
    TEXT_OR_JSON = auto()


class Kind(Enum):
    """How a route is answered."""

    DATA = auto()
    """A body made from the data, with headers that give their status and age."""
    STATIC = auto()
    """A body that never changes while the agent runs."""
    EVENTS = auto()
    """A stream of the bodies as they change."""
    PAGE = auto()
    """A page for people."""


@dataclass(frozen=True, slots=True)
class Facts:
    """What bodies are made from."""

    snapshot: Snapshot
    node_name: str | None
    node_address: IPAddress | None

    @property
    def document(self) -> Document:
        """The published document.

        Raises:
            NotReadyError: no document yet.
        """
        document = self.snapshot.state.document
        if document is None:
            reason = self.snapshot.reason
            why = "" if reason is None else f" The last attempt ended with: {reason}."
            raise NotReadyError(f"No response from the metadata service yet.{why}")
        return document

    @property
    def answered(self) -> Snapshot:
        """The snapshot, if it has a document.

        Raises:
            NotReadyError: no document yet.
        """
        _ = self.document
        return self.snapshot


# Compared and hashed by identity, which is cheap: each path has one route.
@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Route:
    """One path and how it is answered."""

    path: str
    """Where it ends with ``{…}``, any last segment is the value of that parameter."""
    build: "Callable[[Facts, ParsedRequest], bytes]"
    """Makes a body, or raises :class:`sidecar.api.problems.ProblemError`."""
    kind: Kind = Kind.DATA
    forms: Forms = Forms.JSON_OR_TEXT
    filters: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    """Names of the required parameters."""
    json_type: str = JSON
    per_answer: bool = False
    """Whether the body changes with each answer of the source rather than with the published document."""
    metadata_header: bool = False
    """Whether the header ``Metadata: true`` is required."""

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the parameters that apply here."""
        form = frozenset(("format",)) if self.kind in (Kind.DATA, Kind.STATIC) else frozenset()
        return self.filters | self.required | form | {"node"}

    def form(self, wanted: Format | None, accept: str) -> Format:
        """Choose the form by the parameter ``format``, else by the header ``Accept``, which never fails.

        Raises:
            ParameterValueError: ``format`` names a form that this route does not have.
        """
        if self.forms is Forms.JSON and wanted is Format.TEXT:
            raise ParameterValueError("format", wanted, expected="only 'json' here")
        if self.forms in (Forms.JSON, Forms.JSON_ALWAYS):
            return Format.JSON
        if wanted is not None:
            return wanted
        named = media_types(accept)
        if self.forms is Forms.TEXT_OR_JSON:
            return Format.JSON if JSON in named else Format.TEXT
        return Format.TEXT if TEXT in named and not named & {JSON, "*/*"} else Format.JSON


@dataclass(frozen=True, slots=True, kw_only=True)
class ParsedRequest:
    """What is requested; equal requests have equal bodies. ``None`` sets no condition."""

    route: Route
    form: Format = Format.JSON
    ip: IPAddress | None = None
    """The private IP address in the path."""
    port: int | None = None

    private_ip: IPAddress | None = None
    """This and the following are conditions that an entry of the document must all meet."""
    family: int | None = None
    """4 or 6, of the frontend."""
    scope: AddressScope | None = None
    """Of the frontend."""
    protocol: str | None = None
    frontend_port: int | None = None
    backend_port: int | None = None

    @classmethod
    def of(
        cls,
        route: Route,
        values: Mapping[str, Any],
        *,
        form: Format = Format.JSON,
        ip: IPAddress | None = None,
    ) -> "ParsedRequest":
        """From parsed parameters by their names in the query."""
        return cls(
            route=route,
            form=form,
            ip=ip,
            port=values.get("port"),
            private_ip=values.get("privateIp"),
            family=values.get("family"),
            scope=values.get("scope"),
            protocol=values.get("protocol"),
            frontend_port=values.get("frontendPort"),
            backend_port=values.get("backendPort"),
        )

    def select(self, document: Document) -> Document:
        """The document with only those entries that meet the conditions, in their order.

        Entries that have no protocol and no ports meet every condition on them.
        """
        of_pairs = (self.private_ip, self.family, self.scope)
        of_rules = (self.protocol, self.frontend_port, self.backend_port)
        if all(condition is None for condition in (*of_pairs, *of_rules)):
            return document

        def meets(entry: PublicIPAddress | OutboundRule | InboundRule) -> bool:
            return (
                self.private_ip in (None, entry.private_ip)
                and self.family in (None, entry.frontend_ip.version)
                and (self.scope is None or self.scope is scope_of(entry.frontend_ip))
            )

        return Document(
            public_ip_addresses=tuple(filter(meets, document.public_ip_addresses)),
            inbound_rules=tuple(
                rule
                for rule in document.inbound_rules
                if self.protocol in (None, rule.protocol)
                and self.frontend_port in (None, rule.frontend_port)
                and self.backend_port in (None, rule.backend_port)
                and meets(rule)
            ),
            outbound_rules=tuple(filter(meets, document.outbound_rules)),
        )
