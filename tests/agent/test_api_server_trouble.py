"""What an agent does when the API server is away, mute, or refuses."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import pytest

from sidecar.simulator import Serving
from tests.agent.support import annotating, has, until_annotated
from tests.support.agent import AgentProcess
from tests.support.apiserver import ApiServer
from tests.support.cluster import MERGE_PATCH, ApiError, Cluster, Identity
from tests.support.faults import Origin, also_shows, api_failure, fault
from tests.support.waiting import until

pytestmark = pytest.mark.apiserver

ADMISSION = "/apis/admissionregistration.k8s.io/v1"

CHANGED = "several-nics"
"""A document with more public IPs than the first, so that it is written at once."""

CHANGED_IPS = "192.0.2.4,192.0.2.5,192.0.2.6"


async def until_served(agent: AgentProcess) -> None:
    """Wait until the HTTP API has the changed document."""
    text = CHANGED_IPS.replace(",", "\n") + "\n"
    await until(lambda: agent.get("/v1/public-ips?format=text"), lambda reply: reply.text == text)


async def failure(agent: AgentProcess) -> str:
    """Wait for the first failure to publish, and give what the log says of it."""
    return str((await agent.program.event("publish-failed", publisher="node"))["error"])


@fault(Origin.API_SERVER, "The API server is down", api_failure("error"))
async def test_stopped_and_back(
    service: Serving, api_server: ApiServer, cluster: Cluster, identity: Identity
) -> None:
    """While the API server is away HTTP has the newest state; when it is back, so has the Node."""
    async with annotating(service, identity) as agent:
        await until_annotated(cluster, identity.node, has(status="ok"))
        async with api_server.stopped():
            service.simulator.set_document(CHANGED)
            await until_served(agent)
            assert "see that the API server is up" in await failure(agent)
            assert (await agent.admin("/readyz")).status == 200
        await until_annotated(cluster, identity.node, has(public_ips=CHANGED_IPS, status="ok"))
        await agent.program.event("publish-recovered", publisher="node")


@fault(
    Origin.API_SERVER,
    "The API server is down when the agent starts",
    api_failure("error").but(
        annotated="Nothing until the Node has been read: what stands there is restored first."
    ),
)
async def test_started_while_away(
    service: Serving, api_server: ApiServer, cluster: Cluster, identity: Identity
) -> None:
    """An agent that starts without an API server serves at once, and annotates when there is one."""
    async with AsyncExitStack() as stack:
        async with api_server.stopped():
            agent = await stack.enter_async_context(annotating(service, identity))
            await agent.until_ready()
            await failure(agent)
        await until_annotated(cluster, identity.node, has(status="ok"))


@fault(
    Origin.API_SERVER,
    "The API server accepts connections and never answers",
    api_failure("error").but(recovery="Each request ends after 10 s; then as in any outage."),
)
async def test_mute(service: Serving, api_server: ApiServer, cluster: Cluster, identity: Identity) -> None:
    """An API server that accepts and does not answer holds up neither polls nor HTTP."""
    async with annotating(service, identity) as agent:
        await until_annotated(cluster, identity.node, has(status="ok"))
        with api_server.paused():
            service.simulator.set_document(CHANGED)
            await until_served(agent)
            await agent.more_attempts(20, "ok")
        await until_annotated(cluster, identity.node, has(public_ips=CHANGED_IPS))


async def test_ends_while_mute(service: Serving, api_server: ApiServer, identity: Identity) -> None:
    """A request that gets no answer does not keep the agent from ending."""
    async with annotating(service, identity) as agent:
        with api_server.paused():
            service.simulator.set_document(CHANGED)
            await until_served(agent)
            await agent.more_attempts(10, "ok")
            await agent.program.end()
            assert await agent.program.exit_code() == 0


@fault(Origin.API_SERVER, "The agent's rights are gone: 403", api_failure("403"))
async def test_rights_lost(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """Without its rights it says who needs which, serves on, and writes when it has them again."""
    async with annotating(service, identity) as agent:
        await until_annotated(cluster, identity.node, has(status="ok"))
        await cluster.deny(identity)
        service.simulator.set_document(CHANGED)
        user = f"system:serviceaccount:{identity.namespace}:{identity.service_account}"
        assert f"let {user} get and patch nodes" in await failure(agent)
        await until_served(agent)
        await cluster.allow(identity)
        await until_annotated(cluster, identity.node, has(public_ips=CHANGED_IPS))


@also_shows("The token is refused: 401, or was rotated")
async def test_token_rotated(service: Serving, cluster: Cluster, identity: Identity, tmp_path: Path) -> None:
    """A token that was replaced in its file is used from the next request on.

    The new one is of another user, and the old one's has lost its rights: so it is known which is used.
    """
    async with annotating(service, identity) as agent:
        await until_annotated(cluster, identity.node, has(status="ok"))
        new = await cluster.create_identity(identity.node, directory=tmp_path / "new")
        (identity.directory / "token").write_text(new.token)
        await cluster.deny(identity)
        service.simulator.set_document(CHANGED)
        await until_annotated(cluster, identity.node, has(public_ips=CHANGED_IPS))
        assert await agent.refused_requests() == 0


@fault(
    Origin.API_SERVER,
    "The token is refused: 401, or was rotated",
    api_failure("401").but(
        recovery="The token is read anew for every request: with the first one after a good token is there."
    ),
)
async def test_token_not_accepted(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """A token that the API server does not accept is said so; a good one in its place is enough to go on."""
    (identity.directory / "token").write_text("nonsense")
    async with annotating(service, identity) as agent:
        assert "its token is missing, expired or from another cluster" in await failure(agent)
        (identity.directory / "token").write_text(identity.token)
        await until_annotated(cluster, identity.node, has(status="ok"))


@asynccontextmanager
async def denying_policy(cluster: Cluster, node: str) -> AsyncIterator[None]:
    """An admission policy that denies every change of a Node, in force for the length of the block."""
    name = {"metadata": {"name": f"deny-{node}"}}
    rule = {"apiGroups": [""], "apiVersions": ["v1"], "operations": ["UPDATE"], "resources": ["nodes"]}
    policy = {
        "failurePolicy": "Fail",
        "matchConstraints": {"resourceRules": [rule]},
        "matchConditions": [{"name": "this-node", "expression": f"request.name == '{node}'"}],
        "validations": [{"expression": "false", "message": "this Node is nobody's noticeboard"}],
    }
    binding = {"policyName": f"deny-{node}", "validationActions": ["Deny"]}
    objects = {"validatingadmissionpolicies": policy, "validatingadmissionpolicybindings": binding}
    for kind, spec in objects.items():
        await cluster.request("POST", f"{ADMISSION}/{kind}", body={**name, "spec": spec})
    try:
        await until(lambda: is_denied(cluster, node))
        yield
    finally:
        for kind in objects:
            await cluster.request("DELETE", f"{ADMISSION}/{kind}/deny-{node}")


async def is_denied(cluster: Cluster, node: str) -> bool:
    """Whether a change of the Node would be denied."""
    try:
        await cluster.request(
            "PATCH",
            f"/api/v1/nodes/{node}?dryRun=All",
            body={"metadata": {"annotations": {"example.org/note": "note"}}},
            content_type=MERGE_PATCH,
        )
    except ApiError as error:
        return error.status == 422
    return False


@fault(
    Origin.API_SERVER,
    "An admission policy refuses the write: 422",
    api_failure("422").but(
        logged=(
            "`publish-failed` in the words of the policy, at the 1st, 2nd, 4th … failure;"
            ' `kubernetes_requests_total{code="422"}`.'
        ),
    ),
)
async def test_denied_by_policy(service: Serving, cluster: Cluster, identity: Identity) -> None:
    """What an admission policy denies is told in its words; the agent serves on and keeps trying."""
    async with annotating(service, identity) as agent:
        await until_annotated(cluster, identity.node, has(status="ok"))
        async with denying_policy(cluster, identity.node):
            service.simulator.set_document(CHANGED)
            text = await failure(agent)
            assert "answered 422" in text
            assert "this Node is nobody's noticeboard" in text
            await until_served(agent)
        await until_annotated(cluster, identity.node, has(public_ips=CHANGED_IPS))
