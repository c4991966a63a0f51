"""Objects of the API server as far as the commands for operators read them, and their conversion.

https://kubernetes.io/docs/reference/kubernetes-api/. Of a page, only the members named here become
Python objects: a Node has some ten kilobytes of images and field owners that are not needed here.
"""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from sidecar.core.addresses import IPAddress, parse_address
from sidecar.core.annotations import is_node_name
from sidecar.core.cluster import ClusterNode, LoadBalancerService, StaticGateway, Taint
from sidecar.core.egress import declared_networks

_Value = TypeVar("_Value")
_Item = TypeVar("_Item")


# Encoders of the API server write an empty list or map as null.
OptionalMap = Annotated[dict[str, str], BeforeValidator(lambda value: {} if value is None else value)]
OptionalList = Annotated[list[_Value], BeforeValidator(lambda value: [] if value is None else value)]


class Wire(BaseModel):
    """A part of an object; members without a field are ignored."""

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


class WireCondition(Wire):
    """A condition of a Node or pod."""

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
        """When the condition Ready last changed."""
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
        """As a value of the core."""
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
        """As a value of the core."""
        addresses: set[IPAddress] = set()
        for each in self.status.load_balancer.ingress:
            # An ingress may have a host name instead of an address.
            with suppress(ValueError):
                addresses.add(parse_address(each.ip))
        return LoadBalancerService(
            namespace=self.metadata.namespace,
            name=self.metadata.name,
            addresses=frozenset(addresses),
            ports=frozenset((each.protocol.lower(), each.port) for each in self.spec.ports),
        )


_LONGEST_PREFIXES = 4096
"""Characters of the networks of one gateway: some hundred, and it has at most 16 addresses."""


class _GatewayStatus(Wire):
    egress_ip_prefix: Any = None


class WireStaticGateway(Wire):
    """A StaticGatewayConfiguration (Azure/kube-egress-gateway api/v1alpha1)."""

    metadata: Metadata
    status: _GatewayStatus | None = None

    def convert(self) -> StaticGateway:
        """As a value of the core."""
        namespace, name = self.metadata.namespace, self.metadata.name
        if not (is_node_name(namespace) and is_node_name(name)):
            raise ValueError("a name is none that an object can have")
        given = None if self.status is None else self.status.egress_ip_prefix
        if given is None or given == "":
            return StaticGateway(namespace=namespace, name=name)
        try:
            if not isinstance(given, str) or len(given) > _LONGEST_PREFIXES:
                raise ValueError("a list of networks is a short text")
            # A public prefix, or, where it has no public addresses, its private ones, joined by commas.
            networks = declared_networks(part.strip() for part in given.split(","))
        except ValueError:
            return StaticGateway(namespace=namespace, name=name, unreadable=True)
        return StaticGateway(namespace=namespace, name=name, networks=networks)


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
    """A function that parses a page of a list of such objects, and converts each."""
    adapter: TypeAdapter[Any] = TypeAdapter(_Items[kind])  # type: ignore[valid-type]

    def read(body: bytes) -> Page[_Item]:
        given = adapter.validate_json(body)
        return Page([convert(item) for item in given.items], given.metadata.next)

    return read
