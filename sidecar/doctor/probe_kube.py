"""The reads of ``doctor``: what the API server lets an agent do, and an agent's pod through its proxy.

Nothing is ever written: the one PATCH is a dry run
(https://kubernetes.io/docs/reference/using-api/api-concepts/, "Dry-run"). No request is repeated,
since a failure is what ``doctor`` looks for.
"""

import base64
import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import Any

from sidecar.core.parsing import error_object
from sidecar.doctor.evidence import ApiServerFailure, ApiServerFailureKind, TokenClaims
from sidecar.kube.access import LoadingRules
from sidecar.kube.client import apply_request
from sidecar.kube.connection import JSON, Request, Response
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
from sidecar.kube.fleet import FleetClient
from sidecar.kube.requests import Requester, object_of, parsed, requester, successful
from sidecar.metrics import Metrics

_REVIEWS = "/apis/authorization.k8s.io/v1"
_KINDS: Sequence[tuple[type[Exception], ApiServerFailureKind]] = (
    (KubeConfigError, ApiServerFailureKind.CONFIGURATION),
    (CredentialsError, ApiServerFailureKind.CREDENTIALS),
    (NoAnswerError, ApiServerFailureKind.NO_ANSWER),
    (UnauthorizedError, ApiServerFailureKind.UNAUTHORIZED),
    (ForbiddenError, ApiServerFailureKind.FORBIDDEN),
    (NodeNotFoundError, ApiServerFailureKind.NOT_FOUND),
    (RejectedError, ApiServerFailureKind.REJECTED),
    (ThrottledError, ApiServerFailureKind.THROTTLED),
    (ServerError, ApiServerFailureKind.SERVER),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeSeen:
    """A Node, and when the API server gave it."""

    uid: str
    annotations: Mapping[str, str]
    ready: bool | None
    """Its condition Ready; ``None`` if it has none."""
    date: str | None
    """The header ``Date`` of the answer."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PodSeen:
    """What of an agent's pod matters to reach it and to know its rights."""

    service_account: str
    host_network: bool
    api_port: int
    admin_port: int


def problem_of(error: KubernetesError | KubeConfigError) -> ApiServerFailure:
    """An error as evidence."""
    kind = next((kind for each, kind in _KINDS if isinstance(error, each)), ApiServerFailureKind.MALFORMED)
    return ApiServerFailure(kind, str(error.args[0]), error.advice, getattr(error, "status", None))


@asynccontextmanager
async def connect_kube_probe(
    *,
    kubeconfig: str | None,
    context: str | None,
    timeout: float,  # noqa: ASYNC109 - of each request, not of this function
) -> AsyncIterator["KubeProbe"]:
    """An examiner for the length of the block; nothing is sent by connecting.

    Raises:
        KubeConfigError: there is no usable configuration.
    """
    rules = LoadingRules(kubeconfig=kubeconfig, context=context)
    async with requester(rules, metrics=Metrics(), timeout=timeout) as requests:
        yield KubeProbe(requests, await requests.access())


class KubeProbe:
    """Looks, and tells what it was told. Made by `connect_kube_probe`.

    Every method raises a `KubernetesError` that names the situation, unless it says otherwise.
    """

    def __init__(self, requests: Requester, access: Access) -> None:
        self._requests = requests
        self._access = access
        self.fleet = FleetClient(requests, fraction=float)
        """Repeats requests without a pause; only asked once a request has been answered."""

    async def token(self) -> str:
        """The bearer token; empty if there is none. For its claims, and to keep it out of what is shown."""
        return (await self._access.authorization() or "").removeprefix("Bearer ")

    async def claims(self) -> TokenClaims | None:
        """What the token says of itself; ``None`` if it is not that of a service account."""
        return _claims(await self.token())

    async def node(self, name: str) -> NodeSeen:
        """Read a Node, not from cache."""
        answer = await self._requests.send(Request(method="GET", path=f"/api/v1/nodes/{name}", accept=JSON))
        return parsed(answer, lambda _: _node(object_of(answer), answer.headers.get("Date")))

    async def rights(
        self, node: str, verbs: Sequence[str], *, service_account: str | None = None
    ) -> dict[str, bool]:
        """Whether each verb on the Node is allowed: to oneself, or to ``namespace/name``."""
        subject: dict[str, Any] = {}
        kind = "SelfSubjectAccessReview"
        if service_account is not None:
            namespace, _, name = service_account.partition("/")
            groups = [f"system:serviceaccounts:{namespace}", "system:serviceaccounts", "system:authenticated"]
            subject = {"user": f"system:serviceaccount:{namespace}:{name}", "groups": groups}
            kind = "SubjectAccessReview"
        allowed = {}
        for verb in verbs:
            attributes = {"group": "", "resource": "nodes", "verb": verb, "name": node}
            allowed[verb] = await self._review(kind, {"resourceAttributes": attributes, **subject})
        return allowed

    async def dry_run(self, name: str, *, uid: str, annotations: Mapping[str, str], manager: str) -> None:
        """Apply annotations without effect, as the agent would with effect."""
        request = apply_request(name, uid=uid, annotations=annotations, field_manager=manager)
        await self._requests.send(replace(request, query=[*request.query, ("dryRun", "All")]))

    async def pod(self, namespace: str, name: str) -> PodSeen:
        """How an agent's pod is to be reached."""
        path = f"/api/v1/namespaces/{namespace}/pods/{name}"
        answer = await self._requests.send(Request(method="GET", path=path, accept=JSON))
        return parsed(answer, lambda _: _pod(object_of(answer)))

    async def through_pod(self, namespace: str, name: str, *, port: int, path: str) -> Response:
        """An answer of a pod by way of the API server, whatever its status.

        Raises:
            KubernetesError: the API server, or the way from there to the pod, failed.
        """
        target = f"/api/v1/namespaces/{namespace}/pods/{name}:{port}/proxy{path}"
        answer = await self._requests.exchange(Request(method="GET", path=target, accept="*/*"))
        # Its own word and not that of a pod.
        return successful(answer) if error_object(answer.body).get("kind") == "Status" else answer

    async def _review(self, kind: str, spec: Mapping[str, Any]) -> bool:
        path = f"{_REVIEWS}/{kind[0].lower()}{kind[1:].lower()}s"
        body = {"apiVersion": "authorization.k8s.io/v1", "kind": kind, "spec": spec}
        request = Request(method="POST", path=path, body=body, content_type=JSON, accept=JSON)
        answer = await self._requests.send(request)
        return parsed(answer, lambda _: bool(object_of(answer)["status"]["allowed"]))


def _node(value: dict[str, Any], date: str | None) -> NodeSeen:
    metadata = value["metadata"]
    conditions = value.get("status", {}).get("conditions") or []
    ready = next((each["status"] == "True" for each in conditions if each["type"] == "Ready"), None)
    return NodeSeen(
        uid=str(metadata["uid"]), annotations=metadata.get("annotations") or {}, ready=ready, date=date
    )


def _pod(value: dict[str, Any]) -> PodSeen:
    spec = value["spec"]
    ports = {
        port.get("name"): port["containerPort"]
        for container in spec["containers"]
        for port in container.get("ports") or ()
    }
    return PodSeen(
        service_account=spec.get("serviceAccountName") or "default",
        host_network=bool(spec.get("hostNetwork")),
        api_port=int(ports.get("api", 16925)),
        admin_port=int(ports.get("admin", 16926)),
    )


def _claims(token: str) -> TokenClaims | None:
    """The claims of a service account token (RFC 7519), whose signature is the API server's to check."""
    parts = token.split(".")
    if len(parts) != 3:
        return None
    try:
        payload = json.loads(base64.urlsafe_b64decode(parts[1] + "=" * (-len(parts[1]) % 4)))
        own = payload.get("kubernetes.io") or {}
        return TokenClaims(
            namespace=printable(own.get("namespace")),
            service_account=printable((own.get("serviceaccount") or {}).get("name")),
            pod=printable((own.get("pod") or {}).get("name")),
            node=printable((own.get("node") or {}).get("name")),
            issued=_time(payload.get("iat")),
            expires=_time(payload.get("exp")),
        )
    except (ValueError, AttributeError):
        return None


def _time(seconds: object) -> datetime | None:
    if not isinstance(seconds, int) or not 0 <= seconds < 2**36:
        return None
    return datetime.fromtimestamp(seconds, tz=UTC)
