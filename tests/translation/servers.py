"""Servers of a network, programs that can be stopped and started again: STUN, HTTPS, metadata service."""

import json
import os
import platform
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from ipaddress import ip_address
from pathlib import Path

from tests.e2e.harness.certificates import Authority
from tests.support.processes import ServerProcess
from tests.support.program import CHECKOUT, clean_environment
from tests.translation import echo, stun
from tests.translation.namespaces import Namespace
from tests.translation.network import IMDS_ADDRESS, NAME, NODE, OUTSIDE, Network

READY_DEADLINE_S = 60.0
"""After so long a program is stuck and not slow."""

UNPRIVILEGED = (
    "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--no-new-privs", "--bounding-set=-all",
)  # fmt: skip  # one command
"""Before a command that runs as nobody, without any capability, and can gain none."""

STUN_CONFIGURATION = """\
stun-only
no-tls
no-dtls
no-cli
no-rfc5780
log-file=stdout
pidfile=
"""


class Server:
    """A program that serves in a namespace. Made by the functions of this module, which end it as well."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        *,
        place: Namespace,
        folder: Path,
        asked: Callable[[], object],
    ) -> None:
        """`asked` is called in the namespace `place`, and raises OSError until the program answers."""
        self._place = place
        self._asked = asked
        self._process = ServerProcess(place.command(*command), directory=CHECKOUT, log=folder / f"{name}.log")

    def start(self) -> None:
        """Start it, for the first time or again, and wait until it answers.

        Raises:
            StartError: it ended, or did not answer within a minute; the text has the tail of its log.
        """
        self._process.start(self._answers, deadline_s=READY_DEADLINE_S, environment=clean_environment())

    def stop(self) -> None:
        """End it: from now on its port refuses. May be repeated."""
        self._process.end()

    def pause(self) -> None:
        """Leave it as it is, without an answer, until :meth:`resume`."""
        self._process.pause()

    def resume(self) -> None:
        """Let it go on."""
        self._process.resume()

    @property
    def log(self) -> str:
        """What it has said."""
        return self._process.log.read_text(errors="replace")

    def _answers(self) -> bool:
        try:
            self._place.call(self._asked)
        except OSError:
            return False
        return True


def stun_server(
    network: Network, *, addresses: Sequence[str] = tuple(OUTSIDE.values())
) -> AbstractContextManager[Server]:
    """A STUN server outside, on UDP and TCP port 3478 of these addresses, for the length of the block."""
    configuration = STUN_CONFIGURATION + "".join(f"listening-ip={address}\n" for address in addresses)
    return coturn(network, configuration, addresses=addresses)


@contextmanager
def coturn(network: Network, configuration: str, *, addresses: Sequence[str]) -> Iterator[Server]:
    """Run coturn outside, as nobody, with a configuration in which it answers at these addresses."""
    file = network.folder / "turnserver.conf"
    file.write_text(configuration)

    def asked() -> None:
        for address in addresses:
            for transport in ("udp", "tcp"):
                stun.binding(address, transport=transport)

    server = Server(
        "coturn",
        (*UNPRIVILEGED, "turnserver", "-c", file),
        place=network.outside,
        folder=network.folder,
        asked=asked,
    )
    with started(server):
        yield server


@contextmanager
def echo_server(network: Network) -> Iterator[tuple[Server, Path]]:
    """The program :mod:`tests.translation.echo` outside, on port 443, and its authority's certificate.

    Its own certificate is for its addresses and its name.
    """
    authority = Authority(network.folder / "certificates")
    addresses = tuple(OUTSIDE.values())
    certificate = authority.sign("echo", subject="/CN=echo", addresses=addresses, names=(NAME,))

    def asked() -> None:
        for address in addresses:
            socket.create_connection((address, echo.PORT), timeout=stun.TIMEOUT_S).close()

    keys = ("--certificate", certificate, "--key", authority.key("echo"))
    server = Server(
        "echo",
        (sys.executable, "-m", "tests.translation.echo", *keys, *addresses),
        place=network.outside,
        folder=network.folder,
        asked=asked,
    )
    with started(server):
        yield server, authority.certificate


@contextmanager
def metadata_service(network: Network, *, outbound: Sequence[str]) -> Iterator[Server]:
    """Our simulator at 169.254.169.254 of the node: it has outbound rules by these addresses.

    Its control listener is at 127.0.0.1:16981 of the node, for :meth:`Namespace.call`.
    """
    rules = [
        {"frontendIpAddress": address, "privateIpAddress": NODE[ip_address(address).version]}
        for address in outbound
    ]
    document = {"loadbalancer": {"publicIpAddresses": [], "inboundRules": [], "outboundRules": rules}}
    scenario = network.folder / "scenario.yaml"
    scenario.write_text(json.dumps({"document": {"inline": document}, "rateLimit": False}))

    def asked() -> None:
        socket.create_connection((IMDS_ADDRESS, 80), timeout=stun.TIMEOUT_S).close()

    listen = ("--listen", f"{IMDS_ADDRESS}:80", "--control-listen", "127.0.0.1:16981")
    server = Server(
        "simulator",
        (sys.executable, "-m", "sidecar", "simulate", *listen, "--scenario", scenario),
        place=network.node,
        folder=network.folder,
        asked=asked,
    )
    with started(server):
        yield server


@contextmanager
def started(server: Server) -> Iterator[None]:
    """A server that is started, and ended after the block.

    Raises:
        StartError: it does not answer.
    """
    try:
        server.start()
        yield
    finally:
        server.stop()


ENABLE_COMMAND = "apt-get install --yes --no-install-recommends coturn curl iproute2 iptables openssl procps"

_PROGRAMS = (
    "curl", "ip", "ip6tables-restore", "iptables-restore", "nsenter", "openssl", "setpriv", "sysctl",
    "turnserver", "turnutils_stunclient", "unshare",
)  # fmt: skip  # a list of words


def missing() -> str | None:
    """Why there can be no such network here, or None."""
    if platform.system() != "Linux":
        return "network namespaces need Linux"
    if os.geteuid() != 0:
        return "network namespaces need root"
    absent = [name for name in _PROGRAMS if shutil.which(name) is None]
    return f"the program {absent[0]} is not installed" if absent else None
