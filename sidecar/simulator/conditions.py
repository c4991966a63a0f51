"""Conditions and scenarios: what the simulated service replies, to which caller and when, read from YAML.

A scenario is YAML in camelCase::

    document: all
    steps:
      - at: 30s
        fault: unavailable
      - at: 1m
        fault: none
"""

import ipaddress
import re
from pathlib import Path
from typing import Annotated, Literal, TypeVar

import yaml
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    JsonValue,
    TypeAdapter,
    ValidationError,
    field_validator,
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
            raise ValueError(f"{value!r} is not a mapping with keys of: {' '.join(allowed)}")  # noqa: TRY004 -- as above
        for key in value if isinstance(value, dict) else ():
            if key not in allowed and key not in cls.model_fields:
                raise ValueError(f"there is no key {key!r} here; there are: {' '.join(allowed)}")
        return value

    def json_object(self) -> dict[str, JsonValue]:
        """What was given, without defaults, as JSON that gives an equal value when read again."""
        dumped: dict[str, JsonValue] = self.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return dumped


class DocumentSettings(Model):
    """A data set by name, or a body of the user's own, and changes to it."""

    name: str | None = None
    """A data set; None is ``all``, unless ``inline`` or ``raw`` is given."""
    inline: JsonValue = None
    """The whole body as JSON, outer key included, of any shape."""
    raw: str | None = None
    """The body as it is, JSON or not."""
    rules: Annotated[int, Field(ge=0, le=100_000)] | None = None
    """Inbound rules of the data set ``many-rules``."""
    outbound_ips: Annotated[int, Field(ge=0, le=15)] | None = None
    """Outbound IPs of the data sets that have some."""
    omit: tuple[Literal["publicIpAddresses", "inboundRules", "outboundRules"], ...] = ()
    """Lists that are missing."""
    replace: dict[Literal["publicIpAddresses", "inboundRules", "outboundRules"], JsonValue] = {}
    """What stands in place of a list, such as null or {}."""
    rotate: bool = False
    """Whether every reply has another order of entries."""

    @field_validator("name")
    @classmethod
    def _known_name(cls, name: str | None) -> str | None:
        if name is not None and name not in DOCUMENTS:
            raise ValueError(f"there is no document {name!r}; there are: {' '.join(DOCUMENTS)}")
        return name

    @model_validator(mode="after")
    def _one_origin(self) -> "DocumentSettings":
        given = sorted({"name", "inline", "raw"} & self.model_fields_set)
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} exclude each other: give one of name, inline, raw")
        if self.raw is not None and (self.omit or self.replace or self.rotate):
            raise ValueError("raw is sent as it is: omit, replace and rotate do not go with it")
        return self


class FaultSettings(Model):
    """A fault by name, how often it strikes, and changes to it."""

    name: str
    times: Annotated[int, Field(ge=1)] | None = None
    """Requests it strikes before it is cleared; None: until changed."""
    probability: Annotated[float, Field(gt=0, le=1)] = 1
    """The chance that it strikes a request."""
    everywhere: bool | None = None
    """Whether it strikes every path or the load balancer endpoint alone; None: as the fault declares."""
    retry_after: Seconds | None = None
    """Value of Retry-After, rounded up to seconds."""
    retry_after_date: bool | None = None
    """Whether Retry-After is an HTTP date."""
    delay: Seconds | None = None
    """Delay of a ``slow`` reply; the pause between two bytes of a ``slow-drip``."""
    size: Annotated[int, Field(ge=0, le=1 << 32)] | None = None
    """Bytes of a ``huge`` body; the bytes sent of a ``truncated`` one."""
    status: Annotated[int, Field(ge=200, le=599)] | None = None
    body: str | None = None
    content_type: str | None = None
    headers: dict[str, str] = {}

    @field_validator("name")
    @classmethod
    def _known_name(cls, name: str) -> str:
        if name not in FAULTS:
            raise ValueError(f"there is no fault {name!r}; there are: none {' '.join(FAULTS)}")
        return name

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
                names = " ".join(name for name, fault in FAULTS.items() if fault.action in actions)
                raise ValueError(f"{to_camel(member)} does not go with {self.name}; it does with: {names}")
        return self


def _named(value: object) -> object:
    """A plain word stands for the mapping with only that name."""
    return {"name": value} if isinstance(value, str) else value


def _network(value: str) -> str:
    try:
        return str(ipaddress.ip_network(value))
    except ValueError as error:
        raise ValueError(f"{value!r} is neither an address nor a network: {error}") from error


Document = Annotated[DocumentSettings, BeforeValidator(_named)]
OptionalFault = Annotated[
    FaultSettings | None, BeforeValidator(lambda value: None if value == "none" else _named(value))
]
Network = Annotated[str, AfterValidator(_network)]


class InstanceSettings(Model):
    """Facts of the virtual machine in ``/metadata/instance``."""

    name: str | None = None
    """The machine's name; None: one made from the caller's address."""
    scale_set: str = "aks-nodepool1-12345678-vmss"
    """vmScaleSetName; empty for a machine of its own."""
    location: str = "westeurope"
    resource_group: str = "MC_group_cluster_westeurope"
    subscription: str = "00000000-0000-0000-0000-000000000000"
    public_ip: str = ""
    """The public IP in the network part: the service fills it for Basic SKU addresses alone."""
    imds_restriction: bool | None = False
    """Value of the tag aks-managed-enable-imds-restriction; None: no such tag."""
    tags: dict[str, str] = {}


class Behaviour(Model):
    """Everything that decides a reply at one time."""

    document: Document = DocumentSettings(name="all")
    fault: OptionalFault = None
    addresses: dict[Network, Document] = {}
    """Documents of callers by address or network; the narrowest network wins."""
    addressing: Literal["same", "per-caller"] = "same"
    """Whether every caller gets public IPs and private addresses of its own."""
    rate_limit: bool = True
    """Whether a caller is limited to five requests a second."""
    versions: Annotated[tuple[str, ...], Field(min_length=1)] = KNOWN_VERSIONS
    """The API versions the service knows."""
    version_error: Literal["newest-versions", "missing-parameter"] = "newest-versions"
    """Which of the two documented texts a missing api-version gets."""
    instance: InstanceSettings = InstanceSettings()


class Step(Model):
    """A change at a time after the start; what is not named stays as it is."""

    at: Seconds
    document: Document | None = None
    fault: OptionalFault = None
    addresses: dict[Network, Document] | None = None
    rate_limit: bool | None = None

    def changes(self) -> dict[str, object]:
        """The members of the conditions that the step names."""
        return {name: getattr(self, name) for name in self.model_fields_set - {"at"}}

    @model_validator(mode="after")
    def _only_fault_can_be_cleared(self) -> "Step":
        for name, value in self.changes().items():
            if value is None and name != "fault":
                raise ValueError(f"{to_camel(name)} is empty: leave it out, or say what it changes to")
        return self


class Scenario(Behaviour):
    """Conditions at the start and their changes over time."""

    steps: tuple[Step, ...] = ()
    repeat_every: Seconds | None = None
    """Seconds after which the scenario starts again; None: never."""
    seed: int | None = None
    """Makes faults with a probability strike the same requests every time."""

    @model_validator(mode="after")
    def _steps_in_order(self) -> "Scenario":
        times = [step.at for step in self.steps]
        if times != sorted(times):
            raise ValueError("steps must be in the order of their times")
        if self.repeat_every is not None and self.repeat_every <= max(times, default=0):
            raise ValueError("repeatEvery must be later than the last step")
        return self

    def conditions(self) -> Behaviour:
        """The conditions at the start."""
        return Behaviour.model_construct(**{name: getattr(self, name) for name in Behaviour.model_fields})


def load_scenario(path: Path) -> Scenario:
    """The scenario of a YAML file.

    Raises:
        ScenarioError: The file is not YAML, or not a scenario.
        OSError: It cannot be read.
    """
    return parse_scenario(path.read_text(encoding="utf-8"))


def parse_scenario(text: str) -> Scenario:
    """The scenario of a YAML text; an empty text is the scenario of defaults.

    Raises:
        ScenarioError: The text is not YAML, or not a scenario.
    """
    value = parse_yaml(text)
    return checked(Scenario, {} if value is None else value)


class ScenarioError(ValueError):
    """A scenario or a part of one is wrong: one line that names the place and what is allowed."""


class _Loader(yaml.SafeLoader):
    """YAML without timestamps: 2020-10-01 is a version here, hence a text."""


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def parse_yaml(text: str) -> object:
    """The value of a YAML text, hence also of JSON or of a plain word.

    Raises:
        ScenarioError: The text is not YAML.
    """
    try:
        return yaml.load(text, Loader=_Loader)  # noqa: S506 -- the loader is the safe one
    except yaml.MarkedYAMLError as error:
        place = error.problem_mark
        where = f"line {place.line + 1}, column {place.column + 1}: " if place else ""
        raise ScenarioError(f"{where}{error.problem or error.context}") from error
    except yaml.YAMLError as error:
        raise ScenarioError(" ".join(str(error).split())) from error


_Value = TypeVar("_Value")


def checked(kind: type[_Value], value: object) -> _Value:
    """The value as the given type.

    Raises:
        ScenarioError: It does not fit.
    """
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        place = "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in first["loc"])
        cause = first.get("ctx", {}).get("error") or first["msg"]
        raise ScenarioError(f"{place.lstrip('.') or 'scenario'}: {cause}") from error
