"""The network: a bridge beside the control plane, and a namespace each for nodes, simulator and outsider.

Nothing is changed in the machine's own network namespace: the pairs of interfaces are made inside.
"""

import json

from tests.e2e.harness.layout import (
    BRIDGE_ADDRESS,
    CONTROL_NAMESPACE,
    IMDS_ADDRESS,
    IMDS_NAMESPACE,
    NODE_NETWORK,
    NODES,
    OUTSIDE_ADDRESS,
    OUTSIDE_NAMESPACE,
    SERVICE_NETWORK,
    SIMULATOR_ADDRESS,
    NodePlace,
)
from tests.e2e.harness.system import in_network, run

BRIDGE = "bridge"
INTERFACE = "eth0"
NAMESPACES = (
    CONTROL_NAMESPACE,
    IMDS_NAMESPACE,
    OUTSIDE_NAMESPACE,
    *(node.namespace for node in NODES),
)


def build() -> None:
    """Make every namespace with its addresses and routes.

    Raises:
        CommandError: a name is taken, or this is not root.
        RuntimeError: a namespace has a way out.
    """
    for namespace in NAMESPACES:
        run("ip", "netns", "add", namespace)
        inside(namespace, "ip", "link", "set", "lo", "up")
    inside(CONTROL_NAMESPACE, "ip", "link", "add", BRIDGE, "type", "bridge")
    inside(CONTROL_NAMESPACE, "ip", "link", "set", BRIDGE, "up")
    address(CONTROL_NAMESPACE, BRIDGE, f"{BRIDGE_ADDRESS}/24")
    for namespace in NAMESPACES[1:]:
        join(namespace)
    place_simulator()
    place_outsider()
    for node in NODES:
        place_node(node)
    for namespace in NAMESPACES:
        check_closed(namespace)


def remove() -> None:
    """Delete the namespaces, with whatever is in them."""
    for namespace in remaining():
        run("ip", "netns", "delete", namespace)


def remaining() -> list[str]:
    """The namespaces of the cluster that are there."""
    listing = json.loads(run("ip", "-json", "netns", "list") or "[]")
    there = {entry["name"] for entry in listing}
    return [namespace for namespace in NAMESPACES if namespace in there]


def inside(namespace: str, *command: str) -> str:
    """Run a program in a namespace and give what it says."""
    return run(*in_network(namespace, *command))


def join(namespace: str) -> None:
    """Give the namespace an interface on the bridge."""
    peer = namespace.removeprefix("albm-")
    inside(CONTROL_NAMESPACE, "ip", "link", "add", peer, "type", "veth",
           "peer", "name", INTERFACE, "netns", namespace)  # fmt: skip  # one command
    inside(CONTROL_NAMESPACE, "ip", "link", "set", peer, "master", BRIDGE, "up")
    inside(namespace, "ip", "link", "set", INTERFACE, "up")


def address(namespace: str, interface: str, network: str) -> None:
    """Add an address with its prefix length to an interface."""
    inside(namespace, "ip", "address", "add", network, "dev", interface)


def place_simulator() -> None:
    """Make the simulator's namespace the only place where the metadata service's address lives."""
    address(IMDS_NAMESPACE, INTERFACE, f"{SIMULATOR_ADDRESS}/24")
    address(IMDS_NAMESPACE, INTERFACE, f"{IMDS_ADDRESS}/32")


def place_outsider() -> None:
    """Give a client a public address and the nodes a way back to it."""
    address(OUTSIDE_NAMESPACE, INTERFACE, f"{OUTSIDE_ADDRESS}/32")
    route(OUTSIDE_NAMESPACE, NODE_NETWORK)


def place_node(node: NodePlace) -> None:
    """Address and routes of a node: the other nodes' pods, the metadata service, Services, the outsider."""
    address(node.namespace, INTERFACE, f"{node.address}/24")
    route(node.namespace, f"{IMDS_ADDRESS}/32")
    route(node.namespace, f"{OUTSIDE_ADDRESS}/32")
    # kube-proxy rewrites the destination of the node's own packets only once they have a route.
    route(node.namespace, SERVICE_NETWORK, via=BRIDGE_ADDRESS)
    for other in NODES:
        if other != node:
            route(node.namespace, other.pod_network, via=other.address)
    route(CONTROL_NAMESPACE, node.pod_network, via=node.address)
    inside(node.namespace, "sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1")


def route(namespace: str, network: str, *, via: str | None = None) -> None:
    """Add a route over the namespace's interface."""
    gateway = ("via", via) if via else ("dev", INTERFACE)
    inside(namespace, "ip", "route", "add", network, *gateway)


def routes(namespace: str) -> list[str]:
    """The destinations that the namespace has routes to."""
    return [entry["dst"] for entry in json.loads(inside(namespace, "ip", "-json", "route", "show"))]


def check_closed(namespace: str) -> None:
    """Make sure that nothing in the namespace can leave the cluster.

    Raises:
        RuntimeError: it has a default route.
    """
    if "default" in routes(namespace):
        raise RuntimeError(f"the network namespace {namespace} has a default route")
