"""Names, addresses and places of the cluster; what carries them belongs to it and may be removed.

The networks are those AKS gives a cluster by default. No namespace has a route to the machine's own
network, so 169.254.169.254 is nobody but the simulator in all of them.
"""

from dataclasses import dataclass
from pathlib import Path

CHECKOUT = Path(__file__).resolve().parents[3]

ROOT = Path("/srv/azure-lb-metadata-e2e")
"""Everything the cluster writes. Outside /run, /var/lib and /var/log: a node has its own of these."""

CONTROL_NAMESPACE = "albm-control"
IMDS_NAMESPACE = "albm-imds"
OUTSIDE_NAMESPACE = "albm-outside"

NODE_NETWORK = "10.224.0.0/24"
BRIDGE_ADDRESS = "10.224.0.1"
"""The control plane and the cluster's name server, on the bridge that joins all namespaces."""

SIMULATOR_ADDRESS = "10.224.0.254"
IMDS_ADDRESS = "169.254.169.254"
OUTSIDE_ADDRESS = "203.0.113.7"
"""A client with a public address (RFC 5737), which the nodes' network reaches without translation."""

POD_NETWORK = "10.244.0.0/16"
SERVICE_NETWORK = "10.0.0.0/16"


@dataclass(frozen=True)
class NodePlace:
    """One node: its name, its addresses and the folder that holds all of it."""

    name: str
    address: str
    pod_network: str

    @property
    def namespace(self) -> str:
        """Its network namespace."""
        return f"albm-{self.name}"

    @property
    def directory(self) -> Path:
        """Its folder."""
        return ROOT / self.name

    @property
    def cgroup(self) -> str:
        """The control group of its pods, below the root of each hierarchy."""
        return f"/{ROOT.name}/{self.name}"


NODES = (
    NodePlace(name="node-a", address="10.224.0.4", pod_network="10.244.1.0/24"),
    NodePlace(name="node-b", address="10.224.0.5", pod_network="10.244.2.0/24"),
)
