"""Where connections leave from, on a real cluster behind a gateway that translates."""

import json
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pytest
import yaml

from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.layout import CHECKOUT, NODES, OUTSIDE_ADDRESS, OUTSIDE_NAMESPACE
from tests.e2e.harness.network import INTERFACE, address, inside, route
from tests.e2e.harness.pods import manifest, pod_running
from tests.e2e.harness.release import Release, installed
from tests.e2e.harness.system import CommandError, in_network, run
from tests.support.processes import ServerProcess, poll_until
from tests.translation.servers import STUN_CONFIGURATION, UNPRIVILEGED

NAMESPACE = "egress"
PROBE = f"stun:{OUTSIDE_ADDRESS}"
TRANSLATED = MappingProxyType({NODES[0].name: "198.51.100.41", NODES[1].name: "198.51.100.42"})
"""What the gateway makes of each node's connections to the outside; the metadata service knows neither."""
TRANSLATED_NETWORK = "198.51.100.40/29"
GATEWAY_PREFIX = "203.0.113.128/28"
DEADLINE_S = 120.0

STATIC_GATEWAY_NAME = "staticgatewayconfigurations.egressgateway.kubernetes.azure.com"
STATIC_GATEWAYS = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": STATIC_GATEWAY_NAME},
    "spec": {
        "group": "egressgateway.kubernetes.azure.com",
        "scope": "Namespaced",
        "names": {
            "kind": "StaticGatewayConfiguration",
            "listKind": "StaticGatewayConfigurationList",
            "plural": "staticgatewayconfigurations",
            "singular": "staticgatewayconfiguration",
        },
        "versions": [
            {
                "name": "v1alpha1",
                "served": True,
                "storage": True,
                "subresources": {"status": {}},
                "schema": {
                    "openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
                },
            }
        ],
    },
}
READER = [
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRole",
        "metadata": {"name": "egress-reader"},
        "rules": [
            {"apiGroups": [""], "resources": ["nodes", "pods"], "verbs": ["get", "list"]},
            {"apiGroups": ["apps"], "resources": ["daemonsets"], "verbs": ["get", "list"]},
        ],
    },
    {
        "apiVersion": "rbac.authorization.k8s.io/v1",
        "kind": "ClusterRoleBinding",
        "metadata": {"name": "egress-reader"},
        "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "egress-reader"},
        "subjects": [{"apiGroup": "rbac.authorization.k8s.io", "kind": "User", "name": "egress-reader"}],
    },
]
"""Somebody who may read all that `nodes` needs, and no static gateways."""


@pytest.fixture(scope="module")
def stun_server(
    kubernetes_cluster: KubernetesCluster, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[None]:
    """A STUN server outside, and the translation on the way there."""
    assert kubernetes_cluster.nodes
    # As arguments: pytest's folders are closed to whom it runs as.
    options = (*STUN_CONFIGURATION.split(), f"listening-ip={OUTSIDE_ADDRESS}")
    server = ServerProcess(
        in_network(
            OUTSIDE_NAMESPACE, *UNPRIVILEGED, "turnserver", "-n", *(f"--{option}" for option in options)
        ),
        directory=CHECKOUT,
        log=tmp_path_factory.mktemp("stun") / "coturn.log",
    )

    def answers() -> bool:
        client = in_network(OUTSIDE_NAMESPACE, "turnutils_stunclient", OUTSIDE_ADDRESS)
        try:
            # It waits for ever for an answer to its one packet.
            return "UDP reflexive addr" in run(*client, deadline_s=5.0)
        except CommandError:
            return False

    with ExitStack() as stack:
        route(OUTSIDE_NAMESPACE, TRANSLATED_NETWORK)
        stack.callback(inside, OUTSIDE_NAMESPACE, "ip", "route", "delete", TRANSLATED_NETWORK)
        for node in NODES:
            own = f"{TRANSLATED[node.name]}/32"
            address(node.namespace, INTERFACE, own)
            stack.callback(inside, node.namespace, "ip", "address", "delete", own, "dev", INTERFACE)
            rule = (
                *("POSTROUTING", "--destination", OUTSIDE_ADDRESS, "--protocol", "udp"),
                *("--jump", "SNAT", "--to-source", TRANSLATED[node.name]),
            )
            inside(node.namespace, "iptables", "--wait", "--table", "nat", "--insert", *rule)
            stack.callback(inside, node.namespace, "iptables", "--wait", "--table", "nat", "--delete", *rule)
        stack.callback(server.end)
        server.start(answers, deadline_s=DEADLINE_S)
        yield


@pytest.fixture(scope="module")
def release(kubernetes_cluster: KubernetesCluster, stun_server: None) -> Iterator[Release]:
    """Agents that ask the probe outside."""
    assert stun_server is None
    with installed(kubernetes_cluster, NAMESPACE, values={"egress.probes": [PROBE]}) as release:
        release.await_keys(lambda keys: keys.get("egress-state") == "unlisted")
        yield release


def nodes_egress(
    release: Release, *arguments: str, kubeconfig: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the command from the machine, as the admin if nobody else is named."""
    where = f"--kubeconfig={kubeconfig or release.cluster.kubeconfig}"
    which = (f"--annotation-prefix={release.prefix}", f"--agent-namespace={release.namespace}")
    return subprocess.run(
        [sys.executable, "-m", "sidecar", "nodes", "--egress", where, *which, *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
        check=False,
    )


def asked_by_a_pod(release: Release, node: str) -> Any:
    """What a pod of the node is told of egress."""
    with pod_running(release.cluster.kubectl, manifest(node)) as pod:
        return json.loads(pod.curl(f"{release.url}/v1/egress"))


def test_behind_a_translating_gateway(release: Release) -> None:
    """What leaves by a gateway is unlisted until it is declared; then it is what others should allow."""
    for node in NODES:
        told = asked_by_a_pod(release, node.name)
        assert told["state"] == "unlisted"
        seen = [(one["ipAddress"], one["listed"], one["transports"]) for one in told["observed"]]
        assert seen == [(TRANSLATED[node.name], False, ["udp"])]
        assert TRANSLATED[node.name] not in told["ips"]
    done = nodes_egress(release)
    assert done.returncode == 5
    assert all(address in done.stderr and address not in done.stdout for address in TRANSLATED.values()), done

    release.upgrade({**release.values, "egress.declared": [TRANSLATED_NETWORK]})
    release.await_keys(lambda keys: keys.get("egress-state") == "agrees")
    for node in NODES:
        told = asked_by_a_pod(release, node.name)
        assert (told["state"], told["basis"]) == ("agrees", "declared")
        assert told["declared"] == told["networks"] == [TRANSLATED_NETWORK]
    done = nodes_egress(release)
    assert (done.returncode, done.stdout) == (0, f"{TRANSLATED_NETWORK}\n"), done
    assert "assumed" not in done.stderr


def test_static_gateways(release: Release, tmp_path: Path) -> None:
    """The prefix of a static gateway is on the list; who may not read them is told so, and gets 5."""
    cluster = release.cluster
    release.upgrade({**release.values, "egress.declared": [TRANSLATED_NETWORK]})
    release.await_keys(lambda keys: keys.get("egress-state") == "agrees")
    gateway = {
        "apiVersion": "egressgateway.kubernetes.azure.com/v1alpha1",
        "kind": "StaticGatewayConfiguration",
        "metadata": {"name": "partners", "namespace": "default"},
        "spec": {"gatewayNodepoolName": "gateways"},
    }
    with ExitStack() as stack:
        cluster.kubectl("apply", "--filename=-", stdin=json.dumps(STATIC_GATEWAYS))
        stack.callback(cluster.kubectl, "delete", "customresourcedefinition", STATIC_GATEWAY_NAME)
        cluster.kubectl(
            "wait", "--for=condition=Established", f"customresourcedefinition/{STATIC_GATEWAY_NAME}"
        )
        cluster.kubectl("apply", "--filename=-", stdin=json.dumps(gateway))
        assert nodes_egress(release).returncode == 5  # It has no prefix yet.
        status = {"status": {"egressIpPrefix": GATEWAY_PREFIX}}
        patch = ("--subresource=status", "--type=merge", f"--patch={json.dumps(status)}")
        cluster.kubectl("patch", "staticgatewayconfigurations", "partners", *patch)
        done = nodes_egress(release)
        assert (done.returncode, done.stdout.split()) == (0, [TRANSLATED_NETWORK, GATEWAY_PREFIX]), done

        for right in READER:
            cluster.kubectl("apply", "--filename=-", stdin=json.dumps(right))
            stack.callback(cluster.kubectl, "delete", str(right["kind"]), "egress-reader")
        config = yaml.safe_load(Path(cluster.kubeconfig).read_text())
        config["users"][0]["user"]["as"] = "egress-reader"
        reader = tmp_path / "kubeconfig"
        reader.write_text(yaml.safe_dump(config))
        assert poll_until(
            lambda: nodes_egress(release, kubeconfig=reader).returncode == 5, deadline_s=DEADLINE_S
        )
        done = nodes_egress(release, kubeconfig=reader)
        assert done.stdout.split() == [TRANSLATED_NETWORK]
        assert "staticgatewayconfigurations" in done.stderr.lower()
