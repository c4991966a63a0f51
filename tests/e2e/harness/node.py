"""A node: kubelet, containerd and kube-proxy in network, mount and process namespaces of their own.

The node has its own /run, /var/lib and /var/log, so that the programs use their usual places there,
two nodes do not meet, and all of its mounts and processes end with its first process. The kernel
settings that kubelet wants are files of the node: those of the machine stay as they are.
"""

import contextlib
import json
import os
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml

from tests.e2e.harness.control_plane import ControlPlane
from tests.e2e.harness.images import PAUSE_IMAGE, Images
from tests.e2e.harness.layout import BRIDGE_ADDRESS, POD_NETWORK, ROOT, NodePlace
from tests.e2e.harness.system import CommandError, Daemon, in_network, run
from tests.support.processes import poll_until

READY_DEADLINE_S = 120.0
CGROUPS = Path("/sys/fs/cgroup")
PRIVATE_FOLDERS = ("/run", "/var/lib", "/var/log")
KERNEL_SETTINGS = (
    "kernel/keys/root_maxbytes",
    "kernel/keys/root_maxkeys",
    "kernel/panic",
    "kernel/panic_on_oops",
    "vm/overcommit_memory",
    "vm/panic_on_oom",
)

CONTAINERD = f"""\
version = 2
disabled_plugins = [
  "io.containerd.snapshotter.v1.aufs", "io.containerd.snapshotter.v1.btrfs",
  "io.containerd.snapshotter.v1.devmapper", "io.containerd.snapshotter.v1.zfs",
  "io.containerd.internal.v1.tracing", "io.containerd.tracing.processor.v1.otlp",
]
[plugins."io.containerd.grpc.v1.cri"]
  sandbox_image = "{PAUSE_IMAGE}"
  disable_apparmor = true
  restrict_oom_score_adj = true
  [plugins."io.containerd.grpc.v1.cri".containerd]
    snapshotter = "overlayfs"
  [plugins."io.containerd.grpc.v1.cri".cni]
    bin_dir = "/usr/lib/cni"
    conf_dir = "/var/lib/cni/configuration"
"""


class Node:
    """One node of the cluster, as the tests see it."""

    def __init__(self, place: NodePlace, control_plane: ControlPlane, images: Images) -> None:
        """The network namespace of `place` is there, its folder is not."""
        self.place = place
        self.name = place.name
        self.address = place.address
        self._control_plane = control_plane
        self._images = images
        self._daemons: list[Daemon] = []
        self._first_process: int | None = None

    def run(self, *command: str, deadline_s: float = 30.0) -> str:
        """Run a program of the machine in the node's network, as a process of the host would.

        Raises:
            CommandError: it failed, or took longer than `deadline_s` seconds.
        """
        return run(*in_network(self.place.namespace, *command), deadline_s=deadline_s)

    def gets_an_answer(self, url: str) -> bool:
        """Whether a process of the host is answered there within a second, whatever the answer is."""
        try:
            self.run("curl", "--silent", "--output", os.devnull, "--max-time", "1", url)
        except CommandError:
            return False
        return True

    @contextlib.contextmanager
    def firewall_rule(self, *rule: str) -> Iterator[None]:
        """Have an iptables rule, like ``FORWARD -d … -j DROP``, first in its chain while in the block."""
        chain, *match = rule
        self.run("iptables", "--wait", "--insert", chain, "1", *match)
        try:
            yield
        finally:
            self.run("iptables", "--wait", "--delete", chain, *match)

    def prepare(self) -> None:
        """Make the node and unpack its images, which takes longest; nodes may do so at the same time.

        Raises:
            CommandError: an image cannot be imported.
            StartError: one of its programs did not come up; the text ends with the tail of its log.
        """
        self._write_files()
        self._start_first_process()
        self._start("containerd", "containerd", "--config", self._file("containerd.toml"))
        self._import_images()

    def start(self) -> None:
        """Start what is prepared; the node says Ready to the API server a few seconds later.

        Raises:
            StartError: one of its programs did not come up; the text ends with the tail of its log.
        """
        programs = self._control_plane.programs
        self._start("kube-proxy", programs["kube-proxy"], f"--config={self._file('kube-proxy.yaml')}")
        self._start(
            "kubelet",
            programs["kubelet"],
            f"--config={self._file('kubelet.yaml')}",
            f"--kubeconfig={self._control_plane.kubeconfig_of(f'system:node:{self.name}')}",
            f"--hostname-override={self.name}",
            f"--node-ip={self.address}",
        )

    def end(self) -> None:
        """End everything that runs on the node, at once; may be repeated."""
        if self._first_process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.kill(self._first_process, signal.SIGKILL)
            self._first_process = None
        while self._daemons:
            self._daemons.pop().end()

    def is_ready(self) -> bool:
        """Whether the Node object says Ready."""
        path = '{.status.conditions[?(@.type=="Ready")].status}'
        try:
            return self._control_plane.kubectl("get", "node", self.name, f"-o=jsonpath={path}") == "True"
        except CommandError:
            return False

    def log_tails(self) -> str:
        """The last lines of the log of each of its programs."""
        return "\n".join(f"--- {daemon.label}\n{daemon.log_tail()}" for daemon in self._daemons)

    def _file(self, name: str) -> Path:
        return self.place.directory / "configuration" / name

    def _write_files(self) -> None:
        for folder in PRIVATE_FOLDERS:
            (self.place.directory / "root" / folder[1:]).mkdir(parents=True)
        self._file("x").parent.mkdir(parents=True)
        self._file("containerd.toml").write_text(CONTAINERD)
        self._file("resolv.conf").write_text(f"nameserver {BRIDGE_ADDRESS}\n")
        self._file("kubelet.yaml").write_text(yaml.safe_dump(self._kubelet()))
        self._file("kube-proxy.yaml").write_text(yaml.safe_dump(self._kube_proxy()))
        network = self.place.directory / "root/var/lib/cni/configuration/10-bridge.conflist"
        network.parent.mkdir(parents=True)
        network.write_text(json.dumps(self._pod_network()))
        for setting in KERNEL_SETTINGS:
            copy = self._file(f"sys/{setting}")
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_text(Path("/proc/sys", setting).read_text())

    def _start_first_process(self) -> None:
        """Make the namespaces, which live as long as their first process does."""
        command = ("unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc")
        daemon = Daemon(
            f"{self.name}-init",
            in_network(self.place.namespace, *command, self._images.pause_program),
        )
        self._daemons.append(daemon)

        def has_child() -> bool:
            children = Path(f"/proc/{daemon.pid}/task/{daemon.pid}/children").read_text().split()
            self._first_process = int(children[0]) if children else None
            return self._first_process is not None and self._runs_pause(self._first_process)

        daemon.start(has_child, deadline_s=READY_DEADLINE_S)
        for folder in PRIVATE_FOLDERS:
            self._bind(self.place.directory / "root" / folder[1:], Path(folder))
        for setting in KERNEL_SETTINGS:
            self._bind(self._file(f"sys/{setting}"), Path("/proc/sys", setting))

    def _runs_pause(self, pid: int) -> bool:
        """Whether unshare has done all and begun the first program."""
        return Path(f"/proc/{pid}/cmdline").read_text().startswith(str(self._images.pause_program))

    def _bind(self, source: Path, target: Path) -> None:
        run(*self._on_node("mount", "--bind", source, target))

    def _on_node(self, *command: str | Path) -> list[str]:
        target = f"--target={self._first_process}"
        return ["nsenter", target, "--mount", "--pid", "--net", "--", *(str(word) for word in command)]

    def _start(self, label: str, *command: str | Path) -> None:
        daemon = Daemon(f"{self.name}-{label}", self._on_node(*command))
        self._daemons.append(daemon)
        daemon.start(lambda: True, deadline_s=READY_DEADLINE_S)

    def _import_images(self) -> None:
        socket = self.place.directory / "root/run/containerd/containerd.sock"
        client = ("ctr", f"--address={socket}", "--namespace=k8s.io")
        if not poll_until(lambda: containerd_answers(client), deadline_s=READY_DEADLINE_S):
            raise CommandError(f"containerd of {self.name} does not answer; see {ROOT}/logs")
        for archive in self._images.archives:
            run(*client, "images", "import", archive)

    def _kubelet(self) -> Mapping[str, Any]:
        return {
            "apiVersion": "kubelet.config.k8s.io/v1beta1",
            "kind": "KubeletConfiguration",
            "address": self.address,
            "authentication": {
                "anonymous": {"enabled": False},
                "webhook": {"enabled": True},
                "x509": {"clientCAFile": str(self._control_plane.authority.certificate)},
            },
            "authorization": {"mode": "Webhook"},
            "containerRuntimeEndpoint": "unix:///run/containerd/containerd.sock",
            "clusterDNS": [BRIDGE_ADDRESS],
            "clusterDomain": "cluster.local",
            "resolvConf": str(self._file("resolv.conf")),
            "cgroupDriver": "cgroupfs",
            "cgroupRoot": self.place.cgroup,
            "cgroupsPerQOS": False,
            "enforceNodeAllocatable": [],
            "failSwapOn": False,
            "featureGates": {
                "KubeletInUserNamespace": True,
                # Without cgroups per pod, 1.34's kubelet panics when a pod goes that it is about to resize.
                "InPlacePodVerticalScaling": False,
                "KubeletCrashLoopBackOffMax": True,
            },
            # Seconds for minutes: a container that ends to be started anew is not kept waiting.
            "crashLoopBackOff": {"maxContainerRestartPeriod": "1s"},
            # Renewed in a quarter of this, several times in what the control plane grants a node.
            "nodeLeaseDurationSeconds": 12,
            "localStorageCapacityIsolation": False,
            "imageGCHighThresholdPercent": 100,
            "evictionHard": {"memory.available": "50Mi", "nodefs.available": "1%", "imagefs.available": "1%"},
            "shutdownGracePeriod": "0s",
        }

    def _kube_proxy(self) -> Mapping[str, Any]:
        kubeconfig = self._control_plane.kubeconfig_of("system:kube-proxy")
        return {
            "apiVersion": "kubeproxy.config.k8s.io/v1alpha1",
            "kind": "KubeProxyConfiguration",
            "mode": "iptables",
            "bindAddress": self.address,
            "hostnameOverride": self.name,
            "clusterCIDR": POD_NETWORK,
            "clientConnection": {"kubeconfig": str(kubeconfig)},
            # These would be settings of the machine, not of the node.
            "conntrack": {
                "maxPerCore": 0,
                "min": 0,
                "tcpEstablishedTimeout": "0s",
                "tcpCloseWaitTimeout": "0s",
            },
        }

    def _pod_network(self) -> Mapping[str, Any]:
        bridge = {
            "type": "bridge",
            "bridge": "pods",
            "isGateway": True,
            "ipMasq": True,
            "hairpinMode": True,
            "ipam": {
                "type": "host-local",
                "ranges": [[{"subnet": self.place.pod_network}]],
                "routes": [{"dst": "0.0.0.0/0"}],
            },
        }
        ports = {"type": "portmap", "capabilities": {"portMappings": True}}
        return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge, ports]}


def containerd_answers(client: tuple[str, ...]) -> bool:
    """Whether containerd can be asked for its version."""
    try:
        run(*client, "version")
    except CommandError:
        return False
    return True


def remove_cgroups() -> None:
    """Remove the control groups of pods that are gone, from every hierarchy.

    Raises:
        CommandError: one still holds processes.
    """

    def removed(folder: Path) -> bool:
        for group, _, _ in os.walk(folder, topdown=False):
            with contextlib.suppress(OSError):  # a process in it is still ending
                Path(group).rmdir()
        return not folder.exists()

    for folder in (*CGROUPS.glob(ROOT.name), *CGROUPS.glob(f"*/{ROOT.name}")):
        if not poll_until(lambda folder=folder: removed(folder), deadline_s=READY_DEADLINE_S):  # type: ignore[misc]  # mypy cannot type a default
            raise CommandError(f"{folder} still holds processes")
