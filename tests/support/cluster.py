"""What tests do to a cluster as its admin: nodes, identities of agents, kubectl.

Typed helpers over the API server's own JSON (https://kubernetes.io/docs/reference/kubernetes-api/);
they know nothing of the agent and do not import its client.
"""

import asyncio
import os
import ssl
import uuid
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.apiserver import ApiServer, kubeconfig
from tests.support.nodes import NodeMetadata, realistic_node
from tests.support.waiting import DEADLINE_S, until

AGENT_RULES: tuple[Mapping[str, list[str]], ...] = (
    {"apiGroups": [""], "resources": ["nodes"], "verbs": ["get", "patch"]},
)
RBAC = "/apis/rbac.authorization.k8s.io/v1"
ACCESS_DEADLINE_S = 120.0
REVOCATION_DEADLINE_S = 120.0
MERGE_PATCH = "application/merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


class ApiError(Exception):
    """The API server refused a request of the admin or of an identity."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(f"{status}: {message}")
        self.status = status
        self.message = message


class KubectlError(Exception):
    """kubectl ended with another code than 0; the text is what it said."""


@dataclass(frozen=True)
class Identity:
    """The service account token of one agent pod, in files as kubelet mounts them."""

    node: str
    namespace: str
    service_account: str
    pod: str
    token: str
    directory: Path
    """Holds ``token``, ``ca.crt`` and ``namespace``."""

    kubeconfig: Path
    """Reads the token from its file at each use, as a client in a pod does."""


class Cluster:
    """An API server seen by its admin. Made by `cluster_of`."""

    def __init__(self, server: ApiServer, session: aiohttp.ClientSession) -> None:
        self.server = server
        self._session = session

    async def request(
        self,
        method: str,
        path: str,
        *,
        body: Mapping[str, Any] | None = None,
        content_type: str = "application/json",
        token: str | None = None,
    ) -> dict[str, Any]:
        """Send one request, as the admin or with the given bearer token, and give the object answered.

        Raises:
            ApiError: the answer is not a 2xx.
        """
        headers = {
            "Authorization": f"Bearer {token or self.server.admin_token}",
            "Accept": "application/json",
            "Content-Type": content_type,
        }
        async with self._session.request(
            method, f"{self.server.url}{path}", json=body, headers=headers
        ) as response:
            answer: dict[str, Any] = await response.json()
            if not response.ok:
                raise ApiError(response.status, answer.get("message", ""))
            return answer

    async def create_node(
        self,
        name: str | None = None,
        *,
        annotations: Mapping[str, str] | None = None,
        address: str = "10.240.0.4",
    ) -> NodeMetadata:
        """Create a realistic Node, with these annotations besides the usual; without a name, a new one."""
        node = realistic_node(name or f"aks-nodepool1-{uuid.uuid4().hex[:12]}", address=address)
        node["metadata"]["annotations"].update(annotations or {})
        return NodeMetadata.of(await self.request("POST", "/api/v1/nodes", body=node))

    async def delete_node(self, name: str) -> None:
        """Delete the Node; without effect when there is none."""
        try:
            await self.request("DELETE", f"/api/v1/nodes/{name}")
        except ApiError as error:
            if error.status != 404:
                raise

    async def recreate_node(self, name: str) -> NodeMetadata:
        """Delete the Node and make it anew: the same name, another uid, none of its annotations."""
        await self.delete_node(name)
        return await self.create_node(name)

    async def node(self, name: str) -> NodeMetadata:
        """The Node's metadata as it is now.

        Raises:
            ApiError: 404, there is no such Node.
        """
        return NodeMetadata.of(await self.request("GET", f"/api/v1/nodes/{name}"))

    async def annotate(self, name: str, annotations: Mapping[str, str | None]) -> NodeMetadata:
        """Set annotations, or remove those whose value is None, as somebody else with kubectl would."""
        patch = {"metadata": {"annotations": dict(annotations)}}
        path = f"/api/v1/nodes/{name}?fieldManager=kubectl-annotate"
        return NodeMetadata.of(await self.request("PATCH", path, body=patch, content_type=MERGE_PATCH))

    async def create_identity(
        self, node: str, *, directory: Path, rules: tuple[Mapping[str, list[str]], ...] = AGENT_RULES
    ) -> Identity:
        """Make a namespace with a service account, its rights and a pod on `node`, and issue the pod's token.

        The token comes from the TokenRequest API and is bound to the pod, as a mounted one is; so
        it carries the node's name and dies with the pod. The names of namespace, role and binding
        are all ``Identity.namespace``. Its files go to `directory`.
        """
        name = f"agent-{uuid.uuid4().hex[:12]}"
        await self._create_service_account(name, rules=rules)
        pod = await self._create_pod(name, node=node)
        token = await self._issue_token(name, pod=pod)
        return await asyncio.to_thread(
            self._write_identity, name, node=node, token=token, directory=directory
        )

    async def revoke(self, identity: Identity) -> None:
        """Delete the identity's pod at once and wait until its token is no longer accepted (401)."""
        path = f"/api/v1/namespaces/{identity.namespace}/pods/{identity.pod}?gracePeriodSeconds=0"
        await self.request("DELETE", path)
        await until(
            lambda: self._is_known(identity), lambda known: not known, deadline_s=REVOCATION_DEADLINE_S
        )

    async def _is_known(self, identity: Identity) -> bool:
        """Whether the API server accepts the token; it remembers for some seconds that it did."""
        review = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
        try:
            await self.request("POST", review, body={}, token=identity.token)
        except ApiError as error:
            if error.status == 401:
                return False
            raise
        return True

    async def deny(self, identity: Identity) -> None:
        """Delete the identity's role binding and wait until its requests are forbidden (403)."""
        await self.request("DELETE", f"{RBAC}/clusterrolebindings/{identity.namespace}")
        await self._wait_for_access(identity, allowed=False)

    async def allow(self, identity: Identity) -> None:
        """Bind the identity to its role again and wait until its requests are allowed."""
        await self._bind(identity.namespace, identity.service_account)
        await self._wait_for_access(identity, allowed=True)

    async def grant(
        self,
        namespace: str,
        *,
        service_account: str,
        rules: tuple[Mapping[str, list[str]], ...] = AGENT_RULES,
    ) -> None:
        """Give a service account these rights; role and binding have the name of its namespace."""
        role = {"metadata": {"name": namespace}, "rules": list(rules)}
        await self.request("POST", f"{RBAC}/clusterroles", body=role)
        await self._bind(namespace, service_account)

    async def may_patch(self, identity: Identity) -> bool:
        """Whether the API server would let the identity patch its Node."""
        return await self.may(identity, verb="patch", resource="nodes", name=identity.node)

    async def may(self, identity: Identity, **attributes: str) -> bool:
        """Whether the API server would let the identity do this; attributes as of an access review."""
        review = await self.request(
            "POST",
            "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews",
            body={"spec": {"resourceAttributes": attributes}},
            token=identity.token,
        )
        return bool(review["status"]["allowed"])

    async def kubectl(self, *arguments: str, stdin: str = "", identity: Identity | None = None) -> str:
        """Run the real kubectl, as the admin or as an identity, and give its standard output.

        Raises:
            KubectlError: it ended with another code than 0.
        """
        config = identity.kubeconfig if identity else self.server.admin_kubeconfig
        process = await asyncio.create_subprocess_exec(
            self.server.kubectl,
            f"--kubeconfig={config}",
            *arguments,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            env={"HOME": str(self.server.directory), "PATH": os.defpath},
        )
        output, errors = await process.communicate(stdin.encode())
        if process.returncode:
            raise KubectlError(
                f"kubectl {' '.join(arguments)} ended with {process.returncode}: {errors.decode()}"
            )
        return output.decode()

    async def _wait_for_access(self, identity: Identity, *, allowed: bool) -> None:
        """The authorizer learns of a binding through a watch, a moment after it is written."""
        await until(
            lambda: self.may_patch(identity), lambda may: may is allowed, deadline_s=ACCESS_DEADLINE_S
        )

    async def _create_service_account(self, name: str, *, rules: tuple[Mapping[str, list[str]], ...]) -> None:
        metadata = {"metadata": {"name": name}}
        await self.request("POST", "/api/v1/namespaces", body=metadata)
        await self.request("POST", f"/api/v1/namespaces/{name}/serviceaccounts", body=metadata)
        await self.grant(name, service_account=name, rules=rules)

    async def _bind(self, namespace: str, service_account: str) -> None:
        binding = {
            "metadata": {"name": namespace},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": namespace},
            "subjects": [{"kind": "ServiceAccount", "name": service_account, "namespace": namespace}],
        }
        await self.request("POST", f"{RBAC}/clusterrolebindings", body=binding)

    async def _create_pod(self, name: str, *, node: str) -> dict[str, Any]:
        pod = {
            "metadata": {"name": name},
            "spec": {
                "nodeName": node,
                "serviceAccountName": name,
                "containers": [{"name": "agent", "image": "none.invalid/agent"}],
            },
        }
        return await self.request("POST", f"/api/v1/namespaces/{name}/pods", body=pod)

    async def _issue_token(self, name: str, *, pod: Mapping[str, Any]) -> str:
        metadata = pod["metadata"]
        bound = {"apiVersion": "v1", "kind": "Pod", "name": metadata["name"], "uid": metadata["uid"]}
        path = f"/api/v1/namespaces/{name}/serviceaccounts/{name}/token"
        answer = await self.request("POST", path, body={"spec": {"boundObjectRef": bound}})
        return str(answer["status"]["token"])

    def _write_identity(self, name: str, *, node: str, token: str, directory: Path) -> Identity:
        directory.mkdir(parents=True, exist_ok=True)
        token_file, ca_file = directory / "token", directory / "ca.crt"
        token_file.write_text(token)
        ca_file.write_bytes(self.server.ca_file.read_bytes())
        (directory / "namespace").write_text(name)
        config = directory / "kubeconfig"
        user = {"tokenFile": str(token_file)}
        config.write_text(kubeconfig(server=self.server.url, ca_file=ca_file, user=user, namespace=name))
        return Identity(
            node=node,
            namespace=name,
            service_account=name,
            pod=name,
            token=token,
            directory=directory,
            kubeconfig=config,
        )


@asynccontextmanager
async def cluster_of(server: ApiServer) -> AsyncIterator[Cluster]:
    """The admin's view of a running API server, for the length of the block and of its event loop."""
    context = ssl.create_default_context(cafile=server.ca_file)
    connector = aiohttp.TCPConnector(ssl=context)
    timeout = aiohttp.ClientTimeout(total=DEADLINE_S)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout) as session:
        yield Cluster(server, session)
