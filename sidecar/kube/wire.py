"""Objects of the API server as far as the commands for operators read them, and what they become.

https://kubernetes.io/docs/reference/kubernetes-api/. Of a page, only the members named here become
Python objects: a Node has some ten kilobytes of images and field owners that nobody here asks about.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Annotated, Any, Generic, TypeVar

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, TypeAdapter
from pydantic.alias_generators import to_camel

from sidecar.core.addresses import IPAddress, parse_address
from sidecar.core.agents import AgentDaemonSet, AgentPod, annotation_prefix
from sidecar.core.nodes import ClusterNode, LoadBalancerService
from sidecar.core.scheduling import Placement, Requirement, Taint, Toleration
from sidecar.kube.errors import printable
from sidecar.kube.listing import Page

__all__ = ["WireDaemonSet", "WireNode", "WirePod", "WireService", "page_of"]

_PREFIX_VARIABLE = "AZURE_LB_METADATA_ANNOTATION_PREFIX"

_Value = TypeVar("_Value")
_Converted = TypeVar("_Converted")


def _empty_as_absent(value: object) -> object:
    """Encoders of the API server write an empty list or map as null."""
    return [] if value is None else value


def _empty_map(value: object) -> object:
    return {} if value is None else value


_Map = Annotated[dict[str, str], BeforeValidator(_empty_map)]
_List = Annotated[list[_Value], BeforeValidator(_empty_as_absent)]


class _Wire(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel, extra="ignore", frozen=True)


class _Metadata(_Wire):
    name: str
    namespace: str = ""
    labels: _Map = Field(default_factory=dict)
    annotations: _Map = Field(default_factory=dict)
    creation_timestamp: datetime | None = None
    deletion_timestamp: datetime | None = None


class _Condition(_Wire):
    type: str
    status: str
    reason: str = ""
    last_transition_time: datetime | None = None


class _Conditions(_Wire):
    conditions: _List[_Condition] = Field(default_factory=list)

    def condition(self, kind: str) -> _Condition | None:
        return next((each for each in self.conditions if each.type == kind), None)


class _Taint(_Wire):
    key: str
    value: str = ""
    effect: str = ""


class _NodeSpec(_Wire):
    taints: _List[_Taint] = Field(default_factory=list)


class WireNode(_Wire):
    """A Node."""

    metadata: _Metadata
    spec: _NodeSpec = _NodeSpec()
    status: _Conditions = _Conditions()

    def convert(self) -> ClusterNode:
        """The part that counts."""
        ready = self.status.condition("Ready")
        return ClusterNode(
            name=self.metadata.name,
            labels=self.metadata.labels,
            annotations=self.metadata.annotations,
            taints=tuple(Taint(each.key, each.value, each.effect) for each in self.spec.taints),
            ready=ready is not None and ready.status == "True",
            since=_since(ready, self.metadata),
        )


class _Expression(_Wire):
    key: str
    operator: str
    values: _List[str] = Field(default_factory=list)


class _Term(_Wire):
    match_expressions: _List[_Expression] = Field(default_factory=list)
    match_fields: _List[_Expression] = Field(default_factory=list)


class _Required(_Wire):
    node_selector_terms: _List[_Term] = Field(default_factory=list)


class _NodeAffinity(_Wire):
    required: _Required | None = Field(None, alias="requiredDuringSchedulingIgnoredDuringExecution")


class _Affinity(_Wire):
    node_affinity: _NodeAffinity | None = None

    @property
    def terms(self) -> Sequence[_Term]:
        required = self.node_affinity.required if self.node_affinity else None
        return required.node_selector_terms if required else ()


class _Toleration(_Wire):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class _Variable(_Wire):
    name: str
    value: str = ""


class _Container(_Wire):
    name: str
    args: _List[str] = Field(default_factory=list)
    env: _List[_Variable] = Field(default_factory=list)


class _PodSpec(_Wire):
    node_name: str = ""
    containers: _List[_Container] = Field(default_factory=list)
    affinity: _Affinity | None = None
    node_selector: _Map = Field(default_factory=dict)
    tolerations: _List[_Toleration] = Field(default_factory=list)

    @property
    def prefix(self) -> str | None:
        """Of the annotations that the agent in it writes."""
        for container in self.containers:
            if container.name == "agent" or len(self.containers) == 1:
                variables = {each.name: each.value for each in container.env}
                return annotation_prefix(container.args, variables.get(_PREFIX_VARIABLE))
        return None

    @property
    def destination(self) -> str:
        """The Node that it runs on, or that the DaemonSet controller made it for."""
        terms = self.affinity.terms if self.affinity else ()
        fields = (field for term in terms for field in term.match_fields if field.key == "metadata.name")
        return self.node_name or next((value for field in fields for value in field.values), "")

    @property
    def placement(self) -> Placement:
        terms = self.affinity.terms if self.affinity else ()
        return Placement(
            tolerations=tuple(Toleration(t.key, t.operator, t.value, t.effect) for t in self.tolerations),
            selector=self.node_selector,
            terms=tuple(
                tuple(Requirement(e.key, e.operator, tuple(e.values)) for e in term.match_expressions)
                for term in terms
            ),
        )


class _Waiting(_Wire):
    reason: str = ""


class _State(_Wire):
    waiting: _Waiting | None = None


class _ContainerStatus(_Wire):
    state: _State = _State()


class _PodStatus(_Conditions):
    pod_ip: str = Field("", alias="podIP")
    reason: str = ""
    container_statuses: _List[_ContainerStatus] = Field(default_factory=list)

    @property
    def trouble(self) -> str:
        """The most telling of the words that say why a pod does not run."""
        scheduled = self.condition("PodScheduled")
        if scheduled is not None and scheduled.status == "False":
            return scheduled.reason
        waiting = (each.state.waiting.reason for each in self.container_statuses if each.state.waiting)
        return next((reason for reason in waiting if reason), self.reason)


class WirePod(_Wire):
    """A pod of an agent."""

    metadata: _Metadata
    spec: _PodSpec
    status: _PodStatus = _PodStatus()

    def convert(self) -> AgentPod:
        """The part that counts."""
        ready = self.status.condition("Ready")
        return AgentPod(
            namespace=self.metadata.namespace,
            name=self.metadata.name,
            node=self.spec.destination,
            prefix=self.spec.prefix,
            ready=ready is not None and ready.status == "True",
            since=_since(ready, self.metadata),
            ending=self.metadata.deletion_timestamp is not None,
            scheduled=bool(self.spec.node_name),
            trouble=printable(self.status.trouble),
            address=self.status.pod_ip,
        )


class _Template(_Wire):
    spec: _PodSpec


class _DaemonSetSpec(_Wire):
    template: _Template


class WireDaemonSet(_Wire):
    """A DaemonSet of agents."""

    metadata: _Metadata
    spec: _DaemonSetSpec

    def convert(self) -> AgentDaemonSet:
        """The part that counts."""
        template = self.spec.template.spec
        return AgentDaemonSet(
            namespace=self.metadata.namespace,
            name=self.metadata.name,
            prefix=template.prefix,
            placement=template.placement,
        )


class _ServicePort(_Wire):
    protocol: str = "TCP"
    port: int


class _ServiceSpec(_Wire):
    ports: _List[_ServicePort] = Field(default_factory=list)


class _Ingress(_Wire):
    ip: str = ""


class _LoadBalancer(_Wire):
    ingress: _List[_Ingress] = Field(default_factory=list)


class _ServiceStatus(_Wire):
    load_balancer: _LoadBalancer = _LoadBalancer()


class WireService(_Wire):
    """A Service."""

    metadata: _Metadata
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


class _ListMetadata(_Wire):
    next: str = Field("", alias="continue")


class _Items(_Wire, Generic[_Value]):
    metadata: _ListMetadata
    items: _List[_Value]


def page_of(
    kind: type[_Value], convert: Callable[[_Value], _Converted]
) -> Callable[[bytes], Page[_Converted]]:
    """What reads a page of a list of such objects."""
    adapter: TypeAdapter[Any] = TypeAdapter(_Items[kind])  # type: ignore[valid-type]

    def read(body: bytes) -> Page[_Converted]:
        given = adapter.validate_json(body)
        return Page([convert(item) for item in given.items], given.metadata.next)

    return read


def _since(condition: _Condition | None, metadata: _Metadata) -> datetime | None:
    changed = condition.last_transition_time if condition is not None else None
    return changed or metadata.creation_timestamp


def _address(text: str) -> IPAddress | None:
    try:
        return parse_address(text)
    except ValueError:
        return None
