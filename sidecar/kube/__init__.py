"""The API server: a Node's metadata in and out, and what an operator's commands ask, in own types.

===============  =======================================================================
``client``       the agent's two calls
``events``       Events about a Node
``operator``     the calls of ``prune``, over all Nodes; this and the next ones imported by such alone
``fleet``        the reads of ``nodes``, ``rules`` and ``doctor``, over all Nodes
``examination``  the reads of ``doctor`` about one Node
``repeating``    what ``operator`` and ``fleet`` have in common
``listing``      lists, page by page
``wire``         objects as the API server has them; pods and DaemonSets in ``workloads``
``ownership``    which annotations a field manager owns
``retrying``     how often and when a request is repeated
``requester``    a request with its time limit, counted
``connection``   a session, kept open and made anew with new credentials
``access``       where the API server is and who we are: service account or kubeconfig
``kubeconfig``   what a kubeconfig says; imported only when there is one, as are ``kubeconfig_files``
                 (from bytes to merged entries) and ``plugin`` (credential plug-ins)
``credentials``  what a connection is made with
``errors``       what can go wrong, one class per situation; from an answer to its error
===============  =======================================================================
"""

from sidecar.kube.client import EventClient, NodeClient, NodeEvent, NodeMetadata, connect
from sidecar.kube.errors import (
    CredentialsError,
    ForbiddenError,
    KubeConfigError,
    KubernetesError,
    MalformedBodyError,
    NoAnswerError,
    NodeNotFoundError,
    NodeReplacedError,
    RejectedError,
    ServerError,
    ThrottledError,
    UnauthorizedError,
    UnreadConfigError,
)

__all__ = [
    "CredentialsError",
    "EventClient",
    "ForbiddenError",
    "KubeConfigError",
    "KubernetesError",
    "MalformedBodyError",
    "NoAnswerError",
    "NodeClient",
    "NodeEvent",
    "NodeMetadata",
    "NodeNotFoundError",
    "NodeReplacedError",
    "RejectedError",
    "ServerError",
    "ThrottledError",
    "UnauthorizedError",
    "UnreadConfigError",
    "connect",
]
