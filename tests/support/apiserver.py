"""A real Kubernetes API server with its etcd, on loopback, for as long as a test session needs it.

Flags of the server: https://kubernetes.io/docs/reference/command-line-tools-reference/kube-apiserver/.
It authorizes as a cluster does (Node and RBAC), signs service account tokens, and has no
controllers: nothing but the tests and the server itself changes an object.
"""

import asyncio
import base64
import http.client
import secrets
import shutil
import ssl
import tempfile
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, contextmanager
from pathlib import Path

import yaml

from tests.support.processes import ReservedPort, ServerProcess
from tools.binaries.programs import locate

READY_DEADLINE_S = 120.0
"""Twice this is less than the time-out of a test, so that a server that does not come up shows its log."""

ETCD_SOCKET = "client:0"
"""etcd wants host and port; of a unix URL it makes a socket of this name in its working directory."""

P256_ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
P256_KEY_PREFIX = bytes.fromhex("30310201010420")
P256_KEY_SUFFIX = bytes.fromhex("a00a06082a8648ce3d030107")


def kubeconfig(*, server: str, ca_file: Path, user: dict[str, str], namespace: str = "default") -> str:
    """The text of a kubeconfig with one context; `user` is ``token`` or ``tokenFile`` and its value."""
    return yaml.safe_dump(
        {
            "apiVersion": "v1",
            "kind": "Config",
            "clusters": [
                {"name": "test", "cluster": {"server": server, "certificate-authority": str(ca_file)}}
            ],
            "users": [{"name": "test", "user": user}],
            "contexts": [
                {"name": "test", "context": {"cluster": "test", "user": "test", "namespace": namespace}}
            ],
            "current-context": "test",
        }
    )


def _new_signing_key() -> str:
    """A new P-256 private key as PEM, in the form of RFC 5915 without its optional public key."""
    secret = (1 + secrets.randbelow(P256_ORDER - 1)).to_bytes(32, "big")
    body = base64.encodebytes(P256_KEY_PREFIX + secret + P256_KEY_SUFFIX).decode()
    return f"-----BEGIN EC PRIVATE KEY-----\n{body}-----END EC PRIVATE KEY-----\n"


class ApiServer:
    """One kube-apiserver and its etcd, in a folder of their own.

    `url`, `admin_token`, `ca_file` and `admin_kubeconfig` stay the same over stop and start;
    `kubectl` is the path of that program, `program` the process of kube-apiserver.
    """

    def __init__(self, directory: Path) -> None:
        """`directory` is empty, private to the server, and outlives it."""
        self.directory = directory
        self.admin_token = secrets.token_urlsafe(24)
        self.ca_file = directory / "certificates" / "apiserver.crt"
        self.admin_kubeconfig = directory / "admin.kubeconfig"
        self.signing_key_file = directory / "service-account.key"
        self.kubectl = locate("kubectl")
        self._port = ReservedPort()
        self.url = f"https://127.0.0.1:{self._port.number}"
        self._etcd = self._etcd_process()
        self.program = self._apiserver_process()

    @property
    def pid(self) -> int | None:
        """The process id of kube-apiserver while it runs."""
        return self.program.pid

    def launch(self) -> None:
        """Write keys and kubeconfig, start etcd and the API server and wait until both are ready.

        Raises:
            StartError: one of them did not come up; the text ends with the tail of its log.
        """
        self.signing_key_file.write_text(_new_signing_key())
        (self.directory / "tokens.csv").write_text(f'{self.admin_token},admin,admin,"system:masters"\n')
        self.admin_kubeconfig.write_text(
            kubeconfig(server=self.url, ca_file=self.ca_file, user={"token": self.admin_token})
        )
        socket = self.directory / ETCD_SOCKET
        self._etcd.start(socket.exists, deadline_s=READY_DEADLINE_S)
        self.start()

    def shut_down(self) -> None:
        """End both processes and give the port back; may be repeated."""
        self.program.end()
        self._etcd.end()
        self._port.release()

    def start(self) -> None:
        """Start the API server, again on the same port with the same data, and wait until it is ready.

        Raises:
            StartError: it did not come up; the text ends with the tail of its log.
        """
        self.program.start(self.is_ready, deadline_s=READY_DEADLINE_S)

    def kill(self) -> None:
        """End the API server as a crash would; etcd goes on. Connections are refused until `start`."""
        self.program.kill()

    def pause(self) -> None:
        """Freeze the API server: connections are accepted by the kernel and get no answer."""
        self.program.pause()

    def resume(self) -> None:
        """Let a paused API server go on."""
        self.program.resume()

    @contextmanager
    def paused(self) -> Iterator[None]:
        """Freeze the API server for the length of the block."""
        self.pause()
        try:
            yield
        finally:
            self.resume()

    @asynccontextmanager
    async def stopped(self) -> AsyncIterator[None]:
        """Take the API server away (connections are refused) for the length of the block."""
        await asyncio.to_thread(self.kill)
        try:
            yield
        finally:
            await asyncio.to_thread(self.start)

    def is_ready(self) -> bool:
        """Whether ``/readyz`` says ok to the admin."""
        try:
            context = ssl.create_default_context(cafile=self.ca_file)
        except (OSError, ssl.SSLError):
            return False  # the server has not, or not wholly, written its certificate
        connection = http.client.HTTPSConnection("127.0.0.1", self._port.number, context=context, timeout=5)
        with closing(connection):
            try:
                connection.request("GET", "/readyz", headers={"Authorization": f"Bearer {self.admin_token}"})
                return connection.getresponse().status == 200
            except (OSError, http.client.HTTPException):
                return False

    def _etcd_process(self) -> ServerProcess:
        client, peer = f"unix://{ETCD_SOCKET}", "unix://peer:0"
        flags = {
            "name": "test",
            "data-dir": "etcd",
            "listen-client-urls": client,
            "advertise-client-urls": client,
            "listen-peer-urls": peer,
            "initial-advertise-peer-urls": peer,
            "initial-cluster": f"test={peer}",
            "log-level": "warn",
            "unsafe-no-fsync": "true",
        }
        return self._process("etcd", flags)

    def _apiserver_process(self) -> ServerProcess:
        flags = {
            "etcd-servers": f"unix://{ETCD_SOCKET}",
            "bind-address": "127.0.0.1",
            "advertise-address": "127.0.0.1",
            "secure-port": str(self._port.number),
            "permit-port-sharing": "true",
            "cert-dir": str(self.ca_file.parent),
            "token-auth-file": "tokens.csv",
            "authorization-mode": "Node,RBAC",
            "enable-admission-plugins": "NodeRestriction",
            "service-account-issuer": "https://kubernetes.default.svc.cluster.local",
            "service-account-key-file": str(self.signing_key_file),
            "service-account-signing-key-file": str(self.signing_key_file),
            "service-cluster-ip-range": "10.0.0.0/16",
            "endpoint-reconciler-type": "none",
        }
        return self._process("kube-apiserver", flags)

    def _process(self, name: str, flags: dict[str, str]) -> ServerProcess:
        command = [str(locate(name)), *(f"--{flag}={value}" for flag, value in flags.items())]
        return ServerProcess(command, directory=self.directory, log=self.directory / f"{name}.log")


@contextmanager
def api_server_running() -> Iterator[ApiServer]:
    """A new API server for the length of the block; may be nested, each has its own etcd and folder.

    Raises:
        BinariesMissingError: the programs are not built (``make binaries``).
        StartError: a program did not come up; the text ends with the tail of its log.
    """
    directory = Path(tempfile.mkdtemp(prefix="azure-lb-metadata-"))
    try:
        server = ApiServer(directory)
        try:
            server.launch()
            yield server
        finally:
            server.shut_down()
    finally:
        shutil.rmtree(directory)
