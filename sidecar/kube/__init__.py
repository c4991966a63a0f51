"""The API server: reading and annotating Nodes, and what an operator's commands read, as values.

====================  =======================================================================
``client``            the agent's calls: read, apply, remove; Events about a Node
``listing``           the calls of ``nodes``, ``rules``, ``prune`` and ``doctor`` over all Nodes:
                      with retries, lists page by page
``requests``          a request with its time limit, counted, over a session that is kept open and
                      made anew with new credentials
``wire``              objects as the API server has them; pods and DaemonSets in ``workloads``
``access``            where the API server is and who we are: service account or kubeconfig
``kubeconfig``        what a kubeconfig says; imported only when there is one, as are
                      ``kubeconfig_files`` (from bytes to merged entries) and ``plugin``
                      (credential plug-ins)
``credentials``       what a connection is made with
``errors``            what can go wrong, one class per situation; from an answer to its error
====================  =======================================================================
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
