"""What tests of `prune` speak of: keys of ours and of others, Nodes that were written."""

from collections.abc import Awaitable, Callable

from tests.support.commands import Ended
from tests.support.fake_cluster import FakeCluster

PREFIX = "azure-lb-metadata.io"
MANAGER = "azure-lb-metadata"
STATUS = f"{PREFIX}/status"
PUBLIC_IP = f"{PREFIX}/public-ip"
OURS = {STATUS: "ok", PUBLIC_IP: "20.0.0.1"}
OTHERS = {"other.example/key": "value", "azure-lb-metadata.io.example/status": "x"}
WAIT = ("--wait-for-daemonset=lb/agents", "--pod-selector=app=lb, tier in (a,b)")

Prune = Callable[..., Awaitable[Ended]]


def patched(cluster: FakeCluster) -> list[str]:
    """The names of the Nodes that were written, one for each request."""
    return [request.path.rpartition("/")[2] for request in cluster.asked("PATCH")]
