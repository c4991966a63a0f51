"""The conditions that decide every answer, as checked settings in camelCase."""

import ipaddress
import re
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    model_validator,
)
from pydantic.alias_generators import to_camel

from sidecar.simulator.documents import DOCUMENTS
from sidecar.simulator.faults import FAULTS, Action

_UNITS = {"h": 3600.0, "m": 60.0, "s": 1.0, "ms": 0.001}
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?)(ms|h|m|s)", re.ASCII)
_WHOLE = re.compile(rf"(?:{_PART.pattern})+", re.ASCII)


def seconds(value: object) -> object:
    """Seconds of ``1m30s``, ``250ms``, ``0``; a number already means seconds.

    Raises:
        ValueError: The text is not a duration.
    """
    if not isinstance(value, str):
        return value
    if value == "0":
        return 0.0
    if not _WHOLE.fullmatch(value):
        raise ValueError(f"{value!r} is not a duration; write it like 30s, 1m30s or 250ms")
    return sum(float(number) * _UNITS[unit] for number, unit in _PART.findall(value))


Seconds = Annotated[float, BeforeValidator(seconds), Field(ge=0, allow_inf_nan=False)]
"""A time span of a pydantic model: at least 0, held in seconds."""


LOADBALANCER_SINCE = "2020-10-01"
"""The version that introduced the load balancer category."""

KNOWN_VERSIONS = (
    "2017-03-01",
    "2017-04-02",
    "2017-08-01",
    "2017-10-01",
    "2017-12-01",
    "2018-02-01",
    "2018-04-02",
    "2018-10-01",
    "2019-02-01",
    "2019-03-11",
    "2019-04-30",
    "2019-06-01",
    "2019-06-04",
    "2019-08-01",
    "2019-08-15",
    "2019-11-01",
    "2020-06-01",
    "2020-07-15",
    "2020-09-01",
    # pylint: disable=duplicate-code  # the simulator shares nothing with the agent
    "2020-10-01",
    "2020-12-01",
    "2021-01-01",
    "2021-02-01",
    "2021-03-01",
    "2021-05-01",
    "2021-08-01",
    "2021-10-01",
    "2021-11-01",
    "2021-11-15",
    "2021-12-13",
    "2023-07-01",
    "2023-11-15",
    "2024-03-15",
    "2024-07-17",
    "2025-04-07",
)
"""The versions the document lists, oldest first.

2025-07-24, which Azure's container networking sends, is left out: the captured ``newest-versions``
do not name it.
"""


NAMES = " ".join  # how an error lists what is allowed


class Model(BaseModel):
    """A part of a scenario: camelCase outside, frozen, and no key that means nothing."""

    model_config = ConfigDict(
        alias_generator=to_camel,
        validate_by_name=True,
        validate_by_alias=True,
        serialize_by_alias=True,
        extra="forbid",
        frozen=True,
    )

    @model_validator(mode="before")
    @classmethod
    def _only_known_keys(cls, value: object) -> object:
        allowed = [field.alias or name for name, field in cls.model_fields.items()]
        if not isinstance(value, dict | cls):
            # Not a TypeError: that would leave the validation instead of becoming its result.
            raise ValueError(f"{value!r} is not a mapping with keys of: {NAMES(allowed)}")  # noqa: TRY004 -- as above
        for key in value if isinstance(value, dict) else ():
            if key not in allowed and key not in cls.model_fields:
                raise ValueError(f"there is no key {key!r} here; there are: {NAMES(allowed)}")
        return value

    def json_object(self) -> dict[str, JsonValue]:
        """What was said, and no default, as JSON that gives an equal value when read again."""
        dumped: dict[str, JsonValue] = self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return dumped


def _named(value: object) -> object:
    """A plain word stands for the mapping with only that name."""
    return {"name": value} if isinstance(value, str) else value


def _document_name(value: str) -> str:
    if value not in DOCUMENTS:
        raise ValueError(f"there is no document {value!r}; there are: {NAMES(DOCUMENTS)}")
    return value


def _fault_name(value: str) -> str:
    if value not in FAULTS:
        raise ValueError(f"there is no fault {value!r}; there are: none {NAMES(FAULTS)}")
    return value


class DocumentSettings(Model):
    """A data set by name, or a document of one's own, and how it is bent."""

    name: Annotated[str, AfterValidator(_document_name)] | None = None
    """A data set; ``all`` when nothing is said."""
    inline: JsonValue = None
    """The whole answer as JSON, outer key included; wrong shapes are welcome."""
    raw: str | None = None
    """The body of the answer as it is, JSON or not."""
    rules: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Inbound rules of the data set ``many-rules``."""
    outbound_ips: Annotated[int, Field(ge=0, le=15)] | None = None
    """Outbound IPs of the data sets that have some."""
    omit: tuple[Literal["publicIpAddresses", "inboundRules", "outboundRules"], ...] = ()
    """Lists that are missing."""
    replace: dict[Literal["publicIpAddresses", "inboundRules", "outboundRules"], JsonValue] = {}
    """What stands in place of a list, such as null or {}."""
    rotate: bool = False
    """Whether every answer has another order of entries."""

    @model_validator(mode="after")
    def _one_origin(self) -> "DocumentSettings":
        given = sorted({"name", "inline", "raw"} & self.model_fields_set)
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: give one of name, inline, raw")
        if self.raw is not None and (self.omit or self.replace or self.rotate):
            raise ValueError("raw is sent as it is: omit, replace and rotate do not go with it")
        return self


class FaultSettings(Model):
    """A fault by name, how often it strikes, and what is changed about it."""

    name: Annotated[str, AfterValidator(_fault_name)]
    times: Annotated[int, Field(ge=1)] | None = None
    """Requests it strikes before it is gone; None is until changed."""
    probability: Annotated[float, Field(gt=0, le=1)] = 1
    """The chance that it strikes a request."""
    everywhere: bool | None = None
    """Whether it strikes every path or the load balancer endpoint alone; None is the fault's own way."""
    retry_after: Seconds | None = None
    """What Retry-After says, rounded up to seconds."""
    retry_after_date: bool | None = None
    """Whether Retry-After is an HTTP date."""
    delay: Seconds | None = None
    """How late a ``slow`` answer is; the pause between two bytes of a ``slow-drip``."""
    size: Annotated[int, Field(ge=0, le=1 << 32)] | None = None
    """Bytes of a ``huge`` body; the bytes that come of a ``truncated`` one."""
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    body: str | None = None
    content_type: str | None = None
    headers: dict[str, str] = {}

    @model_validator(mode="after")
    def _fits_the_fault(self) -> "FaultSettings":
        action = FAULTS[self.name].action
        fits = {
            "delay": {Action.DELAY, Action.DRIP},
            "size": {Action.HUGE, Action.TRUNCATE},
            "status": {Action.ANSWER},
            "body": {Action.ANSWER},
            "content_type": {Action.ANSWER},
            "headers": {Action.ANSWER},
            "retry_after": {Action.ANSWER},
            "retry_after_date": {Action.ANSWER},
        }
        for member, actions in fits.items():
            if member in self.model_fields_set and action not in actions:
                names = NAMES(name for name, fault in FAULTS.items() if fault.action in actions)
                raise ValueError(f"{to_camel(member)} does not go with {self.name}; it does with: {names}")
        return self


def _fault(value: object) -> object:
    """``none`` in a scenario is no fault."""
    return None if value == "none" else _named(value)


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise ValueError(f"{value!r} is neither an address nor a network: {error}") from error


Document = Annotated[DocumentSettings, BeforeValidator(_named)]
OptionalFault = Annotated[FaultSettings | None, BeforeValidator(_fault)]
Network = Annotated[str, AfterValidator(_network)]


class InstanceSettings(Model):
    """What ``/metadata/instance`` says about the virtual machine."""

    name: str | None = None
    """The machine's name; None is one made from the caller's address."""
    scale_set: str = "aks-nodepool1-12345678-vmss"
    """vmScaleSetName; empty for a machine of its own."""
    location: str = "westeurope"
    resource_group: str = "MC_group_cluster_westeurope"
    subscription: str = "00000000-0000-0000-0000-000000000000"
    public_ip: str = ""
    """The public IP in the network part: filled for Basic SKU addresses alone."""
    imds_restriction: bool | None = False
    """The tag aks-managed-enable-imds-restriction; None is no such tag."""
    tags: dict[str, str] = {}


class Behaviour(Model):
    """Everything that decides an answer at one time."""

    document: Document = DocumentSettings(name="all")
    fault: OptionalFault = None
    addresses: dict[Network, Document] = {}
    """Documents of callers by address or network; the narrowest network wins."""
    addressing: Literal["same", "per-caller"] = "same"
    """Whether every caller gets public IPs of its own."""
    rate_limit: bool = True
    """Whether a caller may have only five answers a second."""
    versions: Annotated[tuple[str, ...], Field(min_length=1)] = KNOWN_VERSIONS
    """The API versions the service knows."""
    version_error: Literal["newest-versions", "missing-parameter"] = "newest-versions"
    """Which of the two documented texts a missing api-version brings."""
    instance: InstanceSettings = InstanceSettings()
