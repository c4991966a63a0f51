"""The settings of ``run``: names, values, defaults, and which go together."""

import os
from collections.abc import Callable
from ipaddress import ip_network
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, model_validator
from pydantic_settings import (
    BaseSettings,
    InitSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from sidecar.core.addresses import IPAddress, IPNetwork, parse_address
from sidecar.core.annotations import DEFAULT_PREFIX, is_node_name, parse_prefix
from sidecar.core.egress import MOST_NETWORKS, MOST_PROBES, declared_networks
from sidecar.core.instant import parse_duration
from sidecar.core.listen import ListenAddress, parse_listen
from sidecar.core.probes import Probe, parse_probe
from sidecar.core.reply import VERSION
from sidecar.errors import UsageError

ENVIRONMENT_PREFIX = "AZURE_LB_METADATA_"

FALLBACK_VARIABLES = {"node_name": "NODE_NAME", "node_address": "HOST_IP"}
"""Variables that pod templates commonly set from the downward API."""

_LONGEST_TIMEOUT = 15.0
"""Two attempts in a row then still end before the poller counts as stuck (``runtime.py``)."""


def _written(read: Callable[[str], object]) -> BeforeValidator:
    """Reads a value that is text; any other is taken as it is."""

    def value(given: object) -> object:
        return read(given) if isinstance(given, str) else given

    return BeforeValidator(value)


def _list_of(read: Callable[[str], object]) -> BeforeValidator:
    """The same of values between commas."""
    return _written(lambda text: tuple(read(part.strip()) for part in text.split(",")))


def _origin(value: str) -> str:
    """Accept a URL of scheme, host and port only, and return it without a trailing slash."""
    parts = urlsplit(value)
    if parts.scheme not in {"http", "https"} or not parts.hostname or parts.username is not None:
        raise ValueError(f"{value!r} is not a URL such as http://169.254.169.254")
    # The characters and not the parts: an empty query or fragment and blanks leave no trace in those.
    if parts.path not in {"", "/"} or not {*value}.isdisjoint("?#") or any(map(str.isspace, value)):
        raise ValueError(f"{value!r} must be scheme, host and port only")
    _ = parts.port  # Raises ValueError when it is out of range.
    return value.rstrip("/")


def _node_name(value: str) -> str:
    if not is_node_name(value):
        raise ValueError(f"{value!r} is not the name of a Node")
    return value


def _version(value: str) -> str:
    if VERSION.fullmatch(value) is None:
        raise ValueError(f"{value!r} is not an api-version such as 2020-10-01")
    return value


def _default_poll_interval(data: dict[str, Any]) -> float:
    return 60.0 if data.get("upstream") == "imds" and not data.get("annotations") else 10.0


def _first_address(text: str) -> IPAddress:
    """An address, or of several the first: the downward API's `status.hostIPs` begins with the main one."""
    addresses = [parse_address(part.strip()) for part in text.split(",")]
    return addresses[0]


Duration = Annotated[float, _written(parse_duration), Field(gt=0)]
DurationOrZero = Annotated[
    float, _written(lambda text: 0.0 if text == "0" else parse_duration(text)), Field(ge=0)
]
Listen = Annotated[ListenAddress | None, NoDecode, _written(parse_listen)]
Prefixes = Annotated[tuple[str, ...], NoDecode, _list_of(parse_prefix)]
Declared = Annotated[
    tuple[IPNetwork, ...],
    NoDecode,
    _written(lambda text: declared_networks(part.strip() for part in text.split(","))),
    Field(max_length=MOST_NETWORKS),
]
Probes = Annotated[tuple[Probe, ...], NoDecode, _list_of(parse_probe), Field(max_length=MOST_PROBES)]
Networks = Annotated[tuple[IPNetwork, ...], NoDecode, _list_of(ip_network)]


class Settings(BaseSettings):
    """All settings of ``run``. Durations are in seconds once read."""

    model_config = SettingsConfigDict(
        arbitrary_types_allowed=True,
        cli_avoid_json=True,
        cli_exit_on_error=False,
        cli_implicit_flags=True,
        cli_kebab_case=True,
        cli_parse_none_str="\0",  # no argument can hold it: "None" is a value like any other
        env_ignore_empty=True,
        env_prefix=ENVIRONMENT_PREFIX,
        frozen=True,
        use_attribute_docstrings=True,
    )
    from_environment: ClassVar[bool] = True
    """Whether variables are read; else only what is given counts."""

    upstream: Annotated[str, AfterValidator(lambda value: value if value == "imds" else _origin(value))] = (
        "imds"
    )
    """Where the document comes from: `imds`, or the URL of a node agent (implies --no-annotations)."""
    imds_endpoint: Annotated[str, AfterValidator(_origin)] = "http://169.254.169.254"
    """The metadata service: scheme, host and port only. Proxies are never used."""
    imds_api_version: Annotated[str, AfterValidator(_version)] = "2020-10-01"
    """The api-version to request; another one is used if the service refuses it and names some."""
    annotations: bool = Field(default_factory=lambda data: data.get("upstream") == "imds")
    """Publish as annotations of the Node; needs a node name and a cluster. On unless --upstream is given."""
    poll_interval: Duration = Field(default_factory=_default_poll_interval)
    """Interval between requests to the metadata service, ±10 %; 60s with --no-annotations."""
    imds_timeout: Annotated[Duration, Field(le=_LONGEST_TIMEOUT)] = 5.0
    """Timeout of a whole request to the metadata service, at most 15s."""
    stale_after: Duration = 300.0
    """Age of the last good answer at which the data become stale."""
    absent_after: Duration = 300.0
    """How long the metadata service must keep saying "none" before earlier data are withdrawn."""
    listen: Listen = parse_listen("127.0.0.1:16925")
    """Where the HTTP API listens: address:port, :port (all), host:port (--node-address), unix:/path, none."""
    admin_listen: Listen = parse_listen("127.0.0.1:16926")
    """Where probes, metrics and the last attempts are served, in the same forms."""
    max_clients: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    """Maximum concurrent connections to the HTTP API."""
    max_header_size: Annotated[int, Field(ge=1024, le=65_536)] = 8192
    """Maximum size of the request line, and of each header field, in bytes."""
    idle_timeout: Duration = 75.0
    """Idle time after which a connection to the HTTP API is closed."""
    allow_forwarded: bool = False
    """Answer requests that carry X-Forwarded-For; refused by default, as the metadata service does."""
    allow_from: Networks = ()
    """Networks whose connections are served, separated by commas; any if empty. Probes: also private ones."""
    node_name: Annotated[str, AfterValidator(_node_name)] | None = None
    """Name of the Node; NODE_NAME if not set."""
    kubeconfig: Path | None = None
    """Kubeconfig file; in a pod its service account, else KUBECONFIG, if not set."""
    context: str | None = None
    """Context of the kubeconfig file; its current one if not set."""
    annotate: Literal["full", "summary"] = "full"
    """`summary` leaves out the annotation that holds the whole document."""
    annotation_prefix: Annotated[str, AfterValidator(parse_prefix)] = DEFAULT_PREFIX
    """Domain of the annotation keys."""
    previous_annotation_prefixes: Prefixes = ()
    """Earlier values of --annotation-prefix, separated by commas: their keys are removed at the start."""
    annotation_budget: Annotated[int, Field(ge=2048, le=262_144)] = 8192
    """Maximum size of all annotations together, keys and values, in bytes."""
    node_address: Annotated[IPAddress, _written(_first_address)] | None = None
    """The node's own address (of several the first), whose public IP comes first; HOST_IP if not set."""
    write_splay: Duration = 30.0
    """Maximum random delay before a write, minimum interval between writes; over 1,000 nodes 30 ms a node."""
    resync_interval: Duration = 900.0
    """Interval between reads of the Node, ±20 %."""
    heartbeat_interval: DurationOrZero = 3600.0
    """How often `observed-at` is refreshed when nothing else is written, ±20 %; 0 disables it."""
    events: bool = False
    """Also send Kubernetes Events for changed public or outbound IPs, withdrawn data and lasting faults."""
    events_fault_after: Duration = 900.0
    """How long the metadata service must fail before an Event reports it."""
    file: Path | None = None
    """Also write the document as JSON there, and KEY=value lines to the same path + .env."""
    metrics_addresses: bool = False
    """Export the addresses as a metric, address_info: one sample each."""
    egress_declared: Declared = ()
    """Networks that connections leave from, as of a NAT gateway; replaces what is configured, per family."""
    egress_probe: Probes = ()
    """Servers elsewhere that tell which address connections come from: stun:, stun+tcp:, https: URLs."""
    egress_probe_interval: Annotated[Duration, Field(ge=60)] = 600.0
    """Interval between rounds of egress probes, ±20 %, at least 1m; the first is within 10s of the start."""
    egress_probe_flows: Annotated[int, Field(ge=1, le=32)] = 5
    """Maximum connections to an egress probe in a round, per address family; one while all agree."""
    egress_probe_keep: Duration = 86_400.0
    """How long an address stays observed without being seen again."""
    egress_probe_ca: Path | None = None
    """File of certificate authorities (PEM) for https: probes; the system's if not set."""
    log_format: Annotated[Literal["json", "text"], _written(str.lower)] | None = None
    """Format of log lines; text on a terminal and json elsewhere, if not set."""
    log_level: Annotated[Literal["debug", "info", "warning", "error"], _written(str.lower)] = "info"
    """Minimum severity of log lines."""

    @model_validator(mode="after")
    def _possible(self) -> Self:
        if self.annotations and self.upstream != "imds":
            raise UsageError(
                f"{named('annotations')} and {named('upstream')} exclude each other",
                advice="only an agent that reads the metadata service itself annotates its Node",
            )
        if self.annotations and self.node_name is None:
            raise UsageError(
                f"{named('node_name')} is needed to publish annotations",
                advice="set it (in a pod from the downward API, spec.nodeName), or use --no-annotations",
            )
        if self.events and not self.annotations:
            raise UsageError(
                f"{named('events')} needs {named('annotations')}",
                advice="Events are about the Node, which an agent without annotations does not know",
            )
        for field, address in (("listen", self.listen), ("admin_listen", self.admin_listen)):
            if address is not None and address.of_host and self.node_address is None:
                raise UsageError(
                    f"{named(field)} is {address}, but {named('node_address')} is not set",
                    advice="set it (in a pod from the downward API, status.hostIP)",
                )
        if self.annotation_prefix in self.previous_annotation_prefixes:
            raise UsageError(
                f"{named('previous_annotation_prefixes')} contains {self.annotation_prefix!r}",
                advice=f"that is the value of {flag('annotation_prefix')}, whose keys are to stay",
            )
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Flags come before our variables, and those before the common ones."""
        del dotenv_settings, file_secret_settings
        if not cls.from_environment:
            return (init_settings,)
        common = {name: os.environ.get(variable) for name, variable in FALLBACK_VARIABLES.items()}
        given = {name: value for name, value in common.items() if value}
        return init_settings, env_settings, InitSettingsSource(settings_cls, init_kwargs=given)


def named(field: str) -> str:
    """Flag and variables of a setting, as a message names it."""
    variables = [variable(field)]
    if field in FALLBACK_VARIABLES:
        variables.append(FALLBACK_VARIABLES[field])
    return f"{flag(field)} ({' or '.join(variables)})"


def flag(field: str) -> str:
    """The flag of a setting."""
    return f"--{field.replace('_', '-')}"


def variable(field: str) -> str:
    """The environment variable of a setting."""
    return ENVIRONMENT_PREFIX + field.upper()
