"""The evidence of ``doctor``: plain values that probes fill, and that rules, report and bundle read.

``None`` always means that a probe was not made, or could not find out.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sidecar.core.addresses import IPAddress, IPNetwork, is_in
from sidecar.core.annotations import Layout, found
from sidecar.core.document import Document
from sidecar.core.egress import EgressState
from sidecar.core.instant import parse_http_date
from sidecar.core.outcome import FailureKind, Reason, Status
from sidecar.core.parsing import DroppedEntry
from sidecar.core.probes import FlowFailure, Probe
from sidecar.core.published import read


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAttempt:
    """One request to the metadata service, and what came back."""

    at: datetime
    target: str = ""
    """Path and query of the request."""
    sent: Mapping[str, str] = field(default_factory=dict)
    """Headers of the request, beside the usual ones."""
    seconds: float
    """From the request to the last byte of the response, or to the time-out."""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the response, by lower-case name."""
    body: bytes = b""
    """The beginning of the response's body."""
    reason: Reason | None = None
    """Why there are no data; ``None``: the service said what there is, possibly nothing."""
    kind: FailureKind | None = None
    """How a request ended that brought no complete response."""
    detail: str = ""
    """Why it brought no data: one line of printable ASCII."""
    retry_after: float | None = None
    """Seconds that the service said to wait."""

    @property
    def failed(self) -> bool:
        """Whether the service did not say what there is."""
        return self.reason is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEvidence:
    """The responses of the metadata service to ``doctor`` itself."""

    attempts: Sequence[ServiceAttempt]
    """Those to read the document; at least one."""
    document: Document | None = None
    """Of the last attempt that brought one; empty when the service says that there is none."""
    dropped: Sequence[DroppedEntry] = ()
    """Entries of that document that are wrong."""
    without_header: ServiceAttempt | None = None
    """A request without ``Metadata: true``, which the service must refuse."""
    instance_public_ips: Sequence[str] | None = None
    """What ``/metadata/instance`` lists: Basic SKU addresses alone, Standard ones are empty there."""
    exchanges: Mapping[str, ServiceAttempt] = field(default_factory=dict)
    """Every request, by a name for people."""
    clock_ahead: float | None = None
    """Seconds that this machine's clock is ahead of the service's ``Date`` (below 0: behind)."""

    @property
    def failures(self) -> Sequence[ServiceAttempt]:
        """The attempts that brought no data."""
        return [each for each in self.attempts if each.failed]


@dataclass(frozen=True, slots=True)
class AgentAttempt:
    """An attempt of an agent to read the document, as its ``/attempts`` lists it."""

    at: str
    """UTC, RFC 3339."""
    outcome: str
    """``ok``, ``no-metadata`` or a reason."""
    detail: str = ""
    status: int | None = None
    """HTTP status of a complete response, where the attempt failed."""
    kind: FailureKind | None = None
    """How the request ended, where it brought no complete response."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What an agent's last connection to an egress probe brought, over one address family."""

    probe: Probe
    family: int
    """4 or 6."""
    address: IPAddress | None = None
    """Where the probe saw it come from."""
    inside: bool = False
    """Whether that is an own or a private address."""
    failure: FlowFailure | None = None
    detail: str = ""

    def __str__(self) -> str:
        text = f"{self.probe} over IPv{self.family}: {self.failure or self.address}"
        return f"{text} ({self.detail})" if self.detail else text


@dataclass(frozen=True, slots=True, kw_only=True)
class EgressEvidence:
    """Where an agent says that connections leave from."""

    state: EgressState
    configured: Sequence[IPAddress] = ()
    """As the metadata service has them; from annotations, those that nothing declared replaces."""
    declared: Sequence[IPNetwork] = ()
    observed: Mapping[IPAddress, datetime | None] = field(default_factory=dict)
    """When probes saw them last, as far as that is known."""
    unlisted: Sequence[IPAddress] = ()
    """Those of `observed` that are neither declared nor configured."""
    probed_at: datetime | None = None
    """When the last round of probes ended."""
    results: Sequence[ProbeResult] = ()
    """Of that round; empty in annotations."""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentEvidence:
    """What a running agent reports."""

    where: str
    """Which agent: a URL, or a pod."""
    reached: bool
    """Whether an agent answered."""
    silent: bool = False
    """Whether something there accepts connections, and did not answer in time."""
    detail: str = ""
    """Why it could not be reached, or what it says of its data."""
    node: str | None = None
    status: Status | None = None
    reason: Reason | None = None
    revision: str | None = None
    changed_at: datetime | None = None
    observed_at: datetime | None = None
    document: Document | None = None
    egress: EgressEvidence | None = None
    """``None``: not known, or from an agent that does not know it itself."""
    overdue: str | None = None
    """What ``/livez`` reports; empty while all is well."""
    unready: str | None = None
    """What ``/readyz`` reports; empty while all is well."""
    samples: Mapping[str, float] = field(default_factory=dict)
    """Its metrics, by name with labels as the exposition format writes them."""
    attempts: Sequence[AgentAttempt] = ()
    """The last ones, newest first; empty if they are not known."""
    bodies: Mapping[str, bytes] = field(default_factory=dict)
    """Its responses, by path."""
    lost: Mapping[str, str] = field(default_factory=dict)
    """Why there is no response, by path."""

    @property
    def annotates(self) -> bool:
        """Whether it publishes to a Node."""
        return bool(self.values("publishes_total", publisher="node"))

    def count(self, outcome: str) -> float:
        """Its attempts since the start with this outcome."""
        return sum(self.values("attempts_total", outcome=outcome))

    @property
    def counted(self) -> float:
        """All its attempts since the start."""
        return sum(self.values("attempts_total"))

    def values(self, metric: str, **labels: str) -> Sequence[float]:
        """The samples of one of its labelled metrics that have these labels.

        Args:
            metric: Its name without our prefix.
            labels: Some of its labels, and their values.
        """
        start = f"azure_lb_metadata_{metric}{{"
        wanted = [f'{name}="{value}"' for name, value in labels.items()]
        return [
            value
            for sample, value in self.samples.items()
            if sample.startswith(start) and all(label in sample for label in wanted)
        ]


class ApiServerFailureKind(StrEnum):
    """The situation that a request to the API server ended in; see :mod:`sidecar.kube.errors`."""

    CONFIGURATION = "configuration"
    CREDENTIALS = "credentials"
    NO_ANSWER = "no answer"
    UNAUTHORIZED = "unauthorized"
    FORBIDDEN = "forbidden"
    NOT_FOUND = "not found"
    REJECTED = "rejected"
    THROTTLED = "throttled"
    SERVER = "server"
    MALFORMED = "malformed"


@dataclass(frozen=True, slots=True)
class ApiServerFailure:
    """A request to the API server that failed."""

    kind: ApiServerFailureKind
    text: str
    """What happened, without advice."""
    advice: str = ""
    status: int | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenClaims:
    """The claims of a service account token; never the token itself."""

    namespace: str = ""
    service_account: str = ""
    pod: str = ""
    node: str = ""
    """Kubernetes 1.30 and later write it."""
    issued: datetime | None = None
    expires: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PodEvidence:
    """The agent's pod on a Node, as the API server has it."""

    name: str
    """``namespace/name``."""
    ready: bool
    trouble: str = ""
    """Why it is not ready, in the cluster's words."""
    host_network: bool = False
    annotates: bool = True
    """Whether it is set to publish to the Node."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterEvidence:
    """The responses of the API server."""

    node_name: str
    prefix: str
    """Of the agent's annotations."""
    identity: str = ""
    """On whose behalf rights were reviewed; empty: that of the credentials used."""
    problem: ApiServerFailure | None = None
    """Why nothing else is known: the Node could not be read."""
    uid: str = ""
    """Of the Node."""
    node_annotations: Mapping[str, str] = field(default_factory=dict)
    """All of the Node."""
    node_ready: bool | None = None
    """The Node's condition Ready; ``None`` if it has none."""
    clock_ahead: float | None = None
    """Seconds that this machine's clock is ahead of the API server's ``Date`` (below 0: behind)."""
    rights: Mapping[str, bool] = field(default_factory=dict)
    """By verb on the Node: whether it is allowed. Empty if that could not be found out."""
    dry_run: ApiServerFailure | None = None
    """Why the API server would refuse what the agent writes."""
    claims: TokenClaims | None = None
    pod: PodEvidence | None = None
    """The agent's pod, where it was looked for."""
    pod_ports: tuple[int, int] | None = None
    """Of the pod's API and of its admin listener; ``None``: its specification was not read."""
    rivals: Sequence[str] = ()
    """Other agents' pods on the Node that write under the same prefix."""
    pod_missing: bool = False
    """It was looked for, and there is none on the Node."""
    obstacles: Sequence[str] = ()
    """What keeps the agents' DaemonSet off the Node, each with the chart's value that would help."""
    notes: Sequence[str] = ()
    """What could not be read, and why."""

    @property
    def annotations(self) -> Mapping[str, str]:
        """Those of the Node under the agent's prefix, without it."""
        start = f"{self.prefix}/"
        return {
            key.removeprefix(start): value
            for key, value in self.node_annotations.items()
            if key.startswith(start)
        }

    @property
    def document(self) -> Document | None:
        """What the annotations say, if they hold it whole."""
        published = found(self.node_annotations, layout=Layout(prefix=self.prefix))
        return None if published is None else published.document

    @property
    def egress(self) -> EgressEvidence | None:
        """What the annotations say of egress, if anything is declared or probed."""
        published = read(self.node_annotations, layout=Layout(prefix=self.prefix))
        if published is None or not (published.egress_networks or published.egress_state):
            return None
        declared, ips = published.egress_networks or (), published.egress_ips or ()
        return EgressEvidence(
            state=published.egress_state or EgressState.OFF,
            configured=[address for address in ips if not is_in(address, declared)],
            declared=declared,
            observed=dict.fromkeys(published.egress_observed or ()),
            unlisted=published.unlisted,
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What ``doctor`` knows before the first request."""

    endpoint: str
    default_endpoint: bool
    """Whether that is the well-known address."""
    timeout: float
    """Seconds that the agent gives a request to the metadata service."""
    api_version: str = ""
    """The one that is set, where that is not the default."""
    settle: float = 300.0
    """Seconds after which the Node has what the agent knows, unless something is wrong."""
    node_name: str | None = None
    upstream: str = ""
    """The node agent that the agent here reads from; empty: it reads from the metadata service itself."""
    same_host: bool = True
    """Whether the agent that was probed should be that of this machine."""
    host_network: bool | None = None
    """Whether the agent runs in the node's own network, where AKS restricts nothing."""
    proxies: Mapping[str, str] = field(default_factory=dict)
    """Variables that name a proxy, without credentials. The agent uses none."""
    misspelt: Mapping[str, str] = field(default_factory=dict)
    """Variables with our prefix that are no settings, each with the nearest one."""
    seen_from: Sequence[IPAddress] = ()
    """Addresses that others saw connections of this node come from."""
    declared: Sequence[IPNetwork] = ()
    """Networks that the settings here say connections leave from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """All results of one run of the probes."""

    now: datetime
    """By this machine's clock."""
    environment: Environment
    node: str | None = None
    """The node's name, as far as it is known."""
    agent: AgentEvidence | None = None
    service: ServiceEvidence | None = None
    cluster: ClusterEvidence | None = None
    notes: Sequence[str] = ()
    """What could not be probed, and why."""
    secrets: Sequence[str] = ()
    """What must never be shown."""

    @property
    def document(self) -> Document | None:
        """The newest document there is: the service's own, the agent's, that of the annotations."""
        for evidence in (self.service, self.agent, self.cluster):
            if evidence is not None and evidence.document is not None:
                return evidence.document
        return None

    @property
    def egress(self) -> EgressEvidence | None:
        """What the agent says of egress, else the Node's annotations."""
        for evidence in (self.agent, self.cluster):
            if evidence is not None and evidence.egress is not None:
                return evidence.egress
        return None

    @property
    def declared(self) -> Sequence[IPNetwork]:
        """Networks that the operator says connections leave from."""
        return self.environment.declared if self.egress is None else self.egress.declared

    @property
    def clocks(self) -> Mapping[str, float]:
        """Seconds that this machine's clock is ahead (below 0: behind), by whose clock it was compared to."""
        compared = {"the metadata service": self.service, "the API server": self.cluster}
        return {
            whose: evidence.clock_ahead
            for whose, evidence in compared.items()
            if evidence is not None and evidence.clock_ahead is not None
        }


def seconds_ahead(date: str | None, *, now: datetime) -> float | None:
    """Seconds that this machine's clock is ahead of the one that wrote a ``Date`` header; below 0: behind.

    ``None`` when there is no such header or it cannot be read.
    """
    there = None if date is None else parse_http_date(date)
    return None if there is None else (now - there).total_seconds()
