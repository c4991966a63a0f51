"""A cluster's nodes and agents as kubelets and controllers would write them, on a real API server."""

import uuid
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import yaml

from sidecar.core.annotations import Layout, annotations
from sidecar.core.changes import Change
from sidecar.core.document import Document, InboundRule, OutboundRule, PublicIPAddress
from sidecar.core.egress import EgressState, SharedEgress, declared_networks
from sidecar.core.instant import Instant
from sidecar.core.outcome import Reason, Status
from sidecar.core.state import State
from tests.support.apiserver import ApiServer
from tests.support.cluster import Cluster
from tests.support.nodes import realistic_node

LAYOUT = Layout()
AGENT_LABELS = {
    "app.kubernetes.io/name": "azure-lb-metadata",
    "app.kubernetes.io/component": "agent",
    "app.kubernetes.io/instance": "release",
}
MERGE = "application/merge-patch+json"
LINUX = {"key": "kubernetes.io/os", "operator": "In", "values": ["linux"]}


def ago(**past: float) -> datetime:
    """A moment so long before now, in whole seconds."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(**past)


def document(
    *,
    public: Sequence[str] = (),
    inbound: Sequence[tuple[str, int]] = (),
    outbound: Sequence[str] = (),
    private: str = "10.240.0.4",
) -> Document:
    """A document with these frontends; inbound rules are TCP with the backend port as the frontend's."""
    nic = ip_address(private)
    return Document.of(
        public_ip_addresses=[PublicIPAddress(ip_address(each), nic) for each in public],
        inbound_rules=[
            InboundRule(
                frontend_ip=ip_address(address),
                protocol="tcp",
                frontend_port=port,
                backend_port=port,
                private_ip=nic,
            )
            for address, port in inbound
        ],
        outbound_rules=[OutboundRule(ip_address(each), nic) for each in outbound],
    )


def published(  # noqa: PLR0913 - what an agent knows
    known: Document,
    *,
    status: Status = Status.OK,
    reason: Reason | None = None,
    observed: datetime | None = None,
    changed: datetime | None = None,
    changes: Sequence[Change] = (),
    layout: Layout = LAYOUT,
    egress: SharedEgress | None = None,
) -> dict[str, str]:
    """What an agent with this document annotates, and with what is declared and observed."""
    state = State(
        started=Instant(mono=0, utc=ago(days=1)),
        document=known,
        observed=Instant(mono=1, utc=observed or ago(minutes=5)),
        changed_at=changed or ago(hours=5),
        changes=tuple(changes),
        told_egress=egress or SharedEgress(),
    )
    return annotations(state, status, reason, layout=layout)


def told(state: EgressState = EgressState.OFF, *seen: str, declared: Sequence[str] = ()) -> SharedEgress:
    """What an agent with this state saw, and its operator declared."""
    return SharedEgress(declared_networks(declared), tuple(map(ip_address, seen)), state)


class Fleet:
    """Nodes with a label of their own, and agents in a namespace of their own."""

    def __init__(self, cluster: Cluster, *, namespace: str | None = None) -> None:
        """With a given namespace the names of nodes are as given, too."""
        self.cluster = cluster
        self.namespace = namespace or f"agents-{uuid.uuid4().hex[:12]}"
        self._suffix = "" if namespace else f"-{self.namespace[-6:]}"
        self.selector = f"fleet={self.namespace}"
        self.nodes: list[str] = []

    async def prepare(self, *, tolerations: Sequence[Mapping[str, str]] = ({"operator": "Exists"},)) -> None:
        """Make the namespace and the DaemonSet of agents."""
        metadata = {"metadata": {"name": self.namespace}}
        await self.cluster.request("POST", "/api/v1/namespaces", body=metadata)
        path = f"/api/v1/namespaces/{self.namespace}/serviceaccounts"
        await self.cluster.request("POST", path, body={"metadata": {"name": "default"}})
        spec = {
            "tolerations": list(tolerations),
            "affinity": _affinity([{"matchExpressions": [LINUX]}]),
            "containers": [_container()],
        }
        body = {
            "metadata": {"name": "agents", "labels": AGENT_LABELS},
            "spec": {
                "selector": {"matchLabels": AGENT_LABELS},
                "template": {"metadata": {"labels": AGENT_LABELS}, "spec": spec},
            },
        }
        await self.cluster.request("POST", f"/apis/apps/v1/namespaces/{self.namespace}/daemonsets", body=body)

    async def add(  # noqa: PLR0913 - what there is to say of a node
        self,
        name: str,
        annotated: Mapping[str, str] | None = None,
        *,
        agent: bool = True,
        ready: str = "True",
        since: datetime | None = None,
        taints: Sequence[Mapping[str, str]] = (),
        labels: Mapping[str, str] | None = None,
    ) -> str:
        """A Node with its annotations, and by default a ready agent; gives its name."""
        node = realistic_node(name := f"{name}{self._suffix}")
        node["metadata"]["labels"].update({"fleet": self.namespace, **(labels or {})})
        node["metadata"]["annotations"].update(annotated or {})
        node["spec"]["taints"] = list(taints)
        node["status"]["conditions"] = [_condition("Ready", ready, since or ago(days=3))]
        await self.cluster.request("POST", "/api/v1/nodes", body=node)
        self.nodes.append(name)
        if agent:
            await self.agent(name)
        return name

    async def agent(  # noqa: PLR0913 - what there is to say of a pod
        self,
        node: str,
        *,
        ready: bool = True,
        since: datetime | None = None,
        waiting: str = "",
        scheduled: bool = True,
        arguments: Sequence[str] = (),
        name: str = "",
    ) -> str:
        """A pod of an agent, as the DaemonSet controller makes it and the kubelet reports it."""
        name = name or f"agents-{uuid.uuid4().hex[:5]}"
        spec: dict[str, Any] = {"containers": [_container(arguments)], "serviceAccountName": "default"}
        if scheduled:
            spec["nodeName"] = node
        fields = [{"key": "metadata.name", "operator": "In", "values": [node]}]
        spec["affinity"] = _affinity([{"matchFields": fields}])
        path = f"/api/v1/namespaces/{self.namespace}/pods"
        metadata = {"name": name, "labels": AGENT_LABELS}
        await self.cluster.request("POST", path, body={"metadata": metadata, "spec": spec})
        moment = since or ago(hours=2)
        status: dict[str, Any] = {
            "phase": "Running" if scheduled else "Pending",
            "conditions": [_condition("Ready", str(ready and scheduled), moment)],
        }
        if not scheduled:
            reason = {**_condition("PodScheduled", "False", moment), "reason": "Unschedulable"}
            status["conditions"].append(reason)
        if waiting:
            state = {"waiting": {"reason": waiting}}
            container = {"name": "agent", "ready": False, "restartCount": 3, "image": "x", "imageID": "y"}
            status["containerStatuses"] = [{**container, "state": state}]
        await self.cluster.request(
            "PATCH", f"{path}/{name}/status", body={"status": status}, content_type=MERGE
        )
        return name

    async def service(self, name: str, address: str, *ports: int) -> str:
        """A Service of type LoadBalancer, with the address that the cloud's controller writes."""
        path = f"/api/v1/namespaces/{self.namespace}/services"
        spec = {
            "type": "LoadBalancer",
            "selector": {"app": name},
            "ports": [{"name": f"port-{port}", "port": port, "protocol": "TCP"} for port in ports],
        }
        await self.cluster.request("POST", path, body={"metadata": {"name": name}, "spec": spec})
        status = {"status": {"loadBalancer": {"ingress": [{"ip": address}]}}}
        await self.cluster.request("PATCH", f"{path}/{name}/status", body=status, content_type=MERGE)
        return f"{self.namespace}/{name}"

    async def remove(self) -> None:
        """Delete the Nodes, the DaemonSet, the pods and the Services: no controller does."""
        for name in self.nodes:
            await self.cluster.delete_node(name)
        for kind in ("pods", "services"):
            path = f"/api/v1/namespaces/{self.namespace}/{kind}"
            await self.cluster.request("DELETE", f"{path}?gracePeriodSeconds=0")
        path = f"/apis/apps/v1/namespaces/{self.namespace}/daemonsets"
        await self.cluster.request("DELETE", path)


def _container(arguments: Sequence[str] = ()) -> dict[str, Any]:
    return {"name": "agent", "image": "none.invalid/agent", "args": ["run", *arguments]}


def _condition(kind: str, status: str, since: datetime) -> dict[str, str]:
    return {"type": kind, "status": status, "lastTransitionTime": since.strftime("%Y-%m-%dT%H:%M:%SZ")}


def _affinity(terms: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    required = {"nodeSelectorTerms": list(terms)}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}


def many_contexts(servers: Mapping[str, ApiServer], *, plugin_of: str, directory: Path) -> Path:
    """A kubeconfig with a context for each server, as their admin.

    The user of one of them gets its token from a credential plug-in, a program
    (https://kubernetes.io/docs/reference/access-authn-authz/authentication/, "client-go credential plugins").
    """
    directory.mkdir(parents=True, exist_ok=True)
    users = {name: {"token": server.admin_token} for name, server in servers.items()}
    config: dict[str, Any] = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": next(iter(servers)),
        "clusters": [
            {"name": name, "cluster": {"server": each.url, "certificate-authority": str(each.ca_file)}}
            for name, each in servers.items()
        ],
        "contexts": [{"name": name, "context": {"cluster": name, "user": name}} for name in servers],
        "users": [
            {
                "name": name,
                "user": _plugin(servers[name].admin_token, directory) if name == plugin_of else user,
            }
            for name, user in users.items()
        ],
    }
    path = directory / "kubeconfig"
    path.write_text(yaml.safe_dump(config))
    return path


def _plugin(token: str, directory: Path) -> dict[str, Any]:
    version = "client.authentication.k8s.io/v1"
    program = directory / "credentials"
    answer = f'{{"apiVersion": "{version}", "kind": "ExecCredential", "status": {{"token": "{token}"}}}}'
    program.write_text(f"#!/bin/sh\necho called >> '{program}.log'\necho '{answer}'\n")
    program.chmod(0o755)
    return {"exec": {"apiVersion": version, "command": str(program), "interactiveMode": "Never"}}
