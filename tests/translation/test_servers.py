"""The servers outside answer, can be taken away and brought back, and are found by name from the node."""

from pathlib import Path

import pytest

from tests.e2e.harness.system import CommandError, run
from tests.translation import servers, stun
from tests.translation.clients import NO_ANSWER_S, curl, stun_client
from tests.translation.network import NAME, OUTSIDE, TRANSLATED, Network, Packets
from tests.translation.servers import Server

each_family = pytest.mark.parametrize("family", [4, 6])


@each_family
def test_https(network: Network, family: int) -> None:
    """Who trusts the authority is told its address as text and as JSON, over both families."""
    with servers.echo_server(network) as (_, authority):
        trusting = (f"--ipv{family}", "--cacert", authority)
        address = TRANSLATED[family][0]
        assert curl(network, "/ip", *trusting).stdout == f"{address}\n"
        assert curl(network, "/json", *trusting).stdout == f'{{"ip": "{address}"}}'
        by_address = f"https://{OUTSIDE[4]}/ip"
        said = network.node.run("curl", "--silent", "--cacert", authority, by_address)
        assert said == f"{TRANSLATED[4][0]}\n"


def test_https_is_refused_without_its_authority(network: Network) -> None:
    """Who does not know the authority gets no answer: curl's exit code 60."""
    with servers.echo_server(network):
        refused = curl(network, "/ip")
    assert (refused.returncode, refused.stdout) == (60, ""), refused.stderr


def test_https_server_goes_and_comes_back(network: Network) -> None:
    """While it is stopped its port refuses, curl's exit code 7; then it answers as before."""
    with servers.echo_server(network) as (server, authority):
        server.stop()
        assert curl(network, "/ip", "--cacert", authority).returncode == 7
        server.start()
        assert curl(network, "/ip", "--ipv4", "--cacert", authority).stdout == f"{TRANSLATED[4][0]}\n"


@each_family
@pytest.mark.parametrize("transport", ["udp", "tcp"])
def test_stun_server_goes_and_comes_back(
    network: Network, stun_server: Server, transport: str, family: int
) -> None:
    """While it is stopped its port refuses; then it answers as before."""
    stun_server.stop()
    with pytest.raises(ConnectionRefusedError):
        network.node.call(lambda: stun.binding(OUTSIDE[family], transport=transport))
    stun_server.start()
    assert stun_client(network, OUTSIDE[family]) == TRANSLATED[family][0]


def test_stun_server_falls_silent(network: Network, stun_server: Server) -> None:
    """While it is paused nothing comes; then it answers again."""
    stun_server.pause()
    with pytest.raises(TimeoutError):
        network.node.call(lambda: stun.binding(OUTSIDE[4], transport="udp", timeout_s=NO_ANSWER_S))
    stun_server.resume()
    assert stun_client(network, OUTSIDE[4]) == TRANSLATED[4][0]


def test_names(network: Network) -> None:
    """Programs of the node know the servers' name, of both families, and no other, without a packet."""
    machines = Path("/etc/hosts").read_text()
    found = run(*network.program("getent", "ahosts", NAME))
    assert {line.split()[0] for line in found.splitlines()} == set(OUTSIDE.values())
    with pytest.raises(CommandError, match="exit code 2"):
        run(*network.program("getent", "ahosts", "unknown.example.org"))
    assert network.sent() == Packets()
    assert Path("/etc/hosts").read_text() == machines
