"""The probe of the API server: the Node, the agent's pod and rights, and a dry run of the agent's write.

Nothing is ever written: the one PATCH is a dry run
(https://kubernetes.io/docs/reference/using-api/api-concepts/, "Dry-run"). No request is repeated,
since a failure is what ``doctor`` looks for.
"""

import base64
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

from sidecar import clock
from sidecar.core.annotations import DEFAULT_PREFIX, Layout, field_manager, own
from sidecar.core.cluster import agent_of, rivals
from sidecar.core.instant import rfc3339
from sidecar.core.outcome import Status
from sidecar.core.parsing import error_object
from sidecar.doctor.evidence import (
    ApiServerFailure,
    ApiServerFailureKind,
    ClusterEvidence,
    PodEvidence,
    TokenClaims,
    seconds_ahead,
)
from sidecar.doctor.probe_agent import Fetch, Fetched, LostError
from sidecar.kube.access import LoadingRules
from sidecar.kube.client import apply_request
from sidecar.kube.credentials import Access
from sidecar.kube.errors import (
    CredentialsError,
    ForbiddenError,
    KubeConfigError,
    KubernetesError,
    NoAnswerError,
    NodeNotFoundError,
    RejectedError,
    ServerError,
    ThrottledError,
    UnauthorizedError,
    printable,
)
from sidecar.kube.listing import FleetClient
from sidecar.kube.requests import JSON, Request, Requester, object_of, parsed, requester, successful

_VERBS = ("get", "patch")
"""What an agent does to its Node."""

_UNRELIABLE = "does not support dry run"
"""Part of the refusal where a webhook could not be called in a dry run; it says nothing of a real write."""

_REVIEWS = "/apis/authorization.k8s.io/v1"

_KINDS: dict[type[Exception], ApiServerFailureKind] = {
    KubeConfigError: ApiServerFailureKind.CONFIGURATION,
    CredentialsError: ApiServerFailureKind.CREDENTIALS,
    NoAnswerError: ApiServerFailureKind.NO_ANSWER,
    UnauthorizedError: ApiServerFailureKind.UNAUTHORIZED,
    ForbiddenError: ApiServerFailureKind.FORBIDDEN,
    NodeNotFoundError: ApiServerFailureKind.NOT_FOUND,
    RejectedError: ApiServerFailureKind.REJECTED,
    ThrottledError: ApiServerFailureKind.THROTTLED,
    ServerError: ApiServerFailureKind.SERVER,
}
"""In the order in which they are tried."""


async def probe_as_agent(kube: "KubeClient", node: str, *, prefix: str) -> ClusterEvidence:
    """Probe with the agent's own credentials.

    Args:
        kube: With these credentials.
        node: Name of the Node, as it was given to the agent.
        prefix: Of its annotations.
    """
    claims = None
    try:
        claims = _claims(await kube.token())
        evidence = await kube.node(node, prefix=prefix)
    except KubernetesError as error:
        problem = failure_of(error)
        rights = await kube.rights(node) if problem.kind is ApiServerFailureKind.FORBIDDEN else {}
        return ClusterEvidence(node_name=node, prefix=prefix, claims=claims, problem=problem, rights=rights)
    evidence = replace(evidence, claims=claims, rights=await kube.rights(node))
    if not all(evidence.rights.values()):
        return evidence
    # What the agent would write: what is there, observed now.
    layout = Layout(prefix=prefix)
    values = own(evidence.node_annotations, layout=layout) or {layout.key("status"): str(Status.STARTING)}
    values[layout.key("observed-at")] = rfc3339(clock.now().utc)
    request = apply_request(node, uid=evidence.uid, annotations=values, field_manager=field_manager(prefix))
    try:
        await kube.send(replace(request, query=[*request.query, ("dryRun", "All")]))
    except KubernetesError as error:
        if _UNRELIABLE not in str(error.args[0]):
            return replace(evidence, dry_run=failure_of(error))
    return evidence


async def probe_as_operator(
    kube: "KubeClient", node: str, *, prefix: str | None, namespace: str | None
) -> ClusterEvidence:
    """Probe from an operator's machine, with the operator's credentials.

    Args:
        kube: With these credentials.
        node: Name of the Node.
        prefix: Of the agents' annotations; ``None``: as the node's agent has it.
        namespace: Where the agents are; ``None``: anywhere.
    """
    assumed = prefix or DEFAULT_PREFIX
    try:
        evidence = await kube.node(node, prefix=assumed)
    except KubernetesError as error:
        return ClusterEvidence(node_name=node, prefix=assumed, problem=failure_of(error))
    try:
        pods = await kube.fleet.agent_pods(namespace=namespace, node=node)
    except KubernetesError as error:
        return replace(evidence, notes=[f"the agent's pod could not be looked for: {error.args[0]}"])
    pod = agent_of(node, pods, prefix=assumed) or agent_of(node, pods, prefix=None)
    if pod is None:
        obstacles: list[str] = []
        # An operator need not be allowed to list DaemonSets.
        with suppress(KubernetesError):
            daemon_sets = await kube.fleet.agent_daemon_sets(namespace=namespace)
            if (placed := await kube.fleet.node(node)) is not None:
                obstacles = [
                    f"DaemonSet {each}: {obstacle}"
                    for each in daemon_sets
                    for obstacle in each.placement.obstacles(labels=placed.labels, taints=placed.taints)
                ]
        return replace(evidence, pod_missing=True, obstacles=obstacles)

    if namespace is not None:
        # Rivals may be in any namespace, which an operator need not be allowed to list.
        with suppress(KubernetesError):
            pods = await kube.fleet.agent_pods(node=node) or pods
    evidence = replace(
        evidence,
        prefix=prefix or pod.prefix or DEFAULT_PREFIX,
        rivals=[str(each) for each in rivals(node, pods, of=pod)],
    )
    annotates = pod.prefix == evidence.prefix
    found = PodEvidence(name=str(pod), ready=pod.serves, trouble=pod.trouble, annotates=annotates)
    try:
        found, account, ports = await kube.pod(found)
    except KubernetesError as error:
        return replace(evidence, pod=found, notes=[f"the pod {pod} could not be read: {error.args[0]}"])
    evidence = replace(evidence, pod=found, pod_ports=ports)
    if annotates:
        rights = await kube.rights(node, service_account=account)
        evidence = replace(evidence, identity=f"service account {account}", rights=rights)
    return evidence


def failure_of(error: KubernetesError | KubeConfigError) -> ApiServerFailure:
    """An error as evidence."""
    kinds = (kind for each, kind in _KINDS.items() if isinstance(error, each))
    kind = next(kinds, ApiServerFailureKind.MALFORMED)
    return ApiServerFailure(kind, str(error.args[0]), error.advice, getattr(error, "status", None))


@asynccontextmanager
async def connect(
    *,
    kubeconfig: str | None,
    context: str | None,
    timeout: float,  # noqa: ASYNC109 - of each request, not of this function
) -> AsyncIterator["KubeClient"]:
    """A client for the length of the block; nothing is sent by connecting.

    Args:
        kubeconfig: Its path, else where one is expected.
        context: Which of it, else the current one.
        timeout: Seconds for each request.

    Raises:
        KubeConfigError: there is no usable configuration.
    """
    rules = LoadingRules(kubeconfig=kubeconfig, context=context)
    async with requester(rules, metrics=None, timeout=timeout) as requests:
        yield KubeClient(requests, await requests.access())


class KubeClient:
    """Sends the requests of the probes. Made by `connect`.

    Every method raises a `KubernetesError` that names the situation, unless it says otherwise.
    """

    def __init__(self, requests: Requester, access: Access) -> None:
        self._access = access
        self.send, self.exchange = requests.send, requests.exchange
        self.fleet = FleetClient(requests, fraction=float)
        """Repeats requests without a pause; used only once a request has succeeded."""

    async def token(self) -> str:
        """The bearer token; empty if there is none. For its claims, and to keep it out of what is shown."""
        return (await self._access.authorization() or "").removeprefix("Bearer ")

    async def node(self, name: str, *, prefix: str) -> ClusterEvidence:
        """Read a Node, not from cache."""
        answer = await self.send(Request(method="GET", path=f"/api/v1/nodes/{name}", accept=JSON))
        ahead = seconds_ahead(answer.headers.get("Date"), now=clock.now().utc)

        def parse(_: bytes) -> ClusterEvidence:
            value = object_of(answer)
            conditions = value.get("status", {}).get("conditions") or []
            return ClusterEvidence(
                node_name=name,
                prefix=prefix,
                uid=str(value["metadata"]["uid"]),
                node_annotations=value["metadata"].get("annotations") or {},
                node_ready=next(
                    (each["status"] == "True" for each in conditions if each["type"] == "Ready"), None
                ),
                clock_ahead=ahead,
            )

        return parsed(answer, parse)

    async def pod(self, pod: PodEvidence) -> tuple[PodEvidence, str, tuple[int, int]]:
        """Read an agent's pod.

        Returns:
            What is known of it; its service account, as ``namespace/name``; the ports of its API and of its
            admin listener.
        """
        namespace, _, name = pod.name.partition("/")
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        answer = await self.send(Request(method="GET", path=path, accept=JSON))

        def parse(_: bytes) -> tuple[PodEvidence, str, tuple[int, int]]:
            spec = object_of(answer)["spec"]
            ports = {
                port.get("name"): port["containerPort"]
                for container in spec["containers"]
                for port in container.get("ports") or ()
            }
            numbers = int(ports.get("api", 16925)), int(ports.get("admin", 16926))
            account = f"{namespace}/{spec.get('serviceAccountName') or 'default'}"
            return replace(pod, host_network=bool(spec.get("hostNetwork"))), account, numbers

        return parsed(answer, parse)

    async def rights(self, node: str, *, service_account: str | None = None) -> dict[str, bool]:
        """Whether each verb on the Node is allowed: to oneself, or to ``namespace/name``.

        Empty where that may not be reviewed; raises nothing.
        """
        subject: dict[str, Any] = {}
        kind, path = "SelfSubjectAccessReview", f"{_REVIEWS}/selfsubjectaccessreviews"
        if service_account is not None:
            namespace, _, name = service_account.partition("/")
            groups = [f"system:serviceaccounts:{namespace}", "system:serviceaccounts", "system:authenticated"]
            subject = {"user": f"system:serviceaccount:{namespace}:{name}", "groups": groups}
            kind, path = "SubjectAccessReview", f"{_REVIEWS}/subjectaccessreviews"

        async def allowed(verb: str) -> bool:
            attributes = {"group": "", "resource": "nodes", "verb": verb, "name": node}
            spec = {"resourceAttributes": attributes, **subject}
            body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
            request = Request(method="POST", path=path, body=body, content_type=JSON, accept=JSON)
            answer = await self.send(request)
            return parsed(answer, lambda _: bool(object_of(answer)["status"]["allowed"]))

        try:
            return {verb: await allowed(verb) for verb in _VERBS}
        except KubernetesError:
            return {}


def through_pod(kube: KubeClient, pod: str, *, port: int) -> Fetch:
    """Requests to a pod (``namespace/name``) through the API server's proxy."""
    namespace, _, name = pod.partition("/")
    base = f"/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy"

    async def fetch(path: str) -> Fetched:
        try:
            answer = await kube.exchange(Request(method="GET", path=f"{base}{path}", accept="*/*"))
            if error_object(answer.body).get("kind") == "Status":
                # The API server's own word and not that of a pod.
                successful(answer)
        except KubernetesError as error:
            raise LostError(str(error.args[0])) from error
        return Fetched(answer.status, answer.headers, answer.body)

    return fetch


def _claims(token: str) -> TokenClaims | None:
    """The claims of a service account token (RFC 7519), whose signature is the API server's to check."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        kubernetes = payload.get("kubernetes.io") or {}
        return TokenClaims(
            namespace=printable(kubernetes.get("namespace")),
            service_account=printable((kubernetes.get("serviceaccount") or {}).get("name")),
            pod=printable((kubernetes.get("pod") or {}).get("name")),
            node=printable((kubernetes.get("node") or {}).get("name")),
            issued=_time(payload.get("iat")),
            expires=_time(payload.get("exp")),
        )
    except (ValueError, AttributeError):
        return None


def _time(seconds: object) -> datetime | None:
    if not isinstance(seconds, int) or not 0 <= seconds < 2**36:
        return None
    return datetime.fromtimestamp(seconds, tz=UTC)
