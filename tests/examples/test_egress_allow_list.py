"""The check of an egress allow-list: what it proposes, keeps and says, without a cluster."""

import random
import shlex
from ipaddress import IPv4Address, IPv6Address, ip_network
from pathlib import Path

import pytest

from tests.examples.containers import stand_in
from tests.examples.support import EXAMPLES, said_by

CHECK = EXAMPLES / "egress-allow-list" / "check.sh"
LIST = "# partner\n20.1.2.0/28 # office\n\n 20.9.9.9\r\n2001:db8:1::/64\n"

Said = tuple[int | None, list[str], list[str]]


class Desk:
    """A directory with a list of networks, and a kubectl that prints what it is told."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.networks = directory / "networks.txt"
        self.networks.write_text(LIST)
        self.programs = directory / "programs"
        self.programs.mkdir()

    async def check(self, *nodes: str, arguments: tuple[str, ...] | None = None) -> Said:
        """Check the list against rows of nodes: exit code, the proposal, and the lines for people."""
        rows = "\n".join(nodes)
        return await self.check_with(f"printf '%s\\n' {shlex.quote(rows)}", arguments=arguments)

    async def check_with(self, kubectl: str, *, arguments: tuple[str, ...] | None = None) -> Said:
        """The same with a script that stands for kubectl."""
        stand_in(self.programs, "kubectl", kubectl)
        given = (str(self.networks),) if arguments is None else arguments
        extra = {"PATH": f"{self.programs}:/usr/bin:/bin"}
        code, output, errors = await said_by("sh", str(CHECK), *given, directory=self.directory, extra=extra)
        return code, output.splitlines(), errors.splitlines()


@pytest.fixture
def desk(tmp_path: Path) -> Desk:
    """A desk with the usual list."""
    return Desk(tmp_path)


def node(name: str, egress: str, *, status: str = "ok", omitted: str = "<none>") -> str:
    """A row as kubectl prints it."""
    return f"{name}   {status}   {egress}   {omitted}"


async def test_all_covered(desk: Desk) -> None:
    """Addresses within listed networks, of both families, need nothing: exit code 0 and no proposal."""
    code, proposal, notes = await desk.check(
        node("aks-1", "20.1.2.3,2001:db8:1::5"), node("aks-2", "20.1.2.15,20.9.9.9")
    )
    assert (code, proposal) == (0, [])
    assert notes == ["2 nodes told, 0 unknown, 0 addresses to add"]


async def test_proposal(desk: Desk) -> None:
    """What is not listed is proposed once, with the nodes that leave from it, in the form of the list."""
    code, proposal, notes = await desk.check(
        node("aks-1", "20.1.2.16"), node("aks-2", "20.1.2.3,20.1.2.16,2001:db8:2::1")
    )
    assert (code, proposal) == (5, ["20.1.2.16/32 # aks-1 aks-2", "2001:db8:2::1/128 # aks-2"])
    assert notes[-1] == "2 nodes told, 0 unknown, 2 addresses to add"


async def test_proposal_closes(desk: Desk) -> None:
    """With the proposal added to the list there is nothing to add."""
    nodes = (node("aks-1", "20.1.2.16"), node("aks-2", "2001:db8:2::1"))
    _, proposal, _ = await desk.check(*nodes)
    with desk.networks.open("a") as networks:
        networks.write("\n".join(proposal) + "\n")
    code, proposal, _ = await desk.check(*nodes)
    assert (code, proposal) == (0, [])


async def test_never_removes(desk: Desk) -> None:
    """A network that no node leaves from is named and kept, and neither file nor exit code changes."""
    code, proposal, notes = await desk.check(node("aks-1", "20.1.2.3"))
    assert (code, proposal) == (0, [])
    assert "20.9.9.9: no node leaves from there now; kept" in notes
    assert desk.networks.read_bytes() == LIST.encode()


async def test_nodes_that_say_nothing(desk: Desk) -> None:
    """A node whose addresses are not known makes the check incomplete: 5, also if all others are covered."""
    code, proposal, notes = await desk.check(
        node("aks-1", "20.1.2.3"),
        node("aks-2", "<none>", status="<none>"),
        node("aks-3", "<none>", omitted="loadbalancer=900,egress-ips=40"),
    )
    assert (code, proposal) == (5, [])
    assert notes[:2] == [
        "aks-2: what it leaves from is not known (status <none>, omitted <none>)",
        "aks-3: what it leaves from is not known (status ok, omitted loadbalancer=900,egress-ips=40)",
    ]


async def test_stale_counts_and_is_said(desk: Desk) -> None:
    """What a node is last known to have left from counts, and the note says that it is old."""
    code, proposal, notes = await desk.check(node("aks-1", "20.3.3.3", status="stale"))
    assert (code, proposal) == (5, ["20.3.3.3/32 # aks-1"])
    assert notes[0] == "aks-1: as it was last known (status stale)"


@pytest.mark.parametrize("rows", [(), (node("aks-1", "<none>", status="no-metadata"),)])
async def test_nobody_knows(desk: Desk, rows: tuple[str, ...]) -> None:
    """Where no node tells, as behind a NAT gateway, the code is that of "there is none"."""
    code, proposal, _ = await desk.check(*rows)
    assert (code, proposal) == (3, [])


@pytest.mark.parametrize(
    "address", ["20.1.2", "20.1.2.256", "020.1.2.3", "20.1.2.3x", "2001:db8", "1::2::3", "::1:g", "$(reboot)"]
)
async def test_hostile_annotations(desk: Desk, address: str) -> None:
    """What is no address is never proposed."""
    code, proposal, notes = await desk.check(node("aks-1", f"20.1.2.3,{address}"))
    assert (code, proposal) == (5, [])
    assert notes[0] == f'aks-1: "{address}" is not an address'


@pytest.mark.parametrize(
    "line", ["20.1.2.0/33", "20.1.2", "example.com", "2001:db8::/129", "20.1.2.0/24/1", "/8"]
)
async def test_wrong_list(desk: Desk, line: str) -> None:
    """A line that is neither an address nor a network ends the check, which names it: 2."""
    desk.networks.write_text(f"{LIST}{line}\n")
    code, proposal, notes = await desk.check(node("aks-1", "20.3.3.3"))
    assert (code, proposal) == (2, [])
    assert notes == [f'{desk.networks}: "{line}" is neither an address nor a network']


@pytest.mark.parametrize("arguments", [(), ("/nowhere",)])
async def test_usage(desk: Desk, arguments: tuple[str, ...]) -> None:
    """Without a list that can be read it says how to use it: 2."""
    code, proposal, notes = await desk.check(arguments=arguments)
    assert (code, proposal) == (2, [])
    assert notes[0].startswith("usage: ")


async def test_kubectl_fails(desk: Desk) -> None:
    """Where Nodes cannot be read the check has failed, whatever the list: 1, with kubectl's words."""
    code, proposal, notes = await desk.check_with("echo forbidden >&2; exit 1")
    assert (code, proposal, notes) == (1, [], ["forbidden"])


async def test_agrees_with_a_library(desk: Desk) -> None:
    """Membership of random addresses in random networks is as Python's library has it."""
    rng = random.Random(5)
    wide = [ip_network((rng.getrandbits(32), rng.randint(1, 12)), strict=False) for _ in range(6)]
    wide += [ip_network((rng.getrandbits(128), rng.randint(1, 12)), strict=False) for _ in range(6)]
    addresses = [str(IPv4Address(rng.getrandbits(32))) for _ in range(150)]
    addresses += [str(IPv6Address(rng.getrandbits(128))) for _ in range(150)]
    addresses += ["0.0.0.0", "255.255.255.255", "::", "::1", "1::", "1:2:3:4:5:6:7:8", "ff00::1:0:0"]
    desk.networks.write_text("".join(f"{network}\n" for network in wide))
    _, proposal, _ = await desk.check(node("aks-1", ",".join(addresses)))

    outside = [
        address
        for address in addresses
        if not any(ip_network(address).network_address in network for network in wide)
    ]
    assert len(outside) in range(20, len(addresses) - 20)
    assert [line.split("/")[0] for line in proposal] == list(dict.fromkeys(outside))
