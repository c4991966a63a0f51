"""Pods and DaemonSets of agents as the API server has them, and their conversion."""

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
        """Of the annotations that its agent writes; ``None`` if it writes none."""
        if self.agent is None:
            return None
        return annotation_prefix(self.agent.args, {each.name: each.value for each in self.agent.env})

    @property
    def terms(self) -> Sequence[_Term]:
        """Of its required node affinity."""
        affinity = self.affinity.node_affinity if self.affinity else None
        return affinity.required.node_selector_terms if affinity and affinity.required else ()


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


class WirePod(Wire):
    """A pod of an agent."""

    metadata: Metadata
    spec: _PodSpec
    status: _PodStatus = _PodStatus()

    def convert(self) -> AgentPod:
        """As a value of the core."""
        # The DaemonSet controller makes a pod for a Node by its affinity, before the scheduler binds it.
        fields = [each for term in self.spec.terms for each in term.match_fields]
        nodes = [value for each in fields if each.key == "metadata.name" for value in each.values]
        # The most specific reason why the pod does not run.
        scheduled = self.status.condition("PodScheduled")
        if scheduled is not None and scheduled.status == "False":
            trouble = scheduled.reason
        else:
            states = [each.state.waiting for each in self.status.container_statuses]
            reasons = [each.reason for each in states if each is not None]
            trouble = next(filter(None, reasons), self.status.reason)
        owners = [each.name for each in self.metadata.owner_references if each.controller]
        return AgentPod(
            namespace=self.metadata.namespace,
            name=self.metadata.name,
            node=self.spec.node_name or next(iter(nodes), ""),
            prefix=self.spec.prefix,
            ready=self.status.ready,
            since=self.status.ready_since or self.metadata.creation_timestamp,
            ending=self.metadata.deletion_timestamp is not None,
            scheduled=bool(self.spec.node_name),
            trouble=printable(trouble),
            address=self.status.pod_ip,
            controller=next(iter(owners), ""),
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
        """As a value of the core."""
        template = self.spec.template.spec
        terms = [
            tuple(Requirement(each.key, each.operator, tuple(each.values)) for each in term.match_expressions)
            for term in template.terms
        ]
        placement = Placement(
            tolerations=tuple(
                Toleration(each.key, each.operator, each.value, each.effect) for each in template.tolerations
            ),
            selector=template.node_selector,
            terms=tuple(terms),
        )
        annotated = self.metadata.annotations.get(_PREFIX_ANNOTATION)
        return AgentDaemonSet(
            namespace=self.metadata.namespace,
            name=self.metadata.name,
            prefix=annotated if template.agent is None else template.prefix,
            placement=placement,
            deleting=self.metadata.deletion_timestamp is not None,
        )

    def convert_agent(self) -> AgentDaemonSet | None:
        """The same, if it is one of agents: by the chart's labels or its annotation."""
        labelled = self.metadata.labels.items() >= _AGENT_LABELS.items()
        return self.convert() if labelled or _PREFIX_ANNOTATION in self.metadata.annotations else None
