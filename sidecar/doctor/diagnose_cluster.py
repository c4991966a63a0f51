"""Rules about the Node: from the API server's responses, and the agent's requests to it, to causes."""

from collections.abc import Iterator
from datetime import timedelta

from sidecar.core.instant import parse_rfc3339
from sidecar.core.outcome import Status
from sidecar.core.reply import printable
from sidecar.doctor.causes import Confidence, Diagnosis, found
from sidecar.doctor.evidence import (
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
"""What a response means to the agent's writes; other codes pass by themselves."""


def cluster_diagnoses(findings: Findings) -> Iterator[Diagnosis]:
    """The causes between the agent and its Node."""
    cluster, agent = findings.cluster, findings.agent
    if cluster is None:
        return
    node, pod, claims = cluster.node_name, cluster.pod, cluster.claims
    if cluster.pod_missing:
        yield found("no-agent", f"the node {node} has no pod of the agent", *cluster.obstacles)
    elif pod is not None and not pod.ready:
        trouble = pod.trouble and f"it says {pod.trouble}"
        yield found("agent-not-ready", f"the pod {pod.name} is not ready", trouble)

    # Everybody who knows the node's name must agree.
    if claims is not None and claims.node and claims.node != node:
        text = f"the pod's token is of a pod on node {claims.node}, and the name given is {node}"
        yield found("node-name-wrong", text)
    elif pod is not None and agent is not None and agent.node not in {None, node}:
        text = f"the agent in pod {pod.name} says that its node is {agent.node}, and it runs on {node}"
        yield found("node-name-wrong", text)

    if cluster.problem is not None:
        yield _of_problem(cluster.problem, cluster)
        return
    if cluster.node_ready is False:
        yield found("kubelet-down", f"the Node {node} is not Ready")
    missing = [verb for verb, allowed in cluster.rights.items() if not allowed]
    if missing:
        whose = cluster.identity or "this identity"
        yield found("rbac-missing", f"{whose} may not {' or '.join(missing)} the Node {node}")
    if cluster.dry_run is not None:
        yield _of_problem(cluster.dry_run, cluster)


def _of_problem(problem: ApiServerFailure, cluster: ClusterEvidence) -> Diagnosis:
    """The cause of a request to the API server that failed."""
    kind, cause = problem.kind, _CAUSES[problem.kind]
    confidence, also = Confidence.CERTAIN, ""
    claims = cluster.claims
    if kind is ApiServerFailureKind.FORBIDDEN and "denied the request" in problem.text:
        cause = "policy-denies"  # a webhook's word, with the status of missing rights
    elif kind is ApiServerFailureKind.NOT_FOUND:
        also = f"there is no Node {cluster.node_name}"
    elif kind is ApiServerFailureKind.REJECTED and "denied" not in problem.text:
        confidence = Confidence.LIKELY
    elif kind is ApiServerFailureKind.UNAUTHORIZED and claims is not None and claims.expires is not None:
        account = f"{claims.namespace}/{claims.service_account}"
        whose = f" of service account {account}" if claims.service_account else ""
        also = f"the token{whose} is valid until {claims.expires:%Y-%m-%dT%H:%M:%SZ}"
    return found(cause, problem.text, also, confidence=confidence)


def annotation_diagnoses(findings: Findings) -> Iterator[Diagnosis]:
    """Whether the Node has the annotations that it should have."""
    cluster, agent = findings.cluster, findings.agent
    if cluster is None or cluster.problem is not None:
        return
    annotations, pod = cluster.annotations, cluster.pod
    foreign = 0 if agent is None else int(sum(agent.values("foreign_changes_total", by="agent")))
    if cluster.rivals and pod is not None:
        pods = f"the pods {pod.name} and {', '.join(cluster.rivals)}"
        yield found("two-agents", f"{pods} write under {cluster.prefix}")
    elif foreign:
        text = f"the agent found its annotations changed by its own field manager {foreign} times"
        yield found("two-agents", text, confidence=Confidence.LIKELY)

    if agent is None or not agent.reached:
        # The annotations are all there is: whether they are still what the agent knows.
        status, observed = annotations.get("status"), parse_rfc3339(annotations.get("observed-at", ""))
        if status is None and pod is not None and pod.ready and pod.annotates:
            text = f"the agent's pod {pod.name} is ready, and the Node has no annotation of it"
            yield found("annotations-behind", text, confidence=Confidence.LIKELY)
        if status in {Status.STARTING, Status.STALE}:
            yield found("annotations-outdated", f"the annotation status says {status}")
        elif observed is not None and findings.now - observed > _OUTDATED_AFTER:
            yield found("annotations-outdated", f"observed-at is {annotations['observed-at']}")
    elif agent.annotates and agent.revision is not None:
        there = printable(annotations.get("revision", ""))
        lag = sum(agent.values("publish_lag_seconds", publisher="node"))
        if there != agent.revision and lag > 0:
            text = f"the agent has revision {agent.revision}, the Node {there or 'none'}, for {lag:.0f} s"
            # Why it fails to write, by the responses that it gets.
            counts = {
                code: int(sum(agent.values("kubernetes_requests_total", code=code))) for code in _BY_CODE
            }
            code = next((code for code, count in counts.items() if count), None)
            if code is not None:
                answered = f"{counts[code]} of the agent's requests were answered {code}"
                yield found(_BY_CODE[code], text, answered, confidence=Confidence.LIKELY)
            elif lag >= findings.environment.settle:
                yield found("annotations-behind", text)
    if omitted := printable(annotations.get("omitted", "")):
        yield found("annotation-budget", f"the annotation omitted says {omitted}")
