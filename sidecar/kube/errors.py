"""What can go wrong with the Kubernetes API server, one class per situation that somebody handles.

Bodies of answers are not trusted: only the message of a ``Status`` object is shown, or plain text, made
printable and cut.

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
        """Seconds to wait as the API server states, at most 5 minutes; ``None`` if it states none."""


class UnauthorizedError(KubernetesError):
    """401: the API server does not accept the credentials. The next request loads all of them anew."""


class ForbiddenError(KubernetesError):
    """403: the user is known, and not allowed to do this."""


class NodeNotFoundError(KubernetesError):
    """404: there is no Node (or other object) of that name, or not yet."""


class NodeReplacedError(KubernetesError):
    """The Node with that UID is gone (409) or made anew (422): read it again, not from cache."""


class RejectedError(KubernetesError):
    """Any other 4xx: the API server refuses, and would refuse the same request again."""


class ThrottledError(KubernetesError):
    """429: the API server is overloaded."""


class ServerError(KubernetesError):
    """5xx: the API server, or something that it depends on, fails."""


class MalformedBodyError(KubernetesError):
    """The answer is not what an API server gives."""


class NoAnswerError(KubernetesError, UnreachableError):
    """No whole answer: time-out, refused, reset, unknown host, or TLS that does not check out."""


class CredentialsError(KubernetesError):
    """The token or the configuration could not be read (again) when a request needed it."""


class KubeConfigError(UsageError):
    """No usable configuration: settings and environment do not say how to reach an API server."""


class UnreadConfigError(KubeConfigError):
    """The configuration could not be read this time: the volume is too slow, or no thread is free."""


_BY_STATUS: dict[int, tuple[type[KubernetesError], str]] = {
    401: (UnauthorizedError, _UNAUTHORIZED_ADVICE),
    404: (NodeNotFoundError, _NOT_FOUND_ADVICE),
    413: (RejectedError, _TOO_LARGE_ADVICE),
    429: (ThrottledError, _THROTTLED_ADVICE),
}


def error_from_answer(
    status: int, *, headers: Mapping[str, str], body: bytes, now: datetime
) -> KubernetesError:
    """The error for an answer other than 2xx.

    Args:
        status: HTTP status.
        headers: Of the answer; looked up as ``Retry-After``.
        body: A ``Status`` object as JSON if an API server sent it; of others only plain text is shown,
            such as that of Go's TLS server to a request without TLS.
        now: To understand a ``Retry-After`` that is a date.
    """
    answer = error_object(body)
    if answer.get("kind") != "Status":
        answer = {}
    given = answer.get("details")
    details: dict[str, Any] = given if isinstance(given, dict) else {}
    message = printable(answer.get("message"))
    if not message and headers.get("Content-Type", "").lower().startswith("text/plain"):
        message = printable(body[: 4 * TEXT_LIMIT].decode("utf-8", "replace"))
    message = message or "no message"
    retry_after = parse_retry_after(headers.get("Retry-After"), now=now)
    stated = details.get("retryAfterSeconds")
    if retry_after is None and isinstance(stated, int) and stated > 0:
        retry_after = float(min(stated, int(RETRY_AFTER_LIMIT)))
    causes = details.get("causes")
    blames_uid = isinstance(causes, list) and any(
        isinstance(cause, dict) and cause.get("field") == "metadata.uid" for cause in causes
    )
    kind: type[KubernetesError]
    if status in {400, 404} and not answer:
        kind, advice = MalformedBodyError, MALFORMED_ADVICE  # a web server, but no API server
    elif status == 409 or (status == 422 and blames_uid):
        kind, advice = NodeReplacedError, _REPLACED_ADVICE
    elif status == 403:
        kind, advice = ForbiddenError, _forbidden_advice(message)
    elif status in _BY_STATUS:
        kind, advice = _BY_STATUS[status]
    elif 400 <= status < 500:
        kind, advice = RejectedError, _REJECTED_ADVICE
    elif 500 <= status < 600:
        kind, advice = ServerError, _SERVER_ADVICE
    else:
        kind, advice = MalformedBodyError, MALFORMED_ADVICE
    text = f"the Kubernetes API server answered {status}: {message}"
    return kind(text, advice=advice, status=status, retry_after=retry_after)


def _forbidden_advice(message: str) -> str:
    """The right that is missing, with the role to give it by, as far as the message names them."""
    denied = _DENIED.search(message)
    if denied is None:
        return f"let the agent's user get and patch nodes ({_CLUSTER_ROLE})"
    user, verb, resource, namespace = denied.group("user", "verb", "resource", "namespace")
    if resource == "nodes" and verb in {"get", "patch"}:
        verb = "get and patch"
    role = f"a Role and its RoleBinding in {namespace}" if namespace else _CLUSTER_ROLE
    return f"let {user} {verb} {resource} ({role})"


def printable(text: object) -> str:
    """A text from elsewhere as printable ASCII without line ends, cut; empty if it is no text."""
    if not isinstance(text, str):
        return ""
    # The first cut bounds the work.
    return _UNPRINTABLE.sub(" ", text[: 2 * TEXT_LIMIT]).strip()[:TEXT_LIMIT]


def describe(error: Exception) -> str:
    """The text of an error of a library, printable and cut; its class if it has none."""
    return printable(str(error)) or type(error).__name__
