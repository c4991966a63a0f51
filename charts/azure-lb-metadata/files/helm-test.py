"""What `helm test` runs in the image: the endpoint, the annotations, the policy. Standard library only.

Every line printed is one check; the exit code is 1 when one of them failed. The image runs Python without
docstrings and assertions, so nothing here depends on either.
"""
# ruff: noqa: INP001 - a file of the chart, no module

import json
import os
import ssl
import sys
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
TIMEOUT_S = 10


class CheckError(Exception):
    """A check has failed; the text says what was found instead."""


def ask(
    path: str, *, token: str, method: str = "GET", body: object = None, content: str = "application/json"
) -> tuple[int, dict[str, Any]]:
    """Status and JSON of a request to the API server."""
    host, port = os.environ["KUBERNETES_SERVICE_HOST"], os.environ["KUBERNETES_SERVICE_PORT"]
    host = f"[{host}]" if ":" in host else host
    request = urllib.request.Request(
        f"https://{host}:{port}{path}",
        method=method,
        data=None if body is None else json.dumps(body).encode(),
        headers={"Authorization": f"Bearer {token}", "Content-Type": content},
    )
    context = ssl.create_default_context(cafile=ACCOUNT / "ca.crt")
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT_S, context=context) as answer:  # noqa: S310 - as above
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def items(path: str) -> list[dict[str, Any]]:
    """The objects of a list, with the rights of this pod."""
    status, answer = ask(path, token=(ACCOUNT / "token").read_text())
    if status != 200:
        raise CheckError(f"{path} is answered {status}: {answer.get('message')}")
    return list(answer["items"])


def endpoint_answers() -> str:
    """The Service answers this pod for its own node."""
    with urllib.request.urlopen(os.environ["ENDPOINT"] + "/v1/loadbalancer", timeout=TIMEOUT_S) as answer:  # noqa: S310 - http
        document = json.load(answer)
    if document["node"] not in {os.environ["NODE_NAME"], None}:
        raise CheckError(f"{document['node']} answers a pod on {os.environ['NODE_NAME']}")
    return f"status {document['status']}"


def own_node_is_annotated() -> str:
    """The node of this pod has been annotated."""
    path = f"/api/v1/nodes/{os.environ['NODE_NAME']}"
    _, node = ask(path, token=(ACCOUNT / "token").read_text())
    annotations = node["metadata"].get("annotations", {})
    key = f"{os.environ['PREFIX']}/status"
    if key not in annotations:
        raise CheckError(f"{os.environ['NODE_NAME']} has no annotation {key}")
    return f"{key}={annotations[key]}"


def policy_refuses_others() -> str:
    """An agent's own identity is refused what no agent may write; nothing is written if it is not."""
    namespace, account = os.environ["NAMESPACE"], os.environ["AGENT_ACCOUNT"]
    pods = items(f"/api/v1/namespaces/{namespace}/pods?labelSelector={os.environ['AGENT_SELECTOR']}")
    agent = next((pod for pod in pods if pod["spec"].get("nodeName")), None)
    if agent is None:
        raise CheckError("there is no agent")
    own = agent["spec"]["nodeName"]
    bound = {"apiVersion": "v1", "kind": "Pod", "name": agent["metadata"]["name"]}
    status, answer = ask(
        f"/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token",
        token=(ACCOUNT / "token").read_text(),
        method="POST",
        body={"spec": {"boundObjectRef": bound, "expirationSeconds": 600}},
    )
    if status != 201:
        raise CheckError(f"no token of the agent: {status} {answer.get('message')}")
    others = [node["metadata"]["name"] for node in items("/api/v1/nodes") if node["metadata"]["name"] != own]
    changes: dict[str, object] = {"annotations": {f"{os.environ['PREFIX']}/helm-test": "written"}}
    if not others:  # a cluster of one node
        changes = {"labels": {"helm-test": "written"}}
    status, refusal = ask(
        f"/api/v1/nodes/{(others or [own])[0]}?dryRun=All&fieldManager=helm-test",
        token=answer["status"]["token"],
        method="PATCH",
        body={"metadata": changes},
        content="application/merge-patch+json",
    )
    message = str(refusal.get("message"))
    if status != 422 or "ValidatingAdmissionPolicy" not in message:
        raise CheckError(f"the agent of {own} may write to {(others or [own])[0]}: {status} {message}")
    return message


def main() -> int:
    """Run the checks that these values ask for."""
    checks: dict[str, Callable[[], str]] = {
        "the Service answers this pod for its own node": endpoint_answers,
    }
    if "PREFIX" in os.environ:
        checks["the node of this pod has been annotated"] = own_node_is_annotated
    if "AGENT_ACCOUNT" in os.environ:
        checks["an agent is refused what no agent may write"] = policy_refuses_others
    failed = 0
    for sentence, check in checks.items():
        try:
            line = f"passed: {sentence} ({check()})"
        except CheckError as error:
            failed += 1
            line = f"FAILED: {sentence}: {error}"
        except (OSError, ValueError, KeyError) as error:
            failed += 1
            line = f"FAILED: {sentence}: {error!r}"
        sys.stdout.write(line + "\n")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main())
