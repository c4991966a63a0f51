"""Pods that tests place on a node of their choice and look out of."""

import json
import uuid
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from tests.e2e.harness.images import CLIENT_IMAGE
from tests.e2e.harness.system import CommandError

READY_DEADLINE_S = 180

Kubectl = Callable[..., str]
"""Runs kubectl with its arguments, and ``stdin=``, and gives what it says."""


@dataclass(frozen=True)
class Pod:
    """A running pod of a test."""

    name: str
    namespace: str
    node: str
    kubectl: Kubectl

    def exec(self, *command: str, container: str | None = None) -> str:
        """Run a program in the pod and give its standard output.

        Raises:
            CommandError: it ended with another code than 0; the text has what it said.
        """
        chosen = [f"--container={container}"] if container else []
        return self.kubectl("exec", f"--namespace={self.namespace}", self.name, *chosen, "--", *command)

    def curl(self, url: str, *arguments: str, timeout_s: float = 5.0) -> str:
        """Fetch a URL from inside the pod and give the body.

        Raises:
            CommandError: there was no answer within `timeout_s` seconds, or one of 400 and above.
        """
        limits = ("--fail-with-body", "--max-time", f"{timeout_s:g}")
        return self.exec("curl", "--silent", "--show-error", *limits, *arguments, url)

    def logs(self, *arguments: str) -> str:
        """What the pod has written."""
        return self.kubectl("logs", f"--namespace={self.namespace}", self.name, *arguments)

    def get(self) -> Any:
        """The Pod object."""
        return json.loads(self.kubectl("get", "pod", f"--namespace={self.namespace}", self.name, "-o=json"))


def manifest(
    node: str,
    *,
    namespace: str = "default",
    image: str = CLIENT_IMAGE,
    spec: Mapping[str, Any] | None = None,
    container: Mapping[str, Any] | None = None,
) -> Mapping[str, Any]:
    """A Pod of one container that sleeps, on a node whatever its taints.

    `spec` and `container` add or replace members of the pod's and the container's specification.
    """
    main = {
        "name": "main",
        "image": image,
        "imagePullPolicy": "Never",
        "command": ["sleep", "infinity"],
        **(container or {}),
    }
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"client-{uuid.uuid4().hex[:8]}",
            "namespace": namespace,
            "labels": {"app": "test-client"},
        },
        "spec": {
            "nodeName": node,
            "containers": [main],
            "enableServiceLinks": False,
            "automountServiceAccountToken": False,
            "terminationGracePeriodSeconds": 0,
            **(spec or {}),
        },
    }


@contextmanager
def pod_running(kubectl: Kubectl, wanted: Mapping[str, Any]) -> Iterator[Pod]:
    """The pod of a manifest, Ready, while in the block.

    Raises:
        CommandError: it did not become Ready; the text says what became of it.
    """
    name, namespace = wanted["metadata"]["name"], wanted["metadata"]["namespace"]
    place = f"--namespace={namespace}"
    kubectl("create", "-f", "-", stdin=json.dumps(wanted))
    try:
        wait_ready(kubectl, place, name)
        yield Pod(name=name, namespace=namespace, node=wanted["spec"]["nodeName"], kubectl=kubectl)
    finally:
        kubectl("delete", place, "pod", name, "--ignore-not-found", "--grace-period=0", "--force")


def wait_ready(kubectl: Kubectl, place: str, name: str) -> None:
    """Wait until the pod is Ready.

    Raises:
        CommandError: it is not within a minute; the text describes it.
    """
    try:
        kubectl("wait", place, f"pod/{name}", "--for=condition=Ready", f"--timeout={READY_DEADLINE_S}s")
    except CommandError as error:
        raise CommandError(f"{error}\n{kubectl('describe', place, 'pod', name)}") from error
