"""`manifests/sidecar.yaml`: a pod whose sidecar reads the node's agent, by hand and therefore checked."""

from argparse import ArgumentParser
from pathlib import Path
from typing import Any

import pytest
import yaml

import sidecar
from sidecar.config import load

MANIFEST = Path(__file__).parent.parent / "manifests" / "sidecar.yaml"
POD: dict[str, Any] = yaml.safe_load(MANIFEST.read_text())["spec"]
SIDECAR, APPLICATION = POD["initContainers"][0], POD["containers"][0]


def test_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its flags are settings: it reads the Service's name, knows its node, and needs no cluster."""
    for variable in ("NODE_NAME", "HOST_IP"):
        monkeypatch.setenv(variable, "10.224.0.4")
    command, *flags = SIDECAR["args"]
    settings = load(flags, parser=ArgumentParser()).settings

    assert command == "run"
    assert settings.upstream == "http://azure-lb-metadata.azure-lb-metadata"
    assert (settings.annotations, settings.node_name) == (False, "10.224.0.4")
    assert [variable["name"] for variable in SIDECAR["env"]] == ["NODE_NAME", "HOST_IP", "SSL_CERT_FILE"]
    assert str(settings.admin_listen).endswith(":16926")
    assert str(settings.listen) == "127.0.0.1:16925"
    mounts = {item["mountPath"] for each in (SIDECAR, APPLICATION) for item in each["volumeMounts"]}
    assert mounts == {str(settings.file.parent) if settings.file else ""}
    assert f". {settings.file}.env\n" in APPLICATION["command"][-1]


def test_order() -> None:
    """It starts before the application, which waits until it is ready, and runs beside it."""
    assert SIDECAR["restartPolicy"] == "Always"
    assert SIDECAR["startupProbe"]["httpGet"] == {"path": "/readyz", "port": 16926}
    assert SIDECAR["livenessProbe"]["httpGet"] == {"path": "/livez", "port": 16926}
    assert "emptyDir" in POD["volumes"][0]
    assert APPLICATION["volumeMounts"][0]["readOnly"] is True


def test_rights() -> None:
    """It has no token, and the rights of the Pod Security level "restricted"."""
    assert POD["automountServiceAccountToken"] is False
    assert POD["securityContext"]["runAsNonRoot"] is True
    assert POD["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    for container in (SIDECAR, APPLICATION):
        assert container["securityContext"] == {
            "allowPrivilegeEscalation": False,
            "readOnlyRootFilesystem": True,
            "capabilities": {"drop": ["ALL"]},
        }


def test_version() -> None:
    """It runs the version that it comes with, and says that it was written by hand."""
    assert SIDECAR["image"] == f"azure-lb-metadata:{sidecar.__version__}"
    assert "Written by hand" in MANIFEST.read_text()


def test_schema() -> None:
    """It is a pod by the schema of a Kubernetes version that has native sidecars."""
    kubernetes_validate: Any = pytest.importorskip("kubernetes_validate")
    kubernetes_validate.validate(yaml.safe_load(MANIFEST.read_text()), "1.30", strict=True)
