"""A Node and a Service as the commands for operators see them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from sidecar.core.addresses import IPAddress
from sidecar.core.scheduling import Taint

__all__ = ["ClusterNode", "LoadBalancerService"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ClusterNode:
    """What of a Node counts."""

    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    annotations: Mapping[str, str] = field(default_factory=dict)
    """All of them, whoever wrote them."""
    taints: Sequence[Taint] = ()
    ready: bool = False
    """Its condition Ready is True; when its kubelet has stopped, that becomes Unknown."""
    since: datetime | None = None
    """When that changed last, else when the Node was made."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LoadBalancerService:
    """A Service of type LoadBalancer."""

    namespace: str
    name: str
    addresses: frozenset[IPAddress] = frozenset()
    """Of ``status.loadBalancer.ingress``."""
    ports: frozenset[tuple[str, int]] = frozenset()
    """Protocol in lower case, and port."""

    def __str__(self) -> str:
        return f"{self.namespace}/{self.name}"
