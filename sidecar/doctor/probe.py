"""One run of the probes: which of them, in which order, and all results."""

from argparse import Namespace
from collections.abc import Sequence
from dataclasses import replace
from functools import partial

from sidecar import clock
from sidecar.commands.clients import agent_url, url_of
from sidecar.core.outcome import Reason, Status
from sidecar.doctor.environment import DetectedEnvironment
from sidecar.doctor.evidence import ClusterEvidence, Environment, Findings
from sidecar.doctor.probe_agent import LAST_ATTEMPTS, over_http, probe_agent
from sidecar.doctor.probe_cluster import (
    KubeClient,
    connect,
    failure_of,
    probe_as_agent,
    probe_as_operator,
    through_pod,
)
from sidecar.doctor.probe_service import probe_service
from sidecar.kube import KubeConfigError, KubernetesError
from sidecar.sources import reading

_FROM_ANNOTATIONS = "what is said of the data is from the Node's annotations: the agent's last word there"


async def probe_this_host(parsed: Namespace, detected: DetectedEnvironment) -> Findings:
    """Probe the agent on this host, and where it is not well also the metadata service and the API server."""
    settings, agent, service = detected.settings, None, None
    url = None if parsed.direct else agent_url(parsed, settings)
    if url is not None:
        admin = None if parsed.upstream else url_of(settings.admin_listen, settings)
        upstream = "imds" if parsed.upstream else settings.upstream
        async with reading.new_session() as session:
            over = partial(over_http, session, timeout=parsed.timeout)
            agent = await probe_agent(url, api=over(url), admin=None if admin is None else over(admin))
            if upstream != "imds" and agent.status is not Status.OK:
                # Where the agent that it reads from is not well either, that is where it fails.
                of_node = await probe_agent(upstream, api=over(upstream), admin=None)
                well = of_node.status is Status.OK and of_node.node == agent.node
                agent = agent if well else of_node
    # The service serves the whole machine, and a healthy agent speaks for it.
    unwell = agent is not None and (agent.status is not Status.OK or parsed.bundle is not None)
    if agent is None or (settings.upstream == "imds" and unwell):
        service = await probe_service(settings, tries=parsed.tries)
    findings = Findings(
        now=clock.now().utc,
        environment=detected.environment,
        node=settings.node_name or (None if agent is None else agent.node),
        agent=agent,
        service=service,
        notes=detected.notes,
    )
    findings = await _with_cluster(findings, parsed, detected)
    if agent is not None and not agent.reached and not detected.in_pod:
        findings = _with_note(findings, "an operator's machine looks at a node with --node NAME")
    return _with_missing_attempts(findings)


async def _with_cluster(findings: Findings, parsed: Namespace, detected: DetectedEnvironment) -> Findings:
    """Probe the API server as well, if the agent here publishes to a Node."""
    agent, node, settings = findings.agent, findings.node, detected.settings
    annotates: bool | None = None  # not known
    if parsed.upstream:
        annotates = False
    elif agent is not None and agent.reached and agent.samples:
        annotates = agent.annotates
    elif detected.from_agent:
        annotates = settings.annotations
    if annotates is False:
        return findings
    if node is None:
        return _with_note(findings, "Kubernetes was not looked at: no name of a node is known (NODE_NAME)")
    if annotates is None and detected.in_pod:
        # The pod's service account need not have the agent's rights.
        return _with_note(findings, "Kubernetes was not looked at: this is not the agent's pod")
    prefix = parsed.annotation_prefix or settings.annotation_prefix
    kubeconfig = parsed.kubeconfig or (None if settings.kubeconfig is None else str(settings.kubeconfig))
    try:
        context = parsed.context or settings.context
        async with connect(kubeconfig=kubeconfig, context=context, timeout=parsed.timeout) as kube:
            cluster = await probe_as_agent(kube, node, prefix=prefix)
            return replace(findings, cluster=cluster, secrets=await _secrets(kube))
    except KubeConfigError as error:
        if not annotates:
            return _with_note(findings, f"Kubernetes was not looked at: {error.args[0]}")
        cluster = ClusterEvidence(node_name=node, prefix=prefix, problem=failure_of(error))
        return replace(findings, cluster=cluster)


async def probe_from_afar(parsed: Namespace, detected: DetectedEnvironment) -> Findings:
    """Probe a node from an operator's machine; the agent's pod through the API server.

    Raises:
        KubeConfigError: there is no usable kubeconfig.
    """
    here = detected.environment
    async with connect(kubeconfig=parsed.kubeconfig, context=parsed.context, timeout=parsed.timeout) as kube:
        cluster = await probe_as_operator(
            kube, parsed.node, prefix=parsed.annotation_prefix, namespace=parsed.agent_namespace
        )
        agent, notes, pod = None, list(cluster.notes), cluster.pod
        if pod is not None and cluster.pod_ports is not None:
            api, admin = (through_pod(kube, pod.name, port=port) for port in cluster.pod_ports)
            agent = await probe_agent(f"pod {pod.name} through the API server", api=api, admin=admin)
            if not agent.reached:
                lost = f"the agent in pod {pod.name} could not be reached through the API server"
                notes += [f"{lost}: {agent.detail}", _FROM_ANNOTATIONS]
                agent = None
        elif cluster.annotations:
            notes.append(_FROM_ANNOTATIONS)
        secrets = await _secrets(kube)
    reason = cluster.annotations.get("reason", "")
    if (
        agent is not None
        and agent.reason is None
        and cluster.annotations.get("status") == agent.status
        and reason in set(Reason)
    ):
        # It gave neither its document nor its last attempts; the annotations have the reason.
        agent = replace(agent, reason=Reason(reason))
    findings = Findings(
        now=clock.now().utc,
        # What else is known of this machine is not the agent's: no proxy, no setting, no upstream.
        environment=Environment(
            endpoint=here.endpoint,
            # Which one the agent uses is not known: none is blamed.
            default_endpoint=True,
            timeout=here.timeout,
            settle=here.settle,
            same_host=False,
            host_network=None if pod is None or cluster.pod_ports is None else pod.host_network,
            seen_from=here.seen_from,
        ),
        node=parsed.node,
        agent=agent,
        cluster=cluster,
        notes=notes,
        secrets=secrets,
    )
    return _with_missing_attempts(findings)


async def _secrets(kube: KubeClient) -> Sequence[str]:
    try:
        token = await kube.token()
    except KubernetesError:
        return ()
    return (token,) if token else ()


def _with_missing_attempts(findings: Findings) -> Findings:
    """Note why the last attempts of an agent that answers are not known, where they are not."""
    agent = findings.agent
    if agent is None or not agent.reached or findings.environment.upstream or LAST_ATTEMPTS in agent.bodies:
        return findings
    missing = agent.lost.get(LAST_ATTEMPTS, "its --admin-listen is not known, or not reached by TCP")
    return _with_note(findings, f"the agent's last attempts are not known: {missing}")


def _with_note(findings: Findings, note: str) -> Findings:
    return replace(findings, notes=[*findings.notes, note])
