"""Egress values: what is declared, the probes and their authorities, and what the NetworkPolicy opens."""

from argparse import ArgumentParser
from typing import Any

import pytest

from sidecar.config import load
from sidecar.core.egress import declared_networks
from sidecar.core.probes import parse_probe
from sidecar.settings import Settings
from tests.chart.helm import RELEASE, Value, refusal, render
from tests.chart.test_network import API_SERVER, EGRESS

pytestmark = pytest.mark.chart

PEM = "-----BEGIN CERTIFICATE-----\nMIIB\n-----END CERTIFICATE-----\n"
DIRECTORY = "/etc/azure-lb-metadata/egress"
ANYWHERE = {
    "0.0.0.0/0": [
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "100.64.0.0/10",
        "127.0.0.0/8",
        "169.254.0.0/16",
    ],
    "::/0": ["fc00::/7", "fe80::/10", "::1/128"],
}

GOOD_PROBES = (
    "stun:203.0.113.10",
    "stun+tcp:[2001:db8::7]:3479",
    "STUN:Stun.Example.com:3478",
    "https://ip.example.com",
    "https://ip.example.com/ip?format=text:",
    "https://[2001:db8::7]:8443/",
    "stun:stun_server.example.com.",
    "stun:10.0.0.4",
)
BAD_PROBES = (
    "http://ip.example.com/",
    "stun://203.0.113.10",
    "https:ip.example.com",
    "203.0.113.10",
    "stun:",
    "stun:203.0.113.10:",
    "stun:203.0.113.10:0",
    "stun:203.0.113.10:65536",
    "stun:203.0.113.10:999999999999",
    "stun:2001:db8::7",
    "stun:203.0.113",
    "stun:203.0.113.256",
    "stun:-x.example.com",
    "stun:example..com",
    "stun:224.0.0.1",
    "stun:0.0.0.0",
    "stun:255.255.255.255",
    "stun:[ff02::1]",
    "stun:[::]",
    "stun:[::ffff:192.0.2.1]",
    "https://ip.example.com/#part",
    "https://ip.example.com/a b",
    "https://user:secret@ip.example.com/",
)
GOOD_NETWORKS = (
    "20.1.2.0/30",
    "20.1.2.3/32",
    "20.0.0.0/8",
    "10.0.0.0/8",
    "2001:db8::/48",
    "2603:1020::4/128",
)
BAD_NETWORKS = (
    "20.1.2.1/30",
    "20.1.2.0/33",
    "20.1.2.256/32",
    "0.0.0.0/0",
    "20.0.0.0/7",
    "2000::/3",
    "2001:db8::/129",
    "127.0.0.0/8",
    "169.254.169.254/32",
    "224.0.0.0/8",
    "255.255.255.255/32",
    "fe80::/16",
    "ff02::/16",
    "::1/128",
    "nat.example.com",
)


def settings(values: dict[str, Value], monkeypatch: pytest.MonkeyPatch) -> Settings:
    """What the agent makes of the arguments that the chart gives it."""
    monkeypatch.setenv("NODE_NAME", "aks-1")
    return load(render(values).arguments, parser=ArgumentParser()).settings


def opened(*probes: str, **more: Value) -> list[dict[str, Any]]:
    """The rules of the NetworkPolicy that come after those of the metadata service and the API server."""
    values = {**EGRESS, **API_SERVER, "egress.probes": [*probes], **more}
    rules: list[dict[str, Any]] = render(values).one("NetworkPolicy")["spec"]["egress"]
    return rules[2:]


def environment(values: dict[str, Value]) -> dict[str, str | None]:
    """The variables of the agent's container."""
    return {item["name"]: item.get("value") for item in render(values).container["env"]}


def test_no_probe() -> None:
    """Without a probe nothing of probes is rendered, whatever their other values are."""
    values: dict[str, Value] = {**EGRESS, **API_SERVER}
    others: dict[str, Value] = {"egress.interval": "1h", "egress.flows": 9, "egress.keep": "1h"}
    assert render({**values, **others}).text == render(values).text
    assert "egress-probe" not in render(values).text


def test_what_is_declared_reaches_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Networks are declared with and without probes, and need none."""
    got = settings({"egress.declared": list(GOOD_NETWORKS[:2])}, monkeypatch)
    assert (got.egress_declared, got.egress_probe) == (declared_networks(GOOD_NETWORKS[:2]), ())


def test_probes_reach_the_agent(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every form of probe is what the agent reads, with how often and how it asks."""
    values = {
        "egress.probes": [*GOOD_PROBES],
        "egress.interval": "1m",
        "egress.flows": 9,
        "egress.keep": "1h",
    }
    got = settings({**values, "egress.ca": PEM}, monkeypatch)
    assert got.egress_probe == tuple(map(parse_probe, GOOD_PROBES))
    assert (got.egress_probe_interval, got.egress_probe_flows, got.egress_probe_keep) == (60, 9, 3600)
    assert str(got.egress_probe_ca) == f"{DIRECTORY}/ca.pem"


def test_certificates_are_mounted() -> None:
    """The text of the authorities is a file that the agent can only read, beside mounts of others."""
    values = {
        "egress.probes": ["https://203.0.113.10/"],
        "egress.ca": PEM,
        "extraVolumes": [{"name": "data", "emptyDir": {}}],
        "extraVolumeMounts": [{"name": "data", "mountPath": "/data"}],
    }
    rendered = render(values)
    assert rendered.one("ConfigMap", f"{RELEASE}-egress-ca")["data"] == {"ca.pem": PEM}
    volumes = {volume["name"]: volume for volume in rendered.agent["spec"]["volumes"]}
    assert volumes.keys() == {"egress-ca", "data"}
    assert volumes["egress-ca"]["configMap"] == {"name": f"{RELEASE}-egress-ca"}
    mount, other = rendered.container["volumeMounts"]
    assert mount == {"name": "egress-ca", "mountPath": DIRECTORY, "readOnly": True}
    assert other["name"] == "data"


def test_certificates_of_a_mount_of_ones_own() -> None:
    """A path is given to the agent as it is, and nothing is mounted for it."""
    values = {
        "egress.probes": ["https://203.0.113.10/"],
        "egress.ca": "/bundle/ca.crt",
        "extraVolumes": [{"name": "bundle", "configMap": {"name": "bundle"}}],
        "extraVolumeMounts": [{"name": "bundle", "mountPath": "/bundle"}],
    }
    rendered = render(values)
    assert "--egress-probe-ca=/bundle/ca.crt" in rendered.arguments
    assert [volume["name"] for volume in rendered.agent["spec"]["volumes"]] == ["bundle"]
    assert not [item for item in rendered.all("ConfigMap") if item["metadata"]["name"].endswith("egress-ca")]


def test_authorities_of_the_image() -> None:
    """They are loaded only where a probe's certificate is to be verified by them."""
    assert environment({"egress.probes": ["stun:203.0.113.10"]})["SSL_CERT_FILE"] == "/dev/null"
    assert "SSL_CERT_FILE" not in environment({"egress.probes": ["https://203.0.113.10/"]})
    own = {"egress.probes": ["https://203.0.113.10/"], "egress.ca": PEM}
    assert environment(own)["SSL_CERT_FILE"] == "/dev/null"


@pytest.mark.parametrize(
    ("probe", "cidr", "port", "protocol"),
    [
        ("stun:203.0.113.10", "203.0.113.10/32", 3478, "UDP"),
        ("stun+tcp:203.0.113.10:3479", "203.0.113.10/32", 3479, "TCP"),
        ("https://203.0.113.10/ip", "203.0.113.10/32", 443, "TCP"),
        ("stun:[2001:db8::7]", "2001:db8::7/128", 3478, "UDP"),
        ("https://[2001:DB8::7]:8443/", "2001:db8::7/128", 8443, "TCP"),
    ],
)
def test_address_is_opened(probe: str, cidr: str, port: int, protocol: str) -> None:
    """A probe by address opens that address with its port and protocol, and no DNS."""
    assert opened(probe) == [
        {"to": [{"ipBlock": {"cidr": cidr}}], "ports": [{"port": port, "protocol": protocol}]}
    ]


def test_name_opens_a_port_and_dns() -> None:
    """A probe by name opens its port at every address that is not private, and DNS."""
    port, dns = opened("https://ip.example.com/")
    assert port["ports"] == [{"port": 443, "protocol": "TCP"}]
    assert {one["ipBlock"]["cidr"]: one["ipBlock"]["except"] for one in port["to"]} == ANYWHERE
    assert dns == {"ports": [{"port": 53, "protocol": "UDP"}, {"port": 53, "protocol": "TCP"}]}


def test_each_opening_is_there_once() -> None:
    """Probes of one host and port share a rule, and names share that of DNS, the simulator's included."""
    probes = ("https://ip.example.com/a", "https://ip.example.org/b", "stun:stun.example.com")
    assert [rule["ports"][0]["port"] for rule in opened(*probes)] == [443, 3478, 53]
    simulated = {**EGRESS, **API_SERVER, "egress.probes": [*probes], "simulator.enabled": True}
    rules = render(simulated).one("NetworkPolicy")["spec"]["egress"]
    assert sum(rule["ports"][0]["port"] == 53 for rule in rules) == 1


def test_nothing_is_opened_without_restriction() -> None:
    """A NetworkPolicy that does not restrict egress says nothing of it for probes either."""
    spec = render({"networkPolicy.enabled": True, "egress.probes": ["stun:203.0.113.10"]})
    assert "egress" not in spec.one("NetworkPolicy")["spec"]


@pytest.mark.parametrize("probe", BAD_PROBES)
def test_wrong_probe(probe: str) -> None:
    """What an agent refuses is refused, with the value and what to write instead."""
    with pytest.raises(ValueError, match=r".+"):
        parse_probe(probe)
    text = refusal({"egress.probes": ["stun:203.0.113.10", probe]})
    assert "egress.probes: " in text
    if "@" in probe:
        assert "secret" not in text.partition("egress.probes")[2]
    else:
        assert probe in text


@pytest.mark.parametrize("network", BAD_NETWORKS)
def test_wrong_network(network: str) -> None:
    """What nothing can connect from is refused, with the value and what to write instead."""
    if "/" in network:
        with pytest.raises(ValueError, match=r".+"):
            declared_networks([network])
    assert f"egress.declared: {network}: " in refusal({"egress.declared": ["20.1.2.0/30", network]})


def test_right_networks_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """The chart takes whatever network an agent takes."""
    got = settings({"egress.declared": [*GOOD_NETWORKS]}, monkeypatch)
    assert got.egress_declared == declared_networks(GOOD_NETWORKS)


IMPOSSIBLE: dict[str, dict[str, Value]] = {
    "egress.interval: 59.5s is less than a minute": {
        "egress.probes": ["stun:203.0.113.10"],
        "egress.interval": "59.5s",
    },
    "egress.interval: 100ms is less than a minute": {"egress.interval": "100ms"},
    "egress.ca is for https: probes": {"egress.probes": ["stun:203.0.113.10"], "egress.ca": PEM},
    "holds a private key": {
        "egress.probes": ["https://203.0.113.10/"],
        "egress.ca": f"{PEM}-----BEGIN EC PRIVATE KEY-----\n",
    },
    "give extraVolumes and extraVolumeMounts": {
        "egress.probes": ["https://203.0.113.10/"],
        "egress.ca": "/bundle/ca.crt",
    },
    "neither text in PEM": {"egress.probes": ["https://203.0.113.10/"], "egress.ca": "ca.crt"},
    "--egress-probe is set by a value": {"extraArgs": ["--egress-probe=stun:203.0.113.10"]},
    "/egress/probes": {"egress.probes": [f"stun:203.0.113.{number}" for number in range(9)]},
    "/egress/flows": {"egress.flows": 33},
    "/egress/keep": {"egress.keep": "1d"},
}
"""By a part of the refusal."""


@pytest.mark.parametrize("reason", IMPOSSIBLE)
def test_impossible(reason: str) -> None:
    """Values that an agent would not start with, or that would have no effect, are refused in words."""
    assert reason in refusal(IMPOSSIBLE[reason])


@pytest.mark.parametrize("interval", ["1m", "60s", "59s1000ms", "0.5m30s", "2h"])
def test_a_minute_is_enough(interval: str) -> None:
    """An interval of a minute, however it is written, is taken."""
    assert (
        f"--egress-probe-interval={interval}"
        in render({"egress.probes": ["stun:203.0.113.10"], "egress.interval": interval}).arguments
    )
