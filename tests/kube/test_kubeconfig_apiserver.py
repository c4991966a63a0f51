"""Whom a kubeconfig asks as, beside what kubectl asks as with the same file, on a real API server."""

import asyncio
import json
from pathlib import Path

import pytest
import yaml

from sidecar.kube.access import LoadingRules
from sidecar.kube.requests import JSON, Request, requester
from sidecar.metrics import Metrics
from tests.support.apiserver import ApiServer
from tests.support.cluster import Cluster
from tests.support.commands import run
from tests.support.nodes import NodeMetadata

pytestmark = pytest.mark.apiserver


def impersonating(server: ApiServer, path: Path) -> Path:
    """The admin's kubeconfig, with rights that were laid down: those of somebody who has none."""
    config = yaml.safe_load(server.admin_kubeconfig.read_text())
    config["users"][0]["user"] |= {"as": "viewer", "as-groups": ["nobody"], "as-uid": "7"}
    config["users"][0]["user"]["as-user-extra"] = {"example.com/Scopes%": ["a b", "c"]}
    path.write_text(yaml.safe_dump(config))
    return path


async def whoami(kubeconfig: Path) -> object:
    """Who the API server takes us for."""
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    path = "/apis/authentication.k8s.io/v1/selfsubjectreviews"
    asked = Request(method="POST", path=path, accept=JSON, body=review, content_type=JSON)
    rules = LoadingRules(kubeconfig=str(kubeconfig))
    async with requester(rules, metrics=Metrics(), timeout=60) as requests:
        answer = await requests.send(asked)
    return json.loads(answer.body)["status"]["userInfo"]


async def test_prune_with_rights_that_were_laid_down(
    api_server: ApiServer, cluster: Cluster, node: NodeMetadata, tmp_path: Path
) -> None:
    """A kubeconfig that asks as somebody without rights removes nothing, though its own user may."""
    kubeconfig = impersonating(api_server, tmp_path / "config")
    key = "azure-lb-metadata.io/status"
    await cluster.annotate(node.name, {key: "ok"})
    ended = await run("prune", node.name, kubeconfig=kubeconfig)
    assert (ended.code, "let viewer " in ended.err) == (1, True)
    assert (await cluster.node(node.name)).annotations[key] == "ok"
    ended = await run("prune", node.name, kubeconfig=api_server.admin_kubeconfig)
    assert ended.code == 0
    assert key not in (await cluster.node(node.name)).annotations


async def test_same_user_as_kubectl(api_server: ApiServer, tmp_path: Path) -> None:
    """The API server takes us for the same user, groups, UID and extra fields as kubectl."""
    kubeconfig = impersonating(api_server, tmp_path / "config")
    asked = ("auth", "whoami", "-o", "json", f"--kubeconfig={kubeconfig}")
    process = await asyncio.create_subprocess_exec(
        str(api_server.kubectl), *asked, stdout=asyncio.subprocess.PIPE, env={"HOME": str(tmp_path)}
    )
    output, _ = await process.communicate()
    theirs = json.loads(output)["status"]["userInfo"]
    assert theirs == await whoami(kubeconfig)
    assert (theirs["username"], theirs["uid"]) == ("viewer", "7")
    assert theirs["extra"] == {"example.com/scopes%": ["a b", "c"]}
