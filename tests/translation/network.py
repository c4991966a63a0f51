"""A node, the gateway that translates what it sends, and the servers outside: each a network namespace.

::

    node  10.224.0.4  ----  gateway  198.51.100.1  ----  outside  198.51.100.10
          fd00:db8:deca::4           2001:db8:51::1               2001:db8:51::10

Nothing is changed in the machine's own network namespace, and none of these has a way out of it.
"""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from tests.translation import echo
from tests.translation.namespaces import Namespace, namespaces

NODE: Mapping[int, str] = MappingProxyType({4: "10.224.0.4", 6: "fd00:db8:deca::4"})
"""The node's own addresses, by family."""

OUTSIDE: Mapping[int, str] = MappingProxyType({4: "198.51.100.10", 6: "2001:db8:51::10"})
"""Those of the servers."""

TRANSLATED: Mapping[int, tuple[str, ...]] = MappingProxyType(
    {
        4: tuple(f"203.0.113.{number}" for number in (11, 12, 13, 14)),
        6: tuple(f"2001:db8:203::{number}" for number in (11, 12, 13, 14)),
    }
)
"""Addresses to translate to. Any others of 203.0.113.0/24 and 2001:db8:203::/64 do as well."""

NAME = "probe.example.org"
"""The name of :data:`OUTSIDE`, of both families, for programs of the node, which know no other."""

IMDS_ADDRESS = "169.254.169.254"
"""An address of the node itself: who listens there is its metadata service."""

Way = tuple[str, ...] | None
"""The addresses that flows leave from, each from one at random; empty: the node's own; ``None``: dropped."""


@dataclass(frozen=True, slots=True)
class Translation:
    """What the gateway does with the flows of one family."""

    udp: Way = ()
    tcp: Way = ()
    """All but HTTPS."""
    https: Way = ()


INSIDE = Translation()
"""No translation: servers see the node's own address."""

DROPPED = Translation(udp=None, tcp=None, https=None)


def everything(*addresses: str) -> Translation:
    """Every flow leaves from one of these addresses, at random."""
    return Translation(udp=addresses, tcp=addresses, https=addresses)


ONE: Mapping[int, Translation] = MappingProxyType(
    {family: everything(addresses[0]) for family, addresses in TRANSLATED.items()}
)
"""By family: one address, the first of :data:`TRANSLATED`. What a new network does."""


@dataclass(frozen=True, slots=True)
class Packets:
    """IP packets by protocol; ICMPv6 is left out, by which neighbours find each other."""

    udp: int = 0
    tcp: int = 0
    other: int = 0


@dataclass(frozen=True, slots=True)
class Network:
    """The three of them, there. Made by `network`."""

    node: Namespace
    gateway: Namespace
    outside: Namespace
    folder: Path
    """For what servers read and write; whoever they run as may enter it. It is removed with the network."""

    def translate(self, ipv4: Translation = ONE[4], ipv6: Translation = ONE[6]) -> None:
        """From now on, translate new flows so; those that are known keep their address."""
        for program, translation in (("iptables-restore", ipv4), ("ip6tables-restore", ipv6)):
            self.gateway.run(program, stdin=_rules(translation))

    def sent(self) -> Packets:
        """The packets that the node has sent over its one interface so far."""
        counts = {"-p udp": 0, "-p tcp": 0, "": 0}
        for program in ("iptables-save", "ip6tables-save"):
            rules = self.node.run(program, "--counters", "--table", "mangle")
            for packets, protocol in _COUNTED.findall(rules):
                counts[protocol] += int(packets)
        return Packets(*counts.values())

    def program(self, *command: str | Path) -> list[str]:
        """The command line of a program of the node: in its namespace, and with its names."""
        own_names = 'mount --bind "$1/hosts" /etc/hosts && mount --bind "$1/resolv.conf" /etc/resolv.conf'
        script = f'{own_names} && shift && exec "$@"'
        return self.node.command(
            "unshare", "--mount", "--", "sh", "-ec", script, "sh", self.folder, *command
        )  # fmt: skip  # the script and its arguments


@contextmanager
def network() -> Iterator[Network]:
    """A network for the length of the block, in which every flow leaves from one address of its family.

    Raises:
        CommandError: this is not root, or the kernel lacks a part.
    """
    with namespaces("node", "gateway", "outside") as (folder, (node, gateway, outside)):
        gateway.run("sysctl", "--quiet", "--write", "net.ipv4.ip_forward=1", "net.ipv6.conf.all.forwarding=1")
        gateway.run("ip", "-batch", "-", stdin=_GATEWAY.format(node=node.name, outside=outside.name))
        node.run("ip", "-batch", "-", stdin=_NODE)
        outside.run("ip", "-batch", "-", stdin=_OUTSIDE)
        node.run("iptables-restore", stdin=_COUNTING)
        node.run("ip6tables-restore", stdin=_COUNTING.replace("*mangle\n", f"*mangle\n{_NEIGHBOURS}"))
        names = [f"{address} {NAME}" for address in OUTSIDE.values()]
        (folder / "hosts").write_text("\n".join(["127.0.0.1 localhost", "::1 localhost", *names, ""]))
        # Port 53 refuses there: an unknown name is known to be so at once, and no packet leaves for it.
        (folder / "resolv.conf").write_text("nameserver 127.0.0.1\n")
        made = Network(node, gateway, outside, folder)
        made.translate()
        yield made


# Addresses are not looked for on the link before they are used (nodad): nothing has to be waited for.
_GATEWAY = """
link add node type veth peer name eth0 netns {node}
link add outside type veth peer name eth0 netns {outside}
address add 10.224.0.1/24 dev node
address add fd00:db8:deca::1/64 dev node nodad
address add 198.51.100.1/24 dev outside
address add 2001:db8:51::1/64 dev outside nodad
link set node up
link set outside up
"""
_NODE = f"""
address add {IMDS_ADDRESS}/32 dev lo
address add {NODE[4]}/24 dev eth0
address add {NODE[6]}/64 dev eth0 nodad
link set eth0 up
route add default via 10.224.0.1
route add ::/0 via fd00:db8:deca::1
"""
# The default routes lead back to the node as well, where nothing is translated.
_OUTSIDE = f"""
address add {OUTSIDE[4]}/24 dev eth0
address add {OUTSIDE[6]}/64 dev eth0 nodad
link set eth0 up
route add default via 198.51.100.1
route add ::/0 via 2001:db8:51::1
"""

# The first rule that fits counts; the last fits all that is neither.
_COUNTING = """*mangle
-A POSTROUTING -o eth0 -p udp -j RETURN
-A POSTROUTING -o eth0 -p tcp -j RETURN
-A POSTROUTING -o eth0
COMMIT
"""
_NEIGHBOURS = "-A POSTROUTING -o eth0 -p ipv6-icmp -j RETURN\n"
_COUNTED = re.compile(
    r"^\[(\d+):\d+\] -A POSTROUTING -o eth0 ?(-p udp|-p tcp|)(?: -j RETURN)?$", re.MULTILINE
)


def _rules(translation: Translation) -> str:
    """What iptables-restore is told: all of it, in place of what was there."""
    transports = {
        "-p udp": translation.udp,
        f"-p tcp --dport {echo.PORT}": translation.https,
        f"-p tcp ! --dport {echo.PORT}": translation.tcp,
    }
    sources, dropped = [], []
    for flows, way in transports.items():
        if way is None:
            dropped.append(f"-A FORWARD -i node {flows} -j DROP")
            continue
        # One of four first, else one of the three left, and so on: all with the same probability.
        for left, address in zip(range(len(way), 0, -1), way, strict=True):
            chance = f"-m statistic --mode random --probability {1 / left:.8f} " if left > 1 else ""
            sources.append(f"-A POSTROUTING -o outside {flows} {chance}-j SNAT --to-source {address}")
    return "\n".join(["*nat", *sources, "COMMIT", "*filter", *dropped, "COMMIT", ""])
