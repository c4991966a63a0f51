"""Objects of the API server as far as the commands for operators read them, and what they become.

https://kubernetes.io/docs/reference/kubernetes-api/. Of a page, only the members named here become
Python objects: a Node has some ten kilobytes of images and field owners that nobody here asks about.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from sidecar.core.addresses import IPAddress, parse_address
from sidecar.core.cluster import ClusterNode, LoadBalancerService, Taint

_Value = TypeVar("_Value")
_Item = TypeVar("_Item")


def _empty_as_absent(value: object) -> object:
    """Encoders of the API server write an empty list or map as null."""
    return [] if value is None else value


def _empty_map(value: object) -> object:
    return {} if value is None else value


OptionalMap = Annotated[dict[str, str], BeforeValidator(_empty_map)]
OptionalList = Annotated[list[_Value], BeforeValidator(_empty_as_absent)]


class Wire(BaseModel):
    """A part of an object; what it does not name is passed over."""

    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)


class _Owner(Wire):
    name: str
    controller: bool | None = None


class Metadata(Wire):
    """``ObjectMeta``."""

    name: str
    namespace: str = ""
    labels: OptionalMap = Field(default_factory=dict)
    annotations: OptionalMap = Field(default_factory=dict)
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None
    owner_references: OptionalList[_Owner] = Field(default_factory=list)

    @property
    def controller(self) -> str:
        """Name of the object that controls it; empty if there is none."""
        return next((owner.name for owner in self.owner_references if owner.controller), "")


class WireCondition(Wire):
    """What Nodes and pods say of themselves."""

    type: str
    status: str
    reason: str = ""
    last_transition_time: datetime | None = None


class WireConditions(Wire):
    """A status with conditions."""

    conditions: OptionalList[WireCondition] = Field(default_factory=list)

    def condition(self, kind: str) -> WireCondition | None:
        """The condition of this type."""
        return next((each for each in self.conditions if each.type == kind), None)

    @property
    def ready(self) -> bool:
        """Whether the condition Ready is True."""
        ready = self.condition("Ready")
        return ready is not None and ready.status == "True"

    @property
    def ready_since(self) -> datetime | None:
        """When the condition Ready changed last."""
        ready = self.condition("Ready")
        return None if ready is None else ready.last_transition_time


class _Taint(Wire):
    key: str
    value: str = ""
    effect: str = ""


class _NodeSpec(Wire):
    taints: OptionalList[_Taint] = Field(default_factory=list)


class WireNode(Wire):
    """A Node."""

    metadata: Metadata
    spec: _NodeSpec = _NodeSpec()
    status: WireConditions = WireConditions()

    def convert(self) -> ClusterNode:
        """The part that counts."""
        return ClusterNode(
            name=self.metadata.name,
            labels=self.metadata.labels,
            annotations=self.metadata.annotations,
            taints=tuple(Taint(each.key, each.value, each.effect) for each in self.spec.taints),
            ready=self.status.ready,
            since=self.status.ready_since or self.metadata.creation_timestamp,
        )


class _ServicePort(Wire):
    protocol: str = "TCP"
    port: int


class _ServiceSpec(Wire):
    ports: OptionalList[_ServicePort] = Field(default_factory=list)


class _Ingress(Wire):
    ip: str = ""


class _LoadBalancer(Wire):
    ingress: OptionalList[_Ingress] = Field(default_factory=list)


class _ServiceStatus(Wire):
    load_balancer: _LoadBalancer = _LoadBalancer()


class WireService(Wire):
    """A Service."""

    metadata: Metadata
    spec: _ServiceSpec
    status: _ServiceStatus = _ServiceStatus()

    def convert(self) -> LoadBalancerService:
        """The part that counts."""
        given = (_address(each.ip) for each in self.status.load_balancer.ingress)
        return LoadBalancerService(
            namespace=self.metadata.namespace,
            name=self.metadata.name,
            addresses=frozenset(address for address in given if address is not None),
            ports=frozenset((each.protocol.lower(), each.port) for each in self.spec.ports),
        )


@dataclass(frozen=True, slots=True)
class Page(Generic[_Item]):
    """A part of a list."""

    items: list[_Item]
    next: str
    """The token of the next page; empty on the last."""


class _ListMetadata(Wire):
    next: str = Field("", alias="continue")


class _Items(Wire, Generic[_Value]):
    metadata: _ListMetadata
    items: OptionalList[_Value]


def page_of(kind: type[_Value], convert: Callable[[_Value], _Item]) -> Callable[[bytes], Page[_Item]]:
    """What reads a page of a list of such objects."""
    adapter: TypeAdapter[Any] = TypeAdapter(_Items[kind])  # type: ignore[valid-type]

    def read(body: bytes) -> Page[_Item]:
        given = adapter.validate_json(body)
        return Page([convert(item) for item in given.items], given.metadata.next)

    return read


def _address(text: str) -> IPAddress | None:
    try:
        return parse_address(text)
    except ValueError:
        return None
