"""What is rendered is valid for every supported Kubernetes, on a matrix of values."""

import json
from typing import Any

import pytest
import yaml

from tests.chart.helm import Value, render
from tools.pages.manifests import FOLDER

pytestmark = pytest.mark.chart

kubernetes_validate: Any = pytest.importorskip("kubernetes_validate")

VERSIONS = [f"1.{minor}" for minor in range(30, 37)]
NOT_BUILT_IN = {"PodMonitor", "ServiceMonitor", "Kustomization"}

EVERYTHING: dict[str, Value] = {
    "annotations.previousPrefixes": ["a.example"],
    "api.allowForwarded": True,
    "api.allowFrom": ["10.0.0.0/8"],
    "commonLabels": {"team": "net"},
    "extraArgs": ["--upstream=imds"],
    "extraEnv": [{"name": "TZ", "value": "UTC"}],
    "extraManifests": [{"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "x"}}],
    "extraVolumes": [{"name": "data", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "data", "mountPath": "/data"}],
    "file": "/data/x.json",
    "image.digest": f"sha256:{'a' * 64}",
    "imagePullSecrets": [{"name": "registry"}],
    "networkPolicy.enabled": True,
    "networkPolicy.adminFrom": [{"namespaceSelector": {}}],
    "networkPolicy.apiFrom": [{"podSelector": {}}],
    "networkPolicy.egress.apiServerNetworks": ["203.0.113.7/32"],
    "networkPolicy.egress.enabled": True,
    "nodeExpressions": [{"key": "pool", "operator": "Exists"}],
    "nodeSelector": {"a": "b"},
    "nodes": [{"key": "game", "operator": "Exists"}],
    "podAnnotations": {"a": "b"},
    "podLabels": {"a": "b"},
    "podMonitor.enabled": True,
    "service.annotations": {"a": "b"},
    "serviceAccount.annotations": {"a": "b"},
}
MATRIX: dict[str, dict[str, Value]] = {
    "defaults": {},
    "everything": EVERYTHING,
    "everything with the simulator": {**EVERYTHING, "simulator.enabled": True},
    "http only": {"publish.annotations": False},
    "host network": {"hostNetwork": True},
    "no policy": {"policy.enabled": False},
    "no prune": {"prune.onUninstall": False},
    "service monitor": {"serviceMonitor.enabled": True},
    "simulator": {"simulator.enabled": True},
    "untainted": {"nodes": "untainted", "priorityClassName": ""},
    "no limits": {"resources": {"limits": None}},
    "own strategy": {"updateStrategy": {"type": "OnDelete"}},
}


@pytest.fixture(scope="module")
def objects() -> list[dict[str, Any]]:
    """All different objects of the matrix and of the manifests."""
    rendered = [item for values in MATRIX.values() for item in render(values).objects]
    read = [item for path in FOLDER.glob("*.yaml") for item in yaml.safe_load_all(path.read_text())]
    different = {json.dumps(item, sort_keys=True): item for item in (*rendered, *read)}
    return [item for item in different.values() if item["kind"] not in NOT_BUILT_IN]


@pytest.mark.parametrize("version", VERSIONS)
def test_valid(objects: list[dict[str, Any]], version: str) -> None:
    """Each object has the members, and only the members, that this Kubernetes knows."""
    for item in objects:
        kubernetes_validate.validate(item, version, strict=True)
