"""Agents as the cluster describes them: their pods and DaemonSets, and where those may run."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from itertools import zip_longest

from sidecar.core.addresses import IPAddress, IPNetwork
from sidecar.core.annotations import DEFAULT_PREFIX

_TOLERATED_BY_DAEMONS = {
    "node.kubernetes.io/not-ready",
    "node.kubernetes.io/unreachable",
    "node.kubernetes.io/disk-pressure",
    "node.kubernetes.io/memory-pressure",
    "node.kubernetes.io/pid-pressure",
    "node.kubernetes.io/unschedulable",
    "node.kubernetes.io/network-unavailable",
}
"""Taints that the DaemonSet controller makes its pods tolerate."""

_NEVER_COVERED = {"kubernetes.io/os", "type", "virtualization"}
"""Labels by which the chart leaves out nodes that have no metadata service for the agent."""

_VARIABLE = "AZURE_LB_METADATA_{}"
_OFF = {"0", "off", "f", "false", "n", "no"}
"""What pydantic takes for false, in lower case."""


@dataclass(frozen=True, slots=True)
class Taint:
    """What keeps pods off a Node unless they tolerate it."""

    key: str
    value: str
    effect: str

    def __str__(self) -> str:
        return f"{self.key}={self.value}:{self.effect}" if self.value else f"{self.key}:{self.effect}"


@dataclass(frozen=True, slots=True)
class Toleration:
    """A toleration; an empty key or effect matches any."""

    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""

    def covers(self, taint: Taint) -> bool:
        """Whether pods with this may run in spite of the taint."""
        return (
            self.effect in {"", taint.effect}
            and (self.key == taint.key or (not self.key and self.operator == "Exists"))
            and (self.operator == "Exists" or self.value == taint.value)
        )


@dataclass(frozen=True, slots=True)
class Requirement:
    """What a Node's labels must match."""

    key: str
    operator: str
    values: tuple[str, ...] = ()

    def met(self, labels: Mapping[str, str]) -> bool:
        """Whether the labels match; an unknown operator counts as a match."""
        value = labels.get(self.key)
        match self.operator:
            case "In":
                return value in self.values
            case "NotIn":
                return value not in self.values
            case "Exists":
                return value is not None
            case "DoesNotExist":
                return value is None
            case "Gt" | "Lt":
                try:
                    given, bound = int(value or ""), int(self.values[0])
                except (ValueError, IndexError):
                    return False
                return given > bound if self.operator == "Gt" else given < bound
        return True


@dataclass(frozen=True, slots=True)
class SchedulingBlocker:
    """Why a Node gets no pod."""

    what: str
    """``taint sku=gpu:NoSchedule`` or ``label kubernetes.io/os=windows``."""
    remedy: str = ""
    """The chart's value that would help; empty when none would."""

    def __str__(self) -> str:
        return f"{self.what}: {self.remedy}" if self.remedy else self.what


@dataclass(frozen=True, slots=True, kw_only=True)
class Placement:
    """Where the pods of a DaemonSet may run."""

    tolerations: Sequence[Toleration] = ()
    selector: Mapping[str, str] = field(default_factory=dict)
    """Labels that a Node must have."""
    terms: Sequence[Sequence[Requirement]] = ()
    """Required node affinity: all of at least one of them; none is no requirement."""

    def obstacles(
        self, *, labels: Mapping[str, str], taints: Sequence[Taint]
    ) -> tuple[SchedulingBlocker, ...]:
        """What keeps the pods off a Node; empty when nothing does."""
        required = [Requirement(key, "In", (value,)) for key, value in self.selector.items()]
        unmet = [each for each in required if not each.met(labels)]
        # Of several terms, the one that fails least is the easiest to mend.
        failures = sorted(([each for each in term if not each.met(labels)] for term in self.terms), key=len)
        unmet += next(iter(failures), [])
        found: list[SchedulingBlocker] = []
        for key in (each.key for each in unmet):
            what = f"label {key}={labels[key]}" if key in labels else f"no label {key}"
            remedy = "" if key in _NEVER_COVERED else "change nodeSelector or nodeExpressions"
            found.append(SchedulingBlocker(what, remedy))
        for taint in taints:
            tolerated = (
                taint.effect == "PreferNoSchedule"
                or taint.key in _TOLERATED_BY_DAEMONS
                or any(each.covers(taint) for each in self.tolerations)
            )
            if not tolerated:
                found.append(SchedulingBlocker(f"taint {taint}", "set nodes=all"))
        return tuple(dict.fromkeys(found))


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterNode:
    """What scheduling and the agents need to know of a Node."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    """All of them, not only the agent's."""
    taints: Sequence[Taint] = ()
    ready: bool = False
    """Its condition Ready is True; when its kubelet has stopped, that becomes Unknown."""
    since: datetime | None = None
    """When that changed last, else when the Node was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancerService:
    """A Service of type LoadBalancer."""

    namespace: str
    name: str
    addresses: frozenset[IPAddress] = frozenset()
    """Of ``status.loadBalancer.ingress``."""
    ports: frozenset[tuple[str, int]] = frozenset()
    """Protocol in lower case, and port."""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class StaticGateway:
    """An AKS static egress gateway, which pods of its namespace choose to leave by."""

    namespace: str
    name: str
    networks: tuple[IPNetwork, ...] = ()
    """What connections through it come from; empty while none is assigned, or it cannot be read."""
    unreadable: bool = False
    """Whether something is assigned that is no list of networks."""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPod:
    """A pod of an agent."""

    namespace: str
    name: str
    node: str
    """Where it runs, or is to run: the DaemonSet controller sets that before the scheduler does."""
    prefix: str | None
    """Of the annotations that it writes; ``None`` if it writes none."""
    ready: bool
    """Its condition Ready."""
    since: datetime | None = None
    """When that changed last, else when the pod was made."""
    ending: bool = False
    """Whether it has a deletion timestamp."""
    scheduled: bool = True
    trouble: str = ""
    """Why it does not run, in the cluster's word: ``CrashLoopBackOff``, ``Unschedulable``, …"""
    address: str = ""
    """Its first IP address; empty before it has one."""
    controller: str = ""
    """Name of what made it, such as its DaemonSet; empty if nothing did."""

    @property
    def serves(self) -> bool:
        """Whether it is ready and will stay."""
        return self.ready and not self.ending

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDaemonSet:
    """A DaemonSet of agents."""

    namespace: str
    name: str
    prefix: str | None
    """Of the annotations that its pods write; ``None`` if they write none."""
    placement: Placement
    deleting: bool = False
    """Whether it has a deletion timestamp."""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def agent_of(node: str, pods: Iterable[AgentPod], *, prefix: str | None) -> AgentPod | None:
    """The agent of a Node: during an update there are two pods, and the one that serves counts.

    Args:
        node: Name of the Node.
        pods: Of any Nodes.
        prefix: Only agents that write under it; ``None`` for any.
    """
    own = [pod for pod in pods if pod.node == node and prefix in {None, pod.prefix}]
    return max(own, key=lambda pod: (pod.serves, not pod.ending, pod.ready, pod.name), default=None)


def agents_by_node(pods: Iterable[AgentPod], *, prefix: str | None) -> dict[str, AgentPod]:
    """The agent of each Node, as `agent_of` chooses it."""
    groups: dict[str, list[AgentPod]] = {}
    for pod in pods:
        groups.setdefault(pod.node, []).append(pod)
    chosen = {node: agent_of(node, group, prefix=prefix) for node, group in groups.items()}
    return {node: pod for node, pod in chosen.items() if pod is not None}


def rivals(node: str, pods: Iterable[AgentPod], *, of: AgentPod) -> list[AgentPod]:
    """Other agents that write to a Node under the same prefix, to stay; not those of an update.

    Args:
        node: Name of the Node.
        pods: Of any Nodes.
        of: The Node's agent.
    """
    own = (of.namespace, of.controller or of.name)
    return [
        pod
        for pod in pods
        if pod.node == node
        and pod.prefix is not None
        and pod.prefix == of.prefix
        and not pod.ending
        and (pod.namespace, pod.controller or pod.name) != own
    ]


def user_of(
    labels: Mapping[str, str], daemon_sets: Iterable[AgentDaemonSet], *, prefix: str
) -> AgentDaemonSet | None:
    """The DaemonSet whose agents write to a Node under a prefix, except one that is being deleted.

    Taints are ignored: rather a Node too many counts as written to than one too few.

    Args:
        labels: Of the Node.
        daemon_sets: Of agents.
        prefix: Of the annotations.
    """
    for each in daemon_sets:
        stays = each.prefix == prefix and not each.deleting
        if stays and not each.placement.obstacles(labels=labels, taints=()):
            return each
    return None


def annotation_prefix(arguments: Sequence[str], variables: Mapping[str, str] | None = None) -> str | None:
    """Under which prefix an agent writes, by its arguments and variables; ``None`` if it writes nothing.

    A flag goes before its variable, and the last of several flags counts, as settings are read.

    Args:
        arguments: Of its container.
        variables: Values by name, such as that of ``AZURE_LB_METADATA_ANNOTATION_PREFIX``.
    """
    values = {"annotation-prefix": "", "upstream": "", "annotations": ""}
    for name in values:
        values[name] = (variables or {}).get(_VARIABLE.format(name.replace("-", "_").upper()), "")
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, equals, value = argument.removeprefix("--").partition("=")
        if argument in {"--annotations", "--no-annotations"}:
            values["annotations"] = "true" if argument == "--annotations" else "false"
        elif argument.startswith("--") and name in {"annotation-prefix", "upstream"}:
            values[name] = value if equals else following
    if values["upstream"] not in {"", "imds"} or values["annotations"].lower() in _OFF:
        return None
    return values["annotation-prefix"] or DEFAULT_PREFIX
