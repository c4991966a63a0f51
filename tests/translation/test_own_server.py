"""The STUN server of examples/egress-probe: coturn with exactly that configuration, as nobody."""

import re
import struct
from collections.abc import Iterator

import pytest

from tests.support.program import CHECKOUT
from tests.translation import servers, stun
from tests.translation.clients import stun_client
from tests.translation.network import OUTSIDE, TRANSLATED, Network, Packets
from tests.translation.servers import Server

CONFIGURATION = (CHECKOUT / "examples" / "egress-probe" / "turnserver.conf").read_text()

each_family = pytest.mark.parametrize("family", [4, 6])


@pytest.fixture
def own_server(network: Network) -> Iterator[Server]:
    """The server, which finds its addresses by itself."""
    with servers.coturn(network, CONFIGURATION, addresses=tuple(OUTSIDE.values())) as server:
        yield server


@each_family
@pytest.mark.usefixtures("own_server")
def test_answers(network: Network, family: int) -> None:
    """It answers over UDP and TCP with the address that a node leaves from, and to one request once."""
    assert stun_client(network, OUTSIDE[family]) == TRANSLATED[family][0]
    assert network.sent() == Packets(udp=1)
    seen = network.node.call(lambda: stun.binding(OUTSIDE[family], transport="tcp"))
    assert seen == TRANSLATED[family][0]


@each_family
@pytest.mark.usefixtures("own_server")
def test_answer_is_short(network: Network, family: int) -> None:
    """An answer has the address and nothing more: of no use to who would flood others."""
    binding = struct.pack("!HHI12s", 0x0001, 0, 0x2112A442, b"transaction.")

    def answer() -> bytes:
        with stun.connected(OUTSIDE[family], transport="udp") as flow:
            return stun.exchange(flow, binding)

    assert (len(network.node.call(answer)), len(binding)) == ({4: 32, 6: 44}[family], 20)
    stated = re.search(r"(\d+) bytes \(IPv6: (\d+)\) to (\d+)\.$", CONFIGURATION, re.MULTILINE)
    assert stated is not None
    assert stated.groups() == ("32", "44", "20")


@pytest.mark.usefixtures("own_server")
def test_relays_nothing(network: Network) -> None:
    """A request for a relay (RFC 8656, Allocate) gets no answer: what comes is that to the next request."""
    relay_udp = struct.pack("!HHI", 0x0019, 4, 17 << 24)
    allocate = struct.pack("!HHI12s", 0x0003, len(relay_udp), 0x2112A442, b"transaction.") + relay_udp

    def asked_after_it() -> str:
        with stun.connected(OUTSIDE[4], transport="tcp") as flow:
            flow.send(allocate)
            return stun.ask(flow)

    assert network.node.call(asked_after_it) == TRANSLATED[4][0]


def test_is_quiet_and_listens_on_one_port(network: Network, own_server: Server) -> None:
    """It reports no error, and has no port but 3478: no administration, no web page."""
    assert "ERROR" not in own_server.log
    tables = network.outside.run("sh", "-c", "cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6")
    listening = re.findall(r"^ *\d+: \w+:(\w{4}) 0+:0000 ", tables, re.MULTILINE)
    assert {int(port, 16) for port in listening} == {stun.PORT}
