"""The whole cluster: made, used and taken away as one.

One at a time on a machine. What a crashed run has left is found by its fixed names and records, and
removed before the next one starts.
"""

import fcntl
import json
import os
import platform
import shutil
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from tests.e2e.harness import network
from tests.e2e.harness.control_plane import ControlPlane
from tests.e2e.harness.images import CLIENT_IMAGE, Images
from tests.e2e.harness.layout import NODES, OUTSIDE_NAMESPACE, ROOT
from tests.e2e.harness.node import Node, remove_cgroups
from tests.e2e.harness.pods import Pod, manifest, pod_running
from tests.e2e.harness.simulator import Simulator
from tests.e2e.harness.system import end_recorded, in_network, run
from tests.support.processes import StartError, poll_until
from tests.support.removal import remove_tree

LOCK = Path("/run/lock/azure-lb-metadata-e2e")
KEPT = ROOT / "kept"
"""There while a person wants the cluster to stay."""

DEBIAN_PACKAGES = {
    "buildah": "buildah",
    "containerd": "containerd",
    "containernetworking-plugins": "/usr/lib/cni/bridge",
    "debootstrap": "debootstrap",
    "gcc": "gcc",
    "iproute2": "ip",
    "iptables": "iptables",
    "openssl": "openssl",
    "procps": "sysctl",
    "runc": "runc",
    "util-linux": "nsenter",
}
"""Each package and a program of it; ``.ci/run`` installs them."""

NODES_READY_DEADLINE_S = 300.0


class ClusterBusyError(Exception):
    """Another run, or a person, has the cluster; the text says what to do."""


class KubernetesCluster:
    """A running cluster of two nodes with its metadata service. Made by `started`."""

    def __init__(self, images: Images) -> None:
        """Nothing of a cluster is there."""
        self.control_plane = ControlPlane()
        self.simulator = Simulator()
        self.nodes = tuple(Node(place, self.control_plane, images) for place in NODES)
        self.kubeconfig = self.control_plane.admin_kubeconfig

    @classmethod
    @contextmanager
    def started(cls, images: Images) -> Iterator["KubernetesCluster"]:
        """A cluster with all nodes Ready; if that, or the block, fails, it is taken away whole.

        Raises:
            StartError: a part of it did not come up.
        """
        with ExitStack() as undo:
            undo.callback(remove)
            network.build()
            cluster = cls(images)
            undo.callback(cluster.end)
            cluster.start()
            yield cluster
            if is_kept():
                undo.pop_all()

    def start(self) -> None:
        """Start all parts and wait until both nodes are Ready.

        Raises:
            StartError: a part of it did not come up.
        """
        self.simulator.start()
        self.control_plane.start()
        with ThreadPoolExecutor() as pool:
            list(pool.map(Node.prepare, self.nodes))
        for node in self.nodes:
            node.start()
        for node in self.nodes:
            if not poll_until(node.is_ready, deadline_s=NODES_READY_DEADLINE_S):
                raise StartError(f"{node.name} is not Ready\n{node.log_tails()}")

    def end(self) -> None:
        """End all processes of the cluster; may be repeated."""
        for node in self.nodes:
            node.end()
        self.control_plane.end()
        self.simulator.end()

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as the cluster's admin and give what it says.

        Raises:
            CommandError: it ended with another code than 0.
        """
        return self.control_plane.kubectl(*arguments, stdin=stdin)

    def get(self, *arguments: str) -> Any:
        """What ``kubectl get`` says, as JSON."""
        return json.loads(self.kubectl("get", *arguments, "-o=json"))

    def annotations(self, node: str) -> Mapping[str, str]:
        """The annotations of a node."""
        annotations: Mapping[str, str] = self.get("node", node)["metadata"].get("annotations", {})
        return annotations

    @contextmanager
    def run_pod(
        self,
        node: str,
        *,
        namespace: str = "default",
        image: str = CLIENT_IMAGE,
        spec: Mapping[str, Any] | None = None,
        container: Mapping[str, Any] | None = None,
    ) -> Iterator[Pod]:
        """A pod that sleeps on the node called `node`, Ready, while in the block; see `pods.manifest`.

        Raises:
            CommandError: it did not become Ready.
        """
        wanted = manifest(node, namespace=namespace, image=image, spec=spec, container=container)
        with pod_running(self.kubectl, wanted) as pod:
            yield pod

    def outside(self, *command: str) -> str:
        """Run a program as a client with a public address, which no translation hides from the nodes.

        Raises:
            CommandError: it failed.
        """
        return run(*in_network(OUTSIDE_NAMESPACE, *command))

    def helm(self, *arguments: str, program: str = "helm", deadline_s: float = 180.0) -> str:
        """Run Helm, or ``helm3``, as the cluster's admin, with nothing of the user's own configuration.

        Raises:
            CommandError: it ended with another code than 0, or took longer than `deadline_s` seconds.
        """
        folders = {f"HELM_{kind}_HOME": str(ROOT / "helm" / kind) for kind in ("CACHE", "CONFIG", "DATA")}
        return run(
            self.control_plane.programs[program],
            f"--kubeconfig={self.kubeconfig}",
            *arguments,
            environment=folders,
            deadline_s=deadline_s,
        )


@contextmanager
def exclusive(*, kept_as_well: bool = False) -> Iterator[None]:
    """Hold the machine's one place for a cluster while in the block; what a crashed run left is removed.

    With `kept_as_well` so is a cluster that a person wanted to stay.

    Raises:
        ClusterBusyError: somebody else has it.
    """
    LOCK.parent.mkdir(parents=True, exist_ok=True)
    with LOCK.open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise ClusterBusyError("another run has a cluster on this machine; wait for its end") from error
        if is_kept() and not kept_as_well:
            raise ClusterBusyError(
                "a cluster is up for a person to look around; end it with: make cluster-down"
            )
        remove()
        yield


def is_kept() -> bool:
    """Whether a person wants the cluster to stay."""
    return KEPT.exists()


def keep() -> None:
    """Leave the cluster up when its block ends."""
    KEPT.touch()


def remove() -> None:
    """Take away whatever there is of a cluster: processes, namespaces, control groups and files."""
    end_recorded()
    network.remove()
    remove_cgroups()
    remove_tree(ROOT)


def missing() -> str | None:
    """Why a cluster cannot run here, or None; the programs we build ourselves are not looked at."""
    if platform.system() != "Linux":
        return "a cluster needs Linux"
    if os.geteuid() != 0:
        return "a cluster needs root"
    absent = [package for package, program in DEBIAN_PACKAGES.items() if shutil.which(program) is None]
    return f"Debian packages are missing: apt-get install {' '.join(absent)}" if absent else None
