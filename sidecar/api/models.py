"""The shapes of JSON answers: checked where they are made, and described in ``openapi.json``."""

from typing import Annotated, Literal, NotRequired

from pydantic import Field
from typing_extensions import TypedDict

Address = Annotated[
    str, Field(description="An IPv4 or IPv6 address, canonical, without brackets.", examples=["20.1.2.3"])
]
Port = Annotated[int, Field(ge=0, le=65535)]
Protocol = Annotated[
    str,
    Field(
        pattern="^[a-z0-9]{1,16}$",
        description="Lower case. `all` with ports 0 stands for every protocol and port (HA ports).",
        examples=["tcp"],
    ),
]
Revision = Annotated[
    str,
    Field(
        pattern="^[0-9a-f]{16}$",
        description="The first 16 hex digits of the SHA-256 of the canonical document.",
    ),
]
Time = Annotated[
    str,
    Field(
        json_schema_extra={"format": "date-time"},
        description="RFC 3339, UTC.",
        examples=["2026-01-02T03:04:05Z"],
    ),
]
Reason = Literal[
    "no-metadata", "not-ready", "throttled", "unavailable", "unreachable", "rejected", "malformed"
]


class AddressPair(TypedDict):
    """A frontend address and the private address of the network interface that it belongs to."""

    frontendIpAddress: Address
    privateIpAddress: Address


class InboundRuleModel(TypedDict):
    """A load balancing rule or inbound NAT rule that reaches this node."""

    frontendIpAddress: Address
    protocol: Protocol
    frontendPort: Port
    backendPort: Port
    privateIpAddress: Annotated[
        str, Field(description="Repeats the frontend's address where the rule has floating IP.")
    ]


class LoadBalancerDocument(TypedDict):
    """The canonical document, in the metadata service's own key names."""

    publicIpAddresses: list[AddressPair]
    inboundRules: list[InboundRuleModel]
    outboundRules: list[AddressPair]


class MetadataDocument(TypedDict):
    """The document as the metadata service wraps it."""

    loadbalancer: LoadBalancerDocument


EgressBasis = Literal["instance-ip", "outbound-rule", "mixed", "declared", "unknown"]
EgressState = Annotated[
    Literal["agrees", "unlisted", "inside", "unanswered", "off"],
    Field(
        description="How what was observed compares with what is published: `agrees`; `unlisted`: one "
        "address is not among it; `inside`: the probes are on this side of the translation; `unanswered`; "
        "`off`: there is nothing to compare."
    ),
]
Family = Literal["ipv4", "ipv6"]
Network = Annotated[str, Field(description="In CIDR notation.", examples=["20.1.2.0/30"])]


class EgressSummary(TypedDict):
    """What is declared and observed of where connections leave from."""

    networks: list[Network]
    observed: list[Address]
    state: EgressState


class LoadBalancer(TypedDict):
    """The document with what it is worth."""

    node: Annotated[str | None, Field(description="The node's name, if the agent knows it.")]
    status: Literal["ok", "stale", "no-metadata"]
    reason: Annotated[Reason | None, Field(description="Why the last attempt gave no data; null while `ok`.")]
    revision: Revision
    changedAt: Annotated[Time | None, Field(description="When this revision was first seen.")]
    egress: NotRequired[
        Annotated[EgressSummary, Field(description="Only where anything is declared or probed.")]
    ]
    loadbalancer: LoadBalancerDocument


class ConfiguredEgress(TypedDict):
    """The addresses that connections of one private IP address and one family leave from, by the document."""

    family: Family
    privateIp: Address
    basis: EgressBasis
    ipAddresses: list[Address]


class ObservedEgress(TypedDict):
    """An address that egress probes saw connections come from."""

    ipAddress: Address
    family: Family
    listed: Annotated[bool, Field(description="Whether it is among what is declared or configured.")]
    probes: Annotated[
        list[str], Field(description="Those that saw it; empty: an earlier run, or the node agent, did.")
    ]
    transports: list[Literal["udp", "tcp", "https"]]
    firstSeenAt: Time | None
    lastSeenAt: Time | None
    flows: Annotated[int, Field(ge=0, description="How many connections came from it.")]


class EgressFlow(TypedDict):
    """The last connection to a probe over one family."""

    family: Family
    ipAddress: Address | None
    inside: Annotated[
        bool, Field(description="Whether that is an own or a private address: nothing was translated.")
    ]
    failure: (
        Literal["unknown-name", "no-route", "refused", "no-answer", "certificate", "rejected", "malformed"]
        | None
    )
    detail: Annotated[str, Field(description="Of a failure, in words; else empty.")]


class EgressProbe(TypedDict):
    """A probe, and what its last round brought."""

    probe: Annotated[str, Field(examples=["stun:stun.example.org:3478"])]
    transport: Literal["udp", "tcp", "https"]
    results: list[EgressFlow]


class EgressKinds(TypedDict):
    """Where connections of the node leave from: as configured, as declared, as observed."""

    ips: Annotated[list[Address], Field(description="Declared or configured, never observed.")]
    networks: Annotated[list[Network], Field(description="Declared.")]
    basis: EgressBasis
    state: EgressState
    configured: Annotated[list[ConfiguredEgress], Field(description="From the metadata service.")]
    declared: Annotated[list[Network], Field(description="By the operator.")]
    observed: Annotated[list[ObservedEgress], Field(description="By probes.")]
    probedAt: Annotated[Time | None, Field(description="When the last round of probes ended.")]
    probes: list[EgressProbe]


class PrivateIPModel(TypedDict):
    """What is known of one private IP address of the network interface."""

    privateIp: Address
    publicIps: list[Address]
    outboundIps: list[Address]
    inboundRules: list[InboundRuleModel]


class AnyPrivateIP(TypedDict):
    """Rules with floating IP, which do not tell which private IP address they reach."""

    inboundRules: list[InboundRuleModel]


class PrivateIPs(TypedDict):
    """The facts grouped per private IP address."""

    privateIps: list[PrivateIPModel]
    anyPrivateIp: AnyPrivateIP


class PrivateIPFacts(PrivateIPModel):
    """The facts of one private IP address, and those that hold for any."""

    anyPrivateIp: AnyPrivateIP


class Endpoint(TypedDict):
    """Where clients elsewhere connect to."""

    ipAddress: Address
    port: Annotated[int, Field(ge=1, le=65535)]
    via: Annotated[
        Literal["instance-ip", "inbound-rule"],
        Field(description="Whether it is an instance-level public IP address or a load balancer's frontend."),
    ]


# The functional form, since `from` is a keyword.
Change = TypedDict(
    "Change",
    {
        "changedAt": Time,
        "from": Annotated[
            Revision | None,
            Field(description="The revision before; null where only the annotation tells of the change."),
        ],
        "to": Annotated[Revision | None, Field(description="The revision after; null for the same reason.")],
        "added": Annotated[
            list[str],
            Field(
                description="`public IP`, `inbound proto/IP:port` or `outbound IP`.",
                examples=[["inbound tcp/20.20.20.20:443"]],
            ),
        ],
        "removed": Annotated[list[str], Field(description="In the same words.")],
        "otherRules": Annotated[
            bool, Field(description="Whether more changed than is spelled out in `added` and `removed`.")
        ],
    },
)
"""One change of the document."""


class Versions(TypedDict):
    """The versions of the drop-in path."""

    apiVersions: Annotated[list[str], Field(description="Oldest first.", min_length=1)]


class Problem(TypedDict):
    """An error (RFC 9457)."""

    title: str
    status: Annotated[int, Field(ge=400, le=599)]
    code: NotRequired[
        Annotated[
            Literal["none"],
            Field(description='There is an answer, and it is "there is none"; any other 404 has no code.'),
        ]
    ]
    detail: Annotated[str, Field(description="What is wrong, in words for people.")]


MetadataError = TypedDict(
    "MetadataError",
    {
        "error": str,
        "newest-versions": Annotated[
            list[str],
            Field(description="Only where the version is missing or wrong: the newest, newest first."),
        ],
    },
    total=False,
)
"""An error in the metadata service's own shape."""
