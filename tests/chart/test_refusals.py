"""Wrong values never get as far as a cluster."""

import pytest

from tests.chart.helm import Value, refusal

pytestmark = pytest.mark.chart

WRONG: dict[str, Value] = {
    "admin.port": 0,
    "annotations.budget": 100,
    "annotations.content": "none",
    "annotations.heartbeatInterval": "1d",
    "annotations.prefix": "Upper.example",
    "annotations.previousPrefixes": ["a", "a"],
    "annotations.writeSplay": "-1s",
    "api.allowForwarded": "yes",
    "api.allowFrom": ["10.0.0.1"],
    "api.maxClients": 0,
    "api.port": "80",
    "commonLabels": {"a": 1},
    "drainSeconds": 100,
    "extraArgs": "--x",
    "extraEnv": [{"value": "x"}],
    "file": "relative",
    "hostNetwork": "true",
    "image.digest": "sha256:abc",
    "image.pullPolicy": "Sometimes",
    "image.repository": "Upper",
    "imagePullSecrets": ["name"],
    "imds.apiVersion": "latest",
    "imds.endpoint": "http://169.254.169.254/metadata",
    "imds.pollInterval": 10,
    "imds.staleAfter": "5 m",
    "log.format": "xml",
    "log.level": "trace",
    "networkPolicy.egress.apiServerNetworks": "10.0.0.0/8",
    "nodeExpressions": [{"key": "a", "operator": "Is"}],
    "nodes": "some",
    "prune.timeout": "soon",
    "publish.annotations": 1,
    "resources.request": {},
    "serviceAccount.name": "A B",
    "simulator.document": "../x",
    "updateStrategy.type": "Recreate",
}
"""Values of which each is wrong by itself."""

UNKNOWN = [
    "hostnetwork",
    "api.listen",
    "annotations.previous",
    "networkPolicy.egress.apiServer",
    "simulator.fault",
]

IMPOSSIBLE: dict[str, dict[str, Value]] = {
    "imds/endpoint": {"simulator.enabled": True, "imds.endpoint": "http://10.0.0.1"},
    "more than 100 characters": {
        "simulator.enabled": True,
        "annotations.prefix": f"{'a' * 60}.{'b' * 40}.io",
    },
    "serviceMonitor/enabled": {"podMonitor.enabled": True, "serviceMonitor.enabled": True},
    "use api.allowFrom": {"hostNetwork": True, "networkPolicy.enabled": True},
    "maxSurge must be 0": {"hostNetwork": True, "updateStrategy": {"rollingUpdate": {"maxSurge": "10%"}}},
    "networkPolicy.egress.enabled needs": {"networkPolicy.egress.enabled": True},
    "both 16925": {"admin.port": 16925},
    "needs serviceAccount.name": {"serviceAccount.create": False},
    "every pod of the namespace": {"serviceAccount.name": "default"},
    "extraVolumeMounts": {"file": "/data/x.json"},
    "a.kubernetes.io is reserved": {"annotations.prefix": "a.kubernetes.io"},
    "k8s.io is reserved": {"annotations.previousPrefixes": ["k8s.io"]},
    "podLabels: app.kubernetes.io/name is set by the chart": {"podLabels": {"app.kubernetes.io/name": "x"}},
    "commonLabels: helm.sh/chart is set by the chart": {"commonLabels": {"helm.sh/chart": "x"}},
    "podAnnotations: linkerd.io/inject is set by": {"podAnnotations": {"linkerd.io/inject": "enabled"}},
    "one of commonLabels already": {"commonLabels": {"team": "a"}, "podLabels": {"team": "b"}},
    "needs an address": {
        "imds.endpoint": "http://imds.example",
        "networkPolicy.enabled": True,
        "networkPolicy.egress.enabled": True,
        "networkPolicy.egress.apiServerNetworks": ["10.0.0.0/8"],
    },
}
"""By a part of the refusal, values of which each is right by itself."""


@pytest.mark.parametrize("path", WRONG)
def test_wrong(path: str) -> None:
    """A wrong value is refused by the schema, which names it."""
    text = refusal({path: WRONG[path]})
    assert "don't meet the specifications of the schema" in text
    assert "/" + path.replace(".", "/").removesuffix("/request") in text


def test_removed() -> None:
    """A value that is removed is refused: nobody switches the policy off by mistake."""
    assert "missing property 'enabled'" in refusal({"policy.enabled": None})


@pytest.mark.parametrize("path", UNKNOWN)
def test_unknown(path: str) -> None:
    """A value that the chart does not have is refused, since it is a misspelt one."""
    assert f"additional properties '{path.rpartition('.')[2]}' not allowed" in refusal({path: True})


@pytest.mark.parametrize("reason", IMPOSSIBLE)
def test_impossible(reason: str) -> None:
    """Values that exclude each other are refused, with what to do instead."""
    assert reason in refusal(IMPOSSIBLE[reason])


@pytest.mark.parametrize("reason", ["imds/endpoint", "serviceMonitor/enabled"])
def test_impossible_without_the_schema(reason: str) -> None:
    """What the schema excludes is refused in words where the schema is skipped."""
    text = refusal(IMPOSSIBLE[reason], options=["--skip-schema-validation"])
    assert "exclude each other" in text
