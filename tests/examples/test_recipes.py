"""The page of recipes is true: its commands are run, its YAML is valid, its links lead somewhere."""

import os
import re
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.examples.containers import AGENT_URL, stand_in
from tests.examples.support import EXAMPLES, NODE, said_by
from tests.support.agent import AgentProcess
from tests.support.cluster import Cluster
from tests.support.program import CHECKOUT

kubernetes_validate: Any = pytest.importorskip("kubernetes_validate")

PAGE = CHECKOUT / "docs" / "recipes.md"
TEXT = PAGE.read_text(encoding="utf-8")
NEEDED = ("-fsS", "--connect-timeout 1", "--retry ", "--retry-connrefused")

SAYS = {
    "/v1/public-ip\n": "20.1.2.3\n",
    "/v1/public-ip?node=": "20.1.2.3\n",
    "/v1/reachable": "20.1.2.3:41932\n",
    "/v1/public-ips?format=text": "20.1.2.3\n",
    "exec --for": "my address is 20.1.2.3\n",
    ". ./lb.env": "this node leaves from 20.1.2.3\n",
    "wait --for=public-ip": "",
    "wait --for=egress-in": "",
    "check.sh": "to be looked at: 3\n",
}
"""What the snippets print where the node has one public IP address, by a part of each."""


def blocks(language: str) -> list[str]:
    """The snippets in a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE)


SNIPPETS = [block for block in blocks("sh") if not block.startswith("kubectl")]


def whole_lines(text: str) -> list[str]:
    """Lines with what the shell makes of those that end in a backslash."""
    return text.replace("\\\n", " ").splitlines()


def told(snippet: str) -> str:
    """What a snippet should print."""
    (wanted,) = (says for part, says in SAYS.items() if part in snippet)
    return wanted


@pytest.mark.parametrize("snippet", SNIPPETS, ids=lambda snippet: whole_lines(snippet)[-1][-60:])
async def test_snippet(agent: AgentProcess, tmp_path: Path, snippet: str) -> None:
    """Each snippet does what the page says, on a node with one public IP address, without complaint."""
    programs = tmp_path / "programs"
    programs.mkdir()
    command = f'PYTHONPATH="{CHECKOUT}" exec "{sys.executable}" -m sidecar "$@"'
    stand_in(programs, "azure-lb-metadata", command)
    stand_in(programs, "kubectl", "exit 0")
    for name in ("check.sh", "networks.txt"):
        shutil.copy(EXAMPLES / "egress-allow-list" / name, tmp_path)
    script = snippet.replace(AGENT_URL, agent.url)
    extra = {"PATH": f"{programs}:{os.environ['PATH']}", "NODE_NAME": NODE}
    code, output, errors = await said_by(
        "sh", "-ec", f'cd "{tmp_path}"\n{script}', directory=tmp_path, extra=extra
    )
    assert (code, output) == (0, told(snippet)), errors


@pytest.mark.apiserver
@pytest.mark.parametrize("snippet", [block for block in blocks("sh") if block.startswith("kubectl")])
async def test_kubectl(cluster: Cluster, tmp_path: Path, snippet: str) -> None:
    """What the page has for kubectl shows a Node's annotation."""
    node = await cluster.create_node(annotations={"azure-lb-metadata.io/public-ip": "20.1.2.3"})
    extra = {
        "PATH": f"{cluster.server.kubectl.parent}:/usr/bin:/bin",
        "HOME": str(tmp_path),
        "KUBECONFIG": str(cluster.server.admin_kubeconfig),
        "NODE_NAME": node.name,
    }
    code, output, errors = await said_by("sh", "-ec", snippet, directory=tmp_path, extra=extra)
    await cluster.delete_node(node.name)
    assert (code, errors) == (0, "")
    (line,) = (line for line in output.splitlines() if node.name in line or line == "20.1.2.3")
    assert "20.1.2.3" in line


@pytest.mark.parametrize("version", ["1.30", "1.36"])
@pytest.mark.parametrize("snippet", blocks("yaml"), ids=lambda snippet: snippet.split()[1])
def test_yaml(snippet: str, version: str) -> None:
    """Each object is valid, and what is a part of a pod makes a valid pod."""
    item = yaml.safe_load(snippet)
    if item.get("apiVersion", "").startswith("cilium.io/"):
        assert item["spec"]["egress"][0]["toEntities"] == ["host"]
        return
    if "kind" not in item:
        pod: dict[str, Any] = {"containers": [{"name": "a", "image": "a:1"}]} | item
        item = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "a"}, "spec": pod}
    kubernetes_validate.validate(item, version, strict=True)


def test_every_block_is_run_or_read() -> None:
    """There is no block on the page but those of the shell and of YAML, and all that is expected is there."""
    assert set(re.findall(r"^```(\S+)$", TEXT, re.MULTILINE)) == {"sh", "yaml"}
    assert len(SNIPPETS) == len(SAYS)


def test_policy_matches_the_agents() -> None:
    """The rule for namespaces that deny egress names the labels, the namespace and the port of the agents."""
    (policy,) = (item for item in map(yaml.safe_load, blocks("yaml")) if item.get("kind") == "NetworkPolicy")
    to_agents = policy["spec"]["egress"][0]
    (peer,) = to_agents["to"]
    installed = list(yaml.safe_load_all((CHECKOUT / "manifests" / "daemonset.yaml").read_text()))
    (daemon_set,) = (item for item in installed if item["kind"] == "DaemonSet")
    template = daemon_set["spec"]["template"]
    assert peer["podSelector"]["matchLabels"].items() <= template["metadata"]["labels"].items()
    namespace = daemon_set["metadata"]["namespace"]
    assert peer["namespaceSelector"]["matchLabels"] == {"kubernetes.io/metadata.name": namespace}
    ports = {port["name"]: port["containerPort"] for port in template["spec"]["containers"][0]["ports"]}
    assert [port["port"] for port in to_agents["ports"]] == [ports["api"]]


def curls() -> list[str]:
    """Every command line of curl on the page and in the examples."""
    files = [PAGE, *(path for path in EXAMPLES.rglob("*") if path.is_file())]
    lines = [line for path in files for line in whole_lines(path.read_text(encoding="utf-8"))]
    return [line.strip() for line in lines if re.match(r"\s*(\w+=\$\()?curl ", line)]


@pytest.mark.parametrize("command", curls())
def test_every_curl_is_bounded_and_retried(command: str) -> None:
    """Every curl fails on errors, gives up connecting after a second, and tries again, refusals included."""
    assert [flag for flag in NEEDED if flag not in command] == []


def test_curls_are_found() -> None:
    """There are curls in the page, the shell's clients and a manifest."""
    assert len(curls()) >= 7
