"""The control plane: etcd, API server, controllers, scheduler and name server, in their own namespace.

Flags: https://kubernetes.io/docs/reference/command-line-tools-reference/. Every component has a
static token and the rights that a cluster gives it.
"""

import secrets
from pathlib import Path

from tests.e2e.harness.certificates import Authority
from tests.e2e.harness.door import Door
from tests.e2e.harness.layout import (
    BRIDGE_ADDRESS,
    CONTROL_NAMESPACE,
    NODES,
    ROOT,
    SERVICE_NETWORK,
)
from tests.e2e.harness.system import CommandError, Daemon, in_network, run
from tests.support.apiserver import kubeconfig
from tools.binaries.programs import locate_all

NODE_GRACE_S = 20
"""Seconds without a word of its kubelet after which a node is not Ready."""

READY_DEADLINE_S = 180.0
SECURE_PORT = 6443
SERVICE_ADDRESS = "10.0.0.1"
"""The first address of the Service network, which the Service ``kubernetes`` gets."""

USERS = {
    "admin": "system:masters",
    "system:kube-controller-manager": "",
    "system:kube-scheduler": "",
    "system:kube-proxy": "",
    "coredns": "",
    **{f"system:node:{node.name}": "system:nodes" for node in NODES},
}
"""Name and group of everyone who has a token."""

COREFILE = f"""\
.:53 {{
    bind {BRIDGE_ADDRESS}
    kubernetes cluster.local in-addr.arpa {{
        kubeconfig {{kubeconfig}}
    }}
    cache 5
    errors
}}
"""

RIGHTS = """\
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: kube-proxy}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: "system:node-proxier"}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: "system:kube-proxy"}]
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRole
metadata: {name: coredns}
rules:
  - {apiGroups: [""], resources: [services, pods, namespaces], verbs: [list, watch]}
  - {apiGroups: [discovery.k8s.io], resources: [endpointslices], verbs: [list, watch]}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: ClusterRoleBinding
metadata: {name: coredns}
roleRef: {apiGroup: rbac.authorization.k8s.io, kind: ClusterRole, name: coredns}
subjects: [{apiGroup: rbac.authorization.k8s.io, kind: User, name: coredns}]
"""


class ControlPlane:
    """The cluster's control plane; `admin_kubeconfig` is for clients on the machine."""

    def __init__(self, directory: Path = ROOT / "control-plane") -> None:
        """`directory` does not exist yet."""
        self.directory = directory
        self.programs = locate_all("e2e")
        self.authority = Authority(directory / "certificates")
        self.tokens = {user: secrets.token_urlsafe(24) for user in USERS}
        self.admin_kubeconfig = ROOT / "kubeconfig"
        self._daemons: list[Daemon] = []

    def kubeconfig_of(self, user: str) -> Path:
        """A kubeconfig, for use inside the namespaces, of one of the users."""
        path = self.directory / f"{user.replace(':', '-')}.kubeconfig"
        self._write_kubeconfig(path, user, server=f"https://{BRIDGE_ADDRESS}:{SECURE_PORT}")
        return path

    def kubectl(self, *arguments: str, stdin: str | None = None) -> str:
        """Run kubectl as the admin and give what it says.

        Raises:
            CommandError: it ended with another code than 0.
        """
        return run(self.programs["kubectl"], f"--kubeconfig={self.admin_kubeconfig}", *arguments, stdin=stdin)

    def start(self) -> None:
        """Start everything but the controllers of single nodes, and wait until the API server is ready.

        Raises:
            StartError: a program did not come up; the text ends with the tail of its log.
        """
        self._write_files()
        self._start_api()
        self.kubectl("apply", "-f", "-", stdin=RIGHTS)
        self._start_controllers()
        self._start_name_server()

    def end(self) -> None:
        """End every program; may be repeated."""
        while self._daemons:
            self._daemons.pop().end()

    def _is_ready(self) -> bool:
        try:
            return self.kubectl("get", "--raw", "/readyz") == "ok"
        except CommandError:
            return False

    def _write_files(self) -> None:
        lines = [f'{self.tokens[user]},{user},{user},"{group}"\n' for user, group in USERS.items()]
        (self.directory / "tokens.csv").write_text("".join(lines))
        addresses = ("127.0.0.1", BRIDGE_ADDRESS, SERVICE_ADDRESS)
        self.authority.sign("apiserver", subject="/CN=kube-apiserver", addresses=addresses)
        self.authority.sign("apiserver-kubelet", subject="/O=system:masters/CN=kube-apiserver")
        run("openssl", "ecparam", "-name", "prime256v1", "-genkey", "-noout",
            "-out", self.authority.key("service-account"))  # fmt: skip  # one command

    def _start_api(self) -> None:
        etcd = self._daemon("etcd", self._etcd_flags())
        etcd.start((self.directory / "client:0").exists, deadline_s=READY_DEADLINE_S)
        door = Door("door-api", CONTROL_NAMESPACE, host=BRIDGE_ADDRESS, port=SECURE_PORT)
        self._daemons.append(door)
        door.open()
        self._write_kubeconfig(self.admin_kubeconfig, "admin", server=f"https://127.0.0.1:{door.port}")
        self._daemon("kube-apiserver", self._apiserver_flags()).start(
            self._is_ready, deadline_s=READY_DEADLINE_S
        )

    def _start_controllers(self) -> None:
        manager = {
            "kubeconfig": str(self.kubeconfig_of("system:kube-controller-manager")),
            "root-ca-file": str(self.authority.certificate),
            "service-account-private-key-file": str(self.authority.key("service-account")),
            "use-service-account-credentials": "true",
            "leader-elect": "false",
            "bind-address": "127.0.0.1",
            "node-monitor-grace-period": f"{NODE_GRACE_S}s",
            "node-monitor-period": "1s",
        }
        scheduler = {
            "kubeconfig": str(self.kubeconfig_of("system:kube-scheduler")),
            "leader-elect": "false",
            "bind-address": "127.0.0.1",
        }
        self._daemon("kube-controller-manager", manager).start(lambda: True, deadline_s=READY_DEADLINE_S)
        self._daemon("kube-scheduler", scheduler).start(lambda: True, deadline_s=READY_DEADLINE_S)

    def _start_name_server(self) -> None:
        corefile = self.directory / "Corefile"
        corefile.write_text(COREFILE.replace("{kubeconfig}", str(self.kubeconfig_of("coredns"))))
        self._daemon("coredns", {"conf": str(corefile)}).start(lambda: True, deadline_s=READY_DEADLINE_S)

    def _etcd_flags(self) -> dict[str, str]:
        client, peer = "unix://client:0", "unix://peer:0"
        return {
            "name": "e2e",
            "data-dir": "etcd",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"e2e={peer}",
            "log-level": "warn",
            "unsafe-no-fsync": "true",
        }

    def _apiserver_flags(self) -> dict[str, str]:
        certificates, signing_key = self.authority.directory, str(self.authority.key("service-account"))
        return {
            "etcd-servers": "unix://client:0",
            "advertise-address": BRIDGE_ADDRESS,
            "bind-address": BRIDGE_ADDRESS,
            "secure-port": str(SECURE_PORT),
            "service-cluster-ip-range": SERVICE_NETWORK,
            "token-auth-file": "tokens.csv",
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "client-ca-file": str(self.authority.certificate),
            "tls-cert-file": f"{certificates}/apiserver.crt",
            "tls-private-key-file": f"{certificates}/apiserver.key",
            "kubelet-client-certificate": f"{certificates}/apiserver-kubelet.crt",
            "kubelet-client-key": f"{certificates}/apiserver-kubelet.key",
            "kubelet-preferred-address-types": "InternalIP",
            "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
            "service-account-key-file": signing_key,
            "service-account-signing-key-file": signing_key,
        }

    def _daemon(self, name: str, flags: dict[str, str]) -> Daemon:
        arguments = [f"--{flag}={value}" for flag, value in flags.items()]
        command = in_network(CONTROL_NAMESPACE, self.programs[name], *arguments)
        daemon = Daemon(name, command, directory=self.directory)
        self._daemons.append(daemon)
        return daemon

    def _write_kubeconfig(self, path: Path, user: str, *, server: str) -> None:
        text = kubeconfig(
            server=server, ca_file=self.authority.certificate, user={"token": self.tokens[user]}
        )
        path.touch(mode=0o600)
        path.write_text(text)
