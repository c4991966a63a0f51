"""What the description adds to the table of endpoints: texts, examples, shapes."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sidecar.api import models
from sidecar.api.parameters import API_VERSIONS, VERSION_PATTERN

Schema = dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class ResponseSpec:
    """The description of one endpoint's answer."""

    summary: str
    shape: Any
    """The type of the JSON answer; ``None`` where there is none."""
    text: str = ""
    """An example of the text form."""
    description: str = ""
    nothing: bool = False
    """Whether the result can be empty (404)."""


ANSWERS = {
    "/metadata/loadbalancer": ResponseSpec(
        summary="The document as the Azure Instance Metadata Service gives it",
        shape=models.MetadataDocument,
        description="A drop-in: header rule, outer key and error texts are those of the metadata service.",
        nothing=True,
    ),
    "/metadata/versions": ResponseSpec(
        summary="The versions that the drop-in path takes", shape=models.Versions
    ),
    "/v1/loadbalancer": ResponseSpec(summary="The document with what it is worth", shape=models.LoadBalancer),
    "/v1/public-ip": ResponseSpec(
        summary="The one public IP address to advertise",
        shape=models.Address,
        text="20.1.2.3\n",
        description="That of the node's own address if there is one, else the lowest.",
        nothing=True,
    ),
    "/v1/public-ips": ResponseSpec(
        summary="All instance-level public IP addresses", shape=list[models.Address], text="20.1.2.3\n"
    ),
    "/v1/inbound-ips": ResponseSpec(
        summary="Distinct frontend addresses of inbound rules",
        shape=list[models.Address],
        text="20.20.20.20\n",
    ),
    "/v1/outbound-ips": ResponseSpec(
        summary="Distinct frontend addresses of outbound rules",
        shape=list[models.Address],
        text="52.1.1.1\n",
    ),
    "/v1/egress-ips": ResponseSpec(
        summary="What the node leaves from, as declared or else as the metadata service can tell",
        shape=list[models.Address],
        text="20.1.2.3\n",
        description=(
            "For each private IP address and each address family: its instance-level public IP addresses if "
            "it has any, else the frontends of its outbound rules. "
            "Route tables and NAT gateways, which come before both, are invisible to the metadata service: "
            "what the operator declares takes the place of its answer for the families that it names. "
            "Of a declared network, at most 16 addresses are listed here; `/v1/egress` has the networks."
        ),
    ),
    "/v1/egress": ResponseSpec(
        summary="Where connections leave from: as configured, as declared, as observed",
        shape=models.EgressKinds,
        text="configured ipv4 20.1.2.3 instance-ip 10.240.0.4\n",
        description=(
            "What probes observed never becomes part of `ips`: an answer from a machine elsewhere must not "
            "write itself into allow-lists. In a sidecar, `declared` and `observed` are the node agent's, "
            "unless it has settings of its own."
        ),
    ),
    "/v1/inbound-rules": ResponseSpec(
        summary="The inbound rules",
        shape=list[models.InboundRuleModel],
        text="tcp 20.20.20.20:443 -> 10.240.0.4:30443\n",
    ),
    "/v1/outbound-rules": ResponseSpec(
        summary="The outbound rules",
        shape=list[models.AddressPair],
        text="10.240.0.4 -> 52.1.1.1\n",
    ),
    "/v1/private-ips": ResponseSpec(
        summary="The facts grouped per private IP address of the network interface",
        shape=models.PrivateIPs,
        text="10.240.0.4\n",
        description="`privateIp` chooses a group; the other filters choose facts by their frontend.",
    ),
    "/v1/private-ips/{ip}": ResponseSpec(
        summary="The facts of one private IP address",
        shape=models.PrivateIPFacts,
        nothing=True,
    ),
    "/v1/reachable": ResponseSpec(
        summary="Where a host port, NodePort or Service port is reached from elsewhere",
        shape=list[models.Endpoint],
        text="20.1.2.3:41932\n",
        description=(
            "Instance-level public IP addresses first, then frontends of rules that lead to the port. "
            "A security group can still block it."
        ),
    ),
    "/v1/history": ResponseSpec(
        summary="The last 50 changes, newest first",
        shape=list[models.Change],
        text="2026-01-02T03:04:05Z -outbound 52.1.1.1 +outbound 52.2.2.2\n",
    ),
    "/v1/raw": ResponseSpec(
        summary="The last answer of the metadata service, byte for byte",
        shape=Schema,
        description="In a sidecar, which asks a node agent, that agent's body of `/v1/loadbalancer`.",
        nothing=True,
    ),
    "/v1/events": ResponseSpec(
        summary="Server-sent events: the state now, and again whenever it changes",
        shape=None,
        description=(
            "Events are called `state`; their data is the body of `/v1/loadbalancer` and their id its ETag. "
            "States in between are never replayed. A comment comes every 15 s."
        ),
    ),
    "/openapi.json": ResponseSpec(summary="This description", shape=Schema),
    "/": ResponseSpec(summary="A status page for people", shape=None),
}

PARAMETERS: Mapping[str, tuple[str, Schema]] = {
    "privateIp": (
        "Only what belongs to this private IP address.",
        {"type": "string", "examples": ["10.240.0.4"]},
    ),
    "family": ("Only frontends of this family.", {"enum": ["ipv4", "ipv6"]}),
    "scope": ("Only frontends that are reached from there.", {"enum": ["public", "private"]}),
    "protocol": (
        "In any case.",
        {"type": "string", "pattern": "^[A-Za-z0-9]{1,16}$", "examples": ["tcp"]},
    ),
    "frontendPort": (
        "Only rules with this frontend port.",
        {"type": "integer", "minimum": 0, "maximum": 65535},
    ),
    "backendPort": (
        "Only rules with this backend port.",
        {"type": "integer", "minimum": 0, "maximum": 65535},
    ),
    "port": (
        "A host port, NodePort or Service port.",
        {"type": "integer", "minimum": 1, "maximum": 65535},
    ),
    "format": ("The form of the answer; wins over `Accept`.", {"enum": ["json", "text"]}),
    "node": ("The node that is meant; 421 from any other one.", {"type": "string"}),
    "api-version": ("", {"pattern": f"^{VERSION_PATTERN}$", "examples": sorted(API_VERSIONS)[:1]}),
    "Metadata": ("As the metadata service demands it, in any case.", {"enum": ["true"]}),
    "If-None-Match": ("ETags of bodies that the client has.", {"type": "string"}),
    "Prefer": (
        (
            "`wait=N`: with `If-None-Match`, wait up to N seconds (at most 300) for another ETag; "
            "before the first data, wait for them."
        ),
        {"type": "string"},
    ),
    "Last-Event-ID": ("The id of the last event that the client has had.", {"type": "string"}),
    "ip": ("A private IP address of the network interface.", {"type": "string", "examples": ["10.240.0.4"]}),
}

HEADERS: Mapping[str, tuple[str, Schema]] = {
    "ETag": ("Strong, of exactly these bytes.", {"type": "string"}),
    "Age": ("Seconds since the data were last known to be true.", {"type": "integer", "minimum": 0}),
    "Azure-LB-Metadata-Node": ("Whose data these are.", {"type": "string"}),
    "Azure-LB-Metadata-Status": (
        "What the data are worth.",
        {"enum": ["starting", "ok", "stale", "no-metadata"]},
    ),
    "Azure-LB-Metadata-Revision": ("Of the canonical document.", {"type": "string"}),
    "Azure-LB-Metadata-Observed-At": ("The last good answer.", {"type": "string", "format": "date-time"}),
    "Azure-LB-Metadata-Source": ("Where the data came from.", {"enum": ["imds", "restored", "upstream"]}),
}

REASONS = {
    400: "A parameter is missing, unknown, inapplicable, repeated or has a wrong value.",
    403: "The request came through a proxy (`X-Forwarded-For`), and those are refused.",
    404: "There is none; the detail says what there is.",
    405: "Everything is read-only.",
    421: "This is another node's agent.",
    503: "There is no answer yet, the agent is about to stop, or too many clients wait or are connected.",
}
