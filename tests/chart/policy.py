"""An agent with far too many rights, held by the chart's policy alone, and what it must not get done."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.chart.helm import RELEASE, Value, render
from tests.support.cluster import APPLY_PATCH, MERGE_PATCH, ApiError, Cluster, Identity

PREFIX = "azure-lb-metadata.io"
MANAGER = "azure-lb-metadata"
OLD = "old.example.com"
"""The prefix before; its keys may be removed."""
BUDGET = 2048
ADMISSION = "/apis/admissionregistration.k8s.io/v1"
EVERYTHING: tuple[Mapping[str, list[str]], ...] = (
    {"apiGroups": [""], "resources": ["nodes", "nodes/status", "nodes/proxy"], "verbs": ["*"]},
)
ENFORCED_WITHIN_S = 120.0


@dataclass(frozen=True)
class Attempt:
    """A request to the API server; ``{own}`` and ``{other}`` in its path stand for names of Nodes."""

    body: Any = None
    method: str = "PATCH"
    path: str = "/api/v1/nodes/{own}"
    content_type: str = MERGE_PATCH


@dataclass(frozen=True)
class Agent:
    """An agent's identity on its Node, and another Node beside it."""

    cluster: Cluster
    identity: Identity
    other: str

    @property
    def node(self) -> str:
        """Its own Node."""
        return self.identity.node

    async def send(self, attempt: Attempt, *, dry_run: bool = False) -> dict[str, Any]:
        """Send the attempt with the agent's token.

        Raises:
            ApiError: it was refused.
        """
        path = attempt.path.format(own=self.node, other=self.other)
        if dry_run:
            path += ("&" if "?" in path else "?") + "dryRun=All"
        return await self.cluster.request(
            attempt.method,
            path,
            body=attempt.body,
            content_type=attempt.content_type,
            token=self.identity.token,
        )

    async def apply(self, annotations: Mapping[str, str], *, manager: str = MANAGER) -> dict[str, Any]:
        """Apply annotations to the own Node as agents do."""
        uid = (await self.cluster.node(self.node)).uid
        metadata = {"name": self.node, "uid": uid, "annotations": dict(annotations)}
        path = f"/api/v1/nodes/{{own}}?fieldManager={manager}&force=true"
        body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
        return await self.send(Attempt(body, path=path, content_type=APPLY_PATCH))


@asynccontextmanager
async def agent_held(
    cluster: Cluster, *, directory: Path, values: Mapping[str, Value], pruning: bool = False
) -> AsyncIterator[Agent]:
    """An agent that the policy rendered with `values` holds, and whom RBAC would allow everything.

    With `pruning` it is held by the policy of the Job that prunes.
    """
    node, other = await cluster.create_node(), await cluster.create_node()
    identity = await cluster.create_identity(node.name, directory=directory, rules=EVERYTHING)
    agent = Agent(cluster, identity, other.name)
    name = f"{RELEASE}.{identity.namespace}{'.prune' if pruning else ''}"
    objects = render(
        {"annotations.budget": BUDGET, "serviceAccount.name": identity.service_account, **values},
        options=["--namespace", identity.namespace],
    )
    policy = objects.one("ValidatingAdmissionPolicy", name)
    (condition,) = policy["spec"]["matchConditions"]
    account = f"system:serviceaccount:{identity.namespace}:{identity.service_account}"
    assert pruning or f"'{account}'" in condition["expression"]
    condition["expression"] = f"request.userInfo.username == '{account}'"
    binding = objects.one("ValidatingAdmissionPolicyBinding", name)
    await cluster.request("POST", f"{ADMISSION}/validatingadmissionpolicies", body=policy)
    await cluster.request("POST", f"{ADMISSION}/validatingadmissionpolicybindings", body=binding)
    try:
        await _until_enforced(agent)
        yield agent
    finally:
        await cluster.request("DELETE", f"{ADMISSION}/validatingadmissionpolicybindings/{name}")
        await cluster.request("DELETE", f"{ADMISSION}/validatingadmissionpolicies/{name}")
        await cluster.delete_node(node.name)
        await cluster.delete_node(other.name)


async def _until_enforced(agent: Agent) -> None:
    """The API server learns of a policy through a watch, a moment after it is written."""
    probe = Attempt({"metadata": {"labels": {"probe": "true"}}})
    async with asyncio.timeout(ENFORCED_WITHIN_S):
        while True:
            try:
                await agent.send(probe, dry_run=True)
            except ApiError as error:
                if "ValidatingAdmissionPolicy" in error.message:
                    return
                raise
            await asyncio.sleep(0.05)
