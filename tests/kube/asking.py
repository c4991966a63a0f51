"""Requests about a Node, and how requests are counted."""

from sidecar.kube import NodeClient
from sidecar.metrics import Metrics

NODE = "aks-nodepool1-vmss000000"


def counted(metrics: Metrics, method: str, code: str) -> float | None:
    """How many requests were counted so."""
    labels = {"method": method, "code": code}
    return metrics.registry.get_sample_value("azure_lb_metadata_kubernetes_requests_total", labels)


async def apply(client: NodeClient, *, uid: str = "any", **annotations: str) -> None:
    """Apply annotations with the agent's manager."""
    await client.apply(NODE, uid=uid, annotations=annotations, field_manager="azure-lb-metadata/a.example")
