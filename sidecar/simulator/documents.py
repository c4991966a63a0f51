"""Named data sets: what the load balancer endpoint may say.

The captures keep the values they were published with. Everything made up uses documentation
addresses (RFC 5737, RFC 3849) for the public side and private ranges for the other.
Sources are repositories and documents; "guess" marks a form that nobody published.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

from pydantic import JsonValue

from sidecar.simulator.addressing import FRONTENDS_V4, FRONTENDS_V6, bracketed

LISTS = ("publicIpAddresses", "inboundRules", "outboundRules")
"""The three lists of every document, in the order of the vendor's sample."""

HOWTO = "MicrosoftDocs/azure-docs:articles/load-balancer/howto-load-balancer-imds.md"
ISSUE_535 = "https://github.com/kubernetes-sigs/cloud-provider-azure/issues/535"
TALOS = (
    "siderolabs/talos:internal/app/machined/pkg/runtime/v1alpha1/platform/azure/testdata/loadbalancer.json"
)
TROUBLESHOOTING = "MicrosoftDocs/azure-docs:articles/load-balancer/troubleshoot-load-balancer-imds.md"
GUESS = "guess"

PUBLIC_IP = "192.0.2.4"
PUBLIC_IPV6 = "2001:db8::4"
PRIVATE_IP = "10.224.0.4"
PRIVATE_IPV6 = "fd00:224::4"

Entries = list[JsonValue]


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How much a data set holds, where it can be asked.

    Each is None for the data set's own number.
    """

    rules: int | None = None
    outbound_ips: int | None = None


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """One named answer: None from ``build`` is "no load balancer metadata"."""

    summary: str
    source: str
    build: Callable[[Amounts], JsonValue]
    rotates: bool = False


def wrap(
    public_ips: Entries | None = None,
    inbound: Entries | None = None,
    outbound: Entries | None = None,
) -> dict[str, JsonValue]:
    """The document around three lists; a list not given is empty, as captures show it."""
    return {
        "loadbalancer": {
            "publicIpAddresses": public_ips or [],
            "inboundRules": inbound or [],
            "outboundRules": outbound or [],
        }
    }


def pair(frontend: str, private: str) -> dict[str, JsonValue]:
    """An entry of publicIpAddresses or outboundRules."""
    return {"frontendIpAddress": frontend, "privateIpAddress": private}


def rule(
    frontend: str, private: str, *, port: int, backend_port: int | None = None, protocol: str = "Tcp"
) -> dict[str, JsonValue]:
    """An entry of inboundRules; the backend port is the frontend port unless given."""
    return {
        "frontendIpAddress": frontend,
        "protocol": protocol,
        "frontendPort": port,
        "backendPort": port if backend_port is None else backend_port,
        "privateIpAddress": private,
    }


def _public_ips() -> Entries:
    return [pair(PUBLIC_IP, PRIVATE_IP)]


def _inbound() -> Entries:
    return [
        rule(FRONTENDS_V4[0], PRIVATE_IP, port=80, backend_port=30080),
        rule(FRONTENDS_V4[0], PRIVATE_IP, port=443, backend_port=30443),
        rule(FRONTENDS_V4[1], PRIVATE_IP, port=5060, protocol="Udp"),
    ]


def _outbound(amounts: Amounts, usual: int) -> Entries:
    count = usual if amounts.outbound_ips is None else amounts.outbound_ips
    return [pair(address, PRIVATE_IP) for address in FRONTENDS_V4[-count:]] if count else []


def _none(_: Amounts) -> JsonValue:
    return None


def _all(amounts: Amounts) -> JsonValue:
    return wrap(_public_ips(), _inbound(), _outbound(amounts, 1))


def _dual_stack(shape: Callable[[str], str]) -> JsonValue:
    frontend, private = shape(FRONTENDS_V6[0]), shape(PRIVATE_IPV6)
    return wrap(
        [pair(shape(PUBLIC_IPV6), private), *_public_ips()],
        [rule(frontend, private, port=443, backend_port=30443), *_inbound()],
        [pair(shape(FRONTENDS_V6[1]), private), *_outbound(Amounts(), 1)],
    )


def _floating(_: Amounts) -> JsonValue:
    frontends = zip(FRONTENDS_V4[:3], (443, 80, 5671), strict=True)
    return wrap(_public_ips(), [rule(address, address, port=port) for address, port in frontends])


def _internal(_: Amounts) -> JsonValue:
    return wrap(
        inbound=[
            rule("10.224.0.250", PRIVATE_IP, port=6443),
            rule(bracketed("fd00:224::250"), bracketed(PRIVATE_IPV6), port=6443),
        ]
    )


def _several_nics(amounts: Amounts) -> JsonValue:
    second, third = "10.225.0.4", "10.224.0.5"
    return wrap(
        [*_public_ips(), pair("192.0.2.5", second), pair("192.0.2.6", third)],
        [rule(FRONTENDS_V4[0], private, port=443) for private in (PRIVATE_IP, second, third)],
        [*_outbound(amounts, 1), pair(FRONTENDS_V4[-1], second)],
    )


def _many_rules(amounts: Amounts) -> JsonValue:
    count = 250 if amounts.rules is None else amounts.rules
    frontends = FRONTENDS_V4[:10]
    rules: Entries = [
        rule(frontend, frontend, port=8000 + number // len(frontends))
        for number in range(count)
        for frontend in [frontends[number % len(frontends)]]
    ]
    return wrap(_public_ips(), rules, _outbound(amounts, 1))


def _protocols(_: Amounts) -> JsonValue:
    names = ("Tcp", "tcp", "TCP", "Udp", "udp", "Quic")
    return wrap(
        inbound=[
            rule(FRONTENDS_V4[0], PRIVATE_IP, port=7000 + number, protocol=name)
            for number, name in enumerate(names)
        ]
    )


def _ha_ports(_: Amounts) -> JsonValue:
    return wrap(inbound=[rule("10.224.0.250", PRIVATE_IP, port=0, protocol="All")])


def _unknown_keys(amounts: Amounts) -> JsonValue:
    public_ips = [{**pair(PUBLIC_IP, PRIVATE_IP), "zone": "1"}]
    inner: dict[str, JsonValue] = {
        "publicIpAddresses": [*public_ips],
        "inboundRules": _inbound(),
        "outboundRules": _outbound(amounts, 1),
        "tunnelInterfaces": [
            {"gatewayIpAddress": "10.226.0.4", "gatewayPort": 10800, "identifier": 800, "type": "internal"}
        ],
    }
    return {"loadbalancer": inner, "schemaVersion": 2}


def _duplicates(amounts: Amounts) -> JsonValue:
    return wrap(_public_ips() * 2, _inbound() * 2, _outbound(amounts, 1) * 2)


def _bad_entries(_: Amounts) -> JsonValue:
    good = rule(FRONTENDS_V4[0], PRIVATE_IP, port=443)
    return wrap(
        [pair(PUBLIC_IP, PRIVATE_IP), pair("", PRIVATE_IP), {"privateIpAddress": PRIVATE_IP}, "192.0.2.9"],
        [
            good,
            {**good, "frontendPort": "443"},
            {**good, "frontendPort": True},
            {**good, "backendPort": 65536},
            {**good, "protocol": "tcp/ip"},
            {**good, "frontendIpAddress": "::ffff:203.0.113.240"},
            {**good, "frontendIpAddress": "not an address"},
        ],
        [pair(FRONTENDS_V4[-1], PRIVATE_IP), None],
    )


def _howto(_: Amounts) -> JsonValue:
    return wrap(
        [pair("51.0.0.1", "10.1.0.4")],
        [
            rule("50.0.0.1", "10.1.0.4", port=80, backend_port=443, protocol="tcp"),
            rule("2603:10e1:100:2::1:1", "ace:cab:deca:deed::1", port=80, backend_port=443, protocol="tcp"),
        ],
        [pair("50.0.0.1", "10.1.0.4"), pair("2603:10e1:100:2::1:1", "ace:cab:deca:deed::1")],
    )


def _talos(_: Amounts) -> JsonValue:
    return wrap(
        [pair("[2603:1020:10:5::34]", "[fd00::10]"), pair("20.10.5.34", "172.18.1.10")],
        [
            rule("[fd60:172:16:88::5]", "[fd00::10]", port=6443),
            rule("172.16.136.5", "172.18.1.10", port=6443),
        ],
    )


def _issue_535(_: Amounts) -> JsonValue:
    return wrap(
        [pair("100.100.100.100", "10.240.0.2")],
        [rule("20.20.20.20", "20.20.20.20", port=99), rule("11.11.11.11", "11.11.11.11", port=80)],
    )


def _set(
    summary: str, source: str, build: Callable[[Amounts], JsonValue], *, rotates: bool = False
) -> DataSet:
    return DataSet(summary=summary, source=source, build=build, rotates=rotates)


DOCUMENTS: Mapping[str, DataSet] = MappingProxyType(
    {
        "none": _set('404, "No load balancer metadata is found"', TROUBLESHOOTING, _none),
        "public-ip": _set("a Standard public IP and no load balancer", HOWTO, lambda _: wrap(_public_ips())),
        "inbound-only": _set("load-balancing rules, nothing else", HOWTO, lambda _: wrap(inbound=_inbound())),
        "outbound-only": _set(
            "one outbound rule, as AKS's managed outbound IP may look",
            GUESS,
            lambda amounts: wrap(outbound=_outbound(amounts, 1)),
        ),
        "outbound-several": _set(
            "three outbound IPs (outboundIps: N)", GUESS, lambda amounts: wrap(outbound=_outbound(amounts, 3))
        ),
        "all": _set("public IP, inbound and outbound rules", HOWTO, _all),
        "dual-stack": _set("IPv4 and IPv6, brackets around IPv6", TALOS, lambda _: _dual_stack(bracketed)),
        "dual-stack-plain": _set("IPv4 and IPv6, no brackets", HOWTO, lambda _: _dual_stack(str)),
        "floating-ip": _set("the private address of a rule repeats its frontend", ISSUE_535, _floating),
        "ha-ports": _set('one rule for all ports: "All", 0, 0', GUESS, _ha_ports),
        "protocols": _set("Tcp, tcp, TCP, Udp, udp, Quic", GUESS, _protocols),
        "internal": _set("frontends of an internal load balancer", TALOS, _internal),
        "several-nics": _set("one frontend for several private addresses", HOWTO, _several_nics),
        "many-rules": _set("250 rules over ten frontends (rules: N)", GUESS, _many_rules),
        "unknown-keys": _set(
            "keys nobody documented, tunnelInterfaces among them",
            "https://github.com/Azure/azure-rest-api-specs/pull/17109",
            _unknown_keys,
        ),
        "duplicates": _set("every entry twice", GUESS, _duplicates),
        "reordered": _set("another order of entries in every answer", GUESS, _all, rotates=True),
        "empty": _set("200 with three empty lists", GUESS, lambda _: wrap()),
        "bad-entries": _set("wrong entries among right ones", GUESS, _bad_entries),
        "sample-howto": _set("the vendor's sample: dual stack, lower-case tcp", HOWTO, _howto),
        "capture-talos": _set("a capture: brackets, Tcp, an internal frontend", TALOS, _talos),
        "capture-535": _set("a capture: Kubernetes node, floating IP", ISSUE_535, _issue_535),
        "capture-public-ip": _set(
            "a capture: a Standard public IP alone",
            "public source",
            lambda _: wrap([pair("52.249.223.56", "10.0.0.4")]),
        ),
    }
)
"""Every data set by the name that scenarios use."""
