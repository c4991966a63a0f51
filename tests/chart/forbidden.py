"""Writes that no agent may get done, though RBAC allows them."""

from typing import Any

from tests.chart.policy import BUDGET, MANAGER, OLD, PREFIX, Attempt
from tests.support.cluster import APPLY_PATCH
from tests.support.nodes import realistic_node

FOREIGN = "node.alpha.kubernetes.io/ttl"
UNLISTED = "unlisted.example.com"
"""A prefix that is neither ours nor listed; the own Node has a key of it, and of the one before."""
JSON_PATCH = "application/json-patch+json"
OTHER = "/api/v1/nodes/{other}"
STATUS = "/api/v1/nodes/{own}/status"
TAINT = {"key": "mine", "effect": "NoSchedule"}
OWNER = {"apiVersion": "v1", "kind": "Node", "name": "n", "uid": "5d2a0c0e-0000-4000-8000-000000000000"}
CONDITION = {"type": "Ready", "status": "False", "reason": "Agent"}


def annotated(values: dict[str, str | None], **rest: Any) -> Attempt:
    """A merge patch of annotations, and of more members of the metadata."""
    return Attempt({"metadata": {"annotations": values, **rest}})


def metadata(**members: Any) -> Attempt:
    """A merge patch of the metadata."""
    return Attempt({"metadata": members})


def spec(**members: Any) -> Attempt:
    """A merge patch of the spec."""
    return Attempt({"spec": members})


def applied(body: dict[str, Any], *, path: str = "/api/v1/nodes/{own}") -> Attempt:
    """A server-side apply under the agent's own field manager."""
    body = {"apiVersion": "v1", "kind": "Node", **body}
    return Attempt(body, path=f"{path}?fieldManager={MANAGER}&force=true", content_type=APPLY_PATCH)


def json_patch(operation: str, pointer: str, value: Any = None) -> Attempt:
    """A JSON patch of one operation."""
    return Attempt([{"op": operation, "path": pointer, "value": value}], content_type=JSON_PATCH)


def claim(fields: dict[str, Any], *, manager: str = "victim", operation: str = "Apply") -> Attempt:
    """A JSON patch by which a field manager owns these fields as well."""
    entry = {
        "manager": manager,
        "operation": operation,
        "apiVersion": "v1",
        "time": "2026-01-02T03:04:05Z",
        "fieldsType": "FieldsV1",
        "fieldsV1": fields,
    }
    return json_patch("add", "/metadata/managedFields/-", entry)


def annotation_owner(key: str) -> dict[str, Any]:
    """The field of an annotation, as managedFields name it."""
    return {"f:metadata": {"f:annotations": {f"f:{key}": {}}}}


FORBIDDEN: dict[str, Attempt] = {
    "add a label": metadata(labels={"mine": "true"}),
    "change a label": metadata(labels={"kubernetes.azure.com/mode": "user"}),
    "remove a label": metadata(labels={"agentpool": None}),
    "remove all labels": metadata(labels=None),
    "a label beside an annotation": annotated({f"{PREFIX}/status": "ok"}, labels={"mine": "true"}),
    "add a finalizer": metadata(finalizers=["example.com/mine"]),
    "add an owner": metadata(ownerReferences=[OWNER]),
    "name it for generation": metadata(generateName="made-by-an-agent-"),
    "add a taint": spec(taints=[TAINT]),
    "remove all taints": spec(taints=None),
    "unschedulable": spec(unschedulable=True),
    "reset who owns what": metadata(managedFields=[{}]),
    "forget who owns what": json_patch("remove", "/metadata/managedFields/0"),
    "reset who owns what beside an annotation": annotated({f"{PREFIX}/status": "ok"}, managedFields=[{}]),
    "reset who owns what by a JSON patch": json_patch("replace", "/metadata/managedFields", [{}]),
    "another owns a label": claim({"f:metadata": {"f:labels": {"f:agentpool": {}}}}),
    "another owns the taints": claim({"f:spec": {"f:taints": {}}}),
    "another owns the finalizers": claim({"f:metadata": {"f:finalizers": {}}}),
    "another owns an owner": claim({"f:metadata": {"f:ownerReferences": {}}}),
    "another owns the status": claim({"f:status": {"f:conditions": {}}}),
    "another owns a foreign annotation": claim(annotation_owner(FOREIGN)),
    "another owns all annotations": claim(
        {"f:metadata": {"f:annotations": {".": {}, f"f:{PREFIX}/status": {}}}}, operation="Update"
    ),
    "the agent owns a label": claim({"f:metadata": {"f:labels": {"f:agentpool": {}}}}, manager=MANAGER),
    "the agent owns a foreign annotation": claim(annotation_owner(FOREIGN), manager=MANAGER),
    "an owner before all others": claim(
        {"f:spec": {"f:taints": {}}}, manager="before-first-apply", operation="Update"
    ),
    "apply a label as it is": applied({"metadata": {"labels": {"agentpool": "nodepool1"}}}),
    "apply a foreign annotation as it is": applied({"metadata": {"annotations": {FOREIGN: "0"}}}),
    "add a foreign annotation": annotated({"example.com/a": "b"}),
    "change a foreign annotation": annotated({FOREIGN: "1"}),
    "remove a foreign annotation": annotated({FOREIGN: None}),
    "remove all annotations": metadata(annotations=None),
    "a foreign annotation beside an own one": annotated({f"{PREFIX}/status": "ok", FOREIGN: "1"}),
    "a prefix that continues": annotated({f"{PREFIX}.example.com/status": "ok"}),
    "a prefix that ends the same": annotated({f"not-{PREFIX}/status": "ok"}),
    "a domain below": annotated({f"sub.{PREFIX}/status": "ok"}),
    "a key without a prefix": annotated({PREFIX: "ok"}),
    "a long value": annotated({f"{PREFIX}/loadbalancer": "x" * BUDGET}),
    "a very long value": annotated({f"{PREFIX}/loadbalancer": "x" * 200_000}),
    "many values": annotated({f"{PREFIX}/key-{number}": "x" * 100 for number in range(20)}),
    "a line break": annotated({f"{PREFIX}/status": "ok\nnot"}),
    "a line break at the end": annotated({f"{PREFIX}/status": "ok\n"}),
    "a control character": annotated({f"{PREFIX}/status": "\x1b[2J"}),
    "not ASCII": annotated({f"{PREFIX}/status": "ök"}),
    "a line break in the egress state": annotated({f"{PREFIX}/egress-state": "agrees\nunlisted"}),
    "a terminal escape in the egress state": annotated({f"{PREFIX}/egress-state": "\x1b[31mlost"}),
    "full-width digits in the observed addresses": annotated(
        {f"{PREFIX}/egress-observed": "\uff12\uff10.1.2.3"}
    ),
    "a list of very many observed addresses": annotated(
        {
            f"{PREFIX}/egress-observed": ",".join(
                f"20.1.{number // 250}.{number % 250}" for number in range(500)
            )
        }
    ),
    "declared networks beyond the budget": applied(
        {
            "metadata": {
                "annotations": {f"{PREFIX}/egress-networks": ",".join(f"20.1.{n}.0/28" for n in range(250))}
            }
        }
    ),
    "the egress state of a domain below": annotated({f"sub.{PREFIX}/egress-state": "agrees"}),
    "the egress state of another Node": Attempt(
        {"metadata": {"annotations": {f"{PREFIX}/egress-state": "agrees"}}}, path=OTHER
    ),
    "write under the prefix before": annotated({f"{OLD}/new": "x"}),
    "change under the prefix before": annotated({f"{OLD}/status": "x"}),
    "remove a key of an unlisted prefix": annotated({f"{UNLISTED}/status": None}),
    "JSON patch of all annotations": json_patch("remove", "/metadata/annotations"),
    "JSON patch of the labels": json_patch("replace", "/metadata/labels", {}),
    "JSON patch of the taints": json_patch("add", "/spec/taints/-", TAINT),
    "apply a label": applied({"metadata": {"labels": {"mine": "true"}}}),
    "apply a foreign annotation": applied({"metadata": {"annotations": {FOREIGN: "1"}}}),
    "apply a taint": applied({"spec": {"taints": [TAINT]}}),
    "apply to another Node": applied({"metadata": {"annotations": {f"{PREFIX}/status": "ok"}}}, path=OTHER),
    "apply nothing to another Node": applied({"metadata": {"annotations": {}}}, path=OTHER),
    "annotate another Node": Attempt({"metadata": {"annotations": {f"{PREFIX}/status": "ok"}}}, path=OTHER),
    "label another Node": Attempt({"metadata": {"labels": {"mine": "true"}}}, path=OTHER),
    "patch another Node with nothing": Attempt({}, path=OTHER),
    "a condition in the status": Attempt({"status": {"conditions": [CONDITION]}}, path=STATUS),
    "apply a status": applied({"status": {"conditions": [CONDITION]}}, path=STATUS),
    "an annotation through the status": Attempt(
        {"metadata": {"annotations": {f"{PREFIX}/status": "ok"}}}, path=STATUS
    ),
    "the status of another Node": Attempt({"status": {"conditions": [CONDITION]}}, path=f"{OTHER}/status"),
    "delete the Node": Attempt(method="DELETE"),
    "delete another Node": Attempt(method="DELETE", path=OTHER),
    "delete all Nodes": Attempt(method="DELETE", path="/api/v1/nodes"),
    "create a Node": Attempt(
        realistic_node("made-by-an-agent"),
        method="POST",
        path="/api/v1/nodes",
        content_type="application/json",
    ),
    "create a Node by applying": applied(
        {"metadata": {"name": "made-by-an-agent", "annotations": {f"{PREFIX}/status": "ok"}}},
        path="/api/v1/nodes/made-by-an-agent",
    ),
    "read the kubelet": Attempt(method="GET", path="/api/v1/nodes/{own}/proxy/pods"),
    "run in the kubelet": Attempt(method="POST", path="/api/v1/nodes/{other}/proxy/run"),
}
