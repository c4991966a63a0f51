"""What can go wrong with the Kubernetes API server, one class per situation that somebody handles.

An own hierarchy, because the client library's own says only the status, and because callers and
their tests then need not import that library. The bodies of answers come from elsewhere: only the
message of a ``Status`` object is shown, printable, and cut.

What a status means for a node: Kubernetes API conventions, "HTTP Status codes"
(kubernetes/community contributors/devel/sig-architecture/api-conventions.md); which of them a
server-side apply gives, from trying against kube-apiserver 1.34.
"""

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from sidecar.core.backoff import RETRY_AFTER_LIMIT, parse_retry_after
from sidecar.core.parsing import error_object
from sidecar.errors import Error, UnreachableError, UsageError

TEXT_LIMIT = 512
"""Characters kept of a text from elsewhere: a policy's denial begins with some 200 of names."""

_DENIED = re.compile(
    r'User "(?P<user>[^"]+)" cannot (?P<verb>\w+) resource "(?P<resource>[^"]+)"'
    r'( in API group "[^"]*")?( in the namespace "(?P<namespace>[^"]+)")?'
)
_UNPRINTABLE = re.compile(r"[^ -~]+")

_UNAUTHORIZED_ADVICE = (
    "its token is missing, expired or from another cluster: see that the pod's service account exists "
    "and its token is mounted (automountServiceAccountToken), that the node's clock is right, "
    "or that the user of the kubeconfig may log in"
)
_CLUSTER_ROLE = "a ClusterRole bound by a ClusterRoleBinding"
_NOT_FOUND_ADVICE = "check --node-name (NODE_NAME); a Node appears when its kubelet registers it"
_REPLACED_ADVICE = "the Node was deleted or made anew; it is read again before the next write"
_TOO_LARGE_ADVICE = "lower --annotation-budget or set --annotate=summary"
_REJECTED_ADVICE = (
    "an admission policy or webhook denied it, or a value is not allowed: see the message, "
    "the cluster's policies, --annotation-prefix and --annotation-budget"
)
_THROTTLED_ADVICE = "the API server is busy; if it stays so, look at its priority and fairness metrics"
_SERVER_ADVICE = "look at the health of the API server and of the admission webhooks for nodes"
MALFORMED_ADVICE = (
    "check that the address in the kubeconfig or of the cluster is that of a Kubernetes API server"
)


class KubernetesError(Error):
    """Base of what can go wrong with a request to the API server."""

    def __init__(
        self,
        message: str,
        *,
        advice: str = "",
        status: int | None = None,
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message, advice=advice)
        self.status = status
        """The HTTP status, if there was a whole answer."""
        self.retry_after = retry_after
        """Seconds the API server asks to wait, at most 5 minutes; ``None`` when it does not."""


class UnauthorizedError(KubernetesError):
    """401: the API server does not know who asks. The next request loads all credentials anew."""


class ForbiddenError(KubernetesError):
    """403: the API server knows who asks, and does not allow it."""


class NodeNotFoundError(KubernetesError):
    """404: there is no Node (or other object) of that name, or not yet."""


class NodeReplacedError(KubernetesError):
    """The Node with that UID is gone (409) or made anew (422): read it again, not from cache."""


class RejectedError(KubernetesError):
    """Any other 4xx: the API server understood and refuses; the same request will not do better."""


class ThrottledError(KubernetesError):
    """429: the API server has too much to do."""


class ServerError(KubernetesError):
    """5xx: the API server, or something it needs, is in trouble."""


class MalformedBodyError(KubernetesError):
    """The answer is not what an API server gives."""


class NoAnswerError(KubernetesError, UnreachableError):
    """No whole answer: time-out, refused, reset, unknown host, or TLS that does not check out."""


class CredentialsError(KubernetesError):
    """The token or the configuration could not be read (again) when a request needed it."""


class KubeConfigError(UsageError):
    """It cannot be told from the settings and surroundings how to reach an API server."""


class UnreadConfigError(KubeConfigError):
    """It could not be read just now: the volume did not answer in time, or no thread could be had."""


def error_from_answer(
    status: int, *, headers: Mapping[str, str], body: bytes, now: datetime
) -> KubernetesError:
    """The error that an answer other than 2xx amounts to.

    Args:
        status: HTTP status.
        headers: Of the answer; looked up as ``Retry-After``.
        body: A ``Status`` object as JSON if an API server sent it; of others only plain text is shown,
            such as that of Go's TLS server to a request without TLS.
        now: To understand a ``Retry-After`` that is a date.
    """
    answer = _status_object(body)
    message = printable(answer.get("message")) or _plain(headers, body) or "no message"
    kind, advice = _situation(status, answer, message)
    return kind(
        f"the Kubernetes API server answered {status}: {message}",
        advice=advice,
        status=status,
        retry_after=_retry_after(headers, answer, now=now),
    )


def printable(text: object) -> str:
    """A text from elsewhere as printable ASCII without line ends, cut; empty if it is no text."""
    if not isinstance(text, str):
        return ""
    # The first cut bounds the work.
    return _UNPRINTABLE.sub(" ", text[: 2 * TEXT_LIMIT]).strip()[:TEXT_LIMIT]


def describe(error: Exception) -> str:
    """The text of an error of a library, printable and cut; its class if it has none."""
    return printable(str(error)) or type(error).__name__


def _plain(headers: Mapping[str, str], body: bytes) -> str:
    """The words of a body that is plain text; empty if it is not."""
    if not headers.get("Content-Type", "").lower().startswith("text/plain"):
        return ""
    return printable(body[: 4 * TEXT_LIMIT].decode("utf-8", "replace"))


def _situation(status: int, answer: dict[str, Any], message: str) -> tuple[type[KubernetesError], str]:
    """The class of the error and its advice."""
    if status in {400, 404} and not answer:
        return MalformedBodyError, MALFORMED_ADVICE  # a web server, but no API server
    if status == 409 or (status == 422 and _blames_uid(answer)):
        return NodeReplacedError, _REPLACED_ADVICE
    by_status: dict[int, tuple[type[KubernetesError], str]] = {
        401: (UnauthorizedError, _UNAUTHORIZED_ADVICE),
        403: (ForbiddenError, _forbidden_advice(message)),
        404: (NodeNotFoundError, _NOT_FOUND_ADVICE),
        413: (RejectedError, _TOO_LARGE_ADVICE),
        429: (ThrottledError, _THROTTLED_ADVICE),
    }
    if status in by_status:
        return by_status[status]
    if 400 <= status < 500:
        return RejectedError, _REJECTED_ADVICE
    if 500 <= status < 600:
        return ServerError, _SERVER_ADVICE
    return MalformedBodyError, MALFORMED_ADVICE


def _forbidden_advice(message: str) -> str:
    denied = _DENIED.search(message)
    if denied is None:
        return f"let the agent's user get and patch nodes ({_CLUSTER_ROLE})"
    user, verb, resource, namespace = denied.group("user", "verb", "resource", "namespace")
    if resource == "nodes" and verb in {"get", "patch"}:
        verb = "get and patch"
    role = f"a Role and its RoleBinding in {namespace}" if namespace else _CLUSTER_ROLE
    return f"let {user} {verb} {resource} ({role})"


def _blames_uid(answer: dict[str, Any]) -> bool:
    causes = _details(answer).get("causes")
    return isinstance(causes, list) and any(
        isinstance(cause, dict) and cause.get("field") == "metadata.uid" for cause in causes
    )


def _retry_after(headers: Mapping[str, str], answer: dict[str, Any], *, now: datetime) -> float | None:
    seconds = parse_retry_after(headers.get("Retry-After"), now=now)
    if seconds is not None:
        return seconds
    stated = _details(answer).get("retryAfterSeconds")
    if isinstance(stated, int) and stated > 0:
        return float(min(stated, int(RETRY_AFTER_LIMIT)))
    return None


def _status_object(body: bytes) -> dict[str, Any]:
    """The ``Status`` object in a body, or an empty one."""
    answer = error_object(body)
    return answer if answer.get("kind") == "Status" else {}


def _details(answer: dict[str, Any]) -> dict[str, Any]:
    details = answer.get("details")
    return details if isinstance(details, dict) else {}
