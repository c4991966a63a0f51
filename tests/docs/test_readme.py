"""What README.md shows is what comes back: from the demonstration, a node's agent, kubectl and Helm."""

import re
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import sidecar
from sidecar.cli import COMMANDS
from sidecar.simulator import DOCUMENTS, FAULTS, Serving
from tests.chart.conftest import found
from tests.docs.conftest import Demo
from tests.docs.consoles import environment, examples, matches, said
from tests.docs.readme import INSTALLATION, KUBECTL, PAGE, PODS, TEXT, about
from tests.examples.containers import AGENT_URL
from tests.examples.support import document
from tests.support.agent import AgentProcess, agent_running
from tests.support.states import inbound

"""Programs one after the other, each of which takes seconds on a busy machine."""

NODE = "aks-games-12345678-vmss000000"

DEMO = about("localhost:", "azure-lb-metadata get", "azure-lb-metadata wait", "azure-lb-metadata exec")


@pytest.fixture
async def agent(service: Serving, tmp_path: Path) -> AsyncIterator[AgentProcess]:
    """The agent of the node whose pods ask in the examples."""
    rule = inbound("20.20.20.20", 443, 30443)
    service.simulator.set_document(document("20.1.2.3", inbound_rules=[rule]))
    own = {"imds_endpoint": service.url, "node_name": NODE}
    async with agent_running(tmp_path, annotations=False, **own) as agent:
        await agent.until_ready()
        yield agent


async def test_demonstration(demo: Demo, tmp_path: Path) -> None:
    """While the demonstration runs, each command gives what stands below it."""
    variables = {**environment(tmp_path), "AZURE_LB_METADATA_LISTEN": demo.api}
    for example in DEMO:
        output = await said(example.command.replace("localhost:16925", demo.api), variables)
        assert matches(output, example.output), f"$ {example.command}\n{output}"


async def test_pods(agent: AgentProcess, tmp_path: Path) -> None:
    """What a pod asks its node's agent gives what stands below it."""
    variables = environment(tmp_path)
    for example in PODS:
        output = await said(example.command.replace(AGENT_URL, agent.url), variables)
        assert matches(output, example.output), f"$ {example.command}\n{output}"


def test_every_terminal_is_run() -> None:
    """Each command that is shown with its output is run: kubectl's by test_consoles_apiserver.py."""
    assert sorted(map(repr, examples(PAGE))) == sorted(map(repr, [*DEMO, *PODS, *KUBECTL]))
    assert min(map(len, (DEMO, PODS, KUBECTL))) >= 2


@pytest.mark.chart
async def test_helm(tmp_path: Path) -> None:
    """The shown installation is one of the chart that is here, with the image that it names."""
    template = INSTALLATION.replace("helm install", f"{found('helm')} template", 1)
    rendered = await said(template.replace("REGISTRY", "example"), environment(tmp_path))
    assert f"image: example.azurecr.io/azure-lb-metadata:{sidecar.__version__}" in rendered
    assert "namespace: azure-lb-metadata" in rendered


def test_commands() -> None:
    """The table has every command of the program."""
    section = TEXT.partition("## Commands")[2].partition("\n##")[0]
    cells = re.findall(r"^\| (`[^|]*`) \|", section, re.MULTILINE)
    assert {name for cell in cells for name in re.findall(r"`(\w+)`", cell)} == set(COMMANDS)


def test_numbers() -> None:
    """The numbers of documents and faults, and the version, are those of the program."""
    assert f"{len(DOCUMENTS)} documents and {len(FAULTS)} faults" in TEXT
    assert set(re.findall(r"azure-lb-metadata:(\d[\d.]*)|image\.tag=(\d[\d.]*)", TEXT)) == {
        (sidecar.__version__, ""),
        ("", sidecar.__version__),
    }
