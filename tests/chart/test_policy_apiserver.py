"""The admission policy as a real API server enforces it."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from tests.chart.forbidden import FORBIDDEN, FOREIGN, UNLISTED
from tests.chart.policy import BUDGET, EVERYTHING, MANAGER, OLD, PREFIX, Agent, Attempt, agent_held
from tests.support.apiserver import ApiServer
from tests.support.cluster import APPLY_PATCH, MERGE_PATCH, RBAC, ApiError, cluster_of
from tests.support.waiting import DEADLINE_S

pytestmark = [pytest.mark.apiserver, pytest.mark.chart, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def agent(api_server: ApiServer, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Agent]:
    """The agent of all tests here: policies are the same for all, and take a second to be enforced."""
    values = {"annotations.previousPrefixes": [OLD]}
    async with cluster_of(api_server) as cluster:
        directory = tmp_path_factory.mktemp("policy")
        async with agent_held(cluster, directory=directory, values=values) as held:
            yield held


@pytest_asyncio.fixture(autouse=True, loop_scope="module")
async def fresh(agent: Agent) -> None:
    """Each test finds keys of three prefixes on the Node."""
    live = (await agent.cluster.node(agent.node)).annotations
    ours = {key: None for key in live if key.startswith((f"{PREFIX}/", f"{OLD}/", f"{UNLISTED}/"))}
    values = {f"{prefix}/status": "stale" for prefix in (PREFIX, OLD, UNLISTED)}
    await agent.cluster.annotate(agent.node, {**ours, **values})


async def eventually(agent: Agent, attempt: Attempt) -> None:
    """Send until the authorizer has learned of a binding, a moment after it was written."""
    async with asyncio.timeout(DEADLINE_S):
        while True:
            try:
                await agent.send(attempt)
            except ApiError as error:
                if error.status != 422:
                    raise
                await asyncio.sleep(0.05)
            else:
                return


@pytest.mark.parametrize("name", FORBIDDEN)
async def test_forbidden(agent: Agent, name: str) -> None:
    """The policy refuses what an agent must not get done, and the Node stays as it was."""
    before = await agent.cluster.node(agent.node)
    with pytest.raises(ApiError) as refused:
        await agent.send(FORBIDDEN[name])
    assert "ValidatingAdmissionPolicy" in refused.value.message
    assert refused.value.status == 422
    assert await agent.cluster.node(agent.node) == before


async def test_only_the_policy_forbids(agent: Agent, tmp_path: Path) -> None:
    """Nearly all of it goes through for an identity of the same rights that no policy holds."""
    identity = await agent.cluster.create_identity(agent.node, directory=tmp_path, rules=EVERYTHING)
    free = dataclasses.replace(agent, identity=identity)
    through = 0
    for attempt in FORBIDDEN.values():
        try:
            await free.send(attempt, dry_run=True)
        except ApiError as error:
            assert "ValidatingAdmissionPolicy" not in error.message  # noqa: PT017 - it need not be raised
        else:
            through += 1
    assert through >= 45


async def test_status_in_a_patch_of_the_node(agent: Agent) -> None:
    """A status in a patch of the Node itself has no effect, policy or not."""
    before = await agent.cluster.request("GET", f"/api/v1/nodes/{agent.node}")
    await agent.send(Attempt({"status": {"addresses": []}}))
    after = await agent.cluster.request("GET", f"/api/v1/nodes/{agent.node}")
    assert after["status"] == before["status"]


async def test_token_without_a_node(agent: Agent) -> None:
    """A token of the same service account that is bound to no pod has no Node, and may write to none."""
    identity = agent.identity
    path = f"/api/v1/namespaces/{identity.namespace}/serviceaccounts/{identity.service_account}/token"
    answer = await agent.cluster.request("POST", path, body={"spec": {}})
    unbound = dataclasses.replace(
        agent, identity=dataclasses.replace(identity, token=answer["status"]["token"])
    )
    with pytest.raises(ApiError, match="own Node only"):
        await unbound.apply({f"{PREFIX}/status": "ok"})


async def test_apply(agent: Agent) -> None:
    """An agent annotates its own Node."""
    await agent.apply({f"{PREFIX}/status": "ok", f"{PREFIX}/public-ip": "192.0.2.4"})
    annotations = (await agent.cluster.node(agent.node)).annotations
    assert annotations[f"{PREFIX}/status"] == "ok"
    assert annotations[f"{PREFIX}/public-ip"] == "192.0.2.4"


async def test_apply_of_egress(agent: Agent) -> None:
    """An agent says what is declared and observed, and no longer says it."""
    said = {
        f"{PREFIX}/egress-networks": "20.1.2.0/30,2001:db8::/48",
        f"{PREFIX}/egress-observed": "20.1.2.1,2001:db8::7",
        f"{PREFIX}/egress-state": "agrees",
    }
    await agent.apply(said)
    assert said.items() <= (await agent.cluster.node(agent.node)).annotations.items()
    await agent.apply({f"{PREFIX}/status": "ok"})
    assert said.keys().isdisjoint((await agent.cluster.node(agent.node)).annotations)


async def test_apply_of_nothing(agent: Agent) -> None:
    """An apply without annotations removes the agent's own keys and no others."""
    await agent.apply({f"{PREFIX}/public-ip": "192.0.2.4"})
    await agent.apply({})
    annotations = (await agent.cluster.node(agent.node)).annotations
    assert f"{PREFIX}/public-ip" not in annotations
    assert annotations[FOREIGN] == "0"


async def test_previous_prefix(agent: Agent) -> None:
    """An apply of nothing under the previous prefix's field manager removes its keys."""
    manager = f"{MANAGER}/{OLD}"
    path = f"/api/v1/nodes/{agent.node}?fieldManager={manager.replace('/', '%2F')}&force=true"
    body = {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {"annotations": {f"{OLD}/public-ip": "192.0.2.4"}},
    }
    await agent.cluster.request("PATCH", path, body=body, content_type="application/apply-patch+yaml")
    await agent.apply({}, manager=manager)
    assert f"{OLD}/public-ip" not in (await agent.cluster.node(agent.node)).annotations


async def test_previous_prefix_by_others(agent: Agent) -> None:
    """Keys under the previous prefix may be removed whoever wrote them."""
    await agent.send(Attempt({"metadata": {"annotations": {f"{OLD}/status": None}}}))
    assert f"{OLD}/status" not in (await agent.cluster.node(agent.node)).annotations


async def test_recorded_prefix(agent: Agent) -> None:
    """Keys of a prefix that the release's record names may be removed, and of no other."""
    removal = Attempt({"metadata": {"annotations": {f"{UNLISTED}/status": None}}})
    name = agent.identity.namespace
    role = {
        "metadata": {"name": f"{name}.prefixes"},
        "rules": [
            {
                "apiGroups": ["azure-lb-metadata.io"],
                "resources": ["annotationprefixes"],
                "resourceNames": [UNLISTED],
                "verbs": ["remove"],
            }
        ],
    }
    await agent.cluster.request("POST", f"{RBAC}/clusterroles", body=role)
    binding = {
        "metadata": {"name": f"{name}.prefixes"},
        "roleRef": {
            "apiGroup": "rbac.authorization.k8s.io",
            "kind": "ClusterRole",
            "name": f"{name}.prefixes",
        },
        "subjects": [{"kind": "ServiceAccount", "name": name, "namespace": name}],
    }
    await agent.cluster.request("POST", f"{RBAC}/clusterrolebindings", body=binding)
    try:
        await eventually(agent, removal)
    finally:
        await agent.cluster.request("DELETE", f"{RBAC}/clusterrolebindings/{name}.prefixes")
        await agent.cluster.request("DELETE", f"{RBAC}/clusterroles/{name}.prefixes")
    assert f"{UNLISTED}/status" not in (await agent.cluster.node(agent.node)).annotations


async def test_take_over(agent: Agent) -> None:
    """An agent takes over by force what kubectl set or applied, and may remove all of it again."""
    both = {"annotations": {f"{PREFIX}/status": "mine", f"{PREFIX}/public-ip": "192.0.2.9"}}
    await agent.cluster.annotate(agent.node, both["annotations"])
    path = f"/api/v1/nodes/{agent.node}?fieldManager=kubectl&force=true"
    body = {"apiVersion": "v1", "kind": "Node", "metadata": both}
    await agent.cluster.request("PATCH", path, body=body, content_type=APPLY_PATCH)
    await agent.apply({f"{PREFIX}/status": "ok", f"{PREFIX}/public-ip": "192.0.2.4"})
    taken = await agent.cluster.node(agent.node)
    assert taken.annotations[f"{PREFIX}/public-ip"] == "192.0.2.4"
    assert "kubectl" not in taken.managers
    await agent.apply({})
    assert f"{PREFIX}/public-ip" not in (await agent.cluster.node(agent.node)).annotations


async def test_after_a_reset_of_owners(agent: Agent) -> None:
    """An agent annotates a Node whose managed fields somebody has reset, and again."""
    await agent.apply({f"{PREFIX}/status": "ok"})
    reset = {"metadata": {"managedFields": [dict[str, str]()]}}
    path = f"/api/v1/nodes/{agent.node}"
    await agent.cluster.request("PATCH", path, body=reset, content_type=MERGE_PATCH)
    for status in ("stale", "ok"):
        await agent.apply({f"{PREFIX}/status": status})
        node = await agent.cluster.node(agent.node)
        assert node.annotations[f"{PREFIX}/status"] == status
        assert node.managers == {MANAGER, "before-first-apply"}


async def test_only_annotations(agent: Agent) -> None:
    """The annotations of an agent may be the first and the last that a Node has."""
    all_gone = {"metadata": {"annotations": None}}
    await agent.cluster.request(
        "PATCH", f"/api/v1/nodes/{agent.node}", body=all_gone, content_type=MERGE_PATCH
    )
    await agent.apply({f"{PREFIX}/status": "ok"})
    await agent.send(Attempt({"metadata": {"annotations": {f"{PREFIX}/status": None}}}))
    assert (await agent.cluster.node(agent.node)).annotations == {}
    await agent.cluster.annotate(agent.node, {FOREIGN: "0", f"{UNLISTED}/status": "stale"})


async def test_many_owners(agent: Agent) -> None:
    """Many field managers that own many things are compared within what an API server spends on it."""
    for number in range(60):
        many = {f"example-{number}.com/key-{key}": "x" * 20 for key in range(20)}
        metadata = {"annotations": many, "labels": {"agentpool": "nodepool1", f"example.com/{number}": "a"}}
        body = {"apiVersion": "v1", "kind": "Node", "metadata": metadata}
        path = f"/api/v1/nodes/{agent.node}?fieldManager=manager-{number}&force=true"
        await agent.cluster.request("PATCH", path, body=body, content_type=APPLY_PATCH)
    await agent.apply({f"{PREFIX}/status": "ok", f"{PREFIX}/public-ip": "192.0.2.4"})
    await agent.apply({})
    gone = {"apiVersion": "v1", "kind": "Node", "metadata": {}}
    for number in range(60):
        path = f"/api/v1/nodes/{agent.node}?fieldManager=manager-{number}&force=true"
        await agent.cluster.request("PATCH", path, body=gone, content_type=APPLY_PATCH)


async def test_budget(agent: Agent) -> None:
    """Keys and values may have exactly the budget, and not one byte more."""
    await agent.cluster.annotate(agent.node, {f"{PREFIX}/status": None})
    key = f"{PREFIX}/loadbalancer"
    await agent.apply({key: "x" * (BUDGET - len(key))})
    with pytest.raises(ApiError, match="more than 2048 bytes"):
        await agent.apply({key: "x" * (BUDGET - len(key) + 1)})


async def test_less_than_before(agent: Agent) -> None:
    """Where others have exceeded the budget, an agent may still make it less."""
    await agent.cluster.annotate(agent.node, {f"{PREFIX}/{name}": "x" * 2000 for name in ("a", "inbound")})
    await agent.apply({f"{PREFIX}/inbound": "tcp/192.0.2.4:443"})


async def test_what_others_wrote(agent: Agent) -> None:
    """What others wrote under the prefix, printable or not, does not keep an agent from writing."""
    await agent.cluster.annotate(agent.node, {f"{PREFIX}/note": "größer\n"})
    await agent.apply({f"{PREFIX}/status": "ok"})
    await agent.send(Attempt({"metadata": {"annotations": {f"{PREFIX}/note": None}}}))
