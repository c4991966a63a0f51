"""`nodes --egress` against a real API server: the list, what is not known beside it, and its changes."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from sidecar.core.egress import EgressState
from tests.fleet.nodes.support import SHARED, Run
from tests.support.apiserver import ApiServer
from tests.support.cluster import Identity
from tests.support.fleet import Fleet, ago, document, published, told
from tests.support.program import clean_environment
from tests.support.waiting import DEADLINE_S

pytestmark = pytest.mark.apiserver


async def test_egress(fleet: Fleet, nodes: Run) -> None:
    """The list holds each address once; nodes that are not known are named by cause beside it."""
    await fleet.add("one", published(SHARED))
    await fleet.add("two", published(SHARED))
    await fleet.add("own", published(document(public=["20.1.2.3", "2603::1"], outbound=["52.9.9.9"])))
    down = await fleet.add(
        "down", published(document(outbound=["52.7.7.7"]), observed=ago(minutes=9)), agent=False
    )
    await fleet.agent(down, ready=False, since=ago(minutes=12, seconds=1))
    gateway = await fleet.add("gateway", published(document(inbound=[("20.20.20.20", 443)])))
    gpu = await fleet.add("gpu", agent=False)
    ended = await nodes("--egress")
    assert ended.code == 5
    assert ended.out == "20.1.2.3/32\n52.1.1.1/32\n52.7.7.7/32\n2603::1/128\n"
    assert "assumed: no NAT gateway and no route table" in ended.err
    assert f"not known: unknown (agent down): {down} (12m, listed as of " in ended.err
    assert f"a NAT gateway, a route table or default access: {gateway}" in ended.err
    assert f"not known: no agent (its pod is not made yet): {gpu}" in ended.err


async def test_egress_is_never_partial_in_silence(fleet: Fleet, nodes: Run) -> None:
    """A node whose list the budget left out is not known, unless another list tells the same."""
    many = [f"52.1.{number // 250}.{number % 250}" for number in range(1000)]
    await fleet.add("derived", published(document(outbound=many[:600])))
    left_out = await fleet.add("left-out", published(document(outbound=many)))
    ended = await nodes("--egress")
    assert ended.code == 5
    assert ended.out.count("\n") == 600
    assert f"left out for the annotation budget: raise annotations.budget: {left_out}\n" in ended.err
    assert "?" in (await nodes()).line(left_out).split()


async def test_egress_as_expected(fleet: Fleet, nodes: Run, tmp_path: Path) -> None:
    """The list can be held against networks and against a file; what differs ends with 5."""
    await fleet.add("one", published(SHARED))
    await fleet.add("two", published(document(public=["20.1.2.3"])))
    assert (await nodes("--egress", "--within=52.1.1.0/24", "--within=20.0.0.0/8")).code == 0
    ended = await nodes("--egress", "--within=52.1.1.0/24")
    assert (ended.code, ended.out) == (5, "20.1.2.3/32\n52.1.1.1/32\n")
    assert "outside 52.1.1.0/24: 20.1.2.3/32" in ended.err
    file = tmp_path / "allowed"
    file.write_text("# of the partner\n52.1.1.0/24\n20.1.2.3\n")
    ended = await nodes("--egress", f"--diff={file}")
    assert (ended.code, ended.out) == (0, "")
    file.write_text("52.1.1.1/32\n20.9.9.9/32  # gone\n")
    ended = await nodes("--egress", f"--diff={file}")
    assert (ended.code, ended.out) == (5, "+20.1.2.3/32\n-20.9.9.9/32\n")
    file.write_text(file.read_text(), encoding="utf-8-sig")
    assert await nodes("--egress", f"--diff={file}") == ended
    as_json = json.loads((await nodes("--egress", "-o", "json", f"--diff={file}")).out)
    assert (as_json["missing"], as_json["needless"], as_json["complete"]) == (
        ["20.1.2.3/32"],
        ["20.9.9.9/32"],
        True,
    )


async def test_nothing_is_assumed(fleet: Fleet, nodes: Run) -> None:
    """Where every node declares or agrees nothing is assumed; of others it is said how many and which."""
    await fleet.add("declares", published(document(), egress=told(declared=["203.0.113.0/24"])))
    await fleet.add("agrees", published(SHARED, egress=told(EgressState.AGREES, "52.1.1.1")))
    ended = await nodes("--egress")
    assert (ended.code, ended.out, ended.err) == (0, "52.1.1.1/32\n203.0.113.0/24\n", "")
    assert json.loads((await nodes("--egress", "-o", "json")).out)["assumed"] is None
    plain = await fleet.add("plain", published(SHARED))
    ended = await nodes("--egress")
    assert ended.code == 0
    assert ended.err.startswith("assumed: no NAT gateway and no route table")
    assert ended.err.endswith(f"(1 of 3 listed nodes: {plain})\n")
    value = json.loads((await nodes("--egress", "-o", "json")).out)
    assert value["assumed"].startswith("assumed: no NAT gateway")
    assert value["assumedOf"] == [{"cluster": None, "node": plain}]


async def test_unlisted(fleet: Fleet, nodes: Run, tmp_path: Path) -> None:
    """Nodes that are seen from another address are named with it; on request it is listed, and marked."""
    seen = [
        await fleet.add(name, published(SHARED, egress=told(EgressState.UNLISTED, "52.1.1.1", "203.0.113.9")))
        for name in ("one", "two")
    ]
    ended = await nodes("--egress")
    assert (ended.code, ended.out) == (5, "52.1.1.1/32\n")
    cause = "unlisted: seen from 203.0.113.9, which is neither declared nor configured"
    assert ended.err == f"{cause}: {', '.join(seen)}\n"
    value = json.loads((await nodes("--egress", "-o", "json")).out)
    assert (value["complete"], value["cidrs"], value["observed"]) == (
        *(False, ["52.1.1.1/32"], ["203.0.113.9/32"]),
    )
    assert value["unlisted"] == [
        {"cluster": None, "node": name, "addresses": ["203.0.113.9"]} for name in seen
    ]
    table = await nodes()
    assert table.code == 0
    assert table.line(seen[0]).endswith("unlisted (203.0.113.9)")
    assert "2 unlisted" in table.err

    observed = await nodes("--egress", "--observed")
    assert (observed.code, observed.out) == (5, "52.1.1.1/32\n203.0.113.9/32  # observed\n")
    file = tmp_path / "allowed"
    file.write_text(observed.out)
    assert (await nodes("--egress", "--observed", f"--diff={file}")).out == ""
    # What is in use is not to be removed, listed or not.
    assert (await nodes("--egress", f"--diff={file}")).out == ""
    file.write_text("52.1.1.0/24\n")
    assert (await nodes("--egress", "--observed", f"--diff={file}")).out == "+203.0.113.9/32  # observed\n"
    beyond = await nodes("--egress", "--observed", "--within=52.1.1.0/24")
    assert "outside 52.1.1.0/24: 203.0.113.9/32" in beyond.err
    assert "outside" not in (await nodes("--egress", "--within=52.1.1.0/24")).err


async def test_networks_as_expected(fleet: Fleet, nodes: Run, tmp_path: Path) -> None:
    """Networks are held against networks: one that is covered is well, also by its halves."""
    await fleet.add("one", published(document(), egress=told(declared=["203.0.113.4/30"])))
    file = tmp_path / "allowed"
    for allowed in ("203.0.113.0/24", "203.0.113.4/30", "203.0.113.4/31\n203.0.113.6/31"):
        file.write_text(f"{allowed}\n")
        ended = await nodes("--egress", f"--diff={file}")
        assert (ended.code, ended.out) == (0, ""), allowed
    file.write_text("203.0.113.4\n20.9.9.0/24\n")
    ended = await nodes("--egress", f"--diff={file}")
    assert (ended.code, ended.out) == (5, "+203.0.113.4/30\n-20.9.9.0/24\n")
    assert (await nodes("--egress", "--within=203.0.113.4/31")).code == 5


async def test_wrong_list(nodes: Run, tmp_path: Path) -> None:
    """A file that cannot be read or holds something else is wrong usage."""
    assert (await nodes("--egress", f"--diff={tmp_path / 'none'}")).code == 2
    file = tmp_path / "list"
    file.write_text("10.0.0.1/24\n")
    ended = await nodes("--egress", f"--diff={file}")
    assert ended.code == 2
    assert "line 1" in ended.err


async def test_egress_watched(api_server: ApiServer, fleet: Fleet, identity: Identity) -> None:
    """What comes and goes is printed as it does; an outage of the API server takes nothing away."""
    name = await fleet.add("one", published(SHARED))
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "sidecar", "nodes", f"--kubeconfig={identity.kubeconfig}"),
        *("--egress", "--watch", "--observed", "--interval=100ms", f"--selector={fleet.selector}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=clean_environment(),
    )
    assert process.stdout is not None
    assert process.stderr is not None
    try:
        async with asyncio.timeout(DEADLINE_S):
            assert await process.stdout.readline() == b"+52.1.1.1/32\n"
            async with api_server.stopped():
                while b"could not be read, its addresses stay" not in await process.stderr.readline():
                    pass
            await fleet.cluster.annotate(name, dict(published(document(outbound=["52.2.2.2"]))))
            assert await process.stdout.readline() == b"-52.1.1.1/32\n"
            assert await process.stdout.readline() == b"+52.2.2.2/32\n"
            egress = told(EgressState.UNLISTED, "203.0.113.5", "203.0.113.9", declared=["203.0.113.4/31"])
            await fleet.cluster.annotate(
                name, dict(published(document(outbound=["52.2.2.2"]), egress=egress))
            )
            assert await process.stdout.readline() == b"-52.2.2.2/32\n"
            assert await process.stdout.readline() == b"+203.0.113.4/31\n"
            assert await process.stdout.readline() == b"+203.0.113.9/32  # observed\n"
            while b"unlisted: seen from 203.0.113.9" not in await process.stderr.readline():
                pass
    finally:
        process.terminate()
        await process.communicate()
