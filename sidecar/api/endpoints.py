"""The table of what is answered where: a new path is one more row."""

from dataclasses import dataclass
from enum import Enum, auto

from sidecar.api import bodies
from sidecar.api.parameters import ADDRESS_FILTERS, API_VERSION, RULE_FILTERS, Format, media_types
from sidecar.api.problems import ParameterValueError

_JSON = "application/json"
_TEXT = "text/plain"
_ANY = "*/*"


class Forms(Enum):
    """Which forms an endpoint has, and which one a client gets that wants none in particular."""

    JSON = auto()
    """JSON alone; ``format=text`` is refused."""
    JSON_ALWAYS = auto()
    """JSON alone; ``format=text`` is taken and changes nothing, as with the metadata service."""
    JSON_OR_TEXT = auto()
    TEXT_OR_JSON = auto()


class Kind(Enum):
    """What an answer is."""

    DATA = auto()
    """A body made from the data, under headers that say what those are worth."""
    STATIC = auto()
    """A body that never changes while the agent runs."""
    EVENTS = auto()
    """A stream of the bodies as they change."""
    PAGE = auto()
    """A page for people."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Route:
    """One path and how it is answered."""

    path: str
    """Where it ends with ``{…}``, any last segment is the value of that parameter."""
    build: bodies.Build
    kind: Kind = Kind.DATA
    forms: Forms = Forms.JSON_OR_TEXT
    filters: frozenset[str] = frozenset()
    required: frozenset[str] = frozenset()
    """Parameters without which there is no answer."""
    json_type: str = _JSON
    per_answer: bool = False
    """Whether the body follows each answer as it came, and not the published document."""
    metadata_header: bool = False
    """Whether the header ``Metadata: true`` must be there."""

    @property
    def parameters(self) -> frozenset[str]:
        """Names of the parameters that apply here."""
        form = frozenset(("format",)) if self.kind in (Kind.DATA, Kind.STATIC) else frozenset()
        return self.filters | self.required | form | {"node"}

    def content_type(self, form: Format) -> str:
        """The ``Content-Type`` of a form."""
        return self.json_type if form is Format.JSON else f"{_TEXT}; charset=utf-8"

    def form(self, wanted: Format | None, accept: str) -> Format:
        """Decide on the form by the parameter ``format``, else by the header ``Accept``, which never fails.

        Raises:
            ParameterValueError: ``format`` asks for a form that this endpoint does not have.
        """
        if self.forms is Forms.JSON and wanted is Format.TEXT:
            raise ParameterValueError("format", wanted, expected="only 'json' here")
        if self.forms in (Forms.JSON, Forms.JSON_ALWAYS):
            return Format.JSON
        if wanted is not None:
            return wanted
        named = media_types(accept)
        if self.forms is Forms.TEXT_OR_JSON:
            return Format.JSON if _JSON in named else Format.TEXT
        return Format.TEXT if _TEXT in named and not named & {_JSON, _ANY} else Format.JSON


_TABLE = (
    Route(
        path="/metadata/loadbalancer",
        build=bodies.imds,
        forms=Forms.JSON_ALWAYS,
        required=frozenset((API_VERSION,)),
        json_type=f"{_JSON}; charset=utf-8",
        metadata_header=True,
    ),
    Route(
        path="/metadata/versions",
        build=bodies.versions,
        kind=Kind.STATIC,
        forms=Forms.JSON_ALWAYS,
        json_type=f"{_JSON}; charset=utf-8",
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

ENDPOINTS = {endpoint.path: endpoint for endpoint in _TABLE}
"""Every path, by what it looks like."""


_FIXED = {path: endpoint for path, endpoint in ENDPOINTS.items() if not path.endswith("}")}
_PARENTS = {path.rpartition("/")[0]: endpoint for path, endpoint in ENDPOINTS.items() if path not in _FIXED}


def find(path: str) -> tuple[Route, str | None] | None:
    """The endpoint of a decoded path, and the path's last segment where that is a parameter.

    A slash at the end is passed over where the metadata service is imitated, as clients of it write one.
    """
    endpoint = _FIXED.get(path.removesuffix("/") if path.startswith("/metadata/") else path)
    if endpoint is not None:
        return endpoint, None
    parent, _, last = path.rpartition("/")
    endpoint = _PARENTS.get(parent) if last else None
    return None if endpoint is None else (endpoint, last)
