"""The manifests for people without Helm."""

from argparse import ArgumentParser

import pytest
import yaml

from sidecar.config import load
from tests.chart.test_pods import not_restricted
from tools.pages.manifests import FOLDER, MANIFESTS, manifest

pytestmark = pytest.mark.chart


@pytest.mark.parametrize("name", MANIFESTS)
def test_in_step(name: str) -> None:
    """Each file is what the chart renders (`make manifests`)."""
    assert (FOLDER / name).read_text() == manifest(name)


@pytest.mark.parametrize("name", MANIFESTS)
def test_no_helm(name: str) -> None:
    """Nothing in it is a hook or says that Helm manages it."""
    assert "helm" not in (FOLDER / name).read_text().lower()


def test_kustomization() -> None:
    """The kustomization names files that are there."""
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    assert all((FOLDER / name).exists() for name in kustomization["resources"])


def test_sidecar_direct(monkeypatch: pytest.MonkeyPatch) -> None:
    """The direct sidecar starts first and ends last, needs no API, and writes where the application reads."""
    pod = yaml.safe_load((FOLDER / "sidecar-direct.yaml").read_text())["spec"]
    (sidecar,), (application,) = pod["initContainers"], pod["containers"]
    assert sidecar["restartPolicy"] == "Always"
    assert sidecar["startupProbe"]["httpGet"] == {"path": "/readyz", "port": 16926}
    assert pod["automountServiceAccountToken"] is False
    assert not_restricted(pod) == []
    monkeypatch.setenv("NODE_NAME", "aks-1")
    command, *arguments = sidecar["args"]
    settings = load(arguments, parser=ArgumentParser()).settings
    assert (command, settings.annotations, settings.poll_interval) == ("run", False, 60)
    mounts = {item["mountPath"] for container in (sidecar, application) for item in container["volumeMounts"]}
    assert mounts == {str(settings.file.parent) if settings.file else ""}
    assert str(settings.admin_listen).endswith(":16926")


def test_sidecar_direct_states_the_limit() -> None:
    """Whoever takes it reads that all pods of a VM share 5 requests a second."""
    assert "5 requests a second" in (FOLDER / "sidecar-direct.yaml").read_text()
