"""`nodes --egress` and AKS static egress gateways, against a real API server that has their resource."""

import json
from collections.abc import AsyncIterator
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.fleet.nodes.support import DAEMON_SETS, GATEWAYS, NODES, PODS, SHARED, Run
from tests.support.cluster import ApiError, Cluster, Identity
from tests.support.commands import run
from tests.support.fleet import MERGE, Fleet, published
from tests.support.nodes import NodeMetadata
from tests.support.waiting import until

pytestmark = pytest.mark.apiserver

GROUP = "egressgateway.kubernetes.azure.com"
PLURAL = "staticgatewayconfigurations"
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
RESOURCE = f"{PLURAL}.{GROUP}"


class Gateways:
    """The resource and its objects."""

    def __init__(self, cluster: Cluster, namespace: str) -> None:
        self._cluster = cluster
        self.namespace = namespace
        self._path = f"/apis/{GROUP}/v1alpha1/namespaces/{namespace}/{PLURAL}"

    async def define(self) -> None:
        """Make the resource as kube-egress-gateway does, with a status of any shape."""
        anything = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
        version = {
            "name": "v1alpha1",
            "served": True,
            "storage": True,
            "schema": {
                "openAPIV3Schema": {"type": "object", "properties": {"spec": anything, "status": anything}}
            },
            "subresources": {"status": {}},
        }
        names = {"kind": "StaticGatewayConfiguration", "plural": PLURAL}
        spec = {"group": GROUP, "names": names, "scope": "Namespaced", "versions": [version]}
        body = {"metadata": {"name": RESOURCE}, "spec": spec}
        await self._cluster.request("POST", DEFINITIONS, body=body)
        await until(self._served)

    async def add(self, name: str, prefix: object = None) -> None:
        """A gateway, with what its controller writes once there is a prefix."""
        spec = {"gatewayNodepoolName": "gateways", "provisionPublicIps": True}
        await self._cluster.request(
            "POST", self._path, body={**self._kind, "metadata": {"name": name}, "spec": spec}
        )
        if prefix is not None:
            status = {"status": {"egressIpPrefix": prefix}}
            await self._cluster.request(
                "PATCH", f"{self._path}/{name}/status", body=status, content_type=MERGE
            )

    async def remove(self) -> None:
        """Delete the resource, and with it its objects."""
        with suppress(ApiError):
            await self._cluster.request("DELETE", f"{DEFINITIONS}/{RESOURCE}")
        await until(self._served, lambda served: not served)

    async def _served(self) -> bool:
        try:
            await self._cluster.request("GET", self._path)
        except (ApiError, ValueError):
            return False
        except Exception as error:  # noqa: BLE001 - the plain text of a path that there is not
            assert "mimetype" in str(error)  # noqa: PT017
            return False
        return True

    @property
    def _kind(self) -> dict[str, Any]:
        return {"apiVersion": f"{GROUP}/v1alpha1", "kind": "StaticGatewayConfiguration"}


@pytest.fixture
async def gateways(cluster: Cluster, fleet: Fleet) -> AsyncIterator[Gateways]:
    """The resource, for the length of the test, without objects."""
    made = Gateways(cluster, fleet.namespace)
    await made.define()
    yield made
    await made.remove()


@pytest.fixture
async def reader(cluster: Cluster, node: NodeMetadata, tmp_path: Path) -> Identity:
    """Somebody with the rights that `nodes --egress` needs there."""
    rules = (NODES, PODS, DAEMON_SETS, GATEWAYS)
    return await cluster.create_identity(node.name, directory=tmp_path / "reader", rules=rules)


@pytest.fixture
def listed(reader: Identity, fleet: Fleet) -> Run:
    """`nodes --egress` as that identity."""
    selector = f"--selector={fleet.selector}"
    return partial(run, "nodes", "--egress", selector, kubeconfig=reader.kubeconfig)


async def test_prefixes(fleet: Fleet, gateways: Gateways, listed: Run) -> None:
    """Prefixes of static gateways are part of the list, and named by namespace beside it."""
    await fleet.add("node", published(SHARED))
    await gateways.add("one", "198.51.100.0/31")
    await gateways.add("private", "10.9.0.4,10.9.0.5")
    ended = await listed()
    assert ended.code == 0, ended.err
    assert ended.out == "10.9.0.4/32\n10.9.0.5/32\n52.1.1.1/32\n198.51.100.0/31\n"
    named = f"listed for static egress gateways of namespace {gateways.namespace}: "
    assert f"{named}198.51.100.0/31 (one), 10.9.0.4/32,10.9.0.5/32 (private)\n" in ended.err
    value = json.loads((await listed("-o", "json")).out)
    assert value["complete"] is True
    assert value["staticGateways"] == [
        {"cluster": None, "namespace": gateways.namespace, "name": "one", "prefix": "198.51.100.0/31"},
        {
            "cluster": None,
            "namespace": gateways.namespace,
            "name": "private",
            "prefix": "10.9.0.4/32,10.9.0.5/32",
        },
    ]


@pytest.mark.parametrize(
    ("prefix", "why"),
    [
        (None, "is not assigned yet"),
        ("", "is not assigned yet"),
        ("0.0.0.0/0", "is no network"),
        ("198.51.100.1/31", "is no network"),
        ("\u001b[2J198.51.100.0/31", "is no network"),
        ("198.51.100.0/31," * 1000, "is no network"),
        (["198.51.100.0/31"], "is no network"),
        ({"prefix": 7}, "is no network"),
    ],
)
async def test_no_prefix(prefix: object, why: str, *, fleet: Fleet, gateways: Gateways, listed: Run) -> None:
    """A gateway without a prefix, or with one that is none, is named, and the list is not complete."""
    await fleet.add("node", published(SHARED))
    await gateways.add("gate", prefix)
    ended = await listed()
    assert (ended.code, ended.out) == (5, "52.1.1.1/32\n")
    cause = f"not known: static egress gateway whose status.egressIpPrefix {why}"
    assert f"{cause}: {gateways.namespace}/gate\n" in ended.err
    value = json.loads((await listed("-o", "json")).out)
    assert value["complete"] is False
    assert [each["prefix"] for each in value["staticGateways"]] == [None]


async def test_without_the_right(fleet: Fleet, gateways: Gateways, nodes: Run) -> None:
    """Who may not list them gets the list of the nodes, the right that is missing, and exit code 5."""
    await fleet.add("node", published(SHARED))
    await gateways.add("one", "198.51.100.0/31")
    ended = await nodes("--egress")
    assert (ended.code, ended.out) == (5, "52.1.1.1/32\n")
    assert f"{RESOURCE} could not be listed" in ended.err
    assert "list staticgatewayconfigurations (a ClusterRole" in ended.err
    assert (await nodes()).code == 0


async def test_without_the_resource(fleet: Fleet, nodes: Run, listed: Run) -> None:
    """A cluster without the resource has no static gateways, and nobody needs a right to it."""
    await fleet.add("node", published(SHARED))
    for command in (partial(nodes, "--egress"), listed):
        ended = await command()
        assert (ended.code, ended.out) == (0, "52.1.1.1/32\n"), ended.err
        assert "gateway" not in ended.err.replace("NAT gateway", "")
