"""How annotations are kept on a real API server: put right, renewed, and left alone when all is well."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from sidecar.simulator import Serving
from tests.agent.support import PREFIX, PUBLIC_IP, annotating, has, lasting, until_annotated
from tests.support.cluster import MERGE_PATCH, Cluster, Identity
from tests.support.faults import Origin, Promise, also_shows, api_failure, fault

pytestmark = pytest.mark.apiserver


@fault(
    Origin.API_SERVER,
    "Somebody edits or removes annotations",
    Promise(
        served="Not affected.",
        annotated=(
            "Put right after the next reading, within the resync interval; whoever does it again and again"
            " is met once per reading."
        ),
        logged=(
            "`annotations-changed` with the keys and their field managers, `annotated`;"
            ' `foreign_changes_total{by="other"}`.'
        ),
        recovery="Within the resync interval and the splay.",
    ),
)
@pytest.mark.parametrize(
    "edit",
    [
        [f"{PREFIX}/public-ip-"],
        ["--overwrite", f"{PREFIX}/public-ip=6.6.6.6"],
        ["--overwrite", f"{PREFIX}/loadbalancer=nonsense", f"{PREFIX}/status-"],
    ],
    ids=["removed", "overwritten", "several"],
)
async def test_edited_by_somebody(
    service: Serving, cluster: Cluster, identity: Identity, edit: Sequence[str]
) -> None:
    """What somebody removes or overwrites with kubectl is put right at the next resync."""
    async with annotating(service, identity):
        right = await until_annotated(cluster, identity.node, has(status="ok"))
        await cluster.kubectl("annotate", "node", identity.node, *edit)
        await until_annotated(
            cluster, identity.node, lambda now: lasting(now) == lasting(right) and has(status="ok")(now)
        )


@fault(
    Origin.API_SERVER,
    "Somebody writes a key under our prefix for which the agent has no value",
    Promise(
        served="Not affected.",
        annotated="Removed after the next reading, within the resync interval and the splay.",
        logged=(
            "`annotations-changed`, then `annotations-removed` with the keys; `foreign_changes_total`,"
            " `removed_annotations_total`."
        ),
        recovery="Whoever writes it again and again is met once per reading, not faster.",
    ),
)
async def test_lie_of_somebody(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """A public IP that somebody else writes on a Node without one is removed at the next resync, and told."""
    service.simulator.set_document("outbound-only")
    async with annotating(service, identity) as agent:
        right = await until_annotated(cluster, identity.node, has(status="ok"))
        assert "public-ip" not in right
        await cluster.annotate(identity.node, {f"{PREFIX}/public-ip": "6.6.6.6"})
        seen = await agent.program.event("annotations-changed")
        assert (seen["names"], seen["managers"], seen["by"]) == ("public-ip", "kubectl-annotate", "other")
        removed = await agent.program.event("annotations-removed")
        assert (removed["names"], removed["count"]) == ("public-ip", 1)
        assert lasting(await until_annotated(cluster, identity.node, has(public_ip=None))) == lasting(right)


@fault(
    Origin.API_SERVER,
    "Somebody resets the Node's managedFields",
    Promise(
        served="Not affected.",
        annotated="What is withdrawn later goes as ever: what an apply leaves is removed a splay after it.",
        logged="`annotations-removed` with the keys; `removed_annotations_total`.",
        recovery="With the first write after it.",
    ),
)
async def test_reset_of_owners(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """After somebody has reset managedFields, addresses that the node loses still go from its annotations."""
    async with annotating(service, identity) as agent:
        await until_annotated(cluster, identity.node, has(status="ok", public_ip="192.0.2.4"))
        reset = {"metadata": {"managedFields": [dict[str, str]()]}}
        path = f"/api/v1/nodes/{identity.node}"
        await cluster.request("PATCH", path, body=reset, content_type=MERGE_PATCH)
        service.simulator.set_document("outbound-only")
        await until_annotated(cluster, identity.node, has(status="ok", public_ip=None, public_ips=None))
        assert "public-ip" in (await agent.program.event("annotations-removed"))["names"]


@fault(
    Origin.API_SERVER,
    "The Node does not exist yet",
    api_failure("404").but(annotated="The Node is never made; annotated in full once it is registered."),
)
async def test_node_comes_later(service: Serving, cluster: Cluster, tmp_path: Path) -> None:
    """A Node that does not exist yet is waited for, while the API answers, and never made."""
    identity = await cluster.create_identity("aks-later-0", directory=tmp_path / "serviceaccount")
    async with annotating(service, identity) as agent:
        failed = await agent.program.event("publish-failed", publisher="node")
        assert 'nodes "aks-later-0" not found' in failed["error"]
        assert "check --node-name (NODE_NAME)" in failed["error"]
        await agent.until_requests(3, code="404")
        assert (await agent.get("/v1/public-ip")).text == PUBLIC_IP
        try:
            await cluster.create_node(identity.node)
            await until_annotated(cluster, identity.node, has(public_ip="192.0.2.4", status="ok"))
        finally:
            await cluster.delete_node(identity.node)


@also_shows("The Node is deleted and made anew, with another uid")
async def test_node_made_anew(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """A Node deleted and made anew is annotated again at the next resync."""
    async with annotating(service, identity) as agent:
        await until_annotated(cluster, identity.node, has(status="ok"))
        await cluster.recreate_node(identity.node)
        await until_annotated(cluster, identity.node, has(status="ok", public_ip="192.0.2.4"))
        assert await agent.requests(code="422") == 0


@fault(
    Origin.API_SERVER,
    "The Node is deleted and made anew, with another uid",
    Promise(
        served="Everything, always the newest.",
        annotated=(
            "A write meant for the old Node does not touch the new one; that is read"
            " past the cache and annotated in full."
        ),
        logged='`kubernetes_requests_total{code="422"}`.',
        recovery="At the refused write within the splay, else at the next resync.",
    ),
)
async def test_write_to_a_node_made_anew(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """A write meant for the Node as it was is refused; the new one is read and annotated in full."""
    async with annotating(service, identity, resync_interval="1h") as agent:
        await until_annotated(cluster, identity.node, has(status="ok"))
        await cluster.recreate_node(identity.node)
        service.simulator.set_document("several-nics")
        await until_annotated(cluster, identity.node, has(public_ips="192.0.2.4,192.0.2.5,192.0.2.6"))
        assert await agent.requests(code="422") == 1


@fault(
    Origin.API_SERVER,
    "The Node is deleted",
    api_failure("404").but(annotated="The Node is never made; annotated in full once it is back."),
)
async def test_node_gone_for_a_while(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """A Node that is gone is not made again; when it comes back it is annotated."""
    async with annotating(service, identity) as agent:
        await until_annotated(cluster, identity.node, has(status="ok"))
        await cluster.delete_node(identity.node)
        service.simulator.set_document("outbound-only")
        await agent.until_requests(2, code="404")
        await cluster.create_node(identity.node)
        await until_annotated(cluster, identity.node, has(outbound_ips="203.0.113.254", status="ok"))


async def test_heartbeat(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """With a heartbeat the time of the last answer is renewed now and then, and nothing else."""
    async with annotating(service, identity, heartbeat_interval="1s"):
        first = await until_annotated(cluster, identity.node, has(status="ok"))
        later = await until_annotated(
            cluster, identity.node, lambda now: now["observed-at"] > first["observed-at"]
        )
    assert later == {**first, "observed-at": later["observed-at"]}


async def test_quiet(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """While nothing changes the API server is asked for one reading per resync and nothing is written."""
    async with annotating(service, identity) as agent:
        await until_annotated(cluster, identity.node, has(status="ok"))
        before = await cluster.node(identity.node)
        await agent.until_requests(4, method="GET")
        assert await agent.requests(method="PATCH") == 1
        assert await agent.refused_requests() == 0
        assert await agent.attempts("ok") > 20
    assert (await cluster.node(identity.node)).resource_version == before.resource_version


async def test_few_requests(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """However often the metadata service is asked, one reading and one write are all there is to a start."""
    async with annotating(service, identity, resync_interval="1h") as agent:
        await until_annotated(cluster, identity.node, has(status="ok"))
        await agent.more_attempts(40, "ok")
        assert await agent.requests(method="GET") == 1
        assert await agent.requests(method="PATCH") == 1


async def test_one_write_per_splay(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """Changes that come faster than the splay are written together, the newest state in the end."""
    documents = ["outbound-several", "internal", "outbound-only"]
    async with annotating(service, identity, write_splay="2s", absent_after="1ms") as agent:
        await until_annotated(cluster, identity.node, has(status="ok", public_ip="192.0.2.4"))
        for document in documents * 2:
            service.simulator.set_document(document)
            await agent.more_attempts(4, "ok")
        await until_annotated(cluster, identity.node, has(outbound_ips="203.0.113.254", inbound=None))
        assert await agent.requests(method="PATCH") <= 3
