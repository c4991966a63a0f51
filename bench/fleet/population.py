"""A cluster's Nodes with the chart's rights and policy, and a token for the agent of each Node.

The tokens come from the TokenRequest API and are bound to the Node itself (Kubernetes 1.33 and newer),
not to a pod on it: they carry the same claim, ``authentication.kubernetes.io/node-name``, that the
chart's policy looks at, and thousands of pods need not be made for them.
"""

import asyncio
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.nodes import each, full_node, name_of
from tests.chart.helm import NAMESPACE, RELEASE, render
from tests.chart.policy import ADMISSION
from tests.support.cluster import RBAC, ApiError, Cluster

_ACCOUNT = RELEASE
_DEADLINE_SECONDS = 30.0
_DAY_SECONDS = 86_400


@dataclass(frozen=True, slots=True)
class Identity:
    """The agent of one Node as the API server knows it."""

    number: int
    node: str
    directory: Path
    """Token and certificate authority as kubelet mounts them."""


def _address_of(number: int) -> str:
    """The private address of a Node."""
    return f"10.{240 + number // 65536}.{number // 256 % 256}.{number % 256}"


async def populate(cluster: Cluster, count: int, *, directory: Path) -> list[Identity]:
    """Make the Nodes, rights, policy and tokens; gives the identities when the policy is enforced."""
    await _install(cluster)
    identities: list[Identity] = []

    async def work(number: int) -> None:
        body = full_node(number, address=_address_of(number))
        node = await cluster.request("POST", "/api/v1/nodes", body=body)
        token = await _token(cluster, node["metadata"])
        identities.append(_mounted(cluster, number, token=token, directory=directory))

    await each(range(count), work)
    identities.sort(key=lambda identity: identity.number)
    await _until_enforced(cluster, identities[0])
    return identities


async def _install(cluster: Cluster) -> None:
    """Create what the chart renders for the agents' rights and their policy."""
    objects = render()
    namespace = f"/api/v1/namespaces/{NAMESPACE}"
    await cluster.request("POST", "/api/v1/namespaces", body={"metadata": {"name": NAMESPACE}})
    await cluster.request(
        "POST", f"{namespace}/serviceaccounts", body=objects.one("ServiceAccount", _ACCOUNT)
    )
    name = f"{RELEASE}.{NAMESPACE}"
    for path, kind in (
        (f"{RBAC}/clusterroles", "ClusterRole"),
        (f"{RBAC}/clusterrolebindings", "ClusterRoleBinding"),
        (f"{ADMISSION}/validatingadmissionpolicies", "ValidatingAdmissionPolicy"),
        (f"{ADMISSION}/validatingadmissionpolicybindings", "ValidatingAdmissionPolicyBinding"),
    ):
        await cluster.request("POST", path, body=_named(objects.all(kind), name))


def _named(objects: Iterable[dict[str, Any]], name: str) -> dict[str, Any]:
    """That of the agents, not that of a hook."""
    (wanted,) = (each for each in objects if each["metadata"]["name"] in (name, RELEASE))
    return wanted


async def _token(cluster: Cluster, metadata: Mapping[str, Any]) -> str:
    bound = {"apiVersion": "v1", "kind": "Node", "name": metadata["name"], "uid": metadata["uid"]}
    answer = await cluster.request(
        "POST",
        f"/api/v1/namespaces/{NAMESPACE}/serviceaccounts/{_ACCOUNT}/token",
        body={"spec": {"boundObjectRef": bound, "expirationSeconds": _DAY_SECONDS}},
    )
    return str(answer["status"]["token"])


def _mounted(cluster: Cluster, number: int, *, token: str, directory: Path) -> Identity:
    mounted = directory / name_of(number)
    mounted.mkdir()
    (mounted / "token").write_text(token)
    (mounted / "ca.crt").symlink_to(cluster.server.ca_file)
    return Identity(number, name_of(number), mounted)


async def _until_enforced(cluster: Cluster, identity: Identity) -> None:
    """Wait until the policy refuses what RBAC allows: a write to the Node of somebody else."""
    token = (identity.directory / "token").read_text()
    path = f"/api/v1/nodes/{name_of(identity.number + 1)}?dryRun=All"
    body = {"metadata": {"annotations": {"azure-lb-metadata.io/probe": "true"}}}
    async with asyncio.timeout(_DEADLINE_SECONDS):
        while True:
            try:
                await cluster.request(
                    "PATCH", path, body=body, token=token, content_type="application/merge-patch+json"
                )
            except ApiError as error:
                if "ValidatingAdmissionPolicy" in error.message:
                    return
                if error.status != 403:  # until the authorizer has learnt of the role
                    raise
            await asyncio.sleep(0.2)
