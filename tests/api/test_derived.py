"""Paths that put facts together: private IP addresses, reachable endpoints, the history, the versions."""

from dataclasses import replace
from typing import Any

import pytest

from sidecar.core.addresses import parse_address
from sidecar.core.annotations import DEFAULT_PREFIX, Layout, annotations, found
from sidecar.core.egress import EgressState, Observation, SharedEgress, declared_networks
from sidecar.core.probes import Flow, FlowFailure, Probe, parse_probe
from sidecar.core.state import Snapshot, State, restore
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


# Egress

STUN, ECHO = parse_probe("stun:stun.example.org"), parse_probe("https://ip.example.org/")
OWN = parse_address("10.240.0.4")


def flow(probe: Probe, address: str) -> Flow:
    """A connection that a probe saw come from an address."""
    return Flow(probe=probe, family=4, address=parse_address(address), own=OWN)


OBSERVATION = Observation((STUN, ECHO)).after_round(
    [
        flow(STUN, "52.3.3.3"),
        flow(STUN, "20.1.2.3"),
        flow(ECHO, "52.3.3.3"),
        Flow(probe=ECHO, family=6, failure=FlowFailure.NO_ROUTE, detail="Network is unreachable"),
    ],
    now=states.EPOCH,
    keep=86_400.0,
)


def with_egress(snapshot: Snapshot, *networks: str, **known: Any) -> Snapshot:
    """The snapshot of an agent whose operator declared these networks, and that knows this beside it."""
    return replace(snapshot, state=replace(snapshot.state, declared=declared_networks(networks), **known))


async def test_egress_configured() -> None:
    """Without a declaration and a probe there is what is configured for each private IP and family."""
    async with api_running(DATA) as api:
        reply, text = await api.get("/v1/egress"), await api.get("/v1/egress?format=text")

    assert reply.json == {
        "ips": ["20.1.2.3", "52.1.1.1", "2603:1020::34"],
        "networks": [],
        "basis": "mixed",
        "state": "off",
        "configured": [
            {
                "family": family,
                "privateIp": private_ip,
                "basis": basis,
                "ipAddresses": [address],
            }
            for family, private_ip, basis, address in (
                ("ipv4", "10.240.0.4", "instance-ip", "20.1.2.3"),
                ("ipv4", "10.240.0.5", "outbound-rule", "52.1.1.1"),
                ("ipv6", "fd00::10", "instance-ip", "2603:1020::34"),
            )
        ],
        "declared": [],
        "observed": [],
        "probedAt": None,
        "probes": [],
    }
    assert text.text == (
        "configured ipv4 20.1.2.3 instance-ip 10.240.0.4\n"
        "configured ipv4 52.1.1.1 outbound-rule 10.240.0.5\n"
        "configured ipv6 2603:1020::34 instance-ip fd00::10\n"
    )


async def test_egress_observed() -> None:
    """Each observed address has its probes, times and connections, and whether it is listed."""
    snapshot = with_egress(DATA, "20.1.2.0/24", observation=OBSERVATION)
    async with api_running(snapshot) as api:
        reply, text = await api.get("/v1/egress"), await api.get("/v1/egress?format=text")
        whole = await api.get("/v1/loadbalancer")

    value = reply.json
    seen_at = {"firstSeenAt": "2026-01-02T03:04:05Z", "lastSeenAt": "2026-01-02T03:04:05Z"}
    assert value["observed"] == [
        {
            "ipAddress": "20.1.2.3",
            "family": "ipv4",
            "listed": True,
            "probes": ["stun:stun.example.org:3478"],
            "transports": ["udp"],
            **seen_at,
            "flows": 1,
        },
        {
            "ipAddress": "52.3.3.3",
            "family": "ipv4",
            "listed": False,
            "probes": ["https://ip.example.org/", "stun:stun.example.org:3478"],
            "transports": ["https", "udp"],
            **seen_at,
            "flows": 2,
        },
    ]
    assert (value["ips"], value["networks"]) == (["2603:1020::34"], ["20.1.2.0/24"])
    assert (value["basis"], value["state"], len(value["configured"])) == ("mixed", "unlisted", 3)
    assert [[result["ipAddress"] for result in probe["results"]] for probe in value["probes"]] == [
        ["20.1.2.3"],
        ["52.3.3.3", None],
    ]
    assert value["probes"][1]["results"][1] == {
        "family": "ipv6",
        "ipAddress": None,
        "inside": False,
        "failure": "no-route",
        "detail": "Network is unreachable",
    }
    assert text.text.splitlines()[3:] == [
        "declared ipv4 20.1.2.0/24",
        "observed ipv4 20.1.2.3 listed stun:stun.example.org:3478",
        "observed ipv4 52.3.3.3 unlisted https://ip.example.org/,stun:stun.example.org:3478",
        "failed ipv6 https://ip.example.org/ no-route Network is unreachable",
        "state unlisted",
    ]
    assert whole.json["egress"] == {
        "networks": ["20.1.2.0/24"],
        "observed": ["20.1.2.3", "52.3.3.3"],
        "state": "unlisted",
    }


async def test_egress_told() -> None:
    """What a node agent tells has neither probes nor times."""
    told = SharedEgress((), (parse_address("52.3.3.3"),), EgressState.UNLISTED)
    async with api_running(with_egress(DATA, told_egress=told)) as api:
        (seen,) = (await api.get("/v1/egress")).json["observed"]

    assert (seen["ipAddress"], seen["listed"]) == ("52.3.3.3", False)
    assert (seen["probes"], seen["transports"], seen["firstSeenAt"], seen["flows"]) == ([], [], None, 0)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ["20.5.5.0", "20.5.5.1", "2603:1020::34"]),
        ("privateIp=10.240.0.4", ["20.5.5.0", "20.5.5.1"]),
        ("privateIp=10.9.9.9", ["20.5.5.0", "20.5.5.1"]),
        ("privateIp=fd00::10&family=ipv6", ["2603:1020::34"]),
        ("family=ipv6", ["2603:1020::34"]),
        ("family=ipv4", ["20.5.5.0", "20.5.5.1"]),
        ("scope=private", []),
    ],
)
async def test_declared_egress_ips(query: str, expected: list[str]) -> None:
    """What is declared holds for every private IP, in the families that it names; observed is no part."""
    async with api_running(with_egress(DATA, "20.5.5.0/31", observation=OBSERVATION)) as api:
        assert (await api.get(f"/v1/egress-ips?{query}")).json == expected


async def test_egress_before_data() -> None:
    """Before an answer of the metadata service there is none of it."""
    async with api_running(with_egress(states.snapshot_after(states.unreachable()), "20.5.5.5")) as api:
        assert [(await api.get(f"/v1/{path}")).status for path in ("egress", "egress-ips")] == [503, 503]


async def test_round_that_brings_nothing_new_wakes_nobody() -> None:
    """Another round of the same changes `/v1/egress`, and not what others wait for."""
    first = with_egress(DATA, observation=OBSERVATION)
    again = OBSERVATION.after_round(OBSERVATION.last_round, now=states.later(600), keep=86_400.0)
    tags = []
    async with api_running(first) as api:
        for snapshot in (first, with_egress(DATA, observation=again)):
            api.latest.set(snapshot)
            tags.append(
                [
                    (await api.get(f"/v1/{path}")).headers["Etag"]
                    for path in ("egress", "loadbalancer", "egress-ips")
                ]
            )
    assert tags[0][0] != tags[1][0]
    assert tags[0][1:] == tags[1][1:]
