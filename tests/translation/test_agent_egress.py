"""What an agent says of its node's way out, against real address translation and a real API server.

The agent is the program itself, in the node's namespace: it asks 169.254.169.254 of the node, and servers
outside by their name.
"""

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from tests.support.cluster import Cluster, Identity
from tests.support.fleet import Fleet
from tests.support.waiting import until
from tests.translation import servers
from tests.translation.agents import ALL, Observer, observing, translate
from tests.translation.clients import stun_client
from tests.translation.network import (
    DROPPED,
    INSIDE,
    ONE,
    OUTSIDE,
    TRANSLATED,
    Network,
    Packets,
    Translation,
    everything,
)
from tests.translation.servers import Server

V4, V6 = TRANSLATED[4][0], TRANSLATED[6][0]
EVERY = ["https", "tcp", "udp"]


@pytest.fixture
def echo(network: Network) -> Iterator[tuple[Server, str]]:
    """An HTTPS server outside, and the file with its authority's certificate."""
    with servers.echo_server(network) as (server, authority):
        yield server, str(authority)


@pytest.fixture
def configured(network: Network) -> Iterator[None]:
    """The node's outbound rules have the one address of each family that its flows leave from."""
    with servers.metadata_service(network, outbound=(V4, V6)):
        yield


@pytest.fixture
async def scheduled(fleet: Fleet, identity: Identity) -> None:
    """For ``nodes``, the agent is a pod of a DaemonSet: so the kubelet says, which is not here."""
    await fleet.agent(identity.node)


@pytest.mark.usefixtures("stun_server", "configured", "scheduled")
async def test_one_address_and_then_another(
    network: Network, cluster: Cluster, identity: Identity, echo: tuple[Server, str]
) -> None:
    """What leaves as configured agrees, as coturn's client sees it too; another address is unlisted.

    It is said to be so, and takes nothing from what was seen before nor from what is published.
    """
    _, authority = echo
    async with observing(network, cluster, identity, egress_probe=ALL, egress_probe_ca=authority) as node:
        await node.until_state("agrees", V4, V6)
        await node.until_transports({V4: EVERY, V6: EVERY})
        for family in (4, 6):
            printed = await asyncio.to_thread(stun_client, network, OUTSIDE[family])
            assert printed == (await node.results())["udp"][f"ipv{family}"]
        published = {
            "egress-ips": f"{V4},{V6}",
            "egress-networks": None,
            "egress-basis": "outbound-rule",
        }
        await node.until_annotated(**published)
        listed = await node.listed()
        assert (listed.code, listed.out) == (0, f"{V4}/32\n{V6}/128\n"), listed.err
        assert "assumed" not in listed.err

        other = TRANSLATED[4][1]
        await translate(network, ipv4=everything(other))
        answer = await node.until_state("unlisted", V4, other, V6)
        assert [one["ipAddress"] for one in answer["observed"] if not one["listed"]] == [other]
        assert answer["ips"] == [V4, V6]
        await node.until_transports({V4: EVERY, other: EVERY, V6: EVERY})
        await node.until_annotated(**published)
        listed = await node.listed()
        assert (listed.code, listed.out) == (5, f"{V4}/32\n{V6}/128\n"), listed.err
        assert other in listed.err


@pytest.mark.usefixtures("configured")
async def test_outages(
    network: Network, cluster: Cluster, identity: Identity, stun_server: Server, echo: tuple[Server, str]
) -> None:
    """Without UDP the others still answer; with nothing left, what was seen stays; all comes back."""
    server, authority = echo
    addresses = {"ipv4": V4, "ipv6": V6}
    async with observing(network, cluster, identity, egress_probe=ALL, egress_probe_ca=authority) as node:
        await node.until_state("agrees", V4, V6)

        await translate(network, ipv4=replace(ONE[4], udp=None), ipv6=replace(ONE[6], udp=None))
        await node.until_results(udp=all_families("no-answer"), tcp=addresses, https=addresses)
        await node.until_state("agrees", V4, V6)

        await translate(network, ipv4=DROPPED, ipv6=DROPPED)
        rounds = await node.rounds_until("unanswered")
        silent = [one["state"] for one in rounds if nothing_came(one)]
        assert silent == ["agrees", "unanswered"]
        await node.until_state("unanswered", V4, V6)
        await until_all(node, "no-answer")
        await node.until_annotated(**{"egress-ips": f"{V4},{V6}", "egress-basis": "outbound-rule"})

        await translate(network)
        await node.until_state("agrees", V4, V6)

        for gone in (server, stun_server):
            await asyncio.to_thread(gone.stop)
        await until_all(node, "refused")
        await node.until_state("unanswered", V4, V6)

        for back in (server, stun_server):
            await asyncio.to_thread(back.start)
        await node.until_state("agrees", V4, V6)
        await node.until_results(udp=addresses, tcp=addresses, https=addresses)


async def until_all(node: Observer, failure: str) -> None:
    """Wait until every probe ended so over both families."""
    ended = all_families(failure)
    await node.until_results(udp=ended, tcp=ended, https=ended)


def all_families(word: str) -> dict[str, str]:
    """The same for both families."""
    return {"ipv4": word, "ipv6": word}


def nothing_came(answer: dict[str, list[dict[str, list[dict[str, object]]]]]) -> bool:
    """Whether the last round brought no address, of ``/v1/egress``."""
    return not any(result["ipAddress"] for probe in answer["probes"] for result in probe["results"])


@pytest.mark.usefixtures("stun_server", "scheduled")
async def test_four_addresses(network: Network, cluster: Cluster, identity: Identity) -> None:
    """Of four at random, declared three are found out within two rounds, and all four agree."""
    four = TRANSLATED[4]
    network.translate(ipv4=everything(*four))
    # By its address: over IPv4 alone. Two rounds of so many flows miss the fourth once in 10^8.
    probes = {"egress_probe": f"stun:{OUTSIDE[4]},stun+tcp:{OUTSIDE[4]}", "egress_probe_flows": "16"}
    three = ["203.0.113.11/32", "203.0.113.12/31"]
    networks = [*three, "203.0.113.14/32"]
    with servers.metadata_service(network, outbound=(V4,)):
        async with observing(network, cluster, identity, egress_declared=",".join(three), **probes) as node:
            assert len(await node.rounds_until("unlisted")) <= 2
            answer = await node.until_state("unlisted", *four)
            assert [one["ipAddress"] for one in answer["observed"] if not one["listed"]] == [four[3]]
            await node.until_annotated(
                **{
                    "egress-ips": ",".join(four[:3]),
                    "egress-networks": ",".join(three),
                    "egress-basis": "declared",
                }
            )
            listed = await node.listed()
            assert listed.code == 5, listed.err
            assert four[3] in listed.err
        declared = ",".join(networks)
        async with observing(network, cluster, identity, egress_declared=declared, **probes) as node:
            # What the agent before has seen is known; all is seen anew.
            await node.until_transports({address: ["tcp", "udp"] for address in four})
            await node.until_state("agrees", *four)
            await node.until_annotated(
                **{"egress-ips": ",".join(four), "egress-networks": declared, "egress-basis": "declared"}
            )
            listed = await node.listed()
            assert listed.code == 0, listed.err
            assert "assumed" not in listed.err


@pytest.mark.usefixtures("stun_server")
async def test_inside_and_then_by_transport(
    network: Network, cluster: Cluster, identity: Identity, echo: tuple[Server, str]
) -> None:
    """A probe before the translation observes nothing; behind it, each transport's own address is seen."""
    _, authority = echo
    network.translate(ipv4=INSIDE, ipv6=INSIDE)
    outbound = (*TRANSLATED[4][:3], *TRANSLATED[6][:3])
    with servers.metadata_service(network, outbound=outbound):
        async with observing(network, cluster, identity, egress_probe=ALL, egress_probe_ca=authority) as node:
            await node.until_state("inside")
            await node.until_annotated(**{"egress-ips": ",".join(outbound), "egress-basis": "outbound-rule"})

            ways = {
                f"ipv{family}": Translation(udp=(each[0],), tcp=(each[1],), https=(each[2],))
                for family, each in TRANSLATED.items()
            }
            await translate(network, **ways)
            await node.until_state("agrees", *outbound)
            await node.until_transports(dict(zip(outbound, [["udp"], ["tcp"], ["https"]] * 2, strict=True)))


@pytest.mark.usefixtures("stun_server", "configured")
async def test_no_probe_is_no_packet(network: Network, cluster: Cluster, identity: Identity) -> None:
    """Without a probe nothing leaves the node, and no name is looked up, however much the agent has to do."""
    asked = udp_sent(network)
    async with observing(network, cluster, identity, resync_interval="1s") as node:
        await node.agent.more_attempts(15)
        await until(lambda: node.agent.requests(method="GET"), lambda count: count >= 5)
        await node.until_annotated(**{"egress-ips": f"{V4},{V6}", "egress-state": None})
        assert (await node.egress())["state"] == "off"
    assert network.sent() == Packets()
    assert udp_sent(network) == asked


def udp_sent(network: Network) -> list[str]:
    """How many datagrams the node has sent, to itself too, over IPv4 and IPv6: as lookups of names are."""
    counters = network.node.run("cat", "/proc/net/snmp", "/proc/net/snmp6").splitlines()
    names, values = (line.split() for line in counters if line.startswith("Udp:"))
    ipv6 = next(line.split()[1] for line in counters if line.startswith("Udp6OutDatagrams"))
    return [values[names.index("OutDatagrams")], ipv6]
