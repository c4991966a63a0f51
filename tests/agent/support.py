"""What several tests of the agent say and ask."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager

from sidecar.simulator import Serving
from tests.support.agent import AgentProcess, agent_running
from tests.support.cluster import Cluster, Identity
from tests.support.nodes import NodeMetadata
from tests.support.program import Settings
from tests.support.replies import Reply
from tests.support.waiting import until

PUBLIC_IP = "192.0.2.4\n"
"""What the simulator's documents say."""

FAULTS = {
    "unavailable": "unavailable",
    "throttled": "throttled",
    "gone": "not-ready",
    "api-not-available": "not-ready",
    "api-not-found": "not-ready",
    "hang": "unreachable",
    "reset": "unreachable",
    "xml": "rejected",
    "truncated": "malformed",
    "empty": "malformed",
}
"""What the metadata service may do instead of answering, and the reason that becomes of it."""


def stale(reply: Reply) -> bool:
    """Whether an answer's data are called stale."""
    return reply.status == 200 and reply.state == "stale"


def ok(reply: Reply) -> bool:
    """Whether an answer's data are fresh."""
    return reply.status == 200 and reply.state == "ok"


def age(reply: Reply) -> int:
    """How old an answer's data are, in whole seconds."""
    return int(reply.headers["Age"])


@asynccontextmanager
async def taken_port() -> AsyncIterator[str]:
    """An address of loopback where somebody else listens."""
    server = await asyncio.start_server(lambda _, writer: writer.close(), "127.0.0.1", 0)
    async with server:
        host, port = server.sockets[0].getsockname()
        yield f"{host}:{port}"


# --- On a cluster

PREFIX = "azure-lb-metadata.io"


@asynccontextmanager
async def annotating(
    service: Serving, identity: Identity, **settings: str | bool | None
) -> AsyncIterator[AgentProcess]:
    """An agent that asks this metadata service and annotates the identity's Node."""
    own: Settings = {
        "imds_endpoint": service.url,
        "node_name": identity.node,
        "kubeconfig": str(identity.kubeconfig),
    }
    async with agent_running(identity.directory, **{**own, **settings}) as agent:
        yield agent


def ours(node: NodeMetadata, *, prefix: str = PREFIX) -> dict[str, str]:
    """The annotations under a prefix, by name without it."""
    return {
        key.removeprefix(f"{prefix}/"): value
        for key, value in node.annotations.items()
        if key.startswith(f"{prefix}/")
    }


def lasting(annotations: Mapping[str, str]) -> dict[str, str]:
    """Annotations without those that tell of the last answer rather than of its content."""
    return {
        name: value for name, value in annotations.items() if name not in {"status", "reason", "observed-at"}
    }


async def until_annotated(
    cluster: Cluster, name: str, wanted: Callable[[dict[str, str]], object], *, prefix: str = PREFIX
) -> dict[str, str]:
    """Wait for annotations as wanted, by name without the prefix, and give them."""

    async def annotations() -> dict[str, str]:
        return ours(await cluster.node(name), prefix=prefix)

    return await until(annotations, wanted)


def has(**values: str | None) -> Callable[[Mapping[str, str]], bool]:
    """Whether annotations have these values; None is that there is none."""
    return lambda annotations: all(
        annotations.get(name.replace("_", "-")) == value for name, value in values.items()
    )
