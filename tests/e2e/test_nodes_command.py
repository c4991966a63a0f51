"""``nodes`` on a real cluster: an agent that has stopped and a kubelet that has stopped are never ``ok``."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path

import pytest

from tests.e2e.harness.cluster import KubernetesCluster
from tests.e2e.harness.control_plane import NODE_GRACE_S
from tests.e2e.harness.layout import CHECKOUT, NODES
from tests.e2e.harness.release import Release, installed
from tests.e2e.harness.simulator import public_ip
from tests.support.processes import poll_until

NAMESPACE = "nodes-command"
COMMAND_DEADLINE_S = 120.0
UNREADY_DEADLINE_S = 120.0
UNKNOWN_DEADLINE_S = 100.0 + NODE_GRACE_S
"""The node controller grants a kubelet some seconds of silence."""


@pytest.fixture
def release(kubernetes_cluster: KubernetesCluster) -> Iterator[Release]:
    """A release of the test's own, on all nodes, annotated."""
    with installed(kubernetes_cluster, NAMESPACE) as release:
        release.await_keys(lambda keys: keys.get("status") == "ok")
        yield release


def nodes(release: Release, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command from the machine, as the admin."""
    where = f"--kubeconfig={release.cluster.kubeconfig}"
    which = (f"--annotation-prefix={release.prefix}", f"--agent-namespace={release.namespace}")
    return subprocess.run(
        [sys.executable, "-m", "sidecar", "nodes", where, *which, *arguments],
        cwd=CHECKOUT,
        capture_output=True,
        text=True,
        timeout=COMMAND_DEADLINE_S,
        check=False,
    )


def status(release: Release, node: str) -> str:
    """The line of a node."""
    return next(line for line in nodes(release).stdout.splitlines() if line.startswith(node))


@contextmanager
def stopped(*words: str, variable: str = "") -> Iterator[None]:
    """Stop the one process with these words in its command line and this variable, for the block."""
    found = [int(entry.name) for entry in Path("/proc").glob("[0-9]*") if _is(entry, words, variable)]
    (pid,) = found
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


def _is(process: Path, words: tuple[str, ...], variable: str) -> bool:
    try:
        command = (process / "cmdline").read_bytes().decode(errors="replace").split("\0")
        environment = (process / "environ").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return False  # it has ended
    # Who entered a node's namespaces has the words of whom it started there.
    return {*words} <= {*command} and "nsenter" not in command and variable in {"", *environment}


def test_stopped_agent_and_stopped_kubelet(kubernetes_cluster: KubernetesCluster, release: Release) -> None:
    """Both nodes are ok until one's agent and the other's kubelet stop, and are again when they go on."""
    first, second = (node.name for node in NODES)
    done = nodes(release)
    assert (done.returncode, done.stdout.count(" ok ")) == (0, 2), done
    assert all(public_ip(node.address) in done.stdout for node in NODES)
    with ExitStack() as stops:
        stops.enter_context(stopped(f"--hostname-override={second}", f"--node-ip={NODES[1].address}"))
        assert poll_until(
            lambda: "unknown (node not ready " in status(release, second), deadline_s=UNKNOWN_DEADLINE_S
        ), nodes(release)
        # Last, since a kubelet that lives replaces an agent that does not.
        agent = f"--annotation-prefix={release.prefix}"
        stops.enter_context(stopped("run", agent, variable=f"NODE_NAME={first}"))
        assert poll_until(
            lambda: "unknown (agent down " in status(release, first), deadline_s=UNREADY_DEADLINE_S
        ), nodes(release)
        done = nodes(release, "--egress")
        assert done.returncode == 5
        assert " ok " not in nodes(release).stdout
        assert f"{first} (" in done.stderr
        assert f"not known: unknown (node not ready): {second} (" in done.stderr
        assert done.stdout.splitlines() == [f"{public_ip(node.address)}/32" for node in NODES]
    assert poll_until(lambda: nodes(release).returncode == 0, deadline_s=UNKNOWN_DEADLINE_S), nodes(release)
    assert all(node.is_ready() for node in kubernetes_cluster.nodes)
