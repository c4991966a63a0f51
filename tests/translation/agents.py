"""An agent in the node's network namespace: it annotates a Node of an API server elsewhere."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from urllib.parse import urlsplit

from tests.agent.support import ours
from tests.support import commands
from tests.support.agent import AgentProcess, agent_with
from tests.support.apiserver import kubeconfig
from tests.support.cluster import Cluster, Identity
from tests.support.program import Settings
from tests.support.waiting import until
from tests.translation.network import NAME, Network
from tests.translation.relay import LOOPBACK, relay

UDP, TCP, HTTPS = f"stun:{NAME}", f"stun+tcp:{NAME}", f"https://{NAME}/ip"
ALL = f"{UDP},{TCP},{HTTPS}"

OWN_ENDPOINT: Mapping[str, str] = MappingProxyType({"AZURE_LB_METADATA_IMDS_ENDPOINT": ""})
"""Not set: the agent asks 169.254.169.254, which in the namespace is the node itself."""

SETTINGS: Settings = MappingProxyType(
    {
        "poll_interval": "1s",
        "write_splay": "1s",
        # Never in a test that is not about it.
        "resync_interval": "1h",
    }
)


@dataclass(frozen=True)
class Observer:
    """An agent in the node's namespace, and the Node that it annotates. Made by `observing`."""

    agent: AgentProcess
    cluster: Cluster
    node: str

    async def egress(self) -> dict[str, Any]:
        """``/v1/egress``; empty before there is an answer."""
        reply = await self.agent.get("/v1/egress")
        answer: dict[str, Any] = reply.json if reply.status == 200 else {}
        return answer

    async def until_state(self, state: str, *observed: str) -> dict[str, Any]:
        """Wait for a state with exactly these addresses observed, everywhere; give ``/v1/egress``.

        Everywhere: in the answer, in the annotations, and as the one state in the metrics.
        """
        answer = await until(
            self.egress, lambda answer: answer and (answer["state"], addresses(answer)) == (state, observed)
        )
        await self.until_annotated(**{"egress-state": state, "egress-observed": ",".join(observed) or None})
        samples = await self.agent.samples("azure_lb_metadata_egress_state")
        assert [labels["state"] for labels, value in samples if value] == [state]
        return answer

    async def until_annotated(self, **wanted: str | None) -> None:
        """Wait until the Node's annotations have these values; ``None``: there is none."""

        async def annotations() -> dict[str, str | None]:
            found = ours(await self.cluster.node(self.node))
            return {name: found.get(name) for name in wanted}

        await until(annotations, lambda found: found == wanted)

    async def until_results(self, **wanted: Mapping[str, str]) -> None:
        """Wait for what the probe of each transport brought, by family: an address or a failure."""
        await until(self.results, lambda found: found == wanted)

    async def results(self) -> dict[str, dict[str, str]]:
        """What the probe of each transport brought in the last round, by family: an address or a failure."""
        return {
            probe["transport"]: {
                result["family"]: result["failure"] or result["ipAddress"] for result in probe["results"]
            }
            for probe in (await self.egress()).get("probes", ())
        }

    async def until_transports(self, wanted: Mapping[str, list[str]]) -> None:
        """Wait until each address was seen over these transports, and none over another."""

        async def transports() -> dict[str, list[str]]:
            return {one["ipAddress"]: one["transports"] for one in (await self.egress()).get("observed", ())}

        await until(transports, lambda found: found == wanted)

    async def rounds_until(self, state: str) -> list[dict[str, Any]]:
        """Wait for a state, and give ``/v1/egress`` after each round until then, the last one included."""
        rounds: dict[str, dict[str, Any]] = {}

        async def noted() -> str:
            answer = await self.egress()
            if answer and answer["probedAt"] is not None:
                rounds[answer["probedAt"]] = answer
            return str(answer.get("state"))

        await until(noted, lambda now: now == state)
        return list(rounds.values())

    async def listed(self) -> commands.Ended:
        """What ``nodes --egress`` says of the cluster, from outside of the node."""
        return await commands.run("nodes", "--egress", kubeconfig=self.cluster.server.admin_kubeconfig)


def addresses(answer: Mapping[str, Any]) -> tuple[str, ...]:
    """What is observed, of ``/v1/egress``."""
    return tuple(one["ipAddress"] for one in answer["observed"])


@asynccontextmanager
async def agent_on_node(network: Network, directory: Path, settings: Settings) -> AsyncIterator[AgentProcess]:
    """An agent in the node's namespace whose rounds come soon; its API and metrics are reached from here."""
    async with AsyncExitStack() as stack:
        agent = await stack.enter_async_context(
            agent_with(
                directory,
                {**SETTINGS, **settings},
                python=("-m", "tests.translation.quick_agent"),
                environment=OWN_ENDPOINT,
                within=network.program(),
            )
        )
        agent.url, agent.admin_url = [
            f"http://{LOOPBACK}:{await stack.enter_async_context(relay(port, of=network.node, at=None))}"
            for port in map(_port, (agent.url, agent.admin_url))
        ]
        yield agent


@asynccontextmanager
async def observing(
    network: Network, cluster: Cluster, identity: Identity, **settings: str | bool | None
) -> AsyncIterator[Observer]:
    """An agent in the node's namespace that annotates the identity's Node."""
    async with relay(_port(cluster.server.url), of=None, at=network.node) as port:
        config = identity.directory / "relayed"
        config.write_text(
            kubeconfig(
                server=f"https://{LOOPBACK}:{port}",
                ca_file=identity.directory / "ca.crt",
                user={"tokenFile": str(identity.directory / "token")},
            )
        )
        own: Settings = {"node_name": identity.node, "kubeconfig": str(config)}
        async with agent_on_node(network, identity.directory, {**own, **settings}) as agent:
            yield Observer(agent, cluster, identity.node)


async def translate(network: Network, **translations: Any) -> None:
    """`Network.translate` in a thread: what is relayed goes on meanwhile."""
    await asyncio.to_thread(network.translate, **translations)


def _port(url: str) -> int:
    port = urlsplit(url).port
    assert port is not None
    return port
