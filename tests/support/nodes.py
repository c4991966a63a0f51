"""Nodes as the tests make them and look at them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self


@dataclass(frozen=True)
class NodeMetadata:
    """The metadata of a Node that tests look at."""

    name: str
    uid: str
    resource_version: str
    annotations: Mapping[str, str]
    labels: Mapping[str, str]
    managed_fields: tuple[Mapping[str, Any], ...]

    @classmethod
    def of(cls, node: Mapping[str, Any]) -> Self:
        """Take them from a Node as the API server gives it."""
        metadata = node["metadata"]
        return cls(
            name=metadata["name"],
            uid=metadata["uid"],
            resource_version=metadata["resourceVersion"],
            annotations=metadata.get("annotations", {}),
            labels=metadata.get("labels", {}),
            managed_fields=tuple(metadata.get("managedFields", ())),
        )

    @property
    def managers(self) -> set[str]:
        """The field managers that own something of this Node."""
        return {entry["manager"] for entry in self.managed_fields}


def realistic_node(name: str, *, address: str = "10.240.0.4") -> dict[str, Any]:
    """A Node as AKS makes them: its labels, a taint, and annotations of others that must survive."""
    return {
        "apiVersion": "v1",
        "kind": "Node",
        "metadata": {
            "name": name,
            "labels": {
                "agentpool": "nodepool1",
                "beta.kubernetes.io/arch": "amd64",
                "kubernetes.azure.com/agentpool": "nodepool1",
                "kubernetes.azure.com/mode": "system",
                "kubernetes.io/arch": "amd64",
                "kubernetes.io/hostname": name[:63],
                "kubernetes.io/os": "linux",
                "node.kubernetes.io/instance-type": "Standard_D4s_v5",
                "topology.kubernetes.io/region": "westeurope",
                "topology.kubernetes.io/zone": "westeurope-1",
            },
            "annotations": {
                "csi.volume.kubernetes.io/nodeid": f'{{"disk.csi.azure.com":"{name}"}}',
                "node.alpha.kubernetes.io/ttl": "0",
                "volumes.kubernetes.io/controller-managed-attach-detach": "true",
            },
        },
        "spec": {
            "providerID": f"azure:///subscriptions/none/virtualMachines/{name}",
            "taints": [{"key": "CriticalAddonsOnly", "value": "true", "effect": "NoSchedule"}],
        },
        "status": {
            "addresses": [{"type": "InternalIP", "address": address}, {"type": "Hostname", "address": name}],
            "conditions": [{"type": "Ready", "status": "True", "reason": "KubeletReady"}],
        },
    }
