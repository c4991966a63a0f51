"""A Node, its agent's pod and its annotations: what the annotations are worth now.

Annotations outlive the agent that wrote them, so its last word alone is never believed: a node without
a ready agent is not ``ok``, whatever its annotations say.
"""

from collections import Counter
from collections.abc import Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum

from sidecar.core.annotations import Layout
from sidecar.core.cluster import AgentDaemonSet, AgentPod, ClusterNode
from sidecar.core.instant import age
from sidecar.core.outcome import Status
from sidecar.core.published import Published, read
from sidecar.core.views import EgressBasis

_POOL_LABELS = ("kubernetes.azure.com/agentpool", "agentpool")


class NodeStatus(StrEnum):
    """The first words of a node's status."""

    OK = "ok"
    STALE = "stale"
    NO_METADATA = "no-metadata"
    STARTING = "starting"
    UNKNOWN = "unknown"
    """What the node has now cannot be known from its annotations."""
    NO_AGENT = "no agent"


_FRESH = {NodeStatus.OK, NodeStatus.NO_METADATA}
"""What an agent refreshes with each heartbeat."""


@dataclass(frozen=True, slots=True)
class Agents:
    """The agents of a cluster that write under one prefix."""

    pods: Mapping[str, AgentPod] | None
    """The one that counts, by Node; ``None``: pods could not be listed."""
    daemon_sets: Sequence[AgentDaemonSet] | None = ()
    """``None``: they could not be listed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """From where Nodes are looked at."""

    now: datetime
    layout: Layout
    oldest: float | None = None
    """Seconds since ``observed-at`` from which ``ok`` is not believed; ``None`` for any age."""
    cluster: str = ""
    """The context's name, where there are several."""


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRow:
    """What there is to say of one node."""

    cluster: str
    node: str
    pool: str
    standing: NodeStatus
    cause: str = ""
    """Why it is not ``ok``, in a few words."""
    lasting: str = ""
    """For how long that has been so."""
    detail: str = ""
    """More of that, in the cluster's words."""
    agent: str = ""
    """``namespace/name`` of its agent's pod."""
    published: Published | None = None
    visible: bool = True
    """Whether its agent could be looked for."""
    differs: tuple[str, ...] = ()
    """In what it differs from most nodes: ``inbound``, ``egress``."""

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
        """Whether its agent stands for its data now."""
        return self.standing in _FRESH

    @property
    def comparable(self) -> bool:
        """Whether its data can be held against those of others: its agent's word, where that is all."""
        word = self.published.status if self.published is not None and self.data is not None else None
        return self.current or (not self.visible and word in {Status.OK, Status.NO_METADATA})

    @property
    def data(self) -> Published | None:
        """What is published, if that is data and not only a status."""
        return self.published if self.published is not None and self.published.known else None


def row(node: ClusterNode, agents: Agents, *, view: View) -> NodeRow:
    """Judge a node by its condition Ready, its agent and its annotations, in this order."""
    published = read(node.annotations, layout=view.layout)
    pod = agents.pods.get(node.name) if agents.pods is not None else None
    judged = _judged(node, pod, agents=agents, published=published, view=view)
    pools = (node.labels.get(label) for label in _POOL_LABELS)
    return NodeRow(
        cluster=view.cluster,
        node=node.name,
        pool=next((pool for pool in pools if pool), ""),
        standing=judged.standing,
        cause=judged.cause,
        lasting=age(judged.since, now=view.now),
        detail=judged.detail,
        agent="" if pod is None else str(pod),
        published=published,
        visible=agents.pods is not None,
    )


@dataclass(frozen=True, slots=True)
class _Judgement:
    standing: NodeStatus
    cause: str = ""
    since: datetime | None = None
    detail: str = ""


def _judged(
    node: ClusterNode, pod: AgentPod | None, *, agents: Agents, published: Published | None, view: View
) -> _Judgement:
    if agents.pods is not None and pod is None:
        return _Judgement(NodeStatus.NO_AGENT, _uncovered(node, agents.daemon_sets))
    if pod is not None and not pod.scheduled:
        return _Judgement(NodeStatus.NO_AGENT, f"pod {pod} is not scheduled", None, pod.trouble)
    if not node.ready:
        return _Judgement(NodeStatus.UNKNOWN, "node not ready", node.since, pod.trouble if pod else "")
    if pod is None:
        return _Judgement(NodeStatus.UNKNOWN, "agent not visible", None, "pods could not be listed")
    if not pod.serves:
        detail = pod.trouble or ("it is ending" if pod.ending else "")
        return _Judgement(NodeStatus.UNKNOWN, "agent down", pod.since, detail)
    return _word(published or Published(), view)


def _word(published: Published, view: View) -> _Judgement:
    """What a ready agent's annotations say."""
    if published.unreadable:
        keys = ", ".join(published.unreadable)
        return _Judgement(NodeStatus.UNKNOWN, "annotations unreadable", None, f"no agent writes this: {keys}")
    starting = published.status is Status.STARTING
    if published.status is None or not (published.known or starting):
        return _Judgement(NodeStatus.UNKNOWN, "not annotated", None, "its agent is ready")
    standing = NodeStatus(published.status.value)
    observed = published.observed_at
    silent = 0.0 if observed is None else (view.now - observed).total_seconds()
    if standing in _FRESH and view.oldest is not None and silent > view.oldest:
        return _Judgement(NodeStatus.UNKNOWN, "not refreshed for", observed)
    reason = "" if published.reason is None else published.reason.value
    return _Judgement(standing, "" if reason == standing else reason)


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
    """The rows, those marked that differ from most nodes.

    Compared are the inbound frontends, within a cluster, and what nodes leave from (of instance IPs
    only that they are such), within a pool, since such addresses are given to whole pools. Only
    `Row.comparable` nodes count, and there is nothing to differ from unless more than half agree.
    """
    given = list(rows)
    for name, aspect in (("inbound", _inbound), ("egress", _egress)):
        common = _common(filter(None, map(aspect, given)))
        given = [
            replace(each, differs=(*each.differs, name))
            if (own := aspect(each)) is not None and common.get(own[0], own[1]) != own[1]
            else each
            for each in given
        ]
    return given


_Aspect = tuple[Hashable, Hashable]
"""Whom a node is compared with, and in what."""


def _common(aspects: Iterable[_Aspect]) -> dict[Hashable, Hashable]:
    """What more than half of those who are compared have."""
    counts: dict[Hashable, Counter[Hashable]] = {}
    for group, value in aspects:
        counts.setdefault(group, Counter())[value] += 1
    first = {group: counter.most_common(1)[0] for group, counter in counts.items()}
    return {group: value for group, (value, count) in first.items() if 2 * count > counts[group].total()}


def _inbound(row: NodeRow) -> _Aspect | None:
    if not row.comparable or row.data is None or row.data.inbound is None:
        return None
    return row.cluster, row.data.inbound


def _egress(row: NodeRow) -> _Aspect | None:
    data = row.data
    if not row.comparable or data is None or data.egress_basis is None:
        return None
    pool = row.cluster, row.pool
    if data.egress_basis in {EgressBasis.INSTANCE_IP, EgressBasis.MIXED}:
        return pool, data.egress_basis  # instance IPs are each node's own
    return None if data.egress_ips is None else (pool, (data.egress_basis, data.egress_ips))
