"""The gateway translates as it is told: shown by clients that are not ours, and by plain sockets."""

import collections
import socket

import pytest

from tests.translation import servers, stun
from tests.translation.clients import NO_ANSWER_S, curl, stun_client
from tests.translation.network import (
    DROPPED,
    INSIDE,
    NODE,
    ONE,
    OUTSIDE,
    TRANSLATED,
    Network,
    Packets,
    Translation,
    everything,
)
from tests.translation.servers import Server

each_family = pytest.mark.parametrize("family", [4, 6])


def over(network: Network, transport: str, family: int = 4, *, timeout_s: float = stun.TIMEOUT_S) -> str:
    """Where one new flow of plain sockets leaves from."""
    server = OUTSIDE[family]
    return network.node.call(lambda: stun.binding(server, transport=transport, timeout_s=timeout_s))


@each_family
@pytest.mark.usefixtures("stun_server")
def test_one_address(network: Network, family: int) -> None:
    """A new network translates to one address of each family, over UDP and over TCP."""
    assert stun_client(network, OUTSIDE[family]) == TRANSLATED[family][0]
    assert over(network, "tcp", family) == TRANSLATED[family][0]


@each_family
@pytest.mark.usefixtures("stun_server")
def test_four_addresses(network: Network, family: int) -> None:
    """Each flow takes one of four addresses, none of them much more often than another."""
    four = everything(*TRANSLATED[family])
    network.translate(**{f"ipv{family}": four})

    def flows() -> collections.Counter[str]:
        return collections.Counter(stun.binding(OUTSIDE[family], transport="udp") for _ in range(400))

    seen = network.node.call(flows)
    assert seen.keys() == set(TRANSLATED[family])
    # A hundred each are expected; five standard deviations.
    assert all(56 <= count <= 144 for count in seen.values()), seen


@pytest.mark.usefixtures("stun_server")
def test_coturns_client_sees_all_four(network: Network) -> None:
    """Asked again and again, coturn's client prints each of the four addresses."""
    network.translate(everything(*TRANSLATED[4]))
    seen = set[str]()
    # Four in so many tries: all but in one run of 10^9.
    for _ in range(80):
        seen.add(stun_client(network, OUTSIDE[4]))
        if len(seen) == 4:
            break
    assert seen == set(TRANSLATED[4])


@pytest.mark.usefixtures("stun_server")
def test_transports_apart(network: Network) -> None:
    """UDP, TCP and HTTPS leave from three addresses."""
    udp, tcp, https, _ = TRANSLATED[4]
    network.translate(Translation(udp=(udp,), tcp=(tcp,), https=(https,)))
    with servers.echo_server(network) as (_, authority):
        assert curl(network, "/ip", "--ipv4", "--cacert", authority).stdout == f"{https}\n"
    assert (stun_client(network, OUTSIDE[4]), over(network, "tcp")) == (udp, tcp)


@each_family
@pytest.mark.usefixtures("stun_server")
def test_udp_dropped(network: Network, family: int) -> None:
    """UDP is sent and gets no answer, while TCP and HTTPS do."""
    address = TRANSLATED[family][0]
    blocked = Translation(udp=None, tcp=(address,), https=(address,))
    network.translate(**{f"ipv{family}": blocked})
    with pytest.raises(TimeoutError):
        over(network, "udp", family, timeout_s=NO_ANSWER_S)
    assert network.sent().udp == 1
    assert over(network, "tcp", family) == address
    with servers.echo_server(network) as (_, authority):
        assert curl(network, "/ip", f"--ipv{family}", "--cacert", authority).stdout == f"{address}\n"


@pytest.mark.usefixtures("stun_server")
def test_everything_dropped(network: Network) -> None:
    """No transport of the family gets an answer; the other family does."""
    network.translate(ipv4=DROPPED)
    for transport in ("udp", "tcp"):
        with pytest.raises(TimeoutError):
            over(network, transport, timeout_s=NO_ANSWER_S)
    assert curl(network, "/ip", "--ipv4", "--connect-timeout", str(NO_ANSWER_S)).returncode == 28
    assert over(network, "udp", 6) == TRANSLATED[6][0]


@each_family
@pytest.mark.usefixtures("stun_server")
def test_no_translation(network: Network, family: int) -> None:
    """A server sees the node's own address."""
    network.translate(ipv4=INSIDE, ipv6=INSIDE)
    assert stun_client(network, OUTSIDE[family]) == NODE[family]
    assert over(network, "tcp", family) == NODE[family]


@each_family
@pytest.mark.usefixtures("stun_server")
def test_changed_while_running(network: Network, family: int) -> None:
    """New flows leave from the new address at once, while a connection that is open keeps the old one."""
    old, new = TRANSLATED[family][:2]
    with network.node.call(lambda: stun.connected(OUTSIDE[family], transport="tcp")) as connection:
        assert stun.ask(connection) == old
        network.translate(**{f"ipv{family}": everything(new)})
        assert {over(network, "udp", family), over(network, "tcp", family)} == {new}
        assert stun.ask(connection) == old
    network.translate()
    assert over(network, "udp", family) == old


def test_packets_are_counted(network: Network, stun_server: Server) -> None:
    """What the node sends itself is not counted; one packet to the outside is, by its protocol."""
    with servers.metadata_service(network, outbound=TRANSLATED[4][:1]):
        url = "http://169.254.169.254/metadata/loadbalancer?api-version=2020-10-01"
        said = network.node.run("curl", "--silent", "--header", "Metadata: true", url)
    assert TRANSLATED[4][0] in said
    assert network.sent() == Packets()
    over(network, "udp")
    over(network, "udp", 6)
    assert network.sent() == Packets(udp=2)
    stun_server.stop()
    for family in (4, 6):
        with pytest.raises(ConnectionRefusedError):
            over(network, "tcp", family)
    assert network.sent() == Packets(udp=2, tcp=2)
    network.node.call(unknown_protocol)
    assert network.sent() == Packets(udp=2, tcp=2, other=1)


def unknown_protocol() -> None:
    """Send one packet of a protocol that is for experiments (RFC 3692)."""
    with socket.socket(socket.AF_INET, socket.SOCK_RAW, 253) as flow:
        flow.sendto(b"packet", (OUTSIDE[4], 0))


def test_dropped_packets_are_counted(network: Network) -> None:
    """What the gateway drops was sent all the same."""
    network.translate(ipv4=DROPPED, ipv6=ONE[6])
    with pytest.raises(TimeoutError):
        over(network, "udp", timeout_s=NO_ANSWER_S)
    assert network.sent() == Packets(udp=1)
