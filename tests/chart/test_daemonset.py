"""The DaemonSet: where agents run, how they are rolled out, what they are told."""

from argparse import ArgumentParser

import pytest

from sidecar.config import load
from sidecar.settings import Settings
from tests.chart.helm import Value, refusal, render

pytestmark = pytest.mark.chart

NOT_VALUES = {
    "annotations": "publish.annotations, as --no-annotations",
    "context": "an agent in a cluster has no kubeconfig",
    "kubeconfig": "an agent in a cluster has no kubeconfig",
    "node_address": "HOST_IP, from the downward API",
    "node_name": "NODE_NAME, from the downward API",
    "previous_annotation_prefixes": "a variable from the release's record, see templates/prefixes.yaml",
    "upstream": "an agent of the DaemonSet reads the metadata service itself",
}
"""Settings that no value becomes a flag of, and why."""

EVERY_SETTING: dict[str, Value] = {
    "api.allowForwarded": True,
    "metrics.addresses": True,
    "events.enabled": True,
    "api.allowFrom": ["10.0.0.0/8", "fd00::/8"],
    "egress.declared": ["20.1.2.0/30"],
    "egress.probes": ["https://203.0.113.10/"],
    "egress.ca": "/data/ca.pem",
} | {
    "file": "/data/loadbalancer.json",
    "extraVolumes": [{"name": "data", "emptyDir": {}}],
    "extraVolumeMounts": [{"name": "data", "mountPath": "/data"}],
}
"""Values that make the optional flags appear."""


def settings(values: dict[str, Value], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the agent makes of the arguments it is started with."""
    monkeypatch.setenv("NODE_NAME", "aks-1")
    monkeypatch.setenv("HOST_IP", "10.240.0.4")
    monkeypatch.delenv("AZURE_LB_METADATA_IMDS_ENDPOINT", raising=False)
    arguments = render(values).arguments
    return load(arguments, parser=ArgumentParser()).settings


def test_every_setting_is_a_flag() -> None:
    """Every setting of the agent is a value that becomes a flag, but for the listed ones."""
    flags = {argument.partition("=")[0] for argument in render(EVERY_SETTING).arguments}
    wanted = {f"--{name.replace('_', '-')}" for name in Settings.model_fields if name not in NOT_VALUES}
    assert flags == wanted


def test_defaults_are_the_agents(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chart's defaults are the agent's, but for where it listens and how it logs."""
    got = settings({}, monkeypatch).model_dump()
    wanted = Settings(node_name="aks-1").model_dump()
    different = {name for name in wanted if got[name] != wanted[name]}
    assert different == {"listen", "admin_listen", "log_format"}


def test_no_annotations(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without annotations the agent is told so and nothing about them."""
    assert not settings({"publish.annotations": False}, monkeypatch).annotations
    arguments = render({"publish.annotations": False}).arguments
    assert not [argument for argument in arguments if "annotation-" in argument or "write-splay" in argument]


def test_values_reach_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """A changed value is what the agent reads."""
    got = settings(
        {"imds.pollInterval": "1m30s", "annotations.heartbeatInterval": "0", "api.maxClients": 1000000},
        monkeypatch,
    )
    assert (got.poll_interval, got.heartbeat_interval, got.max_clients) == (90, 0, 1_000_000)


def test_listens_on_all_addresses_of_the_pod(monkeypatch: pytest.MonkeyPatch) -> None:
    """In a pod of its own the agent listens on every address and serves whoever comes."""
    got = settings({}, monkeypatch)
    assert (str(got.listen), str(got.admin_listen), got.allow_from) == (":16925", ":16926", ())


def test_host_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """In the node's network it binds to the node's address only, and serves private networks only."""
    got = settings({"hostNetwork": True}, monkeypatch)
    assert (str(got.listen), str(got.admin_listen)) == ("host:16925", "host:16926")
    assert str(got.node_address) == "10.240.0.4"
    assert got.allow_from
    assert all(network.is_private or str(network) == "100.64.0.0/10" for network in got.allow_from)
    pod = render({"hostNetwork": True}).agent["spec"]
    assert (pod["hostNetwork"], pod["dnsPolicy"]) == (True, "ClusterFirstWithHostNet")


def test_host_network_with_other_networks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks that are given replace the private ones."""
    got = settings({"hostNetwork": True, "api.allowFrom": ["203.0.113.0/24"]}, monkeypatch)
    assert [str(network) for network in got.allow_from] == ["203.0.113.0/24"]


@pytest.mark.parametrize(
    ("values", "strategy"),
    [
        ({}, {"maxSurge": "10%", "maxUnavailable": 0}),
        ({"hostNetwork": True}, {"maxSurge": 0, "maxUnavailable": "10%"}),
    ],
)
def test_rolling_update(values: dict[str, Value], strategy: dict[str, Value]) -> None:
    """The next agent is ready before the old one ends, but where both would want one port."""
    update = render(values).one("DaemonSet")["spec"]["updateStrategy"]
    assert update == {"type": "RollingUpdate", "rollingUpdate": strategy}


def test_update_strategy_of_ones_own() -> None:
    """A given strategy is taken as it is."""
    assert render({"updateStrategy": {"type": "OnDelete"}}).one("DaemonSet")["spec"]["updateStrategy"] == {
        "type": "OnDelete"
    }


@pytest.mark.parametrize(
    ("nodes", "tolerations"),
    [
        ("all", [{"operator": "Exists"}]),
        ("untainted", None),
        ([{"key": "game", "effect": "NoSchedule"}], [{"key": "game", "effect": "NoSchedule"}]),
        ([], None),
    ],
)
def test_tolerations(nodes: Value, tolerations: Value) -> None:
    """Agents tolerate every taint, none, or those that are listed."""
    assert render({"nodes": nodes}).agent["spec"].get("tolerations") == tolerations


def test_linux_and_no_virtual_nodes() -> None:
    """Whatever else is asked for, agents run on Linux machines only."""
    values: dict[str, Value] = {"nodeExpressions": [{"key": "pool", "operator": "In", "values": ["a"]}]}
    affinity = render(values).agent["spec"]["affinity"]["nodeAffinity"]
    (term,) = affinity["requiredDuringSchedulingIgnoredDuringExecution"]["nodeSelectorTerms"]
    expressions = {(item["key"], item["operator"], *item["values"]) for item in term["matchExpressions"]}
    assert ("kubernetes.io/os", "In", "linux") in expressions
    assert ("type", "NotIn", "virtual-kubelet") in expressions
    assert ("pool", "In", "a") in expressions


def test_priority() -> None:
    """Agents are critical to their node unless somebody empties the priority."""
    assert render().agent["spec"]["priorityClassName"] == "system-node-critical"
    assert "priorityClassName" not in render({"priorityClassName": ""}).agent["spec"]


def test_probes_use_the_admin_port() -> None:
    """Probes ask the admin listener, whatever its number."""
    container = render({"admin.port": 20000}).container
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == {
        "api": 16925,
        "admin": 20000,
    }
    probes = {"startupProbe": "/livez", "readinessProbe": "/readyz", "livenessProbe": "/livez"}
    for probe, path in probes.items():
        assert container[probe]["httpGet"] == {"path": path, "port": "admin"}


def test_drain() -> None:
    """An ending agent still answers for a while, where Kubernetes knows how to wait."""
    assert render().container["lifecycle"]["preStop"] == {"sleep": {"seconds": 5}}
    assert "lifecycle" not in render({"drainSeconds": 0}).container
    old = render({"policy.enabled": False}, options=["--kube-version", "1.29.0"])
    assert "lifecycle" not in old.container


@pytest.mark.parametrize(
    ("image", "reference"),
    [
        ({}, "azure-lb-metadata:0.1.0"),
        ({"image.repository": "example.com:5000/a/b", "image.tag": "v1"}, "example.com:5000/a/b:v1"),
        ({"image.tag": "v1", "image.digest": f"sha256:{'a' * 64}"}, f"azure-lb-metadata@sha256:{'a' * 64}"),
    ],
)
def test_image(image: dict[str, Value], reference: str) -> None:
    """The image is named by digest, else by tag, else by the chart's version."""
    pods = render({**image, "simulator.enabled": True}).pods
    assert {pod["spec"]["containers"][0]["image"] for pod in pods.values()} == {reference}


def test_extras() -> None:
    """What people add stands beside what the chart needs."""
    values: dict[str, Value] = {
        "extraArgs": ["--upstream=imds"],
        "extraEnv": [{"name": "TZ", "value": "UTC"}],
        "podLabels": {"team": "net"},
        "podAnnotations": {"example.com/a": "b"},
        "imagePullSecrets": [{"name": "registry"}],
    }
    rendered = render(values)
    assert rendered.arguments[-1] == "--upstream=imds"
    assert [item["name"] for item in rendered.container["env"]][-1:] == ["TZ"]
    assert rendered.agent["metadata"]["labels"]["team"] == "net"
    assert rendered.agent["metadata"]["annotations"]["example.com/a"] == "b"
    assert all(pod["spec"]["imagePullSecrets"] == [{"name": "registry"}] for pod in rendered.pods.values())


def test_a_new_chart_restarts_nothing() -> None:
    """No label of a pod changes with the chart's version alone."""
    labels = render().agent["metadata"]["labels"]
    assert not {"helm.sh/chart", "app.kubernetes.io/version"} & labels.keys()


def test_extra_manifests() -> None:
    """More objects are rendered, as maps or as templates."""
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "{{ .Release.Name }}-a"}}
    text = "apiVersion: v1\nkind: ConfigMap\nmetadata:\n  name: b\n"
    rendered = render({"extraManifests": [config, text]}, options=["--no-hooks"])
    assert [item["metadata"]["name"] for item in rendered.all("ConfigMap")] == ["azure-lb-metadata-a", "b"]


def test_flags_of_the_chart_are_no_extra_arguments() -> None:
    """A flag that a value sets is refused among the extra arguments, with its name."""
    assert "--poll-interval is set by a value" in refusal({"extraArgs": ["--poll-interval=1s"]})
