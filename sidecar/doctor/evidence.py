"""The evidence that the probes of ``doctor`` gather: plain values, input of the rules.

``None`` always means that a probe was not made, or could not tell.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from sidecar.core.addresses import IPAddress
from sidecar.core.document import Document
from sidecar.core.instant import parse_http_date
from sidecar.core.outcome import Reason, Status
from sidecar.core.parsing import DroppedEntry


class FailureKind(StrEnum):
    """How an attempt ended that brought no complete answer."""

    REFUSED = "refused"
    NO_ROUTE = "no route"
    UNKNOWN_NAME = "unknown name"
    NO_CONNECTION = "no connection in time"
    """Nothing answers the first packet: somebody drops it."""
    NO_ANSWER = "no answer in time"
    """The connection was accepted."""
    RESET = "reset"
    BROKEN = "broken answer"
    """Not HTTP, cut short or too large."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceAttempt:
    """One request to the metadata service, by ``doctor`` itself."""

    at: datetime
    target: str = ""
    """What was asked for: path and query."""
    sent: Mapping[str, str] = field(default_factory=dict)
    """Headers of the request, beside the usual ones."""
    seconds: float
    """From the request to the last byte, or to the end of the patience."""
    trouble: FailureKind | None = None
    detail: str = ""
    """Why it brought no data: one line of printable ASCII."""
    status: int | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    """Of the answer, by lower-case name."""
    body: bytes = b""
    """The beginning of the answer's body."""
    reason: Reason | None = None
    """Why there are no data, in the agent's words; ``None``: there is an answer, possibly "none"."""
    retry_after: float | None = None
    """Seconds that the service asked to wait."""

    @property
    def failed(self) -> bool:
        """Whether the service did not say what there is."""
        return self.reason is not None


@dataclass(frozen=True, slots=True, kw_only=True)
class ServiceEvidence:
    """What the metadata service itself said."""

    tries: Sequence[ServiceAttempt]
    """At least one."""
    document: Document | None = None
    """Of the last try that had one; empty when the service says that there is none."""
    dropped: Sequence[DroppedEntry] = ()
    """Entries of that answer that are wrong."""
    without_header: ServiceAttempt | None = None
    """A request without ``Metadata: true``, which the service must refuse."""
    instance_public_ips: Sequence[str] | None = None
    """What ``/metadata/instance`` lists: Basic SKU addresses alone, Standard ones are empty there."""

    @property
    def failures(self) -> Sequence[ServiceAttempt]:
        """The tries that brought no data."""
        return [each for each in self.tries if each.failed]


@dataclass(frozen=True, slots=True)
class AgentAttempt:
    """An attempt of the agent to ask the metadata service, as it remembers it."""

    at: str
    """UTC, RFC 3339."""
    outcome: str
    """``ok``, ``no-metadata`` or a reason."""
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentEvidence:
    """What a running agent says of itself."""

    where: str
    """Whom was asked: a URL, or a pod."""
    reached: bool
    """Whether an agent answered."""
    detail: str = ""
    """Why it could not be reached, or what it says of its data."""
    node: str | None = None
    status: Status | None = None
    reason: Reason | None = None
    revision: str | None = None
    changed_at: datetime | None = None
    observed_at: datetime | None = None
    document: Document | None = None
    overdue: str | None = None
    """What ``/livez`` complains of; empty while it is content."""
    unready: str | None = None
    """What ``/readyz`` complains of; empty while it is content."""
    samples: Mapping[str, float] = field(default_factory=dict)
    """Its metrics, by name with labels as the exposition format writes them."""
    attempts: Sequence[AgentAttempt] = ()
    """The last ones, newest first; none if they are not known."""

    @property
    def annotates(self) -> bool:
        """Whether it publishes to a Node."""
        return bool(self.values("publishes_total", publisher="node"))

    def count(self, outcome: str) -> float:
        """Its attempts since the start that ended so."""
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
    """Who a service account token says that it is of; never the token itself."""

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
    """What the API server said."""

    node_name: str
    prefix: str
    identity: str = ""
    """On whose behalf rights were reviewed; empty: the one who asks."""
    problem: ApiServerFailure | None = None
    """Why nothing else is known: the Node could not be read."""
    annotations: Mapping[str, str] = field(default_factory=dict)
    """Of the Node, under our prefix, without it."""
    node_ready: bool | None = None
    rights: Mapping[str, bool] = field(default_factory=dict)
    """By verb on the Node: whether it is allowed. Empty if that could not be asked."""
    dry_run: ApiServerFailure | None = None
    """Why the API server would refuse what the agent writes."""
    document: Document | None = None
    """What the annotations say, if they hold it whole."""
    claims: TokenClaims | None = None
    pod: PodEvidence | None = None
    """The agent's pod, where it was looked for."""
    rivals: Sequence[str] = ()
    """Other agents' pods on the Node that write under the same prefix."""
    pod_missing: bool = False
    """It was looked for, and there is none on the Node."""
    obstacles: Sequence[str] = ()
    """What keeps the agents' DaemonSet off the Node, each with the chart's value that would help."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Environment:
    """What ``doctor`` knows before it asks anybody."""

    endpoint: str
    default_endpoint: bool
    """Whether that is the well-known address."""
    timeout: float
    """Seconds that the agent gives a request to the metadata service."""
    api_version: str = ""
    """What is asked for, where that is set and not the default."""
    settle: float = 300.0
    """Seconds after which the Node has what the agent knows, unless something is wrong."""
    node_name: str | None = None
    upstream: str = ""
    """The node agent that the agent here reads from; empty: it asks the metadata service itself."""
    same_host: bool = True
    """Whether the agent that was asked should be that of this machine."""
    host_network: bool | None = None
    """Whether this runs in the node's own network, where AKS restricts nothing."""
    proxies: Mapping[str, str] = field(default_factory=dict)
    """Variables that name a proxy, without credentials. The agent uses none."""
    misspelt: Mapping[str, str] = field(default_factory=dict)
    """Variables with our prefix that are no settings, each with the nearest one."""
    seen_from: Sequence[IPAddress] = ()
    """Addresses that others say they saw connections of this node come from."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Findings:
    """Everything that was found."""

    now: datetime
    """By the own clock."""
    surroundings: Environment
    agent: AgentEvidence | None = None
    service: ServiceEvidence | None = None
    cluster: ClusterEvidence | None = None
    clocks: Mapping[str, float] = field(default_factory=dict)
    """By who tells the time: seconds that the own clock is ahead of it (below 0: behind)."""
    notes: Sequence[str] = ()
    """What could not be looked at, and why."""

    @property
    def document(self) -> Document | None:
        """The newest document there is: the service's own word, the agent's, that of the annotations."""
        for evidence in (self.service, self.agent, self.cluster):
            if evidence is not None and evidence.document is not None:
                return evidence.document
        return None


def seconds_ahead(date: str | None, *, now: datetime) -> float | None:
    """Seconds that the own clock is ahead of the one that wrote a ``Date`` header; below 0 it is behind.

    ``None`` when there is no such header or it cannot be read.
    """
    told = None if date is None else parse_http_date(date)
    return None if told is None else (now - told).total_seconds()
