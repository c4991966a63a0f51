"""Paths that put facts together: private IP addresses, reachable endpoints, the history, the versions."""

from typing import Any

import pytest

from sidecar.core.annotations import DEFAULT_PREFIX, Layout, annotations, found
from sidecar.core.state import State, restore
from tests.api.support import api_running
from tests.support import states

FLOATING = states.inbound("20.20.20.20", 80, 30080, private="20.20.20.20")
PLAIN = states.inbound("[2603:1020::5]", 443, 30443, private="[fd00::10]")
DATA = states.snapshot_after(
    states.answer(
        states.body(
            public=[states.pair("20.1.2.3"), states.pair("[2603:1020::34]", "[fd00::10]")],
            inbound_rules=[FLOATING, PLAIN, states.inbound("10.240.0.100", 0, 0, protocol="All")],
            outbound=[
                states.pair("52.2.2.2"),
                states.pair("52.1.1.1"),
                states.pair("52.1.1.1", "10.240.0.5"),
            ],
        )
    )
)
FLOATING_WIRE = {
    "frontendIpAddress": "20.20.20.20",
    "protocol": "tcp",
    "frontendPort": 80,
    "backendPort": 30080,
    "privateIpAddress": "20.20.20.20",
}
PLAIN_WIRE = {
    "frontendIpAddress": "2603:1020::5",
    "protocol": "tcp",
    "frontendPort": 443,
    "backendPort": 30443,
    "privateIpAddress": "fd00::10",
}
DUAL = {
    "privateIp": "fd00::10",
    "publicIps": ["2603:1020::34"],
    "outboundIps": [],
    "inboundRules": [PLAIN_WIRE],
}


async def test_private_ips() -> None:
    """Facts come grouped per private IP; rules with floating IP stand apart and make no private IP."""
    async with api_running(DATA) as api:
        reply, as_text = await api.get("/v1/private-ips"), await api.get("/v1/private-ips?format=text")

    assert [group["privateIp"] for group in reply.json["privateIps"]] == [
        "10.240.0.4",
        "10.240.0.5",
        "fd00::10",
    ]
    assert reply.json["privateIps"][0]["outboundIps"] == ["52.1.1.1", "52.2.2.2"]
    assert reply.json["privateIps"][2] == DUAL
    assert reply.json["anyPrivateIp"] == {"inboundRules": [FLOATING_WIRE]}
    assert as_text.text == "10.240.0.4\n10.240.0.5\nfd00::10\n"


@pytest.mark.parametrize("address", ["fd00::10", "%5Bfd00::10%5D", "FD00:0::10"])
async def test_one_private_ip(address: str) -> None:
    """One private IP, however it is written, has its facts and those that hold for any."""
    async with api_running(DATA) as api:
        reply = await api.get(f"/v1/private-ips/{address}")

    assert reply.json == {**DUAL, "anyPrivateIp": {"inboundRules": [FLOATING_WIRE]}}


@pytest.mark.parametrize(
    ("address", "status", "words"),
    [
        ("10.9.9.9", 404, "It names: 10.240.0.4, 10.240.0.5, fd00::10."),
        ("20.20.20.20", 404, "no private IP address 20.20.20.20"),
        ("10.240.0", 400, "'ip' takes an IP address"),
        ("%7Bip%7D", 400, "'ip' takes an IP address"),
        ("10.240.0.4/", 404, "There is nothing at"),
        ("", 404, "There is nothing at"),
    ],
)
async def test_other_private_ips(address: str, status: int, words: str) -> None:
    """An unknown private IP is a 404 that names those there are; what is no address is a 400."""
    async with api_running(DATA) as api:
        reply = await api.get(f"/v1/private-ips/{address}")

    assert reply.status == status
    assert words in reply.json["detail"]


@pytest.mark.parametrize(
    ("query", "groups", "floating"),
    [
        ("privateIp=10.240.0.5", ["10.240.0.5"], [FLOATING_WIRE]),
        ("privateIp=10.9.9.9", [], [FLOATING_WIRE]),
        ("family=ipv6", ["fd00::10"], []),
        ("protocol=tcp&frontendPort=443", ["10.240.0.4", "10.240.0.5", "fd00::10"], []),
    ],
)
async def test_filtered_private_ips(query: str, groups: list[str], floating: list[dict[str, Any]]) -> None:
    """Filters choose facts by their frontends, and groups by their address; floating rules hold for any."""
    async with api_running(DATA) as api:
        reply = await api.get(f"/v1/private-ips?{query}")

    assert [group["privateIp"] for group in reply.json["privateIps"]] == groups
    assert reply.json["anyPrivateIp"]["inboundRules"] == floating


async def test_reachable() -> None:
    """Instance IPs come first, then frontends; JSON says what leads there, text is ready for use."""
    async with api_running(DATA) as api:
        reply = await api.get("/v1/reachable?protocol=TCP&port=30443")
        as_text = await api.get("/v1/reachable?protocol=tcp&port=80&format=text")

    assert reply.json == [
        {"ipAddress": "20.1.2.3", "port": 30443, "via": "instance-ip"},
        {"ipAddress": "2603:1020::34", "port": 30443, "via": "instance-ip"},
        {"ipAddress": "10.240.0.100", "port": 30443, "via": "inbound-rule"},
        {"ipAddress": "2603:1020::5", "port": 443, "via": "inbound-rule"},
    ]
    assert as_text.text.splitlines() == [
        "20.1.2.3:80",
        "[2603:1020::34]:80",
        "10.240.0.100:80",
        "20.20.20.20:80",
    ]


async def test_filtered_reachable() -> None:
    """The endpoints are filtered by their address."""
    async with api_running(DATA) as api:
        reply = await api.get("/v1/reachable?protocol=udp&port=9&scope=private&family=ipv4&format=text")

    assert reply.text == "10.240.0.100:9\n"


@pytest.mark.parametrize(
    "query",
    [
        "",
        "protocol=udp",
        "port=1",
        "protocol=udp&port=0",
        "protocol=udp&port=65536",
        "protocol=a/b&port=1",
        "protocol=udp&port=1&frontendPort=1",
    ],
)
async def test_wrong_reachable(query: str) -> None:
    """Protocol and port must be there, and a port that can be listened on."""
    async with api_running(DATA) as api:
        reply = await api.get(f"/v1/reachable?{query}")

    assert (reply.status, reply.headers["Content-Type"]) == (400, "application/problem+json")


async def test_history() -> None:
    """The last changes come newest first: when, from and to which revision, and what."""
    first = states.answer(states.body(outbound=[states.pair("52.1.1.1")]))
    second = states.answer(states.body(outbound=[states.pair("52.2.2.2")]))
    third = states.answer(states.body(outbound=[states.pair("52.2.2.2", "10.240.0.5")]))
    async with api_running(states.snapshot_after(first, second, third)) as api:
        reply, as_text = await api.get("/v1/history"), await api.get("/v1/history?format=text")

    revisions = [answer.document.revision for answer in (first, second, third)]
    assert reply.json == [
        {
            "changedAt": "2026-01-02T03:04:25Z",
            "from": revisions[1],
            "to": revisions[2],
            "added": [],
            "removed": [],
            "otherRules": True,
        },
        {
            "changedAt": "2026-01-02T03:04:15Z",
            "from": revisions[0],
            "to": revisions[1],
            "added": ["outbound 52.2.2.2"],
            "removed": ["outbound 52.1.1.1"],
            "otherRules": False,
        },
    ]
    assert as_text.text.splitlines() == [
        "2026-01-02T03:04:25Z ~rules",
        "2026-01-02T03:04:15Z -outbound 52.1.1.1 +outbound 52.2.2.2",
    ]


async def test_long_history() -> None:
    """The last 50 changes are remembered."""
    answers = [
        states.answer(states.body(outbound=[states.pair(f"52.0.0.{number}")])) for number in range(1, 60)
    ]
    async with api_running(states.snapshot_after(*answers)) as api:
        reply = await api.get("/v1/history")

    assert len(reply.json) == 50
    assert reply.json[0]["added"] == ["outbound 52.0.0.59"]


async def test_history_from_annotations() -> None:
    """The change that annotations of an earlier run recorded is part of the history."""
    earlier = states.snapshot_after(
        *(states.answer(states.body(outbound=[states.pair(address)])) for address in ("52.1.1.1", "52.2.2.2"))
    )
    layout = Layout(prefix=DEFAULT_PREFIX, budget=8192, annotate="full")
    restored = found(annotations(earlier.state, earlier.status, None, layout=layout), layout=layout)
    assert restored is not None
    state = restore(State(started=states.EPOCH), restored, states.EPOCH, states.POLICY)
    async with api_running(states.snapshot_of(state)) as api:
        reply = await api.get("/v1/history")

    assert reply.json == [
        {
            "changedAt": "2026-01-02T03:04:15Z",
            "from": None,
            "to": None,
            "added": ["outbound 52.2.2.2"],
            "removed": ["outbound 52.1.1.1"],
            "otherRules": False,
        }
    ]


async def test_no_history() -> None:
    """Before data there is no history; with the first data it is empty."""
    async with api_running(states.snapshot_after(states.unreachable())) as api:
        before = await api.get("/v1/history")
        api.latest.set(DATA)
        after = await api.get("/v1/history")

    assert (before.status, after.status, after.body) == (503, 200, b"[]")


@pytest.mark.parametrize("header", [{}, {"Metadata": "true"}])
async def test_versions(header: dict[str, str]) -> None:
    """The versions come oldest first, before data too, with or without the header and any version."""
    async with api_running(states.snapshot_after(states.unreachable())) as api:
        reply = await api.get("/metadata/versions", **header)
        forwarded = await api.get("/metadata/versions", X_Forwarded_For="10.0.0.1")

    versions = reply.json["apiVersions"]
    assert list(reply.json) == ["apiVersions"]
    assert versions == sorted(versions)
    assert (versions[0], "2025-04-07" in versions) == ("2020-10-01", True)
    assert not [name for name in reply.headers if name.startswith("Azure-")]
    assert (forwarded.status, list(forwarded.json)) == (400, ["error"])
