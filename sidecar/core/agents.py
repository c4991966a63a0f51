"""The agents' pods as the cluster sees them: which pod is the agent of a Node, and how it is."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from itertools import zip_longest

from sidecar.core.annotations import DEFAULT_PREFIX
from sidecar.core.scheduling import Placement

__all__ = ["AgentDaemonSet", "AgentPod", "agent_of", "agents_by_node", "annotation_prefix"]

_PREFIX_FLAG = "--annotation-prefix"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentPod:
    """A pod of an agent."""

    namespace: str
    name: str
    node: str
    """Where it runs, or is to run: the DaemonSet controller says so before the scheduler does."""
    prefix: str | None
    """Of the annotations that it writes; ``None`` if it writes none."""
    ready: bool
    """Its condition Ready."""
    since: datetime | None = None
    """When that changed last, else when the pod was made."""
    ending: bool = False
    """Whether it has a deletion timestamp."""
    scheduled: bool = True
    trouble: str = ""
    """Why it does not run, in the cluster's word: ``CrashLoopBackOff``, ``Unschedulable``, …"""
    address: str = ""
    """Its first IP address; empty before it has one."""

    @property
    def serves(self) -> bool:
        """Whether it is ready and will stay."""
        return self.ready and not self.ending

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


@dataclass(frozen=True, slots=True, kw_only=True)
class AgentDaemonSet:
    """A DaemonSet of agents."""

    namespace: str
    name: str
    prefix: str | None
    """Of the annotations that its pods write; ``None`` if they write none."""
    placement: Placement

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"


def agent_of(node: str, pods: Iterable[AgentPod], *, prefix: str | None) -> AgentPod | None:
    """The agent of a Node: during an update there are two pods, and the one that serves counts.

    Args:
        node: Name of the Node.
        pods: Of any Nodes.
        prefix: Only agents that write under it; ``None`` for any.
    """
    own = [pod for pod in pods if pod.node == node and prefix in {None, pod.prefix}]
    return max(own, key=lambda pod: (pod.serves, not pod.ending, pod.ready, pod.name), default=None)


def agents_by_node(pods: Iterable[AgentPod], *, prefix: str | None) -> dict[str, AgentPod]:
    """The agent of each Node, as `agent_of` chooses it."""
    groups: dict[str, list[AgentPod]] = {}
    for pod in pods:
        groups.setdefault(pod.node, []).append(pod)
    chosen = {node: agent_of(node, group, prefix=prefix) for node, group in groups.items()}
    return {node: pod for node, pod in chosen.items() if pod is not None}


def annotation_prefix(arguments: Sequence[str], variable: str | None = None) -> str | None:
    """Under which prefix an agent writes, by its arguments and variable; ``None`` if it writes nothing.

    Args:
        arguments: Of its container.
        variable: The value of ``AZURE_LB_METADATA_ANNOTATION_PREFIX`` there.
    """
    prefix = variable or DEFAULT_PREFIX
    for argument, following in zip_longest(arguments, arguments[1:], fillvalue=""):
        name, equals, value = argument.partition("=")
        if name == _PREFIX_FLAG:
            prefix = value if equals else following
        elif argument == "--no-annotations" or name == "--upstream":
            return None
    return prefix
