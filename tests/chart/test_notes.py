"""What people read after an installation."""

import re

import pytest

from tests.chart.helm import CHART, Value, notes

pytestmark = pytest.mark.chart


def test_first_commands() -> None:
    """The first commands show what every node has, with or without public addresses of its own."""
    text = notes()
    assert "rollout status daemonset/azure-lb-metadata" in text
    assert "-o custom-columns-file=charts/azure-lb-metadata/files/columns.txt" in text
    assert "/status" in text
    assert "/egress-ips" in text
    assert "curl --connect-timeout 2 http://azure-lb-metadata.azure-lb-metadata/v1/" in text


def test_no_agent_at_random() -> None:
    """An agent is always addressed by its node: `ds/…` would land on any."""
    assert not re.search(r"\b(exec|port-forward|logs)\s+(ds|daemonset)/", notes())
    assert "spec.nodeName=$NODE" in notes()


def test_columns_file() -> None:
    """The shipped columns are as kubectl wants them: names above paths, as many."""
    names, paths = (CHART / "files" / "columns.txt").read_text().splitlines()
    assert len(names.split()) == len(paths.split())
    assert names.split()[:3] == ["NAME", "STATUS", "EGRESS-IPS"]


def test_another_prefix() -> None:
    """With another prefix the commands have it, and the file, which has the default one, is not named."""
    text = notes({"annotations.prefix": "lb.example"})
    assert r"annotations.lb\.example/status" in text
    assert "columns.txt" not in text


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({}, "no registry has the image"),
        ({}, "set hostNetwork=true"),
        ({"hostNetwork": True}, "serve private networks only"),
        ({"policy.enabled": False}, "may write to every Node"),
        ({"simulator.enabled": True}, "all addresses are made up"),
        ({"simulator.enabled": True}, "They stand under simulated.azure-lb-metadata.io"),
        ({"simulator.enabled": True}, r"annotations.simulated\.azure-lb-metadata\.io/status"),
    ],
)
def test_sentence(values: dict[str, Value], sentence: str) -> None:
    """What follows from a value that may surprise is said."""
    assert sentence in notes(values)


def test_silence() -> None:
    """What does not apply is not said."""
    text = notes({"image.repository": "example.com/a", "publish.annotations": False})
    assert "NOTE" not in text
    assert "kubectl get nodes" not in text
