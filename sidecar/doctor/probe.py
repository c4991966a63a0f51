"""One run of the probes: whom to query, in which order, and all results."""

from argparse import Namespace
from collections.abc import Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace

from sidecar import clock
from sidecar.commands.clients import agent_url, url_of
from sidecar.core.cluster import AgentPod
from sidecar.core.outcome import Reason, Status
from sidecar.doctor.environment import DetectedEnvironment
from sidecar.doctor.evidence import AgentEvidence, ClusterEvidence, Environment, Findings
from sidecar.doctor.probe_agent import (
    AgentProbeResult,
    Fetch,
    Fetched,
    LostError,
    examine_agent,
    over_http,
)
from sidecar.doctor.probe_cluster import ClusterProbeResult, examine_as_agent, examine_as_operator
from sidecar.doctor.probe_kube import KubeProbe, connect_kube_probe, problem_of
from sidecar.doctor.probe_service import ServiceProbeResult, examine_service
from sidecar.kube import KubeConfigError, KubernetesError
from sidecar.sources import reading

_API_SERVER_TIMEOUT = 10.0
"""Seconds for each request."""

_FROM_ANNOTATIONS = "what is said of the data is from the Node's annotations: the agent's last word there"


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbeResult:
    """What was looked at, and what was found."""

    findings: Findings
    place: DetectedEnvironment
    node: str | None
    """The node's name, as far as it is known."""
    agent: AgentProbeResult | None = None
    service: ServiceProbeResult | None = None
    cluster: ClusterProbeResult | None = None
    secrets: Sequence[str] = ()
    """What must never be shown."""


async def examine(parsed: Namespace, place: DetectedEnvironment) -> ProbeResult:
    """Look at everything that the arguments ask for.

    Raises:
        KubeConfigError: with ``--node``: there is no usable kubeconfig.
    """
    if parsed.node is not None:
        return await _examine_from_afar(parsed, place)
    return await _examine_here(parsed, place)


async def _examine_here(parsed: Namespace, place: DetectedEnvironment) -> ProbeResult:
    agent = None if parsed.direct else await _ask_agent(parsed, place)
    evidence = None if agent is None else agent.evidence
    service = None
    if _asks_service(parsed, place, evidence):
        service = await examine_service(place.settings, tries=parsed.tries)
    node = place.settings.node_name or (None if evidence is None else evidence.node)
    cluster, secrets, notes = await _ask_cluster(parsed, place, node=node, agent=evidence)
    if evidence is not None and not evidence.reached and not place.in_pod:
        notes = (*notes, "an operator's machine looks at a node with --node NAME")
    return ProbeResult(
        findings=_findings(
            place.surroundings, (*place.notes, *notes), agent=agent, service=service, cluster=cluster
        ),
        place=place,
        node=node,
        agent=agent,
        service=service,
        cluster=cluster,
        secrets=secrets,
    )


async def _ask_agent(parsed: Namespace, place: DetectedEnvironment) -> AgentProbeResult | None:
    """Ask the agent on this host, or the one that it reads from if that is where it fails."""
    url = agent_url(parsed, place.settings)
    if url is None:
        return None
    admin = None if parsed.upstream else url_of(place.settings.admin_listen, place.settings)
    async with reading.new_session() as session:
        fetch_admin = None if admin is None else over_http(session, admin)
        agent = await examine_agent(url, api=over_http(session, url), admin=fetch_admin)
        upstream = place.settings.upstream
        if parsed.upstream or upstream == "imds" or agent.evidence.status is Status.OK:
            return agent
        of_node = await examine_agent(upstream, api=over_http(session, upstream), admin=None)
        well = of_node.evidence.status is Status.OK and of_node.evidence.node == agent.evidence.node
        return agent if well else of_node


def _asks_service(parsed: Namespace, place: DetectedEnvironment, agent: AgentEvidence | None) -> bool:
    """Whether the service itself is asked: it is everybody's, and a healthy agent speaks for it."""
    if parsed.direct or agent is None:
        return True
    if place.settings.upstream != "imds":
        return False
    return agent.status is not Status.OK or parsed.bundle is not None


async def _ask_cluster(
    parsed: Namespace, place: DetectedEnvironment, *, node: str | None, agent: AgentEvidence | None
) -> tuple[ClusterProbeResult | None, Sequence[str], Sequence[str]]:
    """Ask the API server if the agent does: the examination, secrets, and notes."""
    settings = place.settings
    annotates = _annotates(parsed, place, agent)
    if annotates is False:
        return None, (), ()
    if node is None:
        return None, (), ("Kubernetes was not looked at: no name of a node is known (NODE_NAME)",)
    if annotates is None and place.in_pod:
        # Its service account need not have the agent's rights.
        return None, (), ("Kubernetes was not looked at: this is not the agent's pod",)
    prefix = parsed.annotation_prefix or settings.annotation_prefix
    kubeconfig = parsed.kubeconfig or (None if settings.kubeconfig is None else str(settings.kubeconfig))
    try:
        async with _connect(kubeconfig, parsed.context or settings.context) as examiner:
            examination = await examine_as_agent(examiner, node, prefix=prefix)
            return examination, await _secrets(examiner), ()
    except KubeConfigError as error:
        if not annotates:
            return None, (), (f"Kubernetes was not looked at: {error.args[0]}",)
        evidence = ClusterEvidence(node_name=node, prefix=prefix, problem=problem_of(error))
        return ClusterProbeResult(evidence), (), ()


def _annotates(parsed: Namespace, place: DetectedEnvironment, agent: AgentEvidence | None) -> bool | None:
    """Whether the agent here publishes to a Node; ``None`` if that is not known."""
    if parsed.upstream:
        return False
    if agent is not None and agent.reached and agent.samples:
        return agent.annotates
    return place.settings.annotations if place.from_agent else None


async def _secrets(examiner: KubeProbe) -> Sequence[str]:
    try:
        token = await examiner.token()
    except KubernetesError:
        return ()
    return (token,) if token else ()


async def _examine_from_afar(parsed: Namespace, place: DetectedEnvironment) -> ProbeResult:
    """Look at a node from an operator's machine."""
    async with _connect(parsed.kubeconfig, parsed.context) as examiner:
        cluster = await examine_as_operator(
            examiner, parsed.node, prefix=parsed.annotation_prefix, namespace=parsed.agent_namespace
        )
        agent, notes = await _ask_pod(examiner, cluster)
        secrets = await _secrets(examiner)
    return ProbeResult(
        findings=_findings(
            _surroundings_from_afar(place.surroundings, cluster),
            (*cluster.notes, *notes),
            agent=agent,
            cluster=cluster,
        ),
        place=place,
        node=parsed.node,
        agent=agent,
        cluster=cluster,
        secrets=secrets,
    )


def _surroundings_from_afar(here: Environment, cluster: ClusterProbeResult) -> Environment:
    """What is known of the agent's surroundings; all else of this machine is not the agent's."""
    return Environment(
        endpoint=here.endpoint,
        # Which one the agent asks is not known: none is blamed.
        default_endpoint=True,
        timeout=here.timeout,
        settle=here.settle,
        same_host=False,
        host_network=None if cluster.seen is None else cluster.seen.host_network,
        seen_from=here.seen_from,
    )


def _connect(kubeconfig: str | None, context: str | None) -> AbstractAsyncContextManager[KubeProbe]:
    return connect_kube_probe(kubeconfig=kubeconfig, context=context, timeout=_API_SERVER_TIMEOUT)


def _findings(
    surroundings: Environment,
    notes: Sequence[str],
    *,
    agent: AgentProbeResult | None,
    service: ServiceProbeResult | None = None,
    cluster: ClusterProbeResult | None,
) -> Findings:
    """What was found, of whoever was asked."""
    missing = "" if agent is None or surroundings.upstream else agent.attempts_missing
    if missing:
        notes = (*notes, f"the agent's last attempts are not known: {missing}")
    clocks = {
        "the metadata service": None if service is None else service.ahead,
        "the API server": None if cluster is None else cluster.ahead,
    }
    return Findings(
        now=clock.now().utc,
        surroundings=surroundings,
        agent=None if agent is None else agent.evidence,
        service=None if service is None else service.evidence,
        cluster=None if cluster is None else cluster.evidence,
        clocks={who: ahead for who, ahead in clocks.items() if ahead is not None},
        notes=notes,
    )


async def _ask_pod(
    examiner: KubeProbe, cluster: ClusterProbeResult
) -> tuple[AgentProbeResult | None, Sequence[str]]:
    """Ask the agent's pod by way of the API server; without an answer the annotations are what there is."""
    pod, seen = cluster.pod, cluster.seen
    if pod is None or seen is None:
        return None, (_FROM_ANNOTATIONS,) if cluster.evidence.annotations else ()
    agent = await examine_agent(
        f"pod {pod} through the API server",
        api=_through_api_server(examiner, pod, port=seen.api_port),
        admin=_through_api_server(examiner, pod, port=seen.admin_port),
    )
    if not agent.evidence.reached:
        lost = f"the agent in pod {pod} could not be reached through the API server: {agent.evidence.detail}"
        return None, (lost, _FROM_ANNOTATIONS)
    return replace(agent, evidence=_with_reason(agent.evidence, cluster)), ()


def _with_reason(agent: AgentEvidence, cluster: ClusterProbeResult) -> AgentEvidence:
    """Where an agent tells neither its document nor its last attempts, the annotations have the reason."""
    annotations = cluster.evidence.annotations
    word = annotations.get("reason", "")
    if agent.reason is not None or annotations.get("status") != agent.status or word not in set(Reason):
        return agent
    return replace(agent, reason=Reason(word))


def _through_api_server(examiner: KubeProbe, pod: AgentPod, *, port: int) -> Fetch:
    """Asks a pod by way of the API server's proxy."""

    async def fetch(path: str) -> Fetched:
        try:
            answer = await examiner.through_pod(pod.namespace, pod.name, port=port, path=path)
        except KubernetesError as error:
            raise LostError(str(error.args[0])) from error
        return Fetched(answer.status, answer.headers, answer.body)

    return fetch
