"""The probe of the API server: the Node, what the agent may do to it, and a dry run of its write."""

from collections.abc import Mapping
from dataclasses import dataclass, replace

from sidecar import clock
from sidecar.core.annotations import DEFAULT_PREFIX, Layout, field_manager, found, own
from sidecar.core.cluster import AgentPod, agent_of, rivals
from sidecar.core.document import Document
from sidecar.core.instant import rfc3339
from sidecar.core.outcome import Status
from sidecar.doctor.evidence import ApiServerFailureKind, ClusterEvidence, PodEvidence, seconds_ahead
from sidecar.doctor.probe_kube import KubeProbe, NodeSeen, PodSeen, problem_of
from sidecar.kube import KubernetesError

_VERBS = ("get", "patch")
"""What an agent does to its Node."""

_UNRELIABLE = "does not support dry run"
"""Part of the refusal where a webhook could not be rehearsed; it says nothing of a real write."""


@dataclass(frozen=True, slots=True)
class ClusterProbeResult:
    """What the API server said."""

    evidence: ClusterEvidence
    ahead: float | None = None
    """Seconds that the own clock is ahead of the API server's."""
    pod: AgentPod | None = None
    """The agent's pod, for an operator."""
    seen: PodSeen | None = None
    notes: tuple[str, ...] = ()


async def examine_as_agent(examiner: KubeProbe, node: str, *, prefix: str) -> ClusterProbeResult:
    """Look with the agent's own eyes.

    Args:
        examiner: With the agent's credentials.
        node: Name of the Node, as the agent was told it.
        prefix: Of its annotations.
    """
    evidence = ClusterEvidence(node_name=node, prefix=prefix)
    try:
        evidence = replace(evidence, claims=await examiner.claims())
        seen = await examiner.node(node)
    except KubernetesError as error:
        rights = (
            await _rights(examiner, node) if problem_of(error).kind is ApiServerFailureKind.FORBIDDEN else {}
        )
        return ClusterProbeResult(replace(evidence, problem=problem_of(error), rights=rights))
    evidence = _with_node(evidence, seen)
    evidence = replace(evidence, rights=await _rights(examiner, node))
    if all(evidence.rights.values()):
        evidence = await _rehearsed(examiner, evidence, seen)
    return ClusterProbeResult(evidence, seconds_ahead(seen.date, now=clock.now().utc))


async def examine_as_operator(
    examiner: KubeProbe, node: str, *, prefix: str | None, namespace: str | None
) -> ClusterProbeResult:
    """Look from an operator's machine, with the operator's credentials.

    Args:
        examiner: With the operator's credentials.
        node: Name of the Node.
        prefix: Of the agents' annotations; ``None``: as the node's agent has it.
        namespace: Where the agents are; ``None``: anywhere.
    """
    evidence = ClusterEvidence(node_name=node, prefix=prefix or DEFAULT_PREFIX)
    try:
        seen = await examiner.node(node)
    except KubernetesError as error:
        return ClusterProbeResult(replace(evidence, problem=problem_of(error)))
    ahead = seconds_ahead(seen.date, now=clock.now().utc)
    try:
        pods = await examiner.fleet.agent_pods(namespace=namespace, node=node)
    except KubernetesError as error:
        note = f"the agent's pod could not be looked for: {error.args[0]}"
        return ClusterProbeResult(_with_node(evidence, seen), ahead, notes=(note,))
    pod = agent_of(node, pods, prefix=evidence.prefix) or agent_of(node, pods, prefix=None)
    if pod is None:
        obstacles = await _obstacles(examiner, node, namespace=namespace)
        evidence = replace(evidence, pod_missing=True, obstacles=obstacles)
        return ClusterProbeResult(_with_node(evidence, seen), ahead)
    evidence = replace(evidence, prefix=prefix or pod.prefix or DEFAULT_PREFIX)
    if namespace is not None:
        pods = await _pods_anywhere(examiner, node) or pods
    evidence = replace(evidence, rivals=[str(each) for each in rivals(node, pods, of=pod)])
    return await _with_pod(examiner, pod, ClusterProbeResult(_with_node(evidence, seen), ahead))


async def _pods_anywhere(examiner: KubeProbe, node: str) -> list[AgentPod]:
    """Agents on a Node in all namespaces; nothing where that may not be looked at."""
    try:
        return await examiner.fleet.agent_pods(node=node)
    except KubernetesError:
        return []


async def _obstacles(examiner: KubeProbe, node: str, *, namespace: str | None) -> list[str]:
    """What keeps agents off a Node; nothing where that may not be looked at."""
    try:
        daemon_sets = await examiner.fleet.agent_daemon_sets(namespace=namespace)
        seen = await examiner.fleet.node(node)
    except KubernetesError:
        return []
    if seen is None:
        return []
    return [
        f"DaemonSet {each}: {obstacle}"
        for each in daemon_sets
        for obstacle in each.placement.obstacles(labels=seen.labels, taints=seen.taints)
    ]


async def _with_pod(
    examiner: KubeProbe, pod: AgentPod, examination: ClusterProbeResult
) -> ClusterProbeResult:
    """Add what is known of the agent's pod, and of the rights of its service account."""
    evidence = examination.evidence
    annotates = pod.prefix == evidence.prefix
    told = PodEvidence(name=str(pod), ready=pod.serves, trouble=pod.trouble, annotates=annotates)
    try:
        seen = await examiner.pod(pod.namespace, pod.name)
    except KubernetesError as error:
        note = f"the pod {pod} could not be read: {error.args[0]}"
        return replace(examination, evidence=replace(evidence, pod=told), pod=pod, notes=(note,))
    evidence = replace(evidence, pod=replace(told, host_network=seen.host_network))
    if annotates:
        account = f"{pod.namespace}/{seen.service_account}"
        rights = await _rights(examiner, evidence.node_name, service_account=account)
        evidence = replace(evidence, identity=f"service account {account}", rights=rights)
    return replace(examination, evidence=evidence, pod=pod, seen=seen)


async def _rights(examiner: KubeProbe, node: str, *, service_account: str | None = None) -> dict[str, bool]:
    """What is allowed; nothing where that may not be asked."""
    try:
        return await examiner.rights(node, _VERBS, service_account=service_account)
    except KubernetesError:
        return {}


def _with_node(evidence: ClusterEvidence, seen: NodeSeen) -> ClusterEvidence:
    start = f"{evidence.prefix}/"
    ours = {
        key.removeprefix(start): value for key, value in seen.annotations.items() if key.startswith(start)
    }
    return replace(
        evidence,
        annotations=ours,
        document=_document(seen.annotations, evidence.prefix),
        node_ready=seen.ready,
    )


def _document(annotations: Mapping[str, str], prefix: str) -> Document | None:
    earlier = found(annotations, layout=Layout(prefix=prefix))
    return None if earlier is None else earlier.document


async def _rehearsed(examiner: KubeProbe, evidence: ClusterEvidence, seen: NodeSeen) -> ClusterEvidence:
    """Whether the API server would take what the agent writes: what is there, observed now."""
    layout = Layout(prefix=evidence.prefix)
    values = own(seen.annotations, layout=layout) or {layout.key("status"): str(Status.STARTING)}
    values[layout.key("observed-at")] = rfc3339(clock.now().utc)
    manager = field_manager(evidence.prefix)
    try:
        await examiner.dry_run(evidence.node_name, uid=seen.uid, annotations=values, manager=manager)
    except KubernetesError as error:
        if _UNRELIABLE not in str(error.args[0]):
            return replace(evidence, dry_run=problem_of(error))
    return evidence
