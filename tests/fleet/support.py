"""Nodes with and without agents, as values."""

from collections.abc import Mapping, Sequence
from ipaddress import ip_address

from sidecar.core.annotations import Layout, annotations
from sidecar.core.changes import Change
from sidecar.core.cluster import AgentDaemonSet, AgentPod, ClusterNode, Taint
from sidecar.core.document import Document
from sidecar.core.egress import EgressState, SharedEgress, declared_networks
from sidecar.core.outcome import Reason, Status
from sidecar.core.state import State
from sidecar.fleet.row import Agents, NodeRow, View, row
from tests.core.examples import FULL, at, utc

NOW = 3600.0
"""Seconds after the start of the test from which the nodes are looked at."""
LAYOUT = Layout()
VIEW = View(now=utc(NOW), layout=LAYOUT, oldest=3 * 3600.0)


def annotated(  # noqa: PLR0913 - what an agent knows
    document: Document = FULL,
    *,
    status: Status = Status.OK,
    reason: Reason | None = None,
    observed: float = NOW - 60,
    changed: float = 0,
    changes: Sequence[Change] = (),
    layout: Layout = LAYOUT,
    declared: Sequence[str] = (),
    observed_from: Sequence[str] = (),
    state: EgressState = EgressState.OFF,
) -> dict[str, str]:
    """What an agent wrote; times in seconds after the start of the test."""
    seen = tuple(map(ip_address, observed_from))
    known = State(
        started=at(0),
        document=document,
        observed=at(observed),
        changed_at=utc(changed),
        changes=tuple(changes),
        told_egress=SharedEgress(declared_networks(declared), seen, state),
    )
    return annotations(known, status, reason, layout=layout)


def node(
    name: str = "node",
    values: Mapping[str, str] | None = None,
    *,
    ready: bool = True,
    since: float = 0,
    taints: Sequence[Taint] = (),
) -> ClusterNode:
    """A Node, by default annotated and ready."""
    given = annotated() if values is None else values
    return ClusterNode(name=name, annotations=given, ready=ready, since=utc(since), taints=tuple(taints))


def pod(
    name: str = "node", *, ready: bool = True, since: float = 0, scheduled: bool = True, ending: bool = False
) -> AgentPod:
    """The agent of a Node."""
    return AgentPod(
        namespace="lb",
        name=f"agent-{name}",
        node=name,
        prefix=LAYOUT.prefix,
        ready=ready,
        since=utc(since),
        scheduled=scheduled,
        ending=ending,
    )


def agents(*pods: AgentPod, daemon_sets: Sequence[AgentDaemonSet] | None = ()) -> Agents:
    """The agents of a cluster."""
    return Agents({each.node: each for each in pods}, daemon_sets)


def judged(one: ClusterNode | None = None, given: Agents | None = None, *, view: View = VIEW) -> NodeRow:
    """The row of a Node, by default with a ready agent."""
    one = one or node()
    return row(one, agents(pod(one.name)) if given is None else given, view=view)
