"""README.md as an operator follows it: its installation, and what pods and kubectl see afterwards."""

import shlex
from collections.abc import Iterator

import pytest

from tests.docs.pages import CHECKOUT
from tests.docs.readme import INSTALLATION, KUBECTL, PODS
from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.images import PROJECT_REPOSITORY, PROJECT_TAG
from tests.e2e.harness.layout import NODES
from tests.e2e.harness.release import Release
from tests.e2e.harness.simulator import public_ip
from tests.support.processes import poll_until

ANNOTATED_DEADLINE_S = 120.0

OWN = {
    "REGISTRY.azurecr.io/azure-lb-metadata": PROJECT_REPOSITORY,
    "image.tag=0.1.0": f"image.tag={PROJECT_TAG}",
    "charts/azure-lb-metadata": str(CHECKOUT / "charts" / "azure-lb-metadata"),
}
"""What a reader replaces, and where the chart is."""


@pytest.fixture
def place(release: Release) -> Iterator[Release]:
    """The release that the other tests share, gone for as long as this one takes."""
    release.uninstall()
    yield release
    release.uninstall()
    release.upgrade()


def as_typed(command: str) -> list[str]:
    """The words of a command of the page on this cluster."""
    for shown, own in OWN.items():
        command = command.replace(shown, own)
    return shlex.split(command.replace("\\\n", " "))


def test_installation(kubernetes_cluster: KubernetesCluster, place: Release) -> None:
    """The printed `helm install` gives each node its annotations, and each pod its own node's address."""
    program, *arguments = as_typed(INSTALLATION)
    assert program == "helm"
    kubernetes_cluster.helm(*arguments)
    place.roll_out()

    columns, *_ = KUBECTL
    _, *asked = as_typed(columns.command)

    def shown() -> list[dict[str, str]]:
        head, *rows = kubernetes_cluster.kubectl(*asked).splitlines()
        assert head.split() == columns.output.splitlines()[0].split()
        return [dict(zip(head.split(), row.split(), strict=True)) for row in rows]

    def annotated() -> bool:
        return {row["NAME"]: (row["STATUS"], row["PUBLIC-IP"]) for row in shown()} == {
            node.name: ("ok", public_ip(node.address)) for node in NODES
        }

    assert poll_until(annotated, deadline_s=ANNOTATED_DEADLINE_S), shown()
    address, document = PODS
    for node in NODES:
        with kubernetes_cluster.run_pod(node.name) as pod:
            assert pod.exec(*shlex.split(address.command)).strip() == public_ip(node.address)
            assert f'{{"node":"{node.name}","status":"ok"' in pod.exec(*shlex.split(document.command))
