"""A release of the chart on the cluster, as an operator installs it."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.images import PROJECT_REPOSITORY, PROJECT_TAG
from tests.e2e.harness.layout import CHECKOUT
from tests.e2e.harness.pods import Pod
from tests.support.processes import poll_until

CHART = CHECKOUT / "charts" / "azure-lb-metadata"
COLUMNS = CHART / "files" / "columns.txt"
NAME = "azure-lb-metadata"
PREFIX = "azure-lb-metadata.io"
ANNOTATED_DEADLINE_S = 120.0
FOUND_DEADLINE_S = 120.0

Values = Mapping[str, Any]
"""Values by their path in values.yaml, like ``{"imds.pollInterval": "1s"}``."""

SCALED: Values = {
    "image.repository": PROJECT_REPOSITORY,
    "image.tag": PROJECT_TAG,
    "image.pullPolicy": "Never",
    "imds.pollInterval": "1s",
    "imds.timeout": "1s",
    "imds.staleAfter": "8s",
    "imds.absentAfter": "8s",
    "annotations.writeSplay": "1s",
    "drainSeconds": 0,
    "terminationGracePeriodSeconds": 1,
    "updateStrategy": {"rollingUpdate": {"maxSurge": "100%", "maxUnavailable": 0}},
}
"""The image of the checkout, seconds for minutes, and no waiting for clients where none is watched."""

AS_SHIPPED: Values = {"drainSeconds": 5, "terminationGracePeriodSeconds": 30, "updateStrategy": {}}
"""How agents are replaced by default: one node after the other, and without haste."""


@dataclass(frozen=True)
class Release:
    """A release called `NAME` in a namespace of its own."""

    cluster: KubernetesCluster
    namespace: str
    values: Values
    """Those that differ from `SCALED`, for as long as it is there."""

    program: str = "helm"
    """The Helm that it is in the hands of: ``helm`` or ``helm3``."""

    name: str = field(default=NAME, init=False)

    @property
    def url(self) -> str:
        """Where pods find it, as the documentation says."""
        return f"http://{self.name}.{self.namespace}"

    @property
    def prefix(self) -> str:
        """What it writes under when it is installed."""
        return str(self.values.get("annotations.prefix", PREFIX))

    def helm(self, *arguments: str) -> str:
        """Run Helm in the release's namespace and give what it says.

        Raises:
            CommandError: it failed.
        """
        return self.cluster.helm(f"--namespace={self.namespace}", *arguments, program=self.program)

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl in the release's namespace and give what it says.

        Raises:
            CommandError: it failed.
        """
        return self.cluster.kubectl(f"--namespace={self.namespace}", *arguments, stdin=stdin)

    def upgrade(self, values: Values | None = None, *arguments: str) -> str:
        """Install or upgrade it with its own values and these, and wait until it is rolled out.

        Raises:
            CommandError: Helm refused, or the roll-out did not end.
        """
        said = self.submit(values, *arguments)
        self.roll_out()
        return said

    def submit(self, values: Values | None = None, *arguments: str) -> str:
        """Install or upgrade it, whether it can work or not, and give what Helm says.

        Raises:
            CommandError: Helm refused.
        """
        settings = {**SCALED, **self.values, **(values or {})}.items()
        return self.helm(
            "upgrade",
            self.name,
            str(CHART),
            "--install",
            "--create-namespace",
            *(f"--set-json={path}={json.dumps(value)}" for path, value in settings),
            *arguments,
        )

    def roll_out(self) -> None:
        """Wait until every node that is to have an agent has a ready one of the present kind.

        Also until the Service answers there: kube-proxy learns of a first agent a moment after it is ready,
        and until then its node refuses connections.

        Raises:
            CommandError: it takes more than two minutes.
            AssertionError: half a minute later the Service does not answer on a node; the text names it.
        """
        self.kubectl("rollout", "status", f"daemonset/{self.name}", "--timeout=5m")
        service = self.cluster.get("service", f"--namespace={self.namespace}", self.name)
        url = f"http://{service['spec']['clusterIP']}/"
        nodes = {node.name: node for node in self.cluster.nodes}
        for agent in self.agents():
            finds = partial(nodes[agent.node].gets_an_answer, url)
            assert poll_until(finds, deadline_s=FOUND_DEADLINE_S), agent

    def uninstall(self) -> None:
        """Uninstall it and wait until it is gone; may be repeated.

        Raises:
            CommandError: a hook failed.
        """
        self.helm("uninstall", self.name, "--ignore-not-found", "--wait")

    def discard(self) -> None:
        """Have its agents end, without hooks and without waiting for them.

        Its keys stay on the Nodes, where nobody else uses their prefix.

        Raises:
            CommandError: Helm failed.
        """
        self.helm("uninstall", self.name, "--ignore-not-found", "--no-hooks")
        self.cluster.kubectl("delete", "namespace", self.namespace, "--ignore-not-found", "--wait=false")

    def agent(self, node: str) -> Pod:
        """The agent that runs on the node called `node`."""
        (agent,) = (agent for agent in self.agents() if agent.node == node)
        return agent

    def agents(self) -> list[Pod]:
        """The agents that run and are to stay: while one replaces another, both are there."""
        pods = self.cluster.get(
            "pods", f"--namespace={self.namespace}", "--field-selector=status.phase=Running"
        )["items"]
        return [
            Pod(
                name=pod["metadata"]["name"],
                namespace=self.namespace,
                node=pod["spec"]["nodeName"],
                kubectl=self.cluster.kubectl,
            )
            for pod in pods
            if "deletionTimestamp" not in pod["metadata"]
            and any(owner["kind"] == "DaemonSet" for owner in pod["metadata"].get("ownerReferences", ()))
        ]

    def logs(self) -> str:
        """What the agents of all nodes have written."""
        return "".join(self.agent(node.name).logs() for node in self.cluster.nodes)

    def keys(self, node: str, prefix: str | None = None) -> dict[str, str]:
        """The annotations of a node under `prefix`, or the release's own one, without it."""
        begin, annotations = f"{prefix or self.prefix}/", self.cluster.annotations(node)
        return {key.removeprefix(begin): annotations[key] for key in annotations if key.startswith(begin)}

    def await_keys(self, wanted: Callable[[dict[str, str]], bool], prefix: str | None = None) -> None:
        """Wait until the annotations of every node are as `wanted`.

        Raises:
            AssertionError: they are not within half a minute; the text has those of all nodes.
        """

        def all_keys() -> dict[str, dict[str, str]]:
            return {node.name: self.keys(node.name, prefix) for node in self.cluster.nodes}

        settled = poll_until(
            lambda: all(wanted(keys) for keys in all_keys().values()), deadline_s=ANNOTATED_DEADLINE_S
        )
        assert settled, all_keys()


@contextmanager
def made(
    cluster: KubernetesCluster, namespace: str, *, values: Values | None = None, program: str = "helm"
) -> Iterator[Release]:
    """A release with a prefix named after its namespace, not installed yet; after the block it is discarded.

    The name of the namespace cannot be used again. Others may be there at the same time, as long as
    they ask the metadata service no more than five times a second from a node.

    Raises:
        CommandError: it could not be uninstalled.
    """
    prefix = {"annotations.prefix": f"{namespace}.example.com"}
    release = Release(cluster, namespace, {**prefix, **(values or {})}, program)
    try:
        yield release
    finally:
        release.discard()


@contextmanager
def installed(
    cluster: KubernetesCluster, namespace: str, *, values: Values | None = None, program: str = "helm"
) -> Iterator[Release]:
    """A release as `made` makes it, rolled out.

    Raises:
        CommandError: Helm refused, or the roll-out did not end.
    """
    with made(cluster, namespace, values=values, program=program) as release:
        release.upgrade()
        yield release


def leftovers(release: Release) -> list[str]:
    """The cluster's objects outside any namespace that belong to the release."""
    kinds = "clusterroles,clusterrolebindings,validatingadmissionpolicies,validatingadmissionpolicybindings"
    selector = f"--selector=app.kubernetes.io/instance={release.name}"
    said = release.cluster.kubectl("get", kinds, "-o=name", selector).split()
    return [name for name in said if release.namespace in name.rpartition("/")[2].split(".")]
