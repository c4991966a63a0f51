"""A Node, its agent's pod and its annotations: what the annotations are worth now.

Annotations outlive the agent that wrote them, so they alone prove nothing: a node without a ready agent is
not ``ok``, whatever its annotations say.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from sidecar.core.addresses import IPAddress
from sidecar.core.annotations import Layout
from sidecar.core.cluster import AgentDaemonSet, AgentPod, ClusterNode
from sidecar.core.egress import EgressBasis
from sidecar.core.instant import age
from sidecar.core.outcome import Status
from sidecar.core.published import Published, read

_POOL_LABELS = ("kubernetes.azure.com/agentpool", "agentpool")


class NodeStatus(StrEnum):
    """The first words of a node's status."""

    OK = "ok"
    STALE = "stale"
    NO_METADATA = "no-metadata"
    STARTING = "starting"
    UNKNOWN = "unknown"
    """Its annotations do not show its present state."""
    NO_AGENT = "no agent"


@dataclass(frozen=True, slots=True)
class Agents:
    """The agents of a cluster that write under one prefix."""

    pods: Mapping[str, AgentPod] | None
    """The one that counts, by Node; ``None``: pods could not be listed."""
    daemon_sets: Sequence[AgentDaemonSet] | None = ()
    """``None``: they could not be listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """When and how Nodes are judged."""

    now: datetime
    layout: Layout
    oldest: float | None = None
    """Seconds since ``observed-at`` from which ``ok`` is not believed; ``None`` for any age."""
    cluster: str = ""
    """The context's name, where there are several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """The status of one node and what it publishes."""

    cluster: str
    node: str
    pool: str
    standing: NodeStatus
    cause: str = ""
    """Why it is not ``ok``, in a few words."""
    lasting: str = ""
    """For how long, such as ``12m``."""
    detail: str = ""
    """The cause in the cluster's words."""
    agent: str = ""
    """``namespace/name`` of its agent's pod."""
    published: Published | None = None
    visible: bool = True
    """Whether pods could be listed, and so its agent be found."""
    differs: tuple[str, ...] = ()
    """Aspects that differ from most nodes: ``inbound``, ``egress``."""

    @property
    def status(self) -> str:
        """``ok``, ``stale (unavailable)``, ``unknown (agent down 12m)``."""
        words = f"{self.cause} {self.lasting}".strip()
        return f"{self.standing} ({words})" if words else self.standing.value

    @property
    def kind(self) -> str:
        """The status without the time that it has lasted."""
        return f"{self.standing} ({self.cause})" if self.cause else self.standing.value

    @property
    def current(self) -> bool:
        """Whether a running agent confirms its data."""
        return self.standing in {NodeStatus.OK, NodeStatus.NO_METADATA}

    @property
    def comparable(self) -> bool:
        """Whether its data can be compared with those of others.

        Where pods cannot be listed, the agent's last status has to do.
        """
        reported = None if self.data is None else self.data.status
        return self.current or (not self.visible and reported in {Status.OK, Status.NO_METADATA})

    @property
    def data(self) -> Published | None:
        """What is published, if that is data and not only a status."""
        return self.published if self.published is not None and self.published.known else None

    @property
    def unlisted(self) -> tuple[IPAddress, ...]:
        """Addresses that probes saw and that are neither declared nor configured, as far as is known."""
        return () if self.data is None else self.data.unlisted


def row(node: ClusterNode, agents: Agents, *, view: View) -> NodeRow:
    """Judge a node by its agent's pod, its condition Ready and its annotations; the first problem counts."""
    published = read(node.annotations, layout=view.layout)
    pod = agents.pods.get(node.name) if agents.pods is not None else None
    given = published or Published()
    observed = given.observed_at
    standing, cause, detail = NodeStatus.UNKNOWN, "", ""
    since: datetime | None = None
    if agents.pods is not None and pod is None:
        standing, cause = NodeStatus.NO_AGENT, _uncovered(node, agents.daemon_sets)
    elif pod is not None and not pod.scheduled:
        standing, cause, detail = NodeStatus.NO_AGENT, f"pod {pod} is not scheduled", pod.trouble
    elif not node.ready:
        cause, since, detail = "node not ready", node.since, pod.trouble if pod else ""
    elif pod is None:
        cause, detail = "agent not visible", "pods could not be listed"
    elif not pod.serves:
        cause, since = "agent down", pod.since
        detail = pod.trouble or ("it is ending" if pod.ending else "")
    elif given.unreadable:
        cause, detail = "annotations unreadable", f"no agent writes this: {', '.join(given.unreadable)}"
    elif given.status is None or not (given.known or given.status is Status.STARTING):
        cause, detail = "not annotated", "its agent is ready"
    elif (
        given.status in {Status.OK, Status.NO_METADATA}
        and view.oldest is not None
        and observed is not None
        and (view.now - observed).total_seconds() > view.oldest
    ):
        cause, since = "not refreshed for", observed
    else:
        standing = NodeStatus(given.status.value)
        reason = "" if given.reason is None else given.reason.value
        cause = "" if reason == standing else reason
    pools = (node.labels.get(label) for label in _POOL_LABELS)
    return NodeRow(
        cluster=view.cluster,
        node=node.name,
        pool=next((pool for pool in pools if pool), ""),
        standing=standing,
        cause=cause,
        lasting=age(since, now=view.now),
        detail=detail,
        agent="" if pod is None else str(pod),
        published=published,
        visible=agents.pods is not None,
    )


def _uncovered(node: ClusterNode, daemon_sets: Sequence[AgentDaemonSet] | None) -> str:
    """Why a Node has no agent, and the chart's value that would give it one."""
    if daemon_sets is None:
        return ""
    if not daemon_sets:
        return "there is no DaemonSet of agents"
    found = (each.placement.obstacles(labels=node.labels, taints=node.taints) for each in daemon_sets)
    least = min(found, key=tuple.__len__)
    return "; ".join(map(str, least)) or "its pod is not made yet"


def differing(rows: Iterable[NodeRow]) -> list[NodeRow]:
    """The rows, with the marks of those that differ from most nodes.

    Inbound frontends are compared within a cluster; egress addresses within a pool, since they are
    given to whole pools (of nodes with instance IPs only that they have them). Only
    `NodeRow.comparable` nodes count, and a value is common when more than half of them have it.
    """
    given = list(rows)
    for aspect in ("inbound", "egress"):
        compared = [_compared(each, aspect) for each in given]
        counts: dict[Hashable, Counter[Hashable]] = {}
        for group, value in filter(None, compared):
            counts.setdefault(group, Counter())[value] += 1
        common: dict[Hashable, Hashable] = {}
        for group, counter in counts.items():
            value, count = counter.most_common(1)[0]
            if 2 * count > counter.total():
                common[group] = value
        given = [
            each
            if own is None or common.get(own[0], own[1]) == own[1]
            else replace(each, differs=(*each.differs, aspect))
            for each, own in zip(given, compared, strict=True)
        ]
    return given


def _compared(row: NodeRow, aspect: str) -> tuple[Hashable, Hashable] | None:
    """The group that a node is compared with, and its value; ``None`` if it is not compared."""
    data = row.data
    if not row.comparable or data is None:
        return None
    if aspect == "inbound":
        return None if data.inbound is None else (row.cluster, data.inbound)
    pool = row.cluster, row.pool
    if data.egress_basis is None or data.egress_networks is None:
        return None
    way = data.egress_basis, data.egress_networks
    if data.egress_basis in {EgressBasis.INSTANCE_IP, EgressBasis.MIXED}:
        return pool, way  # instance IPs are each node's own
    return None if data.egress_ips is None else (pool, (*way, data.egress_ips))
