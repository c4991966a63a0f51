"""Requests about a Node, what the API server may answer, and how requests are counted."""

import json
from typing import Any

from sidecar.kube import NodeClient
from sidecar.metrics import Metrics
from tests.support.fake_apiserver import Reply, status_object

__all__ = ["NODE", "apply", "counted", "status_reply"]

NODE = "aks-nodepool1-vmss000000"


def counted(metrics: Metrics, method: str, code: str) -> float | None:
    """How many requests were counted so."""
    labels = {"method": method, "code": code}
    return metrics.registry.get_sample_value("azure_lb_metadata_kubernetes_requests_total", labels)


def status_reply(status: int, message: str = "why", *, details: dict[str, Any] | None = None) -> Reply:
    """An answer as the API server gives when it does not do what was asked."""
    return Reply(status=status, body=json.dumps(status_object(status, message, details=details)).encode())


async def apply(client: NodeClient, *, uid: str = "any", **annotations: str) -> None:
    """Apply annotations with the agent's manager."""
    await client.apply(NODE, uid=uid, annotations=annotations, field_manager="azure-lb-metadata/a.example")
