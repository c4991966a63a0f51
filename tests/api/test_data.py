"""What each path answers, in both forms."""

from ipaddress import ip_address
from typing import Any

import pytest

from tests.api.snapshots import DUAL_STACK
from tests.api.support import NODE, api_running
from tests.support import states


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/v1/public-ips", ["20.10.5.4", "20.10.5.34", "2603:1020:10:5::34"]),
        ("/v1/inbound-ips", ["10.240.0.100", "20.20.20.20", "2603:1020::5"]),
        ("/v1/outbound-ips", ["52.1.1.1", "52.2.2.2"]),
        ("/v1/egress-ips", ["20.10.5.4", "20.10.5.34", "2603:1020:10:5::34"]),
    ],
)
async def test_address_lists(path: str, expected: list[str]) -> None:
    """Lists of addresses are bare JSON arrays or one address per line, IPv4 first, without brackets."""
    async with api_running(DUAL_STACK) as api:
        as_json, as_text = await api.get(path), await api.get(f"{path}?format=text")

    assert as_json.json == expected
    assert as_json.headers["Content-Type"] == "application/json"
    assert as_text.text == "".join(f"{address}\n" for address in expected)
    assert as_text.headers["Content-Type"] == "text/plain; charset=utf-8"


async def test_inbound_rules_as_text() -> None:
    """Inbound rules as text name protocol, frontend and backend, with IPv6 in brackets."""
    async with api_running(DUAL_STACK) as api:
        reply = await api.get("/v1/inbound-rules", Accept="text/plain")

    assert reply.text.splitlines() == [
        "all 10.240.0.100:0 -> 10.240.0.4:0",
        "tcp 20.20.20.20:443 -> 10.240.0.4:30443",
        "udp 20.20.20.20:53 -> 20.20.20.20:53",
        "tcp [2603:1020::5]:443 -> [fd00::10]:30443",
    ]


async def test_rules_as_json() -> None:
    """Rules as JSON have the metadata service's own key names."""
    async with api_running(DUAL_STACK) as api:
        inbound, outbound = await api.get("/v1/inbound-rules"), await api.get("/v1/outbound-rules")

    assert inbound.json[2] == {
        "frontendIpAddress": "20.20.20.20",
        "protocol": "udp",
        "frontendPort": 53,
        "backendPort": 53,
        "privateIpAddress": "20.20.20.20",
    }
    assert outbound.json[0] == {"frontendIpAddress": "52.1.1.1", "privateIpAddress": "10.240.0.4"}


async def test_outbound_rules_as_text() -> None:
    """Outbound rules as text point from the private address to the frontend."""
    async with api_running(DUAL_STACK) as api:
        reply = await api.get("/v1/outbound-rules?format=text")

    assert reply.text == "10.240.0.4 -> 52.1.1.1\n10.240.0.4 -> 52.2.2.2\n"


async def test_many_rules() -> None:
    """A load balancer's full 250 rules are all there, in both forms."""
    rules = [states.inbound("20.20.20.20", port, port) for port in range(1000, 1250)]
    async with api_running(states.snapshot_after(states.answer(states.body(inbound_rules=rules)))) as api:
        as_json, as_text = await api.get("/v1/inbound-rules"), await api.get("/v1/inbound-rules?format=text")

    assert [rule["frontendPort"] for rule in as_json.json] == list(range(1000, 1250))
    assert len(as_text.text.splitlines()) == 250


async def test_loadbalancer() -> None:
    """The document comes with the node, its status, its revision and when it changed."""
    async with api_running(DUAL_STACK) as api:
        reply = await api.get("/v1/loadbalancer", Accept="text/plain")

    document = DUAL_STACK.state.document
    assert document is not None
    assert list(reply.json) == ["node", "status", "reason", "revision", "changedAt", "loadbalancer"]
    assert reply.json | {"loadbalancer": None} == {
        "node": NODE,
        "status": "ok",
        "reason": None,
        "revision": document.revision,
        "changedAt": "2026-01-02T03:04:05Z",
        "loadbalancer": None,
    }
    assert reply.body.endswith(b',"loadbalancer":' + document.canonical + b"}")
    assert b" " not in reply.body


async def test_unnamed_node() -> None:
    """Without a node name the member is null and the header absent."""
    async with api_running(DUAL_STACK, node_name=None) as api:
        reply = await api.get("/v1/loadbalancer")

    assert reply.json["node"] is None
    assert "Azure-LB-Metadata-Node" not in reply.headers


@pytest.mark.parametrize(
    ("target", "accept", "expected"),
    [
        ("/v1/public-ip", None, "20.10.5.4\n"),
        ("/v1/public-ip", "*/*", "20.10.5.4\n"),
        ("/v1/public-ip", "text/html", "20.10.5.4\n"),
        ("/v1/public-ip", "text/plain, application/json;q=0.5", '"20.10.5.4"'),
        ("/v1/public-ip", "application/json;q=0", "20.10.5.4\n"),
        ("/v1/public-ip?format=json", None, '"20.10.5.4"'),
        ("/v1/public-ip?format=text", "application/json", "20.10.5.4\n"),
        ("/v1/public-ip?family=ipv6", None, "2603:1020:10:5::34\n"),
        ("/v1/outbound-ips", None, '["52.1.1.1","52.2.2.2"]'),
        ("/v1/outbound-ips", "text/plain", "52.1.1.1\n52.2.2.2\n"),
        ("/v1/outbound-ips", "Text/Plain; charset=utf-8", "52.1.1.1\n52.2.2.2\n"),
        ("/v1/outbound-ips", "text/plain, */*;q=0.1", '["52.1.1.1","52.2.2.2"]'),
        ("/v1/outbound-ips", "text/plain, application/json", '["52.1.1.1","52.2.2.2"]'),
        ("/v1/outbound-ips", "image/png", '["52.1.1.1","52.2.2.2"]'),
        ("/v1/outbound-ips?format=json", "text/plain", '["52.1.1.1","52.2.2.2"]'),
        ("/v1/outbound-ips", ";;,=,q", '["52.1.1.1","52.2.2.2"]'),
    ],
)
async def test_forms(target: str, accept: str | None, expected: str) -> None:
    """The parameter decides on the form, else Accept, which never fails."""
    async with api_running(DUAL_STACK) as api:
        reply = await api.get(target, **({} if accept is None else {"Accept": accept}))

    assert (reply.status, reply.text) == (200, expected)


async def test_own_public_ip_first() -> None:
    """The public IP is the one of the node's own address, if that has one."""
    async with api_running(DUAL_STACK, node_address=ip_address("10.240.0.4")) as api:
        reply = await api.get("/v1/public-ip")

    assert reply.text == "20.10.5.34\n"


@pytest.mark.parametrize(
    ("snapshot", "target", "words"),
    [
        (states.none_accepted(), "/v1/public-ip", "no load balancer metadata"),
        (
            states.snapshot_after(states.answer(states.body(outbound=[states.pair("52.1.1.1")]))),
            "/v1/public-ip",
            "It lists public IP addresses: none; inbound rules: 0; outbound rules: 1.",
        ),
        (
            states.snapshot_after(states.answer(states.body(public=[states.pair("20.1.2.3")]))),
            "/v1/public-ip?family=ipv6",
            "no IPv6 public IP address of this node. It lists public IP addresses: 20.1.2.3;",
        ),
    ],
)
async def test_no_public_ip(snapshot: Any, target: str, words: str) -> None:
    """Where there is no public IP the 404 describes what the metadata service did list."""
    async with api_running(snapshot) as api:
        reply = await api.get(target)

    assert reply.status == 404
    assert reply.headers["Content-Type"] == "application/problem+json"
    assert reply.json["code"] == "none"
    assert words in reply.json["detail"]


async def test_lists_without_metadata() -> None:
    """Where the metadata service has nothing, lists are empty and no errors."""
    paths = ("public-ips", "inbound-ips", "outbound-ips", "egress-ips", "inbound-rules", "outbound-rules")
    async with api_running(states.none_accepted()) as api:
        as_json = [await api.get(f"/v1/{path}") for path in paths]
        as_text = [await api.get(f"/v1/{path}?format=text") for path in paths]
        whole = await api.get("/v1/loadbalancer")

    assert {(reply.status, reply.body) for reply in as_json} == {(200, b"[]")}
    assert {(reply.status, reply.body) for reply in as_text} == {(200, b"")}
    assert (whole.json["status"], whole.json["reason"]) == ("no-metadata", "no-metadata")
    assert whole.json["loadbalancer"] == {"publicIpAddresses": [], "inboundRules": [], "outboundRules": []}


async def test_egress_by_outbound_rule() -> None:
    """Without instance IPs the egress addresses are those of outbound rules."""
    only_outbound = states.snapshot_after(states.answer(states.body(outbound=[states.pair("52.1.1.1")])))
    async with api_running(only_outbound) as api:
        reply = await api.get("/v1/egress-ips")

    assert reply.json == ["52.1.1.1"]


MIXED = states.snapshot_after(
    states.answer(
        states.body(
            public=[states.pair("20.1.2.3")],
            outbound=[states.pair("52.1.1.1"), states.pair("2603::1"), states.pair("52.9.9.9", "10.240.0.5")],
        )
    )
)
"""IPv4 by an instance IP, IPv6 by an outbound rule, and another private IP by one."""


@pytest.mark.parametrize(
    ("query", "addresses"),
    [
        ("", ["20.1.2.3", "52.9.9.9", "2603::1"]),
        ("?family=ipv4", ["20.1.2.3", "52.9.9.9"]),
        ("?family=ipv6", ["2603::1"]),
        ("?privateIp=10.240.0.4", ["20.1.2.3", "2603::1"]),
        ("?privateIp=10.240.0.5", ["52.9.9.9"]),
        ("?privateIp=10.240.0.5&family=ipv6", []),
        ("?scope=private", []),
    ],
)
async def test_egress_by_family_and_private_ip(query: str, addresses: list[str]) -> None:
    """Each private IP and family has its own way out, and filters pick among them."""
    async with api_running(MIXED) as api:
        reply = await api.get(f"/v1/egress-ips{query}")

    assert reply.json == addresses


async def test_egress_basis_before_filters() -> None:
    """A filter that leaves no instance IP does not make outbound rules the basis."""
    async with api_running(DUAL_STACK) as api:
        reply = await api.get("/v1/egress-ips?privateIp=10.240.0.99")

    assert reply.json == []
