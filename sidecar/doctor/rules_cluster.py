"""From what the API server says, and the agent's requests to it, to the causes that lie there."""

from collections.abc import Iterator
from datetime import timedelta

from sidecar.core.instant import parse_rfc3339
from sidecar.core.outcome import Status
from sidecar.core.reply import printable
from sidecar.doctor.causes import Confidence, Diagnosis, found
from sidecar.doctor.evidence import (
    AgentEvidence,
    ApiServerFailure,
    ApiServerFailureKind,
    ClusterEvidence,
    Findings,
)

_OUTDATED_AFTER = timedelta(hours=3)
"""Age of ``observed-at`` that no heartbeat explains: it comes every hour, give or take 20 %."""

_CAUSES = {
    ApiServerFailureKind.CONFIGURATION: "no-cluster-credentials",
    ApiServerFailureKind.CREDENTIALS: "no-cluster-credentials",
    ApiServerFailureKind.NO_ANSWER: "api-server-unreachable",
    ApiServerFailureKind.UNAUTHORIZED: "token-refused",
    ApiServerFailureKind.FORBIDDEN: "rbac-missing",
    ApiServerFailureKind.NOT_FOUND: "node-name-wrong",
    ApiServerFailureKind.REJECTED: "policy-denies",
    ApiServerFailureKind.THROTTLED: "api-server-failing",
    ApiServerFailureKind.SERVER: "api-server-failing",
    ApiServerFailureKind.MALFORMED: "api-server-failing",
}
_BY_CODE = {"401": "token-refused", "403": "rbac-missing", "404": "node-name-wrong", "422": "policy-denies"}
"""What an answer means to the agent's writes; other codes pass by themselves."""


def cluster_diagnoses(findings: Findings) -> Iterator[Diagnosis]:
    """The causes between the agent and its Node."""
    cluster = findings.cluster
    if cluster is None:
        return
    yield from _of_pod(cluster)
    yield from _of_name(cluster, findings)
    if cluster.problem is not None:
        yield _of_problem(cluster.problem, cluster)
        return
    if cluster.node_ready is False:
        yield found("kubelet-down", Confidence.CERTAIN, f"the Node {cluster.node_name} is not Ready")
    yield from _of_rights(cluster)
    if cluster.dry_run is not None:
        yield _of_problem(cluster.dry_run, cluster)
    yield from _of_rivals(cluster, findings)
    yield from _of_annotations(cluster, findings)


def _of_pod(cluster: ClusterEvidence) -> Iterator[Diagnosis]:
    if cluster.pod_missing:
        text = f"the node {cluster.node_name} has no pod of the agent"
        yield found("no-agent", Confidence.CERTAIN, text, *cluster.obstacles)
    elif cluster.pod is not None and not cluster.pod.ready:
        trouble = cluster.pod.trouble and f"it says {cluster.pod.trouble}"
        yield found(
            "agent-not-ready", Confidence.CERTAIN, f"the pod {cluster.pod.name} is not ready", trouble
        )


def _of_name(cluster: ClusterEvidence, findings: Findings) -> Iterator[Diagnosis]:
    """Whether those who know the node's name agree."""
    name, claims, agent = cluster.node_name, cluster.claims, findings.agent
    if claims is not None and claims.node and claims.node != name:
        told = f"the pod's token is of a pod on node {claims.node}, and the name given is {name}"
        yield found("node-name-wrong", Confidence.CERTAIN, told)
    elif cluster.pod is not None and agent is not None and agent.node not in {None, name}:
        told = (
            f"the agent in pod {cluster.pod.name} says that its node is {agent.node}, and it runs on {name}"
        )
        yield found("node-name-wrong", Confidence.CERTAIN, told)


def _of_problem(problem: ApiServerFailure, cluster: ClusterEvidence) -> Diagnosis:
    cause = _CAUSES[problem.kind]
    if problem.kind is ApiServerFailureKind.FORBIDDEN and "denied the request" in problem.text:
        cause = "policy-denies"  # a webhook's word, with the status of missing rights
    if problem.kind is ApiServerFailureKind.NOT_FOUND:
        return found(cause, Confidence.CERTAIN, problem.text, f"there is no Node {cluster.node_name}")
    sure = (
        Confidence.CERTAIN if problem.kind is not ApiServerFailureKind.REJECTED else _sure_of_denial(problem)
    )
    return found(cause, sure, problem.text, _validity(cluster) if cause == "token-refused" else "")


def _sure_of_denial(problem: ApiServerFailure) -> Confidence:
    return Confidence.CERTAIN if "denied" in problem.text else Confidence.LIKELY


def _validity(cluster: ClusterEvidence) -> str:
    claims = cluster.claims
    if claims is None or claims.expires is None:
        return ""
    whose = (
        f" of service account {claims.namespace}/{claims.service_account}" if claims.service_account else ""
    )
    return f"the token{whose} is valid until {claims.expires:%Y-%m-%dT%H:%M:%SZ}"


def _of_rights(cluster: ClusterEvidence) -> Iterator[Diagnosis]:
    missing = [verb for verb, allowed in cluster.rights.items() if not allowed]
    if missing:
        who = cluster.identity or "this identity"
        text = f"{who} may not {' or '.join(missing)} the Node {cluster.node_name}"
        yield found("rbac-missing", Confidence.CERTAIN, text)


def _of_rivals(cluster: ClusterEvidence, findings: Findings) -> Iterator[Diagnosis]:
    """Whether another agent writes the same annotations."""
    if cluster.rivals and cluster.pod is not None:
        pods = f"the pods {cluster.pod.name} and {', '.join(cluster.rivals)}"
        yield found("two-agents", Confidence.CERTAIN, f"{pods} write under {cluster.prefix}")
        return
    agent = findings.agent
    times = 0 if agent is None else int(sum(agent.values("foreign_changes_total", by="agent")))
    if times:
        text = f"the agent found its annotations changed by its own field manager {times} times"
        yield found("two-agents", Confidence.LIKELY, text)


def _of_annotations(cluster: ClusterEvidence, findings: Findings) -> Iterator[Diagnosis]:
    """Whether the Node has what it should have."""
    agent = findings.agent
    if agent is not None and agent.reached and agent.annotates and agent.revision is not None:
        yield from _behind(agent, cluster, findings)
    if agent is None or not agent.reached:
        yield from _outdated(cluster, findings)
    if omitted := printable(cluster.annotations.get("omitted", "")):
        yield found("annotation-budget", Confidence.CERTAIN, f"the annotation omitted says {omitted}")


def _behind(agent: AgentEvidence, cluster: ClusterEvidence, findings: Findings) -> Iterator[Diagnosis]:
    """Whether the agent fails to write, and the answers that it gets."""
    there = printable(cluster.annotations.get("revision", ""))
    lag = sum(agent.values("publish_lag_seconds", publisher="node"))
    if there == agent.revision or not lag > 0:
        return
    text = f"the agent has revision {agent.revision}, the Node {there or 'none'}, for {lag:.0f} s"
    for code, cause in _BY_CODE.items():
        if count := int(sum(agent.values("kubernetes_requests_total", code=code))):
            yield found(
                cause, Confidence.LIKELY, text, f"{count} of the agent's requests were answered {code}"
            )
            return
    if lag >= findings.surroundings.settle:
        yield found("annotations-behind", Confidence.CERTAIN, text)


def _outdated(cluster: ClusterEvidence, findings: Findings) -> Iterator[Diagnosis]:
    """Where the annotations are all there is: whether they are still the agent's word."""
    status = cluster.annotations.get("status")
    if status is None and cluster.pod is not None and cluster.pod.ready and cluster.pod.annotates:
        told = f"the agent's pod {cluster.pod.name} is ready, and the Node has no annotation of it"
        yield found("annotations-behind", Confidence.LIKELY, told)
    if status in {Status.STARTING, Status.STALE}:
        yield found("annotations-outdated", Confidence.CERTAIN, f"the annotation status says {status}")
        return
    observed = parse_rfc3339(cluster.annotations.get("observed-at", ""))
    if observed is not None and findings.now - observed > _OUTDATED_AFTER:
        yield found(
            "annotations-outdated", Confidence.CERTAIN, f"observed-at is {cluster.annotations['observed-at']}"
        )
