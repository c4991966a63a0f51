"""Pods and DaemonSets of agents as the API server gives them, and what they become."""

from collections.abc import Sequence

from pydantic import Field

from sidecar.core.cluster import (
    AgentDaemonSet,
    AgentPod,
    Placement,
    Requirement,
    Toleration,
    annotation_prefix,
)
from sidecar.kube.errors import printable
from sidecar.kube.wire import Metadata, OptionalList, OptionalMap, Wire, WireConditions

_PREFIX_ANNOTATION = "azure-lb-metadata.io/annotation-prefix"
"""Of the DaemonSet, as the chart sets it, whatever the release and its labels are called."""

_AGENT_LABELS = {
    "app.kubernetes.io/name": "azure-lb-metadata",
    "app.kubernetes.io/component": "agent",
}


class _Expression(Wire):
    key: str
    operator: str
    values: OptionalList[str] = Field(default_factory=list)


class _Term(Wire):
    match_expressions: OptionalList[_Expression] = Field(default_factory=list)
    match_fields: OptionalList[_Expression] = Field(default_factory=list)


class _Required(Wire):
    node_selector_terms: OptionalList[_Term] = Field(default_factory=list)


class _NodeAffinity(Wire):
    required: _Required | None = Field(None, alias="requiredDuringSchedulingIgnoredDuringExecution")


class _Affinity(Wire):
    node_affinity: _NodeAffinity | None = None

    @property
    def terms(self) -> Sequence[_Term]:
        required = self.node_affinity.required if self.node_affinity else None
        return required.node_selector_terms if required else ()


class _Toleration(Wire):
    key: str = ""
    operator: str = "Equal"
    value: str = ""
    effect: str = ""


class _Variable(Wire):
    name: str
    value: str = ""


class _Container(Wire):
    name: str
    args: OptionalList[str] = Field(default_factory=list)
    env: OptionalList[_Variable] = Field(default_factory=list)


class _PodSpec(Wire):
    node_name: str = ""
    containers: OptionalList[_Container] = Field(default_factory=list)
    affinity: _Affinity | None = None
    node_selector: OptionalMap = Field(default_factory=dict)
    tolerations: OptionalList[_Toleration] = Field(default_factory=list)

    @property
    def agent(self) -> _Container | None:
        """The agent's container."""
        named = [each for each in self.containers if each.name == "agent" or len(self.containers) == 1]
        return next(iter(named), None)

    @property
    def prefix(self) -> str | None:
        """Of the annotations that the agent in it writes."""
        if self.agent is None:
            return None
        return annotation_prefix(self.agent.args, {each.name: each.value for each in self.agent.env})

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


class _Waiting(Wire):
    reason: str = ""


class _State(Wire):
    waiting: _Waiting | None = None


class _ContainerStatus(Wire):
    state: _State = _State()


class _PodStatus(WireConditions):
    pod_ip: str = Field("", alias="podIP")
    reason: str = ""
    container_statuses: OptionalList[_ContainerStatus] = Field(default_factory=list)

    @property
    def trouble(self) -> str:
        """The most telling of the words that say why a pod does not run."""
        scheduled = self.condition("PodScheduled")
        if scheduled is not None and scheduled.status == "False":
            return scheduled.reason
        waiting = (each.state.waiting.reason for each in self.container_statuses if each.state.waiting)
        return next((reason for reason in waiting if reason), self.reason)


class WirePod(Wire):
    """A pod of an agent."""

    metadata: Metadata
    spec: _PodSpec
    status: _PodStatus = _PodStatus()

    def convert(self) -> AgentPod:
        """The part that counts."""
        return AgentPod(
            namespace=self.metadata.namespace,
            name=self.metadata.name,
            node=self.spec.destination,
            prefix=self.spec.prefix,
            ready=self.status.ready,
            since=self.status.ready_since or self.metadata.creation_timestamp,
            ending=self.metadata.deletion_timestamp is not None,
            scheduled=bool(self.spec.node_name),
            trouble=printable(self.status.trouble),
            address=self.status.pod_ip,
            controller=self.metadata.controller,
        )


class _Template(Wire):
    spec: _PodSpec


class _DaemonSetSpec(Wire):
    template: _Template


class WireDaemonSet(Wire):
    """A DaemonSet of agents."""

    metadata: Metadata
    spec: _DaemonSetSpec

    def convert(self) -> AgentDaemonSet:
        """The part that counts."""
        template = self.spec.template.spec
        annotated = self.metadata.annotations.get(_PREFIX_ANNOTATION)
        return AgentDaemonSet(
            namespace=self.metadata.namespace,
            name=self.metadata.name,
            prefix=annotated if template.agent is None else template.prefix,
            placement=template.placement,
            deleting=self.metadata.deletion_timestamp is not None,
        )

    def convert_agent(self) -> AgentDaemonSet | None:
        """The same, if it is one of agents: by the chart's labels or its annotation."""
        labelled = self.metadata.labels.items() >= _AGENT_LABELS.items()
        return self.convert() if labelled or _PREFIX_ANNOTATION in self.metadata.annotations else None
