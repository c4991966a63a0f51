"""The check of an egress allow-list against a real API server, with the rights of its manifest alone."""

import shutil
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.chart.test_pods import not_restricted
from tests.examples.support import EXAMPLES, said_by
from tests.support.cluster import Cluster, Identity, KubectlError
from tests.support.nodes import NodeMetadata
from tests.support.waiting import until
from tools.binaries.programs import locate

pytestmark = pytest.mark.apiserver

kubernetes_validate: Any = pytest.importorskip("kubernetes_validate")

FOLDER = EXAMPLES / "egress-allow-list"
PREFIX = "azure-lb-metadata.io"


@dataclass(frozen=True)
class Partner:
    """The job's place: its files as mounted, its identity, and Nodes that only it looks at."""

    directory: Path
    identity: Identity
    cluster: Cluster

    async def check(self, *, prefix: str = PREFIX) -> tuple[int | None, list[str], list[str]]:
        """Run the check on the Nodes of this test: exit code, the proposal, and lines for people."""
        extra = {
            "PATH": f"{locate('kubectl').parent}:/usr/bin:/bin",
            "HOME": str(self.directory),
            "KUBECONFIG": str(self.identity.kubeconfig),
            "ANNOTATION_PREFIX": prefix,
        }
        check, networks = str(self.directory / "check.sh"), str(self.directory / "networks.txt")
        command = ["sh", check, networks, f"test={self.directory.name}"]
        code, output, errors = await said_by(*command, directory=self.directory, extra=extra)
        return code, output.splitlines(), errors.splitlines()

    async def node(self, **annotations: str) -> NodeMetadata:
        """A Node with these annotations under the prefix."""
        keys = {f"{PREFIX}/{name.replace('_', '-')}": value for name, value in annotations.items()}
        node = await self.cluster.create_node(annotations=keys)
        await self.cluster.kubectl("label", "node", node.name, f"test={self.directory.name}")
        return node


@pytest.fixture
async def partner(cluster: Cluster, node: NodeMetadata, tmp_path: Path) -> AsyncIterator[Partner]:
    """The job with the rules of its ClusterRole."""
    (role,) = rendered(await cluster.kubectl("kustomize", str(FOLDER)), "ClusterRole")
    identity = await cluster.create_identity(
        node.name, directory=tmp_path / "identity", rules=tuple(role["rules"])
    )
    for name in ("check.sh", "networks.txt"):
        shutil.copy(FOLDER / name, tmp_path)
    yield Partner(tmp_path, identity, cluster)
    label = f"--selector=test={tmp_path.name}"
    await cluster.kubectl("delete", "node", label, "--wait=false")


def rendered(text: str, kind: str) -> list[Mapping[str, Any]]:
    """The objects of one kind."""
    return [item for item in yaml.safe_load_all(text) if item["kind"] == kind]


async def test_check(partner: Partner) -> None:
    """Annotations of Nodes are compared with the list, and what is new is proposed with names of Nodes."""
    await partner.node(status="ok", egress_ips="20.1.2.3")
    assert await partner.check() == (
        0,
        [],
        [
            "2001:db8:1::/64: no node leaves from there now; kept",
            "1 nodes told, 0 unknown, 0 addresses to add",
        ],
    )
    other = await partner.node(status="stale", egress_ips="20.1.2.3,20.7.7.7", reason="throttled")
    silent = await partner.node()
    code, proposal, notes = await partner.check()
    assert (code, proposal) == (5, [f"20.7.7.7/32 # {other.name}"])
    assert f"{other.name}: as it was last known (status stale)" in notes
    assert f"{silent.name}: what it leaves from is not known (status <none>, omitted <none>)" in notes


async def test_no_node(partner: Partner) -> None:
    """Where no Node is selected there is nothing to compare."""
    code, proposal, _ = await partner.check()
    assert (code, proposal) == (3, [])


async def test_another_prefix(partner: Partner) -> None:
    """Annotations under another prefix are read when it is named, and only then."""
    node = await partner.node(status="ok", egress_ips="20.1.2.3")
    await partner.cluster.annotate(node.name, {"lb.example.com/egress-ips": "20.1.2.4"})
    assert (await partner.check(prefix="lb.example.com"))[0] == 0
    assert (await partner.check(prefix="lbxexample.com"))[0] == 3


async def test_without_rights(partner: Partner) -> None:
    """Without the right to list Nodes the check fails with kubectl's words."""
    await partner.cluster.request(
        "DELETE", f"/apis/rbac.authorization.k8s.io/v1/clusterrolebindings/{partner.identity.namespace}"
    )
    # The API server learns of it through a watch, a moment later.
    code, proposal, notes = await until(partner.check, lambda said: said[0] != 3)
    assert (code, proposal) == (1, [])
    assert "forbidden" in notes[0]


async def test_reads_only(partner: Partner) -> None:
    """With its rights the job can change no Node."""
    node = await partner.node(status="ok")
    with pytest.raises(KubectlError, match="forbidden"):
        await partner.cluster.kubectl(
            "annotate", "node", node.name, f"{PREFIX}/status=x", identity=partner.identity
        )


@pytest.mark.parametrize("version", ["1.30", "1.36"])
async def test_kustomization(cluster: Cluster, version: str) -> None:
    """What `kubectl apply -k` installs is valid, restricted, and has the script and the list in it."""
    text = await cluster.kubectl("kustomize", str(FOLDER))
    for item in yaml.safe_load_all(text):
        kubernetes_validate.validate(item, version, strict=True)
    (files,) = rendered(text, "ConfigMap")
    assert files["data"] == {name: (FOLDER / name).read_text() for name in ("check.sh", "networks.txt")}
    (job,) = rendered(text, "CronJob")
    pod = job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    assert not_restricted(pod) == []
    volumes = {volume["name"]: volume for volume in pod["volumes"]}
    assert volumes["check"]["configMap"]["name"] == files["metadata"]["name"]


async def test_applies(cluster: Cluster) -> None:
    """A real API server takes it all."""
    said = await cluster.kubectl("apply", "--dry-run=server", "-k", str(FOLDER))
    assert len(said.splitlines()) == 5
