"""``helm install`` from the registry: on the cluster of the end-to-end tests, or on a bare API server."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.e2e.harness import cluster
from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.images import Builder, Images, cache_directory
from tests.e2e.harness.release import NAME, Release
from tests.e2e.harness.simulator import public_ip
from tests.support.apiserver import api_server_running
from tools.binaries.programs import BinariesMissingError, locate_all
from tools.release.programs import Tools


class InstallationError(Exception):
    """Something runs, but not what was released."""


@dataclass(frozen=True)
class Published:
    """What is in the registry."""

    chart: str
    """Like ``localhost:5000/charts/azure-lb-metadata``."""

    chart_version: str
    image: str
    """With its tag, as the chart names it."""

    @property
    def install(self) -> Sequence[str]:
        """The arguments of Helm that install it as an operator would, but for the registry's plain HTTP."""
        chart = (f"oci://{self.chart}", f"--version={self.chart_version}", "--plain-http")
        return ("install", NAME, *chart, f"--namespace={NAME}", "--create-namespace")


def no_cluster() -> str | None:
    """Why there can be no cluster here, or None."""
    try:
        locate_all("e2e")
    except BinariesMissingError as error:
        return str(error)
    return cluster.missing()


def on_cluster(published: Published, image: Path) -> str:
    """Install on a cluster of two nodes, see both annotated, test and uninstall; say what ran.

    The nodes have no road to the machine's loopback: they are given the `image` that was pulled there
    as an archive, and look for it under the name in the registry.

    Raises:
        ClusterBusyError: another run has the cluster.
        CommandError: Helm failed, or what it installed does not come up.
        InstallationError: the nodes run another image.
        StartError: the cluster did not come up.
    """
    builder = Builder(cache_directory())
    pause = builder.pause_program()
    images = Images(pause, (builder.base(), builder.pause(pause), image))
    with cluster.exclusive(), KubernetesCluster.started(images) as running:
        release = Release(running, NAME, {})
        running.helm(*published.install, "--wait", "--timeout=2m")
        release.await_keys(lambda keys: keys.get("status") == "ok")
        for node in running.nodes:
            if (address := release.keys(node.name)["public-ip"]) != public_ip(node.address):
                raise InstallationError(f"{node.name} is annotated with {address}")
        release.helm("test", NAME)
        ran = {
            pod["spec"]["containers"][0]["image"]
            for pod in running.get("pods", f"--namespace={NAME}")["items"]
        }
        release.uninstall()
    if ran != {published.image}:
        raise InstallationError(f"the nodes ran {', '.join(sorted(ran))}")
    return f"{len(running.nodes)} nodes annotated by {published.image}, helm test passed, uninstalled"


def on_api_server(published: Published, tools: Tools) -> str:
    """Install on a real API server without nodes or controllers, where nothing runs; say what was taken.

    Raises:
        CommandError: Helm or the API server refused.
        InstallationError: the DaemonSet names another image.
        StartError: the API server did not come up.
    """
    with api_server_running() as server:
        kubeconfig = f"--kubeconfig={server.admin_kubeconfig}"
        tools.run("helm", kubeconfig, *published.install)
        words = ("get", "daemonset", NAME, f"--namespace={NAME}", "-o=json")
        told = json.loads(tools.run(str(server.kubectl), kubeconfig, *words))
    image = told["spec"]["template"]["spec"]["containers"][0]["image"]
    if image != published.image:
        raise InstallationError(f"the DaemonSet names {image}")
    return f"the API server took all objects; the DaemonSet names {image}"
