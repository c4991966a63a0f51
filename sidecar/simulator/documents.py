"""Named data sets: bodies of the load balancer endpoint.

Their bodies are files in ``bodies/``, to be read, copied and changed (``simulate --scenario`` takes a body
``inline``). The captures keep the values they were published with. Everything made up uses documentation
addresses (RFC 5737, RFC 3849) for the public side and private ranges for the other.
Sources are repositories and documents; "guess" marks a shape of which no public example is known.
"""

import functools
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

from pydantic import JsonValue

from sidecar.simulator.addressing import FRONTENDS_V4

LISTS = ("publicIpAddresses", "inboundRules", "outboundRules")
"""The three lists of every document, in the order of the vendor's sample."""

HOWTO = "MicrosoftDocs/azure-docs:articles/load-balancer/howto-load-balancer-imds.md"
ISSUE_535 = "https://github.com/kubernetes-sigs/cloud-provider-azure/issues/535"
TALOS = (
    "siderolabs/talos:internal/app/machined/pkg/runtime/v1alpha1/platform/azure/testdata/loadbalancer.json"
)
TROUBLESHOOTING = "MicrosoftDocs/azure-docs:articles/load-balancer/troubleshoot-load-balancer-imds.md"
GUESS = "guess"

PRIVATE_IP = "10.224.0.4"
"""Of the machine that the made-up documents describe."""

_BRACKETED = re.compile(r'"\[([0-9a-f:]+)\]"')

BODIES = Path(__file__).with_name("bodies")


@dataclass(frozen=True, kw_only=True)
class Amounts:
    """How many entries a data set has, where that can be chosen.

    None is the data set's own number.
    """

    rules: int | None = None
    outbound_ips: int | None = None


@dataclass(frozen=True)
class DataSet:
    """One named body."""

    summary: str
    source: str
    body: str = ""
    """Name of its file in ``bodies/``, without the suffix; empty: "no load balancer metadata"."""
    counts_outbound: bool = False
    """Whether the number of its outbound IPs can be chosen."""
    counts_rules: int = 0
    """How many inbound rules it has by default; 0: those of its file."""
    plain: bool = False
    """Whether the brackets around its IPv6 addresses are left out."""
    rotates: bool = False
    """Whether every reply has another order of entries."""

    def build(self, amounts: Amounts) -> JsonValue:
        """The document; None is "no load balancer metadata"."""
        if not self.body:
            return None
        text = _text(self.body)
        if self.plain:
            text = _BRACKETED.sub(r'"\1"', text)
        document: dict[str, JsonValue] = json.loads(text)
        lists = document["loadbalancer"]
        if not isinstance(lists, dict):
            raise TypeError(f"{self.body}.json has no object 'loadbalancer'")
        if self.counts_rules:
            # With floating IP, over ten frontends.
            frontends = FRONTENDS_V4[:10]
            lists["inboundRules"] = [
                {
                    "frontendIpAddress": frontends[number % len(frontends)],
                    "protocol": "Tcp",
                    "frontendPort": 8000 + number // len(frontends),
                    "backendPort": 8000 + number // len(frontends),
                    "privateIpAddress": frontends[number % len(frontends)],
                }
                for number in range(self.counts_rules if amounts.rules is None else amounts.rules)
            ]
        count = amounts.outbound_ips
        if self.counts_outbound and count is not None:
            rules = lists["outboundRules"]
            if not isinstance(rules, list):
                raise TypeError("'outboundRules' is not a list")
            # The rules of the machine's own address are replaced, those of its other addresses stay.
            own = [
                rule for rule in rules if isinstance(rule, dict) and rule["privateIpAddress"] == PRIVATE_IP
            ]
            made: list[JsonValue] = [
                {"frontendIpAddress": address, "privateIpAddress": PRIVATE_IP}
                for address in (FRONTENDS_V4[-count:] if count else ())
            ]
            lists["outboundRules"] = [
                *made * own.count(own[0]),
                *(rule for rule in rules if rule not in own),
            ]
        return document


@functools.cache
def _text(body: str) -> str:
    return (BODIES / f"{body}.json").read_text()


DOCUMENTS: Mapping[str, DataSet] = MappingProxyType(
    {
        "none": DataSet('404, "No load balancer metadata is found"', TROUBLESHOOTING),
        "public-ip": DataSet("a Standard public IP and no load balancer", HOWTO, "public-ip"),
        "inbound-only": DataSet("load-balancing rules, nothing else", HOWTO, "inbound-only"),
        "outbound-only": DataSet(
            "one outbound rule, as AKS's managed outbound IP may look",
            GUESS,
            "outbound-only",
            counts_outbound=True,
        ),
        "outbound-several": DataSet(
            "three outbound IPs (outboundIps: N)", GUESS, "outbound-several", counts_outbound=True
        ),
        "all": DataSet("public IP, inbound and outbound rules", HOWTO, "all", counts_outbound=True),
        "dual-stack": DataSet("IPv4 and IPv6, brackets around IPv6", TALOS, "dual-stack"),
        "dual-stack-plain": DataSet("IPv4 and IPv6, no brackets", HOWTO, "dual-stack", plain=True),
        "floating-ip": DataSet(
            "the private address of a rule repeats its frontend", ISSUE_535, "floating-ip"
        ),
        "ha-ports": DataSet('one rule for all ports: "All", 0, 0', GUESS, "ha-ports"),
        "protocols": DataSet("Tcp, tcp, TCP, Udp, udp, Quic", GUESS, "protocols"),
        "internal": DataSet("frontends of an internal load balancer", TALOS, "internal"),
        "several-nics": DataSet(
            "one frontend for several private addresses", HOWTO, "several-nics", counts_outbound=True
        ),
        "many-rules": DataSet(
            "250 rules over ten frontends (rules: N)", GUESS, "all", counts_rules=250, counts_outbound=True
        ),
        "unknown-keys": DataSet(
            "keys nobody documented, tunnelInterfaces among them",
            "https://github.com/Azure/azure-rest-api-specs/pull/17109",
            "unknown-keys",
            counts_outbound=True,
        ),
        "duplicates": DataSet("every entry twice", GUESS, "duplicates", counts_outbound=True),
        "reordered": DataSet(
            "another order of entries in every answer", GUESS, "all", counts_outbound=True, rotates=True
        ),
        "empty": DataSet("200 with three empty lists", GUESS, "empty"),
        "bad-entries": DataSet("wrong entries among right ones", GUESS, "bad-entries"),
        "sample-howto": DataSet("the vendor's sample: dual stack, lower-case tcp", HOWTO, "sample-howto"),
        "capture-talos": DataSet("a capture: brackets, Tcp, an internal frontend", TALOS, "capture-talos"),
        "capture-535": DataSet("a capture: Kubernetes node, floating IP", ISSUE_535, "capture-535"),
        "capture-public-ip": DataSet(
            "a capture: a Standard public IP alone", "public source", "capture-public-ip"
        ),
    }
)
"""Every data set by the name that scenarios use."""
