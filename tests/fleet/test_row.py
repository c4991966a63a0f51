"""What a node's annotations are worth now."""

from collections.abc import Mapping
from dataclasses import replace

import pytest
from hypothesis import given, strategies as st

from sidecar.core.cluster import AgentDaemonSet, Placement, Taint
from sidecar.core.document import Document
from sidecar.core.egress import EgressState
from sidecar.core.outcome import Reason, Status
from sidecar.fleet.row import Agents, NodeRow, NodeStatus, differing
from tests.core.examples import document, inbound, outbound, public
from tests.fleet.support import LAYOUT, NOW, VIEW, agents, annotated, judged, node, pod


def test_ok() -> None:
    """A ready node with a ready agent that says so is ok."""
    assert judged().status == "ok"
    assert judged().current


@given(
    status=st.sampled_from(Status),
    node_ready=st.booleans(),
    agent=st.sampled_from(["ready", "down", "ending", "unscheduled", "none", "invisible"]),
    age=st.floats(0, 10 * 3600),
)
def test_never_ok_without_node_and_agent(status: Status, node_ready: bool, agent: str, age: float) -> None:  # noqa: FBT001 - hypothesis gives it
    """Only with a ready node, a ready agent and refreshed data is a node's status its agent's word."""
    pods = {
        "ready": [pod()],
        "down": [pod(ready=False)],
        "ending": [pod(ending=True)],
        "unscheduled": [pod(scheduled=False)],
        "none": [],
    }
    given = Agents(None) if agent == "invisible" else agents(*pods[agent])
    row = judged(node(values=annotated(status=status, observed=NOW - age), ready=node_ready), given)
    if row.standing not in {NodeStatus.UNKNOWN, NodeStatus.NO_AGENT}:
        assert node_ready
        assert agent == "ready"
        assert row.standing.value == status.value
    if row.standing is NodeStatus.OK:
        assert age <= 3 * 3600 + 1


@pytest.mark.parametrize(
    ("row", "status"),
    [
        (judged(node(ready=False, since=NOW - 360)), "unknown (node not ready 6m)"),
        (judged(node(), agents(pod(ready=False, since=NOW - 720))), "unknown (agent down 12m)"),
        (judged(node(), agents(pod(ending=True, since=NOW - 720))), "unknown (agent down 12m)"),
        (judged(node(), agents(pod(scheduled=False))), "no agent (pod lb/agent-node is not scheduled)"),
        (judged(node(), agents()), "no agent (there is no DaemonSet of agents)"),
        (judged(node(), agents(daemon_sets=None)), "no agent"),
        (judged(node(), Agents(None)), "unknown (agent not visible)"),
        (judged(node(values={})), "unknown (not annotated)"),
        (judged(node(values={LAYOUT.key("status"): "ok"})), "unknown (not annotated)"),
        (judged(node(values={LAYOUT.key("revision"): "x"})), "unknown (annotations unreadable)"),
        (judged(node(values=annotated(observed=NOW - 4 * 3600))), "unknown (not refreshed for 4h)"),
        (
            judged(node(values=annotated(status=Status.STALE, reason=Reason.THROTTLED, observed=-9e5))),
            "stale (throttled)",
        ),
        (
            judged(node(values=annotated(status=Status.NO_METADATA, reason=Reason.NO_METADATA))),
            "no-metadata",
        ),
        (judged(node(values={LAYOUT.key("status"): "starting"})), "starting"),
    ],
)
def test_words(row: NodeRow, status: str) -> None:
    """Each case has its words."""
    assert row.status == status


def test_any_age() -> None:
    """Where heartbeats are off, any age can be believed."""
    row = judged(node(values=annotated(observed=-9e6)), view=replace(VIEW, oldest=None))
    assert row.status == "ok"


def test_taint_of_the_nearest_daemon_set() -> None:
    """Of several DaemonSets, the one that comes nearest to covering a node says what is in the way."""
    taints = [Taint("sku", "gpu", "NoSchedule"), Taint("team", "a", "NoSchedule")]
    sets = [
        AgentDaemonSet(
            namespace="lb", name=name, prefix=LAYOUT.prefix, placement=Placement(selector=selector)
        )
        for name, selector in (("far", {"none": "such"}), ("near", {}))
    ]
    row = judged(node(taints=taints), agents(daemon_sets=sets))
    assert row.status.startswith("no agent (taint sku=gpu:NoSchedule: ")
    assert "taint team=a:NoSchedule" in row.status
    assert "none" not in row.status


def cluster(*documents: Document, of: str = "", **nodes: Mapping[str, str]) -> list[NodeRow]:
    """Rows of nodes with these documents, marked."""
    rows = [judged(node(str(number), annotated(each))) for number, each in enumerate(documents)]
    rows += [judged(node(name, values)) for name, values in nodes.items()]
    return differing(replace(row, cluster=of) for row in rows)


ONE = document(inbound=inbound("20.20.20.20"), out=outbound("52.1.1.1"))
OTHER_RULE = document(inbound=inbound("20.20.20.21"), out=outbound("52.1.1.1"))
THAT = document(inbound=inbound("20.20.20.23"), out=outbound("52.2.2.2"))
OTHER_WAY = document(inbound=inbound("20.20.20.20"), out=outbound("52.2.2.2"))


def test_differing() -> None:
    """Who is not like more than half of the nodes is marked, by what it differs in."""
    rows = cluster(ONE, ONE, ONE, OTHER_RULE, OTHER_WAY)
    assert [row.differs for row in rows] == [(), (), (), ("inbound",), ("egress",)]


def test_no_majority() -> None:
    """Without a value that more than half share, nobody differs."""
    third = document(inbound=inbound("20.20.20.22"), out=outbound("52.3.3.3"))
    assert all(row.differs == () for row in cluster(THAT, OTHER_RULE, third))
    assert all(row.differs == () for row in cluster(THAT, third))


def test_own_addresses_are_no_difference() -> None:
    """Nodes with instance IPs leave from different addresses, and are alike in that."""
    own = [document(public=public(f"20.1.2.{number}")) for number in range(3)]
    assert [row.differs for row in cluster(*own, document())] == [(), (), (), ("egress",)]


def test_clusters_are_compared_within_themselves() -> None:
    """What is common in one cluster is no measure for another."""
    rows = differing([*cluster(ONE, ONE, of="a"), *cluster(OTHER_RULE, OTHER_RULE, of="b")])
    assert all(row.differs == () for row in rows)


def test_pools_leave_in_their_own_ways() -> None:
    """What nodes leave from is compared within a pool, inbound rules over all pools."""
    rows = cluster(ONE, ONE, ONE, replace(OTHER_WAY, public_ip_addresses=(public("20.1.2.3"),)))
    pools = differing(replace(row, pool=pool, differs=()) for row, pool in zip(rows, "aaab", strict=True))
    assert rows[3].differs == ("egress",)
    assert pools[3].differs == ()


def test_unknown_nodes_are_not_compared() -> None:
    """Data that are not believed are no measure and no difference."""
    down = [judged(node(str(number), annotated(OTHER_RULE)), agents()) for number in range(3)]
    assert all(row.differs == () for row in differing([judged(node("up", annotated(ONE))), *down]))


def test_declared_networks_are_compared() -> None:
    """A node with another declared network differs in egress, also where addresses are too many to list."""
    usual, other = (annotated(ONE, declared=[network]) for network in ("203.0.113.0/24", "198.51.100.0/24"))
    rows = cluster(a=usual, b=usual, c=other)
    assert [row.differs for row in rows] == [(), (), ("egress",)]
    own = [
        annotated(document(public=public(f"20.1.2.{number}")), declared=["2603:1::/64"]) for number in (1, 2)
    ]
    without = annotated(document(public=public("20.1.2.3")), declared=["2603:2::/64"])
    rows = cluster(a=own[0], b=own[1], c=without)
    assert [row.differs for row in rows] == [(), (), ("egress",)]


def test_unlisted() -> None:
    """What was seen and is in neither list is unlisted, as far as both lists are known."""
    seen = ["52.1.1.1", "203.0.113.9", "2603:1::5"]
    values = annotated(ONE, declared=["2603:1::/64"], observed_from=seen, state=EgressState.UNLISTED)
    assert list(map(str, judged(node(values=values)).unlisted)) == ["203.0.113.9"]
    values[LAYOUT.key("egress-networks")] = "everything"
    assert judged(node(values=values)).unlisted == ()
