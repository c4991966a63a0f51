"""An admission policy that refuses what agents write to a Node with a certain annotation."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from tests.support.cluster import ApiError, Cluster, Identity

_REFUSE = "chaos.example/refuse"
_NAME = "chaos"
_GROUP = "admissionregistration.k8s.io/v1"
_POLLS = 600
_POLL_S = 0.05


def _object(kind: str, spec: dict[str, Any]) -> dict[str, Any]:
    return {"apiVersion": _GROUP, "kind": kind, "metadata": {"name": _NAME}, "spec": spec}


async def install(cluster: Cluster, identity: Identity) -> None:
    """Make the policy, and wait until the API server goes by it.

    Raises:
        TimeoutError: it does not.
    """
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["nodes"]}
    agents = "request.userInfo.username.startsWith('system:serviceaccount:')"
    expression = f"!has(oldObject.metadata.annotations) || !('{_REFUSE}' in oldObject.metadata.annotations)"
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "agents", "expression": agents}],
        "validations": [{"expression": expression, "message": "as the seed will have it"}],
    }
    path = f"/apis/{_GROUP}/validatingadmissionpolic"
    await cluster.request("POST", f"{path}ies", body=_object("ValidatingAdmissionPolicy", policy))
    binding = {"policyName": _NAME, "validationActions": ["Deny"]}
    await cluster.request(
        "POST", f"{path}ybindings", body=_object("ValidatingAdmissionPolicyBinding", binding)
    )
    async with refusing(cluster, identity.node):
        for _ in range(_POLLS):
            if await _refuses(cluster, identity):
                return
            await asyncio.sleep(_POLL_S)
    raise TimeoutError("the policy is not followed")


async def _refuses(cluster: Cluster, identity: Identity) -> bool:
    """Whether a write with the agent's token, which is only tried, is refused by the policy."""
    try:
        await cluster.request(
            "PATCH",
            f"/api/v1/nodes/{identity.node}?dryRun=All",
            body={"metadata": {"annotations": {"azure-lb-metadata.io/status": "ok"}}},
            content_type="application/merge-patch+json",
            token=identity.token,
        )
    except ApiError as error:
        return error.status == 422
    return False


@asynccontextmanager
async def refusing(cluster: Cluster, node: str) -> AsyncIterator[None]:
    """Let the policy refuse writes to a Node for the length of the block."""
    await cluster.annotate(node, {_REFUSE: "yes"})
    try:
        yield
    finally:
        await cluster.annotate(node, {_REFUSE: None})
